"""Record a market for some seconds, then play it again: every message byte for byte, the book at every step.

python examples/record_replay.py --demo          on a local KuCoin, no network
python examples/record_replay.py                 on KuCoin
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kucoin_sync import KucoinSyncError, Stream, topics
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import local_kucoin

SYMBOL = "BTC-USDT"
TRADES = topics.match(SYMBOL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="record for so many seconds")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.jsonl.gz"
        record(path, options.demo, options.seconds)
        replay(path)


def record(path: Path, demo: bool, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with open_stream(demo) as stream, Recorder(stream, path) as recorder, stream.book(SYMBOL) as book:
        trades = stream.subscribe(TRADES)
        book.wait_ready(timeout=10)
        with contextlib.suppress(KeyboardInterrupt, TimeoutError):
            print("recording; Ctrl-C ends it earlier", flush=True)
            while (left := deadline - time.monotonic()) > 0:
                trades.get(timeout=left)
        print(f"live: the book was at {book.sequence}")
    print(f"recorded: {recorder.stats()['messages']} messages, {path.stat().st_size} bytes")


def replay(path: Path) -> None:
    with ReplayStream(path, speed=None) as replay:
        book = replay.book(SYMBOL)
        trades = [trade.payload for trade in replay.subscribe(TRADES)]
        replay.wait()
        print(f"replayed: {len(trades)} trades in {replay.duration:.1f} s of recording, the book is at {book.sequence}")
        print(f"bought and sold: {sum(trade.size for trade in trades):f}; best bid {book.best_bid.price:f}")


@contextlib.contextmanager
def open_stream(demo: bool) -> Iterator[Stream]:
    if not demo:
        with Stream() as stream:
            yield stream
        return
    with local_kucoin(SYMBOL) as server, Stream(**server.stream_options) as stream:
        yield stream


if __name__ == "__main__":
    try:
        main()
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
