"""What counts as interrupted: calls through this package and the world, as packages of these names make them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync.internal.guard import Thread
from kucoin_sync.internal.signals import defer, holds_nothing, interrupting, now_or_later, settle

from ...support.threads import Task, reached


def through(*packages: str) -> Callable[[], bool]:
    """Return a function that asks through a chain of calls in these packages, the outermost first.

    Behind a bar stands the name of the module, where it matters; an asterisk in front marks what holds nothing.
    """
    call: Callable[[], bool] = interrupting
    for package in reversed(packages):
        name, _, module = package.removeprefix("*").partition("|")
        names = {"__package__": name, "__name__": module, "call": call}
        exec("def ask(): return call()", names)
        call = names["ask"]  # type: ignore[assignment]
        if package.startswith("*"):
            holds_nothing(call)
    return call


@pytest.mark.parametrize(
    ("packages", "answer"),
    [
        (("user", "kucoin_sync"), False),
        (("user", "kucoin_sync", "kucoin_sync"), False),
        (("user", "kucoin_sync", "kucoin_sync.recording", "kucoin_sync"), False),
        (("kucoin_sync", "user", "kucoin_sync"), True),
        (("kucoin_sync.recording", "user", "kucoin_sync"), True),
        (("kucoin_sync", "user", "kucoin_sync", "kucoin_sync.recording", "kucoin_sync"), True),
        (("kucoin_sync", "user", "contextlib", "kucoin_sync", "kucoin_sync"), True),
        (("kucoin_sync", "|contextlib", "kucoin_sync", "kucoin_sync"), False),
        (("kucoin_sync", "|threading", "kucoin_sync", "kucoin_sync"), False),
        (("kucoin_sync", "|threading", "user", "kucoin_sync"), True),
        (("kucoin_sync.cli", "contextlib", "kucoin_sync"), False),
        (("kucoin_sync|__main__", "kucoin_sync.cli", "contextlib", "kucoin_sync"), False),
        (("kucoin_sync.contrib", "user", "kucoin_sync"), False),
        (("kucoin_sync.testing", "user", "kucoin_sync"), False),
        (("kucoin_sync.testing.plugin", "user", "kucoin_sync"), False),
        (("kucoin_sync.testing.server", "user", "kucoin_sync"), True),
        (("kucoin_sync_too", "user", "kucoin_sync"), False),
        (("kucoin_sync", "*kucoin_sync", "user", "kucoin_sync"), False),
        (("*kucoin_sync", "kucoin_sync", "user", "kucoin_sync"), True),
        (("kucoin_sync", "user", "*kucoin_sync", "user", "kucoin_sync"), True),
    ],
)
@pytest.mark.parametrize("on", ["the main thread", "another thread"])
def test_the_package_below_somebody_else_is_what_was_interrupted(
    packages: tuple[str, ...], answer: bool, on: str
) -> None:
    ask = through(*packages)
    assert (ask() if on == "the main thread" else Task(ask).result()) is answer


@pytest.mark.parametrize(("kind", "answer"), [(Thread, True), (threading.Thread, False)])
def test_who_is_called_on_a_thread_of_ours_that_only_starts_has_interrupted_its_start(
    kind: type[threading.Thread], answer: bool
) -> None:
    """Whoever starts it may hold a lock, and waits until it runs."""
    answers: list[bool] = []
    thread: Any = kind(target=int)
    usual = thread._set_ident

    def set_ident() -> None:  # where the garbage collector may run
        usual()
        answers.append(interrupting())

    thread._set_ident = set_ident
    thread.start()
    thread.join()
    assert answers == [answer]


def test_deferred_calls_are_made_in_order_and_a_call_that_may_wait_comes_after_them() -> None:
    made: list[object] = []

    def fail() -> None:
        raise ValueError("a call that fails ends nothing")

    for number in range(100):
        defer(lambda number=number: made.append(number))  # type: ignore[misc]
        defer(fail)
    assert now_or_later(lambda: made.append("last"))
    assert made == [*range(100), "last"]


def test_a_deferred_call_may_defer_another_and_does_not_wait_for_itself() -> None:
    done = threading.Event()

    def call() -> None:
        settle()
        defer(done.set)

    defer(call)
    reached(done, "the second call was not made")


def test_without_threads_a_deferred_call_is_made_by_the_next_one_that_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    made: list[int] = []
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    defer(lambda: made.append(1))
    assert not made
    settle()
    assert made == [1]
