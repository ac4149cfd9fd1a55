"""Calls on threads of their own, each with an end that the test waits for; and other things to wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["LIMIT", "Task", "package_threads", "reached", "until"]

T = TypeVar("T")

#: Seconds after which a test fails rather than wait on; far more than anything here takes.
LIMIT = 30.0


class Task(Generic[T]):
    """A call on a thread of its own, begun at once; `done` is set when it has ended."""

    def __init__(self, call: Callable[..., T], *args: Any, **options: Any) -> None:
        self._call = call
        self._args = args
        self._options = options
        self._value: T
        self._error: BaseException | None = None
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"test-{call!r}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call(*self._args, **self._options)
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> T:
        """Wait for the call to end; return what it returned or raise what it raised."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), f"{self._call!r} has not ended within {LIMIT:g} s"
        if self._error is not None:
            raise self._error
        return self._value


def reached(event: threading.Event, what: str) -> None:
    """Wait until `event` is set; fail with the sentence `what` where it is not."""
    assert event.wait(LIMIT), f"{what} (waited {LIMIT:g} s)"


def until(ask: Callable[[], T], what: str) -> T:
    """Ask until the answer is true, as nothing tells, and return it; fail with the sentence `what` if it never is."""
    deadline, pause = time.monotonic() + LIMIT, threading.Event()
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{what} (waited {LIMIT:g} s)"
        pause.wait(0.005)
    return answer


def package_threads() -> list[str]:
    """Return the names of the package's threads, without those of a local KuCoin or a fault proxy."""
    names = [thread.name for thread in threading.enumerate()]
    return [
        name for name in names if name.startswith("kucoin-") and not name.startswith(("kucoin-server", "kucoin-fault"))
    ]
