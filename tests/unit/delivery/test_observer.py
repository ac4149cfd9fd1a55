"""What an observer raises: it is logged, and the other observers are told all the same."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.delivery.observer import tell_observers

from ...support.threads import Task


def told(error: BaseException) -> list[str]:
    """Return the observers that are told after one that raises `error`."""
    found: list[str] = []
    observers: list[Any] = ["the first", "the second", "the third"]

    def tell(observer: Any) -> None:
        if observer == "the second":
            raise error
        found.append(observer)

    tell_observers(observers, tell)
    return found


def test_an_error_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    assert told(ValueError("why")) == ["the first", "the third"]
    assert "'the second' has raised an error while it was told what a stream got" in caplog.text
    assert "ValueError: why" in caplog.text


def test_an_interrupt_passes_on_the_main_thread_only() -> None:
    with pytest.raises(KeyboardInterrupt):
        told(KeyboardInterrupt())
    assert Task(told, SystemExit(1)).result() == ["the first", "the third"]
