"""A system that has no descriptor, no thread or no memory to give at one acquisition, or at several."""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import itertools
import logging
import operator
import pkgutil
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import kucoin_sync
from kucoin_sync import Client, KucoinSyncError, Limits, Stream, Subscription
from kucoin_sync.testing import KucoinServer

from ..reliability.feed import ETH, publish
from .sockets import open_descriptors
from .streams import Events
from .threads import LIMIT, until

__all__ = ["RESOURCES", "Operation", "Shortage", "World", "walk"]

T = TypeVar("T")

#: Threads that stand for KuCoin, the network or another program: theirs is another system.
_OTHERS = ("kucoin-server", "kucoin-fault", "test-", "asyncio")
#: What is no acquisition: what is tested with, what is told, and what users hold of data.
_APART = {"testing", "payloads", "cli", "contrib", "exceptions", "events", "guard"}

RESOURCES: dict[str, Callable[[], Exception]] = {
    "descriptors": lambda: OSError(errno.EMFILE, "Too many open files"),
    "threads": lambda: RuntimeError("can't start new thread"),
    "memory": MemoryError,
}


class Shortage:
    """Refuses a resource while it is armed: the n-th time that the package asks for it, and some times after that.

    Memory is asked for wherever a descriptor or a thread is, and wherever an object of the package is made.

    Attributes:
        met: how often it was refused since `arm`.
        where: the calls that led to the last refusal, the innermost first.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, resource: str) -> None:
        self.met = 0
        self.where = ""
        self._error = RESOURCES[resource]
        self._lock = threading.Lock()
        self._before = 0  # how often it is still given
        self._times = 0  # how often it is then refused
        descriptors, threads = resource != "threads", resource != "descriptors"
        if descriptors:
            monkeypatch.setattr(socket, "socketpair", self._refusing(socket.socketpair))
            monkeypatch.setattr(socket, "getaddrinfo", self._refusing(socket.getaddrinfo))
            monkeypatch.setattr(select, "poll", self._refusing(select.poll, _waits))
            monkeypatch.setattr(builtins, "open", self._refusing(open, lambda path, *_, **__: _is_recording(path)))
            fresh: Any = lambda _, *args, **options: options.get("fileno") is None and len(args) < 4  # noqa: E731
            monkeypatch.setattr(socket.socket, "__init__", self._refusing(socket.socket.__init__, fresh))
        if threads:
            ours: Any = lambda thread: not thread.name.startswith(_OTHERS)  # noqa: E731
            monkeypatch.setattr(threading.Thread, "start", self._refusing(threading.Thread.start, ours))
        if resource == "memory":
            for kind in _classes():
                monkeypatch.setattr(kind, "__init__", self._refusing(kind.__init__))

    def arm(self, number: int, times: int = 1) -> None:
        """Refuse the `number`-th acquisition from now on, and `times - 1` after it."""
        with self._lock:
            self.met, self._before, self._times = 0, number - 1, times

    def disarm(self) -> None:
        """Refuse nothing any more."""
        with self._lock:
            self._times = 0

    def _refusing(self, call: Callable[..., Any], concerned: Callable[..., bool] = lambda *_, **__: True) -> Any:
        def asked(*args: Any, **options: Any) -> Any:
            if self._times and not _is_others() and concerned(*args, **options):
                self._ask()
            return call(*args, **options)

        return asked

    def _ask(self) -> None:
        with self._lock:
            if self._before:
                self._before -= 1
            elif self._times:
                self._times -= 1
                self.met += 1
                calls = reversed(traceback.extract_stack()[:-2])
                self.where = " < ".join(f"{call.name}:{call.lineno}" for call in calls)
                raise self._error()


def _is_others() -> bool:
    return threading.current_thread().name.startswith(_OTHERS)


def _waits() -> bool:
    """Whether a thread of the package's, and not a library or a consumer, is about to wait."""
    caller: str = sys._getframe(2).f_globals["__name__"]
    return caller.startswith(kucoin_sync.__name__) and threading.current_thread() is not threading.main_thread()


def _is_recording(path: object) -> bool:
    return ".jsonl" in str(path)


def _classes() -> Iterator[type[Any]]:
    """Yield the classes of the package whose objects are made by a constructor in Python."""
    for found in pkgutil.walk_packages(kucoin_sync.__path__, f"{kucoin_sync.__name__}."):
        if not _APART.isdisjoint(found.name.split(".")) or found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ImportError:
            continue  # it is for an extra that is not installed
        for kind in vars(module).values():
            own = isinstance(kind, type) and kind.__module__ == module.__name__
            # Files have finalisers that do not expect a constructor to fail, and neither does who opens them.
            if (
                own
                and not issubclass(kind, (BaseException, io.IOBase))
                and hasattr(vars(kind).get("__init__"), "__code__")
            ):
                yield kind


