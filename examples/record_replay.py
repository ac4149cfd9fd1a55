"""Record a market for some seconds, then replay it: the same messages byte for byte, and the same book.

python examples/record_replay.py --demo          on a local KuCoin, no network
python examples/record_replay.py                 on KuCoin
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

from _common import example_parser, run_example
from kucoin_sync import Stream, topics
from kucoin_sync.recording import Recorder, ReplayStream

SYMBOL = "BTC-USDT"
TRADES = topics.match(SYMBOL)


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.jsonl.gz"
        record(path, options.seconds)
        replay(path)


def record(path: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with Stream() as stream, Recorder(stream, path) as recorder, stream.book(SYMBOL) as book:
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


if __name__ == "__main__":
    run_example(main, example_parser(__doc__).parse_args(), SYMBOL)
