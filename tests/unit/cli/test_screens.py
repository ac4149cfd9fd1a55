"""What is written to a terminal of a given size, and which form of output is chosen."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any

import pyte
import pytest

from kucoin_sync.cli import screens
from kucoin_sync.cli.layout import Picture, Span, line, text_of
from kucoin_sync.cli.output import Mode, Output
from kucoin_sync.cli.screens import AnsiScreen, RichScreen, Screen

from ...support.terminal import EmulatedScreen

PICTURE = Picture(line("head"), [line(Span(f"row {n} " + "x" * 300)) for n in range(100)], line("foot"))


class Out(io.StringIO):
    """Standard output, which may be a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]


class Size:
    """The size of the terminal, to be changed."""

    def __init__(self) -> None:
        self.now = os.terminal_size((80, 24))


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> Size:
    size = Size()
    monkeypatch.setattr(screens, "size_of", lambda stream: size.now)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return size


@pytest.mark.parametrize("make", [AnsiScreen, RichScreen])
def test_a_picture_fills_the_screen_whatever_its_size_becomes(
    make: type[Screen], size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Out(terminal=True)
    monkeypatch.setattr(sys, "stdout", out)
    with make() as screen:
        for columns, rows in ((80, 24), (120, 40), (80, 24), (20, 3), (5, 1)):
            size.now = os.terminal_size((columns, rows))
            emulated = pyte.Screen(columns, rows)
            stream = pyte.Stream(emulated)
            screen.paint(PICTURE)
            stream.feed(out.getvalue().rpartition("\x1b[?1049h")[2].replace("\n", "\r\n"))  # as a terminal does
            out.truncate(0)
            out.seek(0)
            shown = [text.rstrip() for text in emulated.display]
            assert shown[-1] == "foot"[:columns]
            if rows > 2:
                assert shown[0] == "head"
                assert shown[2:-2] == [text_of(row)[:columns] for row in PICTURE.body[: max(0, rows - 4)]]


@pytest.mark.parametrize("make", [AnsiScreen, RichScreen])
def test_a_picture_is_written_in_one_piece_so_that_ctrl_c_leaves_nothing_half_written(
    make: type[Screen], size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Out(terminal=True)
    monkeypatch.setattr(sys, "stdout", out)
    with make() as screen:
        written: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(out, "write", written.append)
            screen.paint(PICTURE)
    assert len(list(filter(None, written))) == 1


@pytest.mark.parametrize("make", [AnsiScreen, RichScreen])
def test_a_picture_that_is_cut_anywhere_leaves_the_terminal_as_it_was(
    make: type[Screen], size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    size.now = os.terminal_size((20, 6))
    out = Out(terminal=True)
    monkeypatch.setattr(sys, "stdout", out)
    with make() as screen:
        screen.paint(Picture(line(Span("head", "up")), [line(Span("▏░░", "down"))] * 2, line("foot")))
        painted = out.getvalue().encode()
    end = out.getvalue().encode().removeprefix(painted).replace(b"\n", b"\r\n")  # as a terminal does
    for length in range(painted.index(b"h") + 1, len(painted) + 1):
        with_another, without = EmulatedScreen(*size.now), pyte.Screen(*size.now)
        for emulated in (with_another, without):
            pyte.ByteStream(emulated).feed(painted[:length] + end)
        assert with_another.display[0].rstrip() == "head"
        assert not with_another.alternate
        assert not without.cursor.hidden
        assert without.cursor.attrs == without.default_char


def test_only_lines_that_change_are_written(size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Out(terminal=True)
    monkeypatch.setattr(sys, "stdout", out)
    with AnsiScreen() as screen:
        screen.paint(PICTURE)
        out.truncate(0)
        out.seek(0)
        screen.paint(PICTURE._replace(foot=line("feet")))
        assert out.getvalue() == f"\x1b[24;1H{'feet':80}"


@pytest.mark.parametrize(
    ("terminal", "term", "options", "mode"),
    [
        (True, "xterm", {}, Mode.RICH),
        (True, "xterm", {"plain": True}, Mode.PLAIN),
        (True, "xterm", {"json": True}, Mode.JSON),
        (True, "dumb", {}, Mode.PLAIN),
        (False, "xterm", {}, Mode.JSON),
        (False, "xterm", {"plain": True}, Mode.PLAIN),
        (False, "xterm", {"document": True}, Mode.PLAIN),
        (False, "xterm", {"document": True, "json": True}, Mode.JSON),
    ],
)
def test_one_place_chooses_the_form(
    terminal: bool, term: str, options: dict[str, Any], mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Out(terminal))
    monkeypatch.setenv("TERM", term)
    assert Output(**options).mode is mode


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Out(terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich", None)
    assert Output().mode is Mode.PLAIN


def test_a_screen_on_which_nothing_was_painted_leaves_nothing(size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Out(terminal=True)
    monkeypatch.setattr(sys, "stdout", out)
    with AnsiScreen():
        pass
    assert re.sub(r"\x1b\[[\d;?]*\w", "", out.getvalue()) == ""


def test_a_terminal_that_does_not_know_its_size_has_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    monkeypatch.setenv("COLUMNS", "101")
    monkeypatch.setenv("LINES", "37")
    assert screens.size_of(sys.__stdout__) == (101, 37)  # type: ignore[arg-type]


def test_a_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=True)
    output.record(b'{"a":\r\n "\xff"}')
    output.record({"b": "ü\n"})
    assert capsys.readouterr().out == '{"a":   "\ufffd"}\n{"b":"ü\\n"}\n'
