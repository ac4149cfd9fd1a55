"""Keep a live order book: wait for it, read it, follow its changes, and price a large order.

python examples/order_book.py --demo                on a local KuCoin, no network and no key
python examples/order_book.py XBTUSDTM --seconds 30 on KuCoin; with KUCOIN_API_KEY, KUCOIN_API_SECRET and
                                                    KUCOIN_API_PASSPHRASE spot books are complete
"""

import argparse
import contextlib
import time

from _common import example_parser, run_example
from kucoin_sync import BookNotReady, LocalBook, Stream


def main(options: argparse.Namespace) -> None:
    deadline = time.monotonic() + options.seconds
    with Stream() as stream, stream.book(options.symbol) as book:
        book.wait_ready(timeout=10)
        print("whole" if not book.partial else f"only the best {book.snapshot_depth} levels are sure")
        changes = 0
        with contextlib.suppress(KeyboardInterrupt):
            for change in book:
                changes += 1
                if changes % 100 == 1:
                    show(book)
                if time.monotonic() > deadline:
                    print(f"{changes} changes, the last one to {change.sequence_end}; {book.resyncs} resyncs")
                    break


def show(book: LocalBook) -> None:
    """Print a line about the current book."""
    try:
        snapshot = book.snapshot(depth=10)
        cost = book.price_to_buy(sum(level.size for level in snapshot.asks))
    except BookNotReady as error:  # for example after a lost connection; the loop goes on with the book
        print(error)
        return
    print(
        f"{snapshot.sequence}: {snapshot.best_bid} {snapshot.best_ask}, the best 10 asks cost {cost:f} each", flush=True
    )


if __name__ == "__main__":
    parser = example_parser(__doc__)
    parser.add_argument("symbol", nargs="?", default="BTC-USDT")
    options = parser.parse_args()
    run_example(main, options, options.symbol)
