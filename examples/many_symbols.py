"""Read many symbols with one subscription: keep the newest ticker of each, and name the silent ones.

python examples/many_symbols.py --demo                      150 made-up symbols on a local KuCoin
python examples/many_symbols.py BTC-USDT ETH-USDT KCS-USDT  on KuCoin; any number of symbols
"""

import argparse
import time
from collections import Counter

from _common import example_parser, run_example
from kucoin_sync import Event, Progress, Stale, Stream, topics

MADE_UP = [f"C{number:03}-USDT" for number in range(150)]
USUAL = ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "KCS-USDT", "ETH-BTC", "KCS-BTC"]


def main(options: argparse.Namespace) -> None:
    with Stream(on_event=on_event) as stream:
        # The stream splits this call into commands and connections within KuCoin's limits.
        tickers = stream.subscribe(topics.ticker(*options.symbols), overflow="latest", stale_after=30.0, timeout=60.0)
        counts: Counter[str] = Counter()
        next_line, deadline = time.monotonic() + 0.5, time.monotonic() + options.seconds
        for message in tickers:
            counts[message["topic"].partition(":")[2]] += 1
            time.sleep(0.005)  # in place of your work; meanwhile newer tickers replace those that wait
            if time.monotonic() > next_line:
                next_line += 0.5
                print(f"so far {counts.total()} tickers of {len(counts)} symbols", flush=True)
            if time.monotonic() > deadline:
                break
        numbers = stream.stats()
        print(f"{counts.total()} tickers of {len(counts)} symbols; {numbers['dropped']} others were superseded unread")
        print("busiest:", ", ".join(f"{symbol} {count}" for symbol, count in counts.most_common(5)))


def on_event(event: Event) -> None:
    if isinstance(event, Progress | Stale):
        print(event, flush=True)


if __name__ == "__main__":
    parser = example_parser(__doc__)
    parser.add_argument("symbols", nargs="*", help="such as BTC-USDT")
    options = parser.parse_args()
    options.symbols = options.symbols or (MADE_UP if options.demo else USUAL)
    run_example(main, options, *options.symbols, rate=1000)
