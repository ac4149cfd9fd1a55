"""A stream with many topics of both markets, private ones and books: what a message costs over one connection or two.

Two processes: `python -m tests.benchmarks.busy serve` runs a local KuCoin, and `… busy WAY REDUNDANCY SECONDS ADDRESS`
reads from it and prints its result as one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kucoin_sync import Credentials, Limits, Stream
from kucoin_sync.testing import Exchange, KucoinServer
from kucoin_sync.testing.server import ServerLimits
from tests.support.threads import until
from tests.support.traffic import Flow, Size, names, symbols

from .meter import finish
from .running import Failed, Result, process, result_of

__all__ = ["measure_busy"]

_SIZE = Size(topics=200, books=10, rate=5_000, cuts=0)
_ACCOUNT = Credentials("key", "secret", "passphrase")
_FREE = Limits(connections_per_minute=100_000, commands_per_10s=10_000, snapshots_per_30s=10_000)


def measure_busy(way: str, redundancy: int, seconds: float) -> Result:
    """Return the CPU microseconds of a delivered message ("cpu") that is read in one of the `_WAYS`.

    Raises:
        Failed: the reader did not come to its end.
    """
    with process(__name__, "serve") as server:
        assert server.stdout is not None
        address = server.stdout.readline()
        if not address:
            raise Failed("the local KuCoin did not start")
        with process(__name__, way, str(redundancy), str(seconds), address) as reader:
            return result_of(reader, 60 + seconds)


def _serve() -> None:
    exchange = Exchange(symbols(_SIZE), seed=1, levels=20)
    limits = ServerLimits(messages_per_10s=None, uta_messages_per_10s=None)
    with KucoinServer(exchange=exchange, limits=limits, credentials=_ACCOUNT) as server:
        print(json.dumps({"rest_url": server.rest_url, "futures_rest_url": server.futures_rest_url}), flush=True)
        flow = Flow(server, names(_SIZE), _SIZE.rate)
        sys.stdin.read()
        flow.end()


class _Reader:
    """The user's code, which reads topic and number of each message, and the clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen = itertools.count()  # of several threads

    def read(self, message: Any) -> None:
        _topic, _n = message.topic, message.data["n"]
        next(self._seen)

    def measure(self) -> None:
        """Wait for the warm-up and for the measured seconds; end the process with the result."""
        pause = threading.Event()
        pause.wait(1.0)
        seen, wall, cpu = next(self._seen), time.monotonic(), time.process_time()
        pause.wait(self._seconds)
        count, wall, cpu = next(self._seen) - seen, time.monotonic() - wall, time.process_time() - cpu
        finish({"messages": count, "rate": count / wall, "cpu": cpu / count * 1e6})


def _iterate(stream: Stream, read: Callable[[Any], None]) -> None:
    subscription = stream.subscribe(*names(_SIZE))

    def loop() -> None:
        for message in subscription:
            read(message)

    threading.Thread(target=loop, daemon=True).start()


def _call(stream: Stream, read: Callable[[Any], None], *, inline: bool = False) -> None:
    for topic in names(_SIZE):
        stream.subscribe(topic, callback=read, inline=inline, timeout=0)


_WAYS: dict[str, Callable[[Stream, Callable[[Any], None]], None]] = {
    "callback": _call,
    "inline": lambda stream, read: _call(stream, read, inline=True),
    "payload": _iterate,
}


def _read(way: str, redundancy: int, seconds: float, urls: dict[str, str]) -> None:
    stream = Stream(credentials=_ACCOUNT, limits=_FREE, redundancy=redundancy, proxy="", **urls)
    reader = _Reader(seconds)
    _WAYS[way](stream, reader.read)
    for book in [stream.book(symbol) for symbol in symbols(_SIZE)]:
        book.wait_ready(30)

    def settled() -> bool:
        stats = stream.stats()
        return bool(stats["redundant_topics"] == (stats["topics"] if redundancy > 1 else 0))

    until(settled, "not all topics are on their connections")
    reader.measure()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _read(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4]))
