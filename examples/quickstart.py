"""The first steps: subscribe to a topic and loop over its messages.

python examples/quickstart.py --demo         on a local KuCoin, no network and no key
python examples/quickstart.py                on KuCoin
"""

import argparse
import itertools

from _common import example_parser, run_example
from kucoin_sync import Stream


def main(options: argparse.Namespace) -> None:
    with Stream() as stream:
        for message in itertools.islice(stream.subscribe("/market/ticker:ETH-USDT"), options.messages):
            ticker = message.payload
            print(f"ETH-USDT {ticker.price}, bid {ticker.best_bid}, ask {ticker.best_ask}", flush=True)


if __name__ == "__main__":
    parser = example_parser(__doc__, seconds=None)
    parser.add_argument("--messages", type=int, default=10, help="end after so many messages (default: 10)")
    run_example(main, parser.parse_args(), "ETH-USDT")
