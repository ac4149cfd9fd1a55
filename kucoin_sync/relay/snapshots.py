"""Snapshots for the books of a relay's readers: readers ask through Redis, the relay fetches once for all of them.

A reader accepts an answer only if it was fetched after the reader's request. So the snapshot is never older than the
first update that the reader keeps; see `books.calibration`.

A snapshot that KuCoin pushes comes to all readers among the messages of its topic. A reader whose book lacks one asks
for the topic to be subscribed again.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec

from ..exceptions import AuthenticationError, ConnectionFailed, KucoinSyncError, RestError
from ..net.waker import Cancelled, Waker
from ..protocol.message import UNREADABLE
from .codec import FIELD, decoder, encode
from .keys import Keys
from .scripts import ReaderScripts
from .server import BROKEN, RedisServer

__all__ = [
    "PUSHED",
    "RelaySnapshotFetcher",
    "SnapshotAnswer",
    "SnapshotRequest",
    "answer_of",
    "ask_for_push",
    "decode_book",
]

#: A request that is a topic with this beginning is for a snapshot that KuCoin pushes.
PUSHED = "/uta/obu."

_ANSWER_SECONDS = 5.0
"""Seconds to wait for the relay's answer; the relay may die before it answers."""

_BLOCK_MS = 50


class SnapshotRequest(msgspec.Struct, array_like=True, frozen=True):
    """The snapshot that a reader requests; see `net.rest.Rest.call`."""

    market: Literal["spot", "futures"]
    path: str
    symbol: str
    signed: bool

    @property
    def name(self) -> str:
        """The text that identifies the snapshot in Redis keys."""
        return encode(self).decode()


class SnapshotAnswer(msgspec.Struct):
    """The relay's answer: KuCoin's data, or an error.

    Attributes:
        asked: the number of requests for the book at the time of fetching.
    """

    asked: int
    data: Any = None
    error: str = ""
    code: str = ""
    kind: Literal["", "authentication", "rest"] = ""
    retriable: bool = True
    retry_after: float | None = None

    def result(self) -> Any:
        """Return the data or raise the error."""
        if not self.error:
            return self.data
        if self.kind == "authentication":
            raise AuthenticationError(f"the relay could not fetch a snapshot: {self.error}", code=self.code or None)
        if self.kind == "rest":
            raise RestError(
                self.code,
                self.error,
                where="the relay's request",
                retriable=self.retriable,
                retry_after=self.retry_after,
            )
        raise ConnectionFailed(
            f"the relay could not fetch a snapshot: {self.error}",
            retriable=self.retriable,
            retry_after=self.retry_after,
        )


def ask_for_push(server: RedisServer, keys: Keys, topic: str) -> None:
    """Ask the relay to have KuCoin push the snapshot of a topic again; readers ask again if none comes."""
    client = server.client()
    try:
        ReaderScripts(client, keys).ask(topic)
    except BROKEN:
        pass  # the source of the topic reports that Redis does not answer
    finally:
        client.connection_pool.disconnect()


def answer_of(asked: int, error: KucoinSyncError) -> SnapshotAnswer:
    """Return the answer for an error."""
    after = getattr(error, "retry_after", None)
    if isinstance(error, RestError):
        return SnapshotAnswer(asked, None, error.message, error.code, "rest", error.retriable, after)
    if isinstance(error, AuthenticationError):
        return SnapshotAnswer(asked, None, str(error), error.code or "", "authentication", False)
    return SnapshotAnswer(asked, None, str(error), "", "", error.retriable, after)


_book = msgspec.json.Decoder(SnapshotRequest).decode
_answer = decoder(SnapshotAnswer)


def decode_book(name: str) -> SnapshotRequest | None:
    """Decode a reader's request; return None if it is malformed."""
    try:
        return _book(name)
    except UNREADABLE:
        return None


class RelaySnapshotFetcher:
    """Gets snapshots from the relay, on one thread; see `books.snapshot_fetcher.SnapshotFetcher`."""

    def __init__(self, server: RedisServer, keys: Keys, waker: Waker) -> None:
        self._server = server
        self._keys = keys
        self._waker = waker
        self._client = server.client(lambda: waker.cancelled, timeout=1.0)  # its calls are never interrupted
        self._scripts = ReaderScripts(self._client, keys)

    def call(
        self, market: str, method: str, path: str, query: dict[str, str] | None = None, *, signed: bool = False
    ) -> Any:
        """Return the data of a snapshot.

        Raises:
            AuthenticationError, RestError: what KuCoin told the relay; ConnectionFailed, Cancelled.
        """
        assert method == "GET" and query is not None and market in ("spot", "futures")
        book = SnapshotRequest("futures" if market == "futures" else "spot", path, query["symbol"], signed)
        try:
            answer = self._ask(book)
        except BROKEN as error:
            failure = self._server.failure(error)
        else:
            return answer.result()
        self._waker.clear()
        raise failure

    def _ask(self, book: SnapshotRequest) -> SnapshotAnswer:
        number, position = self._scripts.ask(book.name)
        stream, deadline = self._keys.snapshot(book.name), time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            if self._waker.cancelled:
                raise Cancelled
            found: Any = self._client.xread({stream: position}, count=1, block=_BLOCK_MS)
            for _, entries in found:
                position, fields = entries[-1]
                answer = _answer(fields[FIELD])
                if answer.asked >= number:
                    return answer
        raise ConnectionFailed(
            f"no relay answered within {_ANSWER_SECONDS:g} s to a request for a snapshot of {book.symbol}; check that "
            "one runs"
        )

    def close(self) -> None:
        """Close the connection to Redis."""
        self._client.connection_pool.disconnect()
