"""What the server knows of its clients: who is connected, what was said, what went wrong.

Holds the one lock of a server and the condition that waiters wait on. The lock guards everything here, the
scripts, the tokens and all writes to the index of subscriptions. It is never held while something is sent, so
that a stalled client holds up nobody who only asks.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from .connection import Connection

__all__ = ["Command", "Request", "State"]

T = TypeVar("T")

_LOG_LENGTH = 100_000


class Command(NamedTuple):
    """One message that a client sent over a WebSocket: `message` as decoded, `received_ns` since 1970."""

    message: dict[str, Any]
    connection: Connection
    received_ns: int


class Request(NamedTuple):
    """One REST request or WebSocket handshake.

    `path` is without the prefix of the futures base URL and without the query; `target` has the query;
    `headers` have their names in lower case; `body` is text.
    """

    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str
    market: str
    received_ns: int

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target} ({self.market})>"


class State:
    """The logs and the connections of one server."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self.commands: deque[Command] = deque(maxlen=_LOG_LENGTH)
        self.requests: deque[Request] = deque(maxlen=_LOG_LENGTH)
        self.handshakes: deque[Request] = deque(maxlen=_LOG_LENGTH)
        self.ended: deque[Connection] = deque(maxlen=_LOG_LENGTH)
        self.open: dict[int, Connection] = {}  # by identity, in the order in which they came
        self._errors: list[BaseException] = []
        #: Set when a deadline came nearer or the clock was moved: whoever watches them looks again.
        self.deadlines_moved = threading.Event()

    def changed(self) -> None:
        """Let every waiter look again."""
        with self.lock:
            self._changed.notify_all()

    def log_command(self, command: Command) -> None:
        """Add a command to the log."""
        with self.lock:
            self.commands.append(command)
            self._changed.notify_all()

    def log_request(self, request: Request) -> None:
        """Add a REST request to the log."""
        with self.lock:
            self.requests.append(request)
            self._changed.notify_all()

    def log_handshake(self, request: Request) -> None:
        """Add a WebSocket handshake to the log."""
        with self.lock:
            self.handshakes.append(request)
            self._changed.notify_all()

    def add(self, connection: Connection) -> None:
        """Take note of a connection."""
        with self.lock:
            self.open[id(connection)] = connection
            self._changed.notify_all()
        self.deadlines_moved.set()

    def remove(self, connection: Connection) -> None:
        """Take note that a connection is no more."""
        with self.lock:
            del self.open[id(connection)]
            self.ended.append(connection)
            self._changed.notify_all()

    def connections(self) -> list[Connection]:
        """Return the connections that were let in and are not ended, oldest first."""
        with self.lock:
            return [connection for connection in self.open.values() if connection.accepted]

    def record(self, error: BaseException) -> None:
        """Keep an error of a server thread until somebody asks for it."""
        with self.lock:
            self._errors.append(error)
            self._changed.notify_all()

    def take_error(self) -> BaseException | None:
        """Return the first error of a server thread since the last call, and forget the others."""
        with self.lock:
            errors, self._errors = self._errors, []
            return errors[0] if errors else None

    def errors(self) -> list[BaseException]:
        """Return the errors that nobody asked for yet."""
        with self.lock:
            return list(self._errors)

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:
        """Wait until `predicate` is true and return its value; after `timeout` seconds return its last one."""
        with self.lock:
            return self._changed.wait_for(predicate, timeout)

    def clear_logs(self) -> None:
        """Forget commands, requests, handshakes and ended connections."""
        with self.lock:
            self.commands.clear()
            self.requests.clear()
            self.handshakes.clear()
            self.ended.clear()
