"""Many symbols with one subscription: only the newest ticker of each is kept, and who is silent is named.

python examples/many_symbols.py --demo                      150 made-up symbols on a local KuCoin
python examples/many_symbols.py BTC-USDT ETH-USDT KCS-USDT  on KuCoin; any number of symbols
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter

from kucoin_sync import Event, KucoinSyncError, Progress, Stale, Stream, topics
from kucoin_sync.testing import local_kucoin

MADE_UP = [f"C{number:03}-USDT" for number in range(150)]
USUAL = ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "KCS-USDT", "ETH-BTC", "KCS-BTC"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbols", nargs="*", help="such as BTC-USDT")
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds")
    options = parser.parse_args()
    symbols = options.symbols or (MADE_UP if options.demo else USUAL)

    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin(*symbols, rate=1000)).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where, on_event=on_event))
        # One call: the stream splits it into commands and connections as KuCoin's limits ask for.
        tickers = stream.subscribe(topics.ticker(*symbols), overflow="latest", stale_after=30.0, timeout=60.0)
        counts: Counter[str] = Counter()
        next_line, deadline = time.monotonic() + 0.5, time.monotonic() + options.seconds
        for message in tickers:
            counts[message["topic"].partition(":")[2]] += 1
            time.sleep(0.005)  # stands for your work: while it lasts, newer tickers replace those that wait
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
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
