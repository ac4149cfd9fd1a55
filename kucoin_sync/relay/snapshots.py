"""Snapshots for books that follow a relay: a reader asks through Redis, the relay fetches once for all who wait.

An answer counts for whoever asked before it was fetched: so it is never older than the first update that its reader
keeps. See `books.sync`.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec

from ..exceptions import AuthenticationError, ConnectionFailed, KucoinSyncError, RestError
from ..messages import UNREADABLE
from ..wire import Cancelled, Waker
from .entries import FIELD, decoder, encode
from .keys import Keys
from .scripts import ReaderScripts
from .server import BROKEN, RedisServer

__all__ = ["Answer", "Book", "RelayFetcher", "answer_of", "decode_book"]

_PATIENCE = 5.0
"""Seconds to wait for the relay's answer; it may die on the way."""

_BLOCK = 50


class Book(msgspec.Struct, array_like=True, frozen=True):
    """Which snapshot is asked for; see `rest.Rest.call`."""

    market: Literal["spot", "futures"]
    path: str
    symbol: str
    signed: bool

    @property
    def name(self) -> str:
        """What stands for it in keys."""
        return encode(self).decode()


class Answer(msgspec.Struct):
    """What the relay got: KuCoin's data, or an error.

    Attributes:
        asked: how often the book had been asked for when it was fetched.
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


def answer_of(asked: int, error: KucoinSyncError) -> Answer:
    """Return the answer that tells of an error."""
    after = getattr(error, "retry_after", None)
    if isinstance(error, RestError):
        return Answer(asked, None, error.message, error.code, "rest", error.retriable, after)
    if isinstance(error, AuthenticationError):
        return Answer(asked, None, str(error), error.code or "", "authentication", False)
    return Answer(asked, None, str(error), "", "", error.retriable, after)


_book = msgspec.json.Decoder(Book).decode
_answer = decoder(Answer)


def decode_book(name: str) -> Book | None:
    """Return what a reader asks for, None where that makes no sense."""
    try:
        return _book(name)
    except UNREADABLE:
        return None


class RelayFetcher:
    """Has snapshots fetched by the relay, for one thread; a `snapshots.Fetcher`."""

    def __init__(self, server: RedisServer, keys: Keys, waker: Waker) -> None:
        self._server = server
        self._keys = keys
        self._waker = waker
        self._client = server.client(lambda: waker.cancelled, patience=1.0)  # nobody can end its waits
        self._scripts = ReaderScripts(self._client, keys)

    def call(
        self, market: str, method: str, path: str, query: dict[str, str] | None = None, *, signed: bool = False
    ) -> Any:
        """Return the data of a snapshot.

        Raises:
            AuthenticationError, RestError: what KuCoin told the relay; ConnectionFailed, Cancelled.
        """
        assert method == "GET" and query is not None and market in ("spot", "futures")
        book = Book("futures" if market == "futures" else "spot", path, query["symbol"], signed)
        try:
            answer = self._ask(book)
        except BROKEN as error:
            failure = self._server.failure(error)
        else:
            return answer.result()
        self._waker.clear()
        raise failure

    def _ask(self, book: Book) -> Answer:
        number, position = self._scripts.ask(book.name)
        stream, deadline = self._keys.snapshot(book.name), time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self._waker.cancelled:
                raise Cancelled
            found: Any = self._client.xread({stream: position}, count=1, block=_BLOCK)
            for _, entries in found:
                position, fields = entries[-1]
                answer = _answer(fields[FIELD])
                if answer.asked >= number:
                    return answer
        raise ConnectionFailed(
            f"no relay answered within {_PATIENCE:g} s when a snapshot of {book.symbol} was asked for; check that one "
            "runs"
        )

    def close(self) -> None:
        """Give the connection back."""
        self._client.connection_pool.disconnect()
