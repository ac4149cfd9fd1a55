"""The locks of a book: who waits for whom, and who must not wait."""

from __future__ import annotations

import threading

import pytest

from kucoin_sync import BookNotReady
from kucoin_sync.books import locks as module
from kucoin_sync.books.locks import BookLocks

from ...support.threads import LIMIT, Task


class Locks(BookLocks):
    """The locks of something that can always be read."""

    def _settled(self) -> bool:
        return True


def test_a_reader_may_read_within_its_read() -> None:
    locks = Locks("the book")
    assert locks.under_lock(lambda: locks.under_lock(lambda: 7)) == 7


def test_a_read_that_raises_leaves_no_lock_held() -> None:
    locks = Locks("the book")
    with pytest.raises(ZeroDivisionError):
        locks.under_lock(lambda: 1 // 0)
    assert Task(locks.under_lock, lambda: 7).result() == 7


def test_a_second_reader_waits_for_the_first() -> None:
    locks = Locks("the book")
    reading, may_end = threading.Event(), threading.Event()

    def read() -> int:
        reading.set()
        assert may_end.wait(LIMIT)
        return 1

    first = Task(locks.under_lock, read)
    assert reading.wait(LIMIT)
    assert not locks.reader_lock.acquire(blocking=False)
    second = Task(locks.under_lock, lambda: 2)
    may_end.set()
    assert (first.result(), second.result()) == (1, 2)


@pytest.mark.parametrize("used_by", ["an update", "another reader"])
def test_a_call_that_has_interrupted_this_package_waits_for_nobody(
    used_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = Locks("the book")
    if used_by == "an update":
        locks.updating = True
    else:
        locks._reading_thread = -1
    assert locks.under_lock(lambda: 7) == 7, "any other call may wait"
    monkeypatch.setattr(module, "is_reentrant", lambda: True)
    with pytest.raises(BookNotReady, match="the book is in use and can't be waited for inside this call"):
        locks.under_lock(lambda: 7)


@pytest.mark.parametrize("thread", ["the same", "another"])
def test_a_call_that_has_interrupted_this_package_is_refused_until_an_update_returns(
    thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = Locks("the book")
    monkeypatch.setattr(module, "is_reentrant", lambda: True)

    def read() -> int:
        return locks.under_lock(lambda: 7)

    def update(ending: Exception | None = None) -> None:
        with pytest.raises(BookNotReady):
            read() if thread == "the same" else Task(read).result()
        if ending is not None:
            raise ending

    locks.update(update)
    assert read() == 7
    with pytest.raises(ZeroDivisionError):
        locks.update(lambda: update(ZeroDivisionError()))
    assert read() == Task(read).result() == 7


def test_a_read_within_a_read_on_the_same_thread_needs_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    locks = Locks("the book")
    monkeypatch.setattr(module, "is_reentrant", lambda: True)
    assert locks.under_lock(lambda: locks.under_lock(lambda: 7)) == 7


def test_new_locks_are_free() -> None:
    locks = Locks("the book")
    held = Task(lambda: (locks.lock.acquire(), locks.reader_lock.acquire()))
    held.result()  # by a thread that does not exist any more, as in a forked child
    locks.updating, locks._reading_thread = True, -1
    locks.make_locks()
    assert locks.under_lock(lambda: 7) == 7
    assert not locks.updating


def test_a_wait_ends_when_the_thing_can_be_read() -> None:
    locks = Locks("the book")
    assert locks.wait_until_settled(0)
    settled = False
    locks._settled = lambda: settled  # type: ignore[method-assign]
    assert not locks.wait_until_settled(0.01)
    waiting = Task(lambda: locks.wait_until_settled(LIMIT))
    while not locks._waiting:
        pass
    locks._wake_waiting()
    assert locks._waiting, "it can't be read yet"
    settled = True
    locks._wake_waiting()
    assert waiting.result()
