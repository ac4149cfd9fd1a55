"""The state of a server: connections, logs of commands and requests, and errors.

This module holds the server's one lock and its condition for waiters. The lock guards everything here, the plans, the
tokens, and changes of the index of subscriptions. It is never held during a send, so a stalled client does not block
readers of the state.
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
    """One message of a client over a WebSocket: the decoded `message`, `received_ns` since 1970."""

    message: dict[str, Any]
    connection: Connection
    received_ns: int


class Request(NamedTuple):
    """One REST request or WebSocket handshake.

    `path` lacks the prefix of the futures base URL and the query; `target` has the query. The names of `headers` are in
    lower case; `body` is text.
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
        self.open: dict[int, Connection] = {}  # by identity, oldest first
        self._errors: list[BaseException] = []
        #: Set when a deadline came nearer or the clock was moved, to wake the thread that watches deadlines.
        self.deadlines_moved = threading.Event()
        self._jobs: list[tuple[float, Callable[[], object]]] = []

    def changed(self) -> None:
        """Wake every waiter."""
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
        """Add a connection to the open ones."""
        with self.lock:
            self.open[id(connection)] = connection
            self._changed.notify_all()
        self.deadlines_moved.set()

    def remove(self, connection: Connection) -> None:
        """Move a connection from the open ones to the ended ones."""
        with self.lock:
            del self.open[id(connection)]
            self.ended.append(connection)
            self._changed.notify_all()

    def connections(self) -> list[Connection]:
        """Return the accepted open connections, oldest first."""
        with self.lock:
            return [connection for connection in self.open.values() if connection.accepted]

    def add_job(self, at: float, job: Callable[[], object]) -> None:
        """Let the thread that watches deadlines call `job` at an instant of the server's clock."""
        with self.lock:
            self._jobs.append((at, job))
        self.deadlines_moved.set()

    def take_jobs(self, now: float) -> tuple[list[Callable[[], object]], float]:
        """Return the jobs that are due, and the instant of the next one."""
        with self.lock:
            due = [job for at, job in self._jobs if at <= now]
            self._jobs = [(at, job) for at, job in self._jobs if at > now]
            return due, min((at for at, _ in self._jobs), default=float("inf"))

    def record(self, error: BaseException) -> None:
        """Keep an error of a server thread for `take_error`."""
        with self.lock:
            self._errors.append(error)
            self._changed.notify_all()

    def take_error(self) -> BaseException | None:
        """Return the first error of a server thread since the last call, and forget the others."""
        with self.lock:
            errors, self._errors = self._errors, []
            return errors[0] if errors else None

    def errors(self) -> list[BaseException]:
        """Return the kept errors."""
        with self.lock:
            return list(self._errors)

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:
        """Wait until `predicate` is true and return its value; after `timeout` seconds return its last value."""
        with self.lock:
            return self._changed.wait_for(predicate, timeout)

    def clear_logs(self) -> None:
        """Forget commands, requests, handshakes, ended connections and jobs."""
        with self.lock:
            self._jobs.clear()
            self.commands.clear()
            self.requests.clear()
            self.handshakes.clear()
            self.ended.clear()
