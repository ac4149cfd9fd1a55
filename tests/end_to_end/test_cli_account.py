"""`kucoin-sync account` as a user meets it."""

from __future__ import annotations

import json
import signal

import pytest

from kucoin_sync.cli import main
from tests.support.terminal import Terminal


def test_elsewhere_than_in_a_terminal_it_prints_the_account_and_its_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["account", "--demo", "--count", "4"]) == 0
    account, *changes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert account["kind"] == "account" and account["reconciliations"] == 1
    assert {each["currency"] for each in account["balances"]} >= {"USDT", "BTC", "KCS"}
    assert len(changes) == 4
    for change in changes:
        assert change["kind"] in ("reconciled", "order", "fill", "balance", "position")
        assert change["kind"] == "reconciled" or isinstance(change[change["kind"]], dict)


def test_a_terminal_shows_four_tables() -> None:
    with Terminal("account", "--demo", columns=100, rows=40) as terminal:
        for title in ("Balances: ", "Open orders: ", "Positions: ", "Fills: "):
            terminal.wait_for(lambda text, title=title: title in text)  # type: ignore[misc]
        terminal.wait_for(lambda text: "USDT" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()


def test_without_a_key_it_says_what_is_needed(
    here: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["account", *here]) == 1
    assert "needs an API key" in capsys.readouterr().err
