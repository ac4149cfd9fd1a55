"""Completions of the shells, tried in the shells that are there."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from kucoin_sync.cli import main
from kucoin_sync.cli.completions import SHELLS, script
from kucoin_sync.cli.registry import COMMANDS

NAMES = {command.name for command in COMMANDS}
ASK_BASH = """
{script}
for words in "kucoin-sync |" "kucoin-sync d" "kucoin-sync book --le" "kucoin-sync book --level |" \\
             "kucoin-sync candles --type 1m" "kucoin-sync watch --topic /market/ma" "kucoin-sync record /market/ti" \\
             "kucoin-sync watch --topic /market/ticker : BTC-" "kucoin-sync watch --topic /market/ticker :" \\
             "kucoin-sync watch XBT" "kucoin-sync topics /contract/pos" \\
             "kucoin-sync completions |" "kucoin-sync nonsense |"; do
    COMP_WORDS=(${{words/|/}}); [[ $words == *"|" ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _kucoin_sync
    echo "${{COMPREPLY[*]}}"
done
complete -p kucoin-sync
"""


def run(shell: str, text: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    arguments = [shell, "-fc"] if shell == "zsh" else [shell, "-c"]
    done = subprocess.run([*arguments, text], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_commands_options_and_values() -> None:
    answers = run("bash", ASK_BASH.format(script=script("bash"))).splitlines()
    first, with_d, option, level, kind, *topics, shells, nothing, registered = answers
    assert set(first.split()) == {*NAMES, "--help", "--version"}
    assert with_d == "demo doctor"
    assert option == "--level"
    assert level == "2 3"
    assert kind == "1min 1month"
    match, ticker, symbol, any_symbol, contract, words = topics
    assert match == "/market/match:"
    assert ticker == "/market/ticker:"
    assert symbol == "BTC-USDT"
    assert "ETH-USDT" in any_symbol.split()
    assert contract == "XBTUSDTM"
    assert words == "/contract/position /contract/positionAll"
    assert shells.split()[:3] == list(SHELLS)
    assert nothing == ""
    assert registered == "complete -F _kucoin_sync kucoin-sync"


def test_fish_completes_commands_options_and_values() -> None:
    lines = (
        "kucoin-sync ", "kucoin-sync book --l", "kucoin-sync book --level ", "kucoin-sync record /market/candles",
    )  # fmt: skip
    ask = "; echo; ".join(f"complete -C '{line}'" for line in lines)
    commands, options, values, topics = run("fish", f"{script('fish')}\n{ask}").split("\n\n")
    assert {line.split("\t")[0] for line in commands.splitlines()} == NAMES
    assert options.split("\t")[0] == "--level"
    assert [line.split("\t")[0] for line in values.splitlines()] == ["2", "3"]
    assert topics.split() == [f"/market/candles:{base}-USDT_1min" for base in ("BTC", "ETH", "SOL")]


def test_zsh_takes_the_script_and_registers_it() -> None:
    out = run("zsh", f"autoload -U compinit; compinit -u -D\n{script('zsh')}\necho ${{_comps[kucoin-sync]}}")
    assert out == "_kucoin_sync\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script_wherever_it_goes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completions", shell]) == 0
    assert capsys.readouterr().out == script(shell)
    assert main(["completions", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["script"] == script(shell)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_topics_are_whole_where_a_completed_word_ends(shell: str) -> None:
    text = script(shell).replace("\\:", ":")
    for topic in ("/market/match:ETH-USDT", "/contract/position:XBTUSDTM", "/market/ticker:all", "/account/balance"):
        assert f" {topic} " in text


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_the_script(shell: str) -> None:
    text = script(shell)
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize("command", sorted(NAMES))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: kucoin-sync {command}" in out
    assert "--demo" in out
    assert "kucoin-sync" in out.partition("--plain")[2], "there are examples"
