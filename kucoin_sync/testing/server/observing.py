"""The part of the server that tests observe: connections, commands, requests, and waiting for a state.

Each result is a copy, made under the server's lock.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any, TypeVar

from .connection import Connection
from .index import Index
from .state import Command, Request, State

__all__ = ["Observing"]

T = TypeVar("T")


class Observing:
    """The part of `KucoinServer` that tests observe."""

    def __init__(self, state: State, index: Index) -> None:
        self._state = state
        self._index = index

    @property
    def received(self) -> list[Command]:
        """The messages of clients over WebSockets, pings included, in order: `message`, `connection`, `received_ns`."""
        with self._state.lock:
            return list(self._state.commands)

    @property
    def requests(self) -> list[Request]:
        """The REST requests, in order."""
        with self._state.lock:
            return list(self._state.requests)

    @property
    def handshakes(self) -> list[Request]:
        """The WebSocket handshakes, in order, refused ones included."""
        with self._state.lock:
            return list(self._state.handshakes)

    @property
    def connections(self) -> list[Connection]:
        """The open connections, oldest first."""
        return self._state.connections()

    @property
    def ended(self) -> list[Connection]:
        """The ended connections, refused ones included; `end` of each has the reason."""
        with self._state.lock:
            return list(self._state.ended)

    def wait_for(self, predicate: Callable[[Any], T], timeout: float = 5.0, what: str = "") -> T:
        """Wait until `predicate(server)` is true, and return its value.

        It is called after each change of the server. It runs under the server's lock and must neither wait nor send.

        Raises:
            AssertionError: it was not true within `timeout` seconds; the text names `what`, or the predicate.
        """
        value = self._state.wait_for(lambda: predicate(self), timeout)
        if not value:
            errors = "".join(f"; raised in the server: {error!r}" for error in self._state.errors())
            raise AssertionError(
                f"waited {timeout:g} s in vain for {what or _name(predicate)}; connected: {self.connections}{errors}"
            )
        return value

    def wait_subscribed(self, topic: str, count: int = 1, timeout: float = 5.0) -> None:
        """Wait until `count` connections or tunnels are subscribed to all single topics of `topic`."""
        prefix, colon, arguments = topic.partition(":")
        singles = [f"{prefix}:{argument}" for argument in arguments.split(",")] if colon else [prefix]
        index = self._index
        self.wait_for(lambda _: min(map(index.count, singles)) >= count, timeout, f"{count} subscriptions to {topic}")


def _name(predicate: Callable[..., object]) -> str:
    code = getattr(predicate, "__code__", None)
    line = linecache.getline(code.co_filename, code.co_firstlineno).strip() if code else ""
    return line or repr(predicate)
