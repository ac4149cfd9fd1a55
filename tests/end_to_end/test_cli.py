"""The command line as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from kucoin_sync import __version__
from kucoin_sync.cli import main


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kucoin_sync", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_watch_prints_tickers_of_spot_and_futures(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "BTC-USDT", "XBTUSDTM", *here, "--count", "20"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 20
    assert all("bid" in line and "ask" in line for line in lines)
    assert any("BTC-USDT" in line for line in lines)
    assert any("XBTUSDTM" in line for line in lines)
    assert err.startswith("kucoin-sync: 20 messages in ")
    assert err.endswith(" 0 reconnects, 0 lost\n")


def test_watch_prints_any_topic(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--topic", "/market/level2:BTC-USDT", *here, "--count", "3"]) == 0
    assert "/market/level2:BTC-USDT  trade.l2update  {" in capsys.readouterr().out.splitlines()[0]


def test_watch_shows_the_symbol_of_the_ticker_of_all(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--topic", "/market/ticker:all", *here, "--count", "1"]) == 0
    assert "  BTC-USDT " in capsys.readouterr().out


def test_watch_json_prints_what_kucoin_sent(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "BTC-USDT", "--json", *here, "--count", "2"]) == 0
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [message["topic"] for message in messages] == ["/market/ticker:BTC-USDT"] * 2


def test_watch_ends_after_some_seconds(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--topic", "/market/ticker:NONE-USDT", *here, "--seconds", "0.2"]) == 0
    assert "0 messages in 0." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_when_interrupted(here: list[str], number: int) -> None:
    # Where the tests run in the background of a shell script, SIGINT is ignored and children inherit that.
    hear = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with start("watch", "BTC-USDT", *here, preexec_fn=hear) as process:
        assert process.stdout is not None
        assert "BTC-USDT" in process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=45)
    assert process.returncode == 0
    assert "messages in" in err
    assert "Traceback" not in err


def test_watch_ends_quietly_when_its_reader_has_enough(here: list[str]) -> None:
    with start("watch", "BTC-USDT", *here) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=45)
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_without_a_network_the_demo_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kucoin_sync.cli.watch.TIMEOUT", 0.3)
    assert main(["watch", "BTC-USDT", "--rest-url", "http://127.0.0.1:9"]) == 1
    err = capsys.readouterr().err
    assert "127.0.0.1:9" in err
    assert err.rstrip().endswith("Without a network, --demo does the same on a local KuCoin.")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["watch", "btc-usdt"], "did you mean BTC-USDT?"),
        (["watch"], "name a symbol"),
        (["watch", "--topic", "market"], "is not a topic"),
    ],
)
def test_a_typing_mistake_is_one_sentence(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["wach"], ["watch", "BTC-USDT", "--count", "0"], ["watch", "BTC-USDT", "--seconds", "-1"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: kucoin-sync" in capsys.readouterr().err


def test_the_demo_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "BTC-USDT", "--demo", "--count", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"kucoin-sync {__version__}\n"
