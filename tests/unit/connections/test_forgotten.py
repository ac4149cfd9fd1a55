"""A stream that nothing refers to any more: its parts are closed, and the warning names the line that made it."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import Any

import pytest

from kucoin_sync.connections.forgotten import end_when_forgotten

from ...support.threads import until


class Part:
    """Callbacks, subscription manager or watcher."""

    is_connected = True

    def __init__(self) -> None:
        self.closed = False
        self.watchers: dict[bool, Any] = {}

    def close(self) -> None:
        self.closed = True


class Forgotten:
    """A stream of these parts."""

    def __init__(self, *parts: Any) -> None:
        end_when_forgotten(self, "Stream of a test", *parts)


def test_its_parts_are_closed_and_the_warning_names_the_line_that_made_it() -> None:
    manager, callbacks, books = Part(), Part(), Part()
    manager.watchers = {False: books, True: object()}
    kept = [Forgotten(manager, callbacks)]
    gc.collect()
    assert not manager.closed
    with pytest.warns(ResourceWarning, match="nothing refers to the Stream of a test any more") as warned:
        kept.clear()
    until(lambda: manager.closed and callbacks.closed and books.closed, "a part was not closed")
    [warning] = warned
    assert warning.filename == __file__
    assert f"It was made at {__file__}, line {warning.lineno}" in str(warning.message)
    with open(__file__, encoding="utf-8") as source:
        assert "end_when_forgotten(self" in source.read().splitlines()[warning.lineno - 1]


def test_a_stream_without_connections_ends_without_a_word() -> None:
    manager: Any = Part()
    manager.is_connected = False
    kept = [Forgotten(manager, Part())]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.clear()
    assert not manager.closed


def test_frames_of_the_package_are_not_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = {"__name__": "kucoin_sync.stream", "make": Forgotten}
    exec(compile("def inside(*parts): return make(*parts)", "inside.py", "exec"), namespace)
    user = {"__name__": "__main__", "inside": namespace["inside"]}
    exec(compile("\n\ndef make(*parts): return inside(*parts)", "<ipython-input-3>", "exec"), user)
    monkeypatch.setitem(Forgotten.__init__.__globals__, "__name__", "kucoin_sync.client")
    kept = [user["make"](Part(), Part())]  # type: ignore[operator]
    with pytest.warns(ResourceWarning, match="made at <ipython-input-3>, line 3$"):
        kept.clear()


def test_a_program_without_a_line_of_its_own_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_frame(depth: int) -> None:
        assert depth

    monkeypatch.setattr(sys, "_getframe", no_frame)
    kept = [Forgotten(Part(), Part())]
    monkeypatch.undo()
    with pytest.warns(ResourceWarning, match="made at <unknown>, line 1$"):
        kept.clear()
