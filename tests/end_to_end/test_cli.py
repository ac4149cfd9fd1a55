"""The command line as a user meets it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import __version__
from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer

from ..support.processes import HEAR, EndingOnce
from ..support.threads import Task


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kucoin_sync", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_elsewhere_than_in_a_terminal_watch_prints_what_kucoin_sent(
    here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "BTC-USDT", "XBTUSDTM", *here, "--count", "20"]) == 0
    out, err = capsys.readouterr()
    messages = [json.loads(line) for line in out.splitlines()]
    assert len(messages) == 20
    assert {message["topic"] for message in messages} == {
        "/market/ticker:BTC-USDT", "/contractMarket/tickerV2:XBTUSDTM",
    }  # fmt: skip
    assert re.fullmatch(r"kucoin-sync: [\d,]+ messages in [\d.]+ s, 0 reconnects, 0 lost\n", err)


def test_watch_prints_any_topic(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--topic", "/market/level2:BTC-USDT", *here, "--count", "3"]) == 0
    assert '"/market/level2:BTC-USDT"' in capsys.readouterr().out.splitlines()[0]


def test_text_is_for_the_asking(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "BTC-USDT", *here, "--plain", "--count", "3"]) == 0
    title, empty, heads, row = capsys.readouterr().out.splitlines()[-4:]  # of the last picture
    assert title.startswith("Tickers ")
    assert empty == ""
    assert heads.split()[:6] == ["symbol", "price", "24", "h", "bid", "ask"]
    assert row.startswith("BTC-USDT ")


def test_messages_of_any_topic_as_text(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--topic", "/market/ticker:all", *here, "--plain", "--count", "1"]) == 0
    title, *_, row = capsys.readouterr().out.splitlines()
    assert title.startswith("Messages of /market/ticker:all  ")
    assert "  BTC-USDT  {" in row


@pytest.mark.parametrize("command", [["trades", "BTC-USDT"], ["candles", "BTC-USDT", "--type", "1s"]])
def test_trades_and_candles_of_seconds_print_the_trades(
    command: list[str], here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *here, "--count", "3"]) == 0
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [message["topic"] for message in messages] == ["/market/match:BTC-USDT"] * 3


@pytest.mark.parametrize(
    ("symbol", "topic"),
    [("BTC-USDT", "/market/candles:BTC-USDT_1min"), ("XBTUSDTM", "/contractMarket/limitCandle:XBTUSDTM_1min")],
)
def test_candles_of_kucoin(symbol: str, topic: str, here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["candles", symbol, "--type", "1min", *here, "--count", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["topic"] == topic
    assert main(["candles", symbol, "--type", "1min", *here, "--plain", "--count", "1"]) == 0
    assert "open " in capsys.readouterr().out


def test_trades_of_several_symbols_name_them(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trades", "BTC-USDT", "XBTUSDTM", *here, "--plain", "--count", "20"]) == 0
    out = capsys.readouterr().out
    assert "symbol" in out
    assert "buyers" not in out, "sizes of several symbols have no sum"


def test_watch_ends_after_some_seconds(
    here: list[str], market: KucoinServer, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = "/market/ticker:NONE-USDT"
    ending = ending_once(lambda: any(topic in each.topics for each in market.connections))
    assert main(["watch", "--topic", topic, *here, *ending]) == 0
    assert re.search(r"0 messages in [\d.]+ s", capsys.readouterr().err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_when_interrupted(here: list[str], number: int) -> None:
    with start("watch", "BTC-USDT", *here, preexec_fn=HEAR) as process:
        assert process.stdout is not None
        assert "BTC-USDT" in process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=45)
    assert process.returncode == 0
    assert re.search(r"messages? in [\d.]+ s, 0 reconnects, 0 lost", err)
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
    assert err == ""


def test_without_a_network_the_demo_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kucoin_sync.cli.feed.TIMEOUT", 0.3)
    assert main(["watch", "BTC-USDT", "--rest-url", "http://127.0.0.1:9"]) == 1
    err = capsys.readouterr().err
    assert "127.0.0.1:9" in err
    assert err.rstrip().endswith("finds out why. Without a network, --demo does the same on a local KuCoin.")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["watch", "btc-usdt"], "did you mean BTC-USDT?"),
        (["watch", "BTC:USDT"], "'BTC:USDT' is not a symbol: one reads BTC-USDT, or XBTUSDTM for futures"),
        (["book", "BTC-USDT,ETH-USDT"], "shows one symbol, not 'BTC-USDT,ETH-USDT'; run it once for each"),
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


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["wach"], "; did you mean watch?"),
        (["watch", "BTC-USDT", "--cuont", "3"], "kucoin-sync watch: error: unrecognized arguments: --cuont"),
        (["watch", "BTC-USDT", "--cuont=3"], "--cuont=3; did you mean --count?"),
        (["watch", "BTC-USDT", "--deom"], "unrecognized arguments: --deom; did you mean --demo?"),
        (["candles", "BTC-USDT", "--type", "1hours"], "; did you mean 1hour?"),
        (["completions", "bsh"], "; did you mean bash?"),
    ],
)
def test_a_misspelled_word_of_the_command_line_has_a_suggestion(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "required: COMMAND; kucoin-sync --help lists the commands"),
        (["record"], "required: -o/--output; kucoin-sync record --help has examples"),
    ],
)
def test_a_command_line_that_lacks_something_names_the_help(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("word", ["market/ticker:BTC-USDT", "ticker:BTC-USDT"])
@pytest.mark.parametrize("command", [["watch", "--topic"], ["record", "-o", "none.jsonl"]], ids=["watch", "record"])
def test_what_is_no_topic_may_be_like_one(command: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, word]) == 2
    assert capsys.readouterr().err.splitlines()[1] == "kucoin-sync: did you mean /market/ticker:BTC-USDT?"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["candels"], "no topic has the word 'candels'; did you mean candles?"),
        (["futurs", "private"], "no topic has the word 'futurs'; did you mean futures?"),
        (["candles", "funding"], "no topic has all of the words 'candles' 'funding'"),
        (["xyzzy"], "no topic has the word 'xyzzy'"),
    ],
)
def test_words_that_no_topic_has_are_told(words: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", *words]) == 1
    assert capsys.readouterr() == ("", f"kucoin-sync: {answer}\n")


@pytest.mark.parametrize("symbols", [["BTC-USDT,ETH-USDT"], ["BTC/USDT,", "ETH/USDT"]], ids=" ".join)
def test_symbols_may_have_commas_between_them_and_a_slash_in_them(
    symbols: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *symbols, "--demo", "--count", "4"]) == 0
    topics = {json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()}
    assert topics == {"/market/ticker:BTC-USDT", "/market/ticker:ETH-USDT"}


def test_the_help_of_a_command_shows_its_own_options_only(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, shown, hidden in (
        (["watch", "--help"], "--topic", "--rest-url"),
        (["--help"], "--rest-url", "--topic"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        out = capsys.readouterr().out
        assert shown in out
        assert hidden not in out
        assert "--demo" in out
    assert main(["--demo", "watch", "BTC-USDT", "--count", "1", "--json"]) == 0, "they may come first, too"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_help_keeps_to_the_width_of_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["--help"], ["watch", "--help"], ["record", "--help"], ["serve", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        above, _, examples = capsys.readouterr().out.partition("\nexamples:\n")
        _, _, below_usage = above.partition("\n\n")  # an option of the usage may be longer
        assert max(map(len, below_usage.splitlines())) <= columns
        assert max(map(len, examples.partition("\n\n")[2].splitlines()), default=0) <= columns


def test_the_demo_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "BTC-USDT", "--demo", "--count", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_command_runs_on_any_thread(capsys: pytest.CaptureFixture[str]) -> None:
    assert Task(main, ["topics", "funding", "--plain"]).result() == 0
    assert "/contract/instrument" in capsys.readouterr().out


def test_the_topics_as_a_table_of_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "level2", "--markdown"]) == 0
    heads, rule, *rows = capsys.readouterr().out.splitlines()
    assert heads.startswith("| ")
    assert set(rule) <= set("|- :")
    assert any("/market/level2:" in row for row in rows)
    assert {row.count("|") for row in (rule, *rows)} == {heads.count("|")}


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"kucoin-sync {__version__}\n"


def test_more_is_said_for_the_asking(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with start("watch", "NOT-A-TOPIC", "-v", "--topic", "nonsense", *here) as process:
        _, err = process.communicate(timeout=45)
    assert process.returncode == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("kucoin-sync: ")


def test_events_are_logged_once_for_the_asking(market: KucoinServer, here: list[str]) -> None:
    with start("watch", "BTC-USDT", "-v", *here) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        market.drop_connections()
        said = []
        for line in process.stderr:
            said.append(line)
            if "resubscribed: spot" in line:
                break
        process.terminate()
        process.communicate(timeout=45)
    assert sum("disconnected: spot" in line for line in said) == 1
    assert "INFO kucoin_sync: connected: spot public connection 1 to 127.0.0.1" in said[0]


def test_other_commands_are_not_imported() -> None:
    code = "import sys; from kucoin_sync.cli import main; main(['topics', 'candles']); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=45, check=True)
    modules = done.stdout.splitlines()
    assert "kucoin_sync.cli.topics" in modules
    for name in ("watch", "book", "doctor", "demo", "completions"):
        assert f"kucoin_sync.cli.{name}" not in modules
    assert "rich" not in modules


@pytest.mark.parametrize("command", ["watch", "book"])
def test_the_seconds_of_a_command_bound_its_wait_for_a_connection(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "BTC-USDT", "--rest-url", "http://127.0.0.1:9", "--seconds", "0.5"]) == 1
    assert re.search(r" within 0\.\d+ s", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "reason", "hint"),
    [
        (["watch", "--topic", "/market/tikcer:BTC-USDT"], "with code 404", "did you mean /market/ticker:BTC-USDT?"),
        (["book", "BTCUSDT"], "symbol not exists", "did you mean BTC-USDT?"),
    ],
    ids=["topic", "book"],
)
def test_a_refusal_is_printed_once_with_what_was_meant(
    arguments: list[str], reason: str, hint: str, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *here]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert reason in first
    assert second == f"kucoin-sync: {hint}"


def test_recover_is_for_topics_that_can_be_recovered(
    here: list[str], ending_once: EndingOnce, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["trades", "BTC-USDT", "XBTUSDTM", "--recover", *here, "--count", "3"]) == 0
    assert main(["watch", "--topic", "/market/match:BTC-USDT", "--recover", *here, "--count", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main(["candles", "BTC-USDT", "--recover", *here, "--count", "3"]) == 0
    capsys.readouterr()
    assert main(["watch", "BTC-USDT", "--recover", *here]) == 2
    assert "can't be recovered" in capsys.readouterr().err
    path = tmp_path / "both.jsonl"
    wanted = ["BTC-USDT", "/market/match:BTC-USDT"]
    ending = ending_once(lambda: path.exists() and path.read_bytes().count(b'"message"') > 10)
    assert main(["record", *wanted, "--recover", "-o", str(path), "--every", "0.1", *ending, *here]) == 0
    assert main(["replay", str(path), "--count", "5"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["topics"], ["trades", "BTC-USDT", "--demo", "--count", "3"]], ids=" ".join)
def test_a_full_disk_is_named(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kucoin_sync", *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=45, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "kucoin-sync: the output can't be written: No space left on device" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
