"""Single orders (level 3): follow one of them on its way to the head of the queue at its price.

python examples/level3_queue.py --demo       on a local KuCoin, no network and no key

KuCoin withdrew this feed in 2021: elsewhere it runs on what serves it, by KUCOIN_SYNC_REST_URL.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from kucoin_sync import KucoinSyncError, LocalLevel3Book, Stream
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbol", nargs="?", default="BTC-USDT")
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=5.0, help="end after so many seconds")
    options = parser.parse_args()

    deadline = time.monotonic() + options.seconds
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin(options.symbol)).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
        book = stack.enter_context(stream.book(options.symbol, level=3)).wait_ready(timeout=10)
        print(f"{len(book.bid_orders())} orders to buy, {len(book.ask_orders())} to sell", flush=True)
        while time.monotonic() < deadline:
            follow_one(book, deadline)


def follow_one(book: LocalLevel3Book, deadline: float) -> None:
    """Choose the last order at the third best bid, and tell of it until it is gone."""
    changes = iter(book)
    order = book.orders_at(book.bids(3, timeout=10)[-1].price)[-1]
    print(f"an order to buy {order.size:f} at {order.price:f}:", flush=True)
    told = None
    for _ in changes:
        position = book.queue_position(order.id, timeout=10)
        if position is None or time.monotonic() > deadline:
            print("  gone: traded or cancelled" if position is None else "  still there", flush=True)
            return
        if position != told:
            told = position
            print(f"  {position.orders} orders before it, {position.size:f} in all", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
