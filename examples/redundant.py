"""Trades over two connections: one of them may be cut, and no trade is missing.

python examples/redundant.py --demo         on a local KuCoin, no network and no key; it cuts one connection
python examples/redundant.py                on KuCoin
"""

import argparse
import logging
import time

from _common import example_parser, run_example
from kucoin_sync import Connected, Disconnected, Event, Stream


def tell(event: Event) -> None:
    if isinstance(event, Connected | Disconnected):
        print(event, flush=True)


def main(options: argparse.Namespace) -> None:
    logging.getLogger("kucoin_sync").setLevel(logging.ERROR)  # `tell` prints what is a warning otherwise
    begin, trades, epochs = time.monotonic(), 0, set()
    with Stream(redundancy=2, on_event=tell) as stream:
        subscription = stream.subscribe("/market/match:BTC-USDT")
        while (passed := time.monotonic() - begin) < options.seconds:
            if options.server and passed > options.seconds / 2 and stream.stats()["redundant_topics"]:
                options.server.connections[0].drop()
                options.server = None  # once is enough
            try:
                message = subscription.get(timeout=0.1)
            except TimeoutError:
                continue
            trades += 1
            epochs.add(message.epoch)
        stats = stream.stats()
    gaps = "no gap" if len(epochs) <= 1 else f"{len(epochs) - 1} gaps"
    print(f"{trades} trades and {stats['copies']} copies, {stats['disconnects']} connections were lost, {gaps}")


if __name__ == "__main__":
    run_example(main, example_parser(__doc__).parse_args(), "BTC-USDT")