class _Lines(logging.Handler):
    """What the package logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        logging.getLogger("kucoin_sync").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def close(self) -> None:
        logging.getLogger("kucoin_sync").removeHandler(self)
        super().close()


class World:
    """A stream at a local KuCoin, in a system that may have nothing to give."""

    def __init__(self, server: KucoinServer, shortage: Shortage, folder: Path) -> None:
        self.server, self.shortage, self.folder = server, shortage, folder
        self.closing: list[Callable[[], object]] = []  # what is closed before the streams
        self.events = Events()
        self.failed: list[Any] = []  # what calls have raised
        self._said = _Lines()
        self._streams: list[Stream] = []
        self._numbers = itertools.count()

    def stream(self, **options: Any) -> Stream:
        limits = Limits(connections_per_minute=10**6, commands_per_10s=10**6, snapshots_per_30s=10**6)
        made = Stream(**{**self.server.stream_options, "limits": limits, "on_event": self.events, **options})
        self._streams.append(made)
        return made

    def call(self, call: Callable[[], T], client: Client | None = None) -> T:
        """Return what a call returns; where it fails, look that nothing has changed, and make it again.

        With a `client`, that of its own is looked at, as others are at work in the process.
        """
        before = self._state(client)
        try:
            return call()
        except (KucoinSyncError, MemoryError) as error:
            self.failed.append(error)
            self.shortage.disarm()
        says = [what in str(self.failed[-1]) for what in ("no file descriptor", "no thread", "no memory")]
        assert isinstance(self.failed[-1], MemoryError) or (self.failed[-1].retriable and any(says)), self.failed[-1]
        left = f"{self.failed[-1]!r} left something behind; before: {before}"
        until(lambda: all(map(operator.le, self._state(client), before)), left)
        return call()

    def retry(self, call: Callable[[], T]) -> T:
        """Return what a call returns that changes nothing, as soon as there is memory for it."""
        while True:
            try:
                return call()
            except MemoryError as error:
                self.failed.append(error)

    def told(self) -> bool:
        """Whether it was told that a descriptor was missing; what events tell is logged, too, and at once."""
        return any("no file descriptor" in line or line.startswith("recording failed") for line in self._said.lines)

    def _state(self, client: Client | None) -> tuple[Any, ...]:
        """Return what there is: none of it may be more afterwards."""
        names = ("subscriptions", "topics", "connections", "books", "pending")
        stats = [each.stats() for each in (self._streams if client is None else [client])]
        numbers = [[each[name] for name in names] for each in stats]
        if client is not None:
            return (numbers,)
        threads = [each.name for each in threading.enumerate() if each.name.startswith("kucoin-")]
        ours = [name for name in threads if not name.startswith((*_OTHERS, "kucoin-callbacks"))]
        return numbers, len(ours), len(open_descriptors())

    def flows(self, subscription: Subscription[Any], topic: str = ETH) -> None:
        """Publish until a message comes."""
        number = next(self._numbers)
        publish(self.server, [number], topic)
        while int(subscription.get(timeout=LIMIT).data["n"]) != number:
            pass

    def close(self) -> None:
        """Close all; no thread of the package's is left then."""
        for close in (*self.closing, *(stream.close for stream in self._streams), self._said.close):
            close()
        for thread in threading.enumerate():
            if thread.name.startswith("kucoin-") and not thread.name.startswith(_OTHERS):
                thread.join(LIMIT)
                assert not thread.is_alive(), f"{thread.name} is left behind"


#: Armed at its first `yield` and disarmed at its second; what follows has to work.
Operation = Callable[[World], Iterator[None]]


def walk(
    operation: Operation,
    monkeypatch: pytest.MonkeyPatch,
    resource: str,
    times: int,
    server: KucoinServer,
    folder: Path,
    *,
    told: bool = True,
    first: int = 1,
    step: int = 1,
) -> int:
    """Do an operation with a resource refused from the n-th time on, for each n there is; return the last of them.

    With `first` and `step` several tests share the walk. `told` says whether each descriptor that is missing has to be
    told of.
    """
    for number in itertools.count(first, step):
        with monkeypatch.context() as patches:
            shortage = Shortage(patches, resource)
            world = World(server, shortage, folder)
            try:
                steps = operation(world)
                next(steps)
                shortage.arm(number, times)
                next(steps)
                shortage.disarm()
                assert next(steps, None) is None
                # Without a thread or some memory much is done in another way, so that there is nothing to tell.
                silent = not told or resource != "descriptors"
                assert silent or not shortage.met or world.failed or world.told(), "nobody was told"
            except BaseException:
                print(f"refused in {shortage.where[:600]}")
                print(f"from the {number}. time on, {times} times; told: {world.events.all}; raised: {world.failed}")
                raise
            finally:
                shortage.disarm()
                world.close()
        if not shortage.met:
            return number - step
    raise AssertionError("unreachable")
