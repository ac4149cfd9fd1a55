"""A live order book: wait for it, read it, follow its changes, and see what a large order would cost.

python examples/order_book.py --demo                on a local KuCoin, no network and no key
python examples/order_book.py XBTUSDTM --seconds 30 on KuCoin; with KUCOIN_API_KEY, KUCOIN_API_SECRET and
                                                    KUCOIN_API_PASSPHRASE spot books are whole
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator

from kucoin_sync import BookNotReady, KucoinSyncError, LocalBook, Stream
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbol", nargs="?", default="BTC-USDT")
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds")
    options = parser.parse_args()

    deadline = time.monotonic() + options.seconds
    with open_stream(options.symbol, options.demo) as stream, stream.book(options.symbol) as book:
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
    """Print a line about the book as it is now."""
    try:
        snapshot = book.snapshot(depth=10)
        cost = book.price_to_buy(sum(level.size for level in snapshot.asks))
    except BookNotReady as error:  # such as after a cut; the loop goes on when the book does
        print(error)
        return
    print(
        f"{snapshot.sequence}: {snapshot.best_bid} {snapshot.best_ask}, the best 10 asks cost {cost:f} each", flush=True
    )


@contextlib.contextmanager
def open_stream(symbol: str, demo: bool) -> Iterator[Stream]:
    if not demo:
        with Stream() as stream:
            yield stream
        return
    with local_kucoin(symbol) as server, Stream(**server.stream_options) as stream:
        yield stream


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
