"""`--count N` shows N, whatever the command and wherever it prints."""

from __future__ import annotations

import re

import pytest

from kucoin_sync.cli import main
from tests.support.terminal import Terminal

from ..support.selection import first, spread

COMMANDS = {
    "trades": (["trades", "BTC-USDT"], r"^\d\d:\d\d:\d\d\.\d{3} +[▲▼] "),
    "messages": (["watch", "--topic", "/market/level2:BTC-USDT"], r"^\d\d:\d\d:\d\d\.\d{3}  trade\.l2update"),
}


@pytest.mark.parametrize("count", first(40, 7, 1))
@pytest.mark.parametrize("command", COMMANDS)
def test_the_last_picture_of_a_list_has_as_many_lines(
    command: str, count: int, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, line = COMMANDS[command]
    assert main([*arguments, *here, "--plain", "--count", str(count)]) == 0
    out = capsys.readouterr().out
    last = out[out.rindex("BTC-USDT  ") :]  # the title of the last picture
    assert len(re.findall(line, last, re.MULTILINE)) == count


@pytest.mark.parametrize("count", [1, 2])
def test_as_many_states_of_a_book_are_shown(count: int, here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", *here, "--plain", "--count", str(count), "--every", "0.1"]) == 0
    assert capsys.readouterr().out.count("Order book of BTC-USDT") == count


@pytest.mark.parametrize(("columns", "rows"), spread([(80, 24), (120, 40), (40, 24)], 3, 1))
def test_what_stays_of_a_view_has_as_many_lines(columns: int, rows: int, here: list[str]) -> None:
    with Terminal("trades", "BTC-USDT", *here, "--count", "50", columns=columns, rows=rows) as terminal:
        assert terminal.finish() == 0, terminal.errors()
        left = terminal.written.partition(b"\x1b[?1049l")[2].decode()
    assert len(re.findall(r"\d\d:\d\d:\d\d\.\d{3}", left)) == 50
    assert not terminal.screen.scrolled
