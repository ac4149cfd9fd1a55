"""Which errors report a shortage of the system, and what they become."""

from __future__ import annotations

import errno
import threading

import pytest

from kucoin_sync import BookNotReady, ConnectionFailed
from kucoin_sync.internal.guard import Thread
from kucoin_sync.internal.resources import acquiring, as_defect, error_or_defect, shortage_error, start_thread

from ...support.threads import LIMIT


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EMFILE, "Too many"), "no file descriptor was free for a test (Too many); close files"),
        (OSError(errno.ENFILE, "Too many"), "no file descriptor was free for a test (Too many); close files"),
        (OSError(errno.ENOMEM, "No memory"), "no memory was free for a test (No memory); free some, and try again"),
        (MemoryError(), "no memory was free for a test; free some, and try again"),
        (RuntimeError("can't start new thread"), "no thread could be started for a test (can't start new thread); end"),
        (
            RuntimeError("can't create new thread at interpreter shutdown"),
            "no thread can be started any more for a test",
        ),
    ],
)
def test_a_shortage_is_named_with_its_purpose_and_a_remedy(error: Exception, text: str) -> None:
    found = shortage_error(error, "a test")
    assert found is not None
    assert str(found).startswith(text)
    assert found.retriable
    with pytest.raises(ConnectionFailed) as failure, acquiring("a test"):
        raise error
    assert (str(failure.value), failure.value.__cause__) == (str(found), error)


@pytest.mark.parametrize("error", [OSError(errno.ECONNREFUSED, "refused"), RuntimeError("why"), ValueError("thread")])
def test_any_other_error_is_none(error: Exception) -> None:
    assert shortage_error(error, "a test") is None
    with pytest.raises(type(error)) as failure, acquiring("a test"):
        raise error
    assert failure.value is error


def test_a_cause_may_be_a_shortage() -> None:
    error = ValueError("outer")
    error.__cause__ = MemoryError()
    assert "no memory was free" in str(shortage_error(error, "a test"))


def test_what_is_neither_is_logged_as_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    ours, shortage, defect = BookNotReady("why"), MemoryError(), ValueError("why")
    assert error_or_defect(ours, "a test", "the line") is ours
    assert str(error_or_defect(shortage, "a test", "the line")) == str(shortage_error(shortage, "a test"))
    assert caplog.text == ""
    assert str(error_or_defect(defect, "a test", "the line %d", 7)) == str(as_defect(defect))
    assert "the line 7" in caplog.text
    assert str(as_defect(defect)) == "a defect in this package: ValueError: why"


def test_a_thread_that_can_not_be_started_is_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    start_thread(lambda name: names.append(name + threading.current_thread().name), "in ", name="kucoin-test").join(
        LIMIT
    )
    assert names == ["in kucoin-test"]

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(ConnectionFailed, match="no thread could be started for the thread kucoin-test"):
        start_thread(print, name="kucoin-test")
