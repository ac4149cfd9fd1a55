"""Keys and colours of the live views."""

from __future__ import annotations

import re
import subprocess
import sys
import termios

import pytest

from tests.support.terminal import Terminal

from ..support.selection import first, spread

SIZES = [(80, 24), (120, 40), (40, 12)]


@pytest.mark.parametrize(("columns", "rows"), spread(SIZES, 3, 2))
def test_q_and_ctrl_c_end_a_view_and_leave_the_terminal_as_it_was(columns: int, rows: int, here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", *here, columns=columns, rows=rows) as terminal:
        text = terminal.wait_for(lambda text: "\nbid  6" in text and "q ends, p pauses." in text)
        assert text.count("\nask ") == text.count("\nbid "), "bid and ask are there at each size"
        assert termios.tcgetattr(terminal.master) != terminal.modes, "a key needs no Enter"
        terminal.press("q" if columns < 80 else "\x03")
        assert terminal.finish() == 0, terminal.errors()
        assert termios.tcgetattr(terminal.master) == terminal.modes
        assert not terminal.screen.alternate
        assert not terminal.screen.wrapped
        assert terminal.text.startswith("Order book of BTC-USDT")


def test_ctrl_c_in_the_middle_of_a_picture_leaves_nothing_of_it(here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", *here, columns=120, rows=40) as terminal:
        terminal.wait_for(lambda text: "\nbid  6" in text)
        terminal.wait_until_full()
        terminal.press("\x03")
        assert terminal.finish() == 0, terminal.errors()
        assert terminal.text.startswith("Order book of BTC-USDT")
        assert not terminal.screen.cursor.hidden
        assert terminal.screen.cursor.attrs == terminal.screen.default_char


def test_p_holds_the_picture_and_lets_it_go_on(here: list[str]) -> None:
    with Terminal("trades", "BTC-USDT", *here) as terminal:
        terminal.wait_for(lambda text: "▲ buy" in text)
        terminal.press("p")
        held = terminal.wait_for(lambda text: text.splitlines()[-1].startswith("Paused: messages are still read."))
        terminal.resize(100, 24)
        resized = terminal.wait_for(lambda text: len(text.splitlines()) == 24 and "Paused" in text)
        assert held.splitlines()[4:10] == resized.splitlines()[4:10]
        terminal.press("p")
        terminal.wait_for(lambda text: "p pauses" in text and text.splitlines()[4:10] != held.splitlines()[4:10])
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()


@pytest.mark.parametrize(("columns", "rows"), spread(SIZES, 3))
def test_s_sorts_the_table(columns: int, rows: int, here: list[str]) -> None:
    with Terminal("watch", "BTC-USDT", "XBTUSDTM", *here, columns=columns, rows=rows) as terminal:
        text = terminal.wait_for(lambda text: re.search(r"BTC-USDT +.*6\d{4}\.\d  6\d{4}\.\d", text) is not None)
        assert re.search(r" bid +ask", text)
        terminal.press("s")
        terminal.wait_for(lambda text: text.startswith("Tickers, by change in 24 h"))
        terminal.press("\x1b[A?\x1bOPsss")  # an arrow, a key that does nothing, F1
        terminal.wait_for(lambda text: text.startswith(("Tickers  ", "Tickers\n")))
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()


@pytest.mark.long
def test_a_key_ends_the_whole_tour() -> None:
    with Terminal("demo", "--seconds", "600") as terminal:
        terminal.wait_for(lambda text: text.startswith("1 of 5"))
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()
        assert "That was the tour" in terminal.text


@pytest.mark.parametrize("how", first("key", "option", "variable"))
def test_blue_and_orange_stand_in_for_green_and_red(how: str, here: list[str]) -> None:
    options = ["--colour-blind"] if how == "option" else []
    environment = {"KUCOIN_SYNC_COLOUR_BLIND": "1"} if how == "variable" else {}
    with Terminal("trades", "BTC-USDT", *options, *here, environment=environment) as terminal:
        terminal.wait_for(lambda text: "▲ buy" in text and "▼ sell" in text)
        if how == "key":
            assert b"\x1b[32m" in terminal.written
            seen = len(terminal.written)
            terminal.press("c")
            terminal.wait_for(lambda _: b"\x1b[38;5;214m" in terminal.written[seen:])
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()
        last = terminal.written.partition(b"\x1b[?1049l")[2]
    assert re.search(rb"\x1b\[38;5;33m[^\x1b]*\xe2\x96\xb2 buy", last)
    assert re.search(rb"\x1b\[38;5;214m[^\x1b]*\xe2\x96\xbc sell", last)
    assert not re.search(rb"\x1b\[3[12]m", last)


def test_where_standard_input_is_no_terminal_of_the_command_there_are_no_keys() -> None:
    code = "from kucoin_sync.cli.keys import *\nwith PressedKeys(wanted=True) as k: print(k.on, repr(k.wait(0)))"
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        done = subprocess.run([sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True, check=True)
        assert done.stdout == "False ''\n"
