"""Which calls are reentrant, and how deferred calls are made. Stacks are built from functions of named packages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync.internal.guard import Thread
from kucoin_sync.internal.signals import defer, holds_no_lock, is_reentrant, run_or_defer, wait_for_deferred

from ...support.threads import Task, reached


def through(*packages: str) -> Callable[[], bool]:
    """Return a function that calls `is_reentrant` through functions of these packages, the outermost first.

    Each entry is a package, optionally followed by "|" and a module name. A leading "*" marks the function with
    `holds_no_lock`.
    """
    call: Callable[[], bool] = is_reentrant
    for package in reversed(packages):
        name, _, module = package.removeprefix("*").partition("|")
        names = {"__package__": name, "__name__": module, "call": call}
        exec("def ask(): return call()", names)
        call = names["ask"]  # type: ignore[assignment]
        if package.startswith("*"):
            holds_no_lock(call)
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
def test_a_call_is_reentrant_if_foreign_code_stands_between_two_frames_of_the_package(
    packages: tuple[str, ...], answer: bool, on: str
) -> None:
    ask = through(*packages)
    assert (ask() if on == "the main thread" else Task(ask).result()) is answer


@pytest.mark.parametrize(("kind", "answer"), [(Thread, True), (threading.Thread, False)])
def test_a_call_on_a_thread_of_the_package_that_is_still_starting_is_reentrant(
    kind: type[threading.Thread], answer: bool
) -> None:
    """The thread that starts it may hold a lock, and waits until it runs."""
    answers: list[bool] = []
    thread: Any = kind(target=int)
    usual = thread._set_ident

    def set_ident() -> None:  # the garbage collector may run here
        usual()
        answers.append(is_reentrant())

    thread._set_ident = set_ident
    thread.start()
    thread.join()
    assert answers == [answer]


def test_deferred_calls_are_made_in_order_before_a_call_that_may_wait() -> None:
    made: list[object] = []

    def fail() -> None:
        raise ValueError("a call that fails ends nothing")

    for number in range(100):
        defer(lambda number=number: made.append(number))  # type: ignore[misc]
        defer(fail)
    assert run_or_defer(lambda: made.append("last"))
    assert made == [*range(100), "last"]


def test_a_deferred_call_may_defer_another_and_does_not_wait_for_itself() -> None:
    done = threading.Event()

    def call() -> None:
        wait_for_deferred()
        defer(done.set)

    defer(call)
    reached(done, "the second call was not made")


def test_without_threads_the_next_call_that_may_wait_makes_the_deferred_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    made: list[int] = []
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    defer(lambda: made.append(1))
    assert not made
    wait_for_deferred()
    assert made == [1]
