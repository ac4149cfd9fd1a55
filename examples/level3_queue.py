"""Follow a single order (level 3) on its way to the head of the queue at its price.

python examples/level3_queue.py --demo       on a local KuCoin, no network and no key

KuCoin withdrew this feed in 2021. With KUCOIN_SYNC_REST_URL it runs on another server that has the feed.
"""

import argparse
import time

from _common import example_parser, run_example
from kucoin_sync import LocalLevel3Book, Stream


def main(options: argparse.Namespace) -> None:
    deadline = time.monotonic() + options.seconds
    with Stream() as stream, stream.book(options.symbol, level=3) as book:
        book.wait_ready(timeout=10)
        print(f"{len(book.bid_orders())} orders to buy, {len(book.ask_orders())} to sell", flush=True)
        while time.monotonic() < deadline:
            follow_one(book, deadline)


def follow_one(book: LocalLevel3Book, deadline: float) -> None:
    """Choose the last order at the third best bid and print its position until it is gone."""
    changes = iter(book)
    order = book.orders_at(book.bids(3, timeout=10)[-1].price)[-1]
    print(f"an order to buy {order.size:f} at {order.price:f}:", flush=True)
    printed = None
    for _ in changes:
        position = book.queue_position(order.id, timeout=10)
        if position is None or time.monotonic() > deadline:
            print("  gone: traded or cancelled" if position is None else "  still there", flush=True)
            return
        if position != printed:
            printed = position
            print(f"  {position.orders} orders before it, {position.size:f} in all", flush=True)


if __name__ == "__main__":
    parser = example_parser(__doc__, seconds=5.0)
    parser.add_argument("symbol", nargs="?", default="BTC-USDT")
    options = parser.parse_args()
    run_example(main, options, options.symbol)
