"""Symbols from which nothing comes, as a user sees them named."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from kucoin_sync.cli import main
from kucoin_sync.cli.output import Aside
from tests.support.terminal import Terminal

from ..support.selection import spread


@pytest.mark.parametrize(
    "arguments",
    spread(
        [["watch", "BTC-USTD"], ["trades", "BTCUSDT"], ["candles", "BTC-USTD"], ["watch", "BTCUSDT", "--feed", "uta"]]
    ),
    ids=" ".join,
)
def test_elsewhere_than_in_a_terminal_a_silent_symbol_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Aside.write

    def write_and_end(aside: Aside, text: str) -> int:
        written = write(aside, text)
        if "nothing has come from" in text:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        return written

    monkeypatch.setattr(Aside, "write", write_and_end)
    monkeypatch.setattr("kucoin_sync.cli.silence._AFTER", 0.1)
    assert main([*arguments, "--demo", "--seconds", "60"]) == 0
    out, err = capsys.readouterr()
    assert out == "", "the local KuCoin is silent about a symbol that does not exist, too"
    said = [text for text in err.splitlines() if "nothing has come from" in text]
    assert len(said) == 1
    assert said[0].endswith("did you mean BTC-USDT?")


def test_a_book_without_a_snapshot_names_its_symbol(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kucoin_sync.cli.silence._AFTER", 0.1)
    assert main(["book", "BTC-USTD", "--feed", "uta", "--demo", "--seconds", "5"]) == 1
    assert "from BTC-USTD for 0.1 s. KuCoin confirms" in capsys.readouterr().err


@pytest.mark.parametrize(("columns", "rows"), spread([(80, 24), (120, 40), (40, 24)], 3, 2))
def test_a_view_names_a_silent_symbol_below_its_lines(columns: int, rows: int) -> None:
    with Terminal("watch", "BTC-USDT", "BTC-USTD", "--demo", columns=columns, rows=rows) as terminal:
        text = terminal.wait_for(lambda text: "nothing has come from BTC-USTD for 3 s." in " ".join(text.split()))
        assert " ".join(text.split()).count("did you mean BTC-USDT?") == 1
        assert re.search(r"^[\d,]+ messages in", text.splitlines()[-1]), "the line at the bottom stays"
        assert not terminal.screen.wrapped
