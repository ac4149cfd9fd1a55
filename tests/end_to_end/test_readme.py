"""Every code block of the READMEs runs: Python on the local KuCoin, commands as they stand.

`tests/relay/test_readme.py` runs the blocks that need a Redis, `tests/contrib/test_page.py` the script for a browser.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import kucoin_sync
from kucoin_sync.cli.registry import parser_for
from kucoin_sync.testing import Exchange, KucoinServer, local_kucoin

from ..support.readmes import BLOCKS, PUBLIC, Block
from ..support.selection import spread

TESTS = [block for block in BLOCKS if block.language == "python" and "def test_" in block.code]
PYTHON = [
    block
    for block in BLOCKS
    if block.language == "python" and block not in TESTS and "kucoin_sync.relay" not in block.code
]
SHELL = [block for block in BLOCKS if block.language == "sh"]
COMMANDS = [block for block in SHELL if block.code.startswith("kucoin-sync ")]
SHOWN = [
    line.removeprefix("$ ")
    for block in BLOCKS
    if block.language in ("text", "console")
    for line in block.code.splitlines()
    if line.removeprefix("$ ").startswith("kucoin-sync ")
]
ENOUGH = 5


@pytest.fixture
def market_with_key(nothing_left_behind: None) -> Iterator[KucoinServer]:
    with local_kucoin(credentials=("key", "secret", "passphrase")) as server:
        yield server


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_python_block_runs(
    block: Block, market_with_key: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    monkeypatch.setenv("KUCOIN_SYNC_REST_URL", market_with_key.rest_url)
    monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", market_with_key.futures_rest_url)
    for name, url in market_with_key.uta_urls.items():
        monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)
    for option, url in market_with_key.uta_urls.items():
        monkeypatch.setenv(f"KUCOIN_SYNC_{option.upper()}", url)
    ended = threading.Event()
    watched: list[tuple[kucoin_sync.Stream, threading.Thread]] = []

    class Watched(kucoin_sync.Stream):
        """A stream that closes itself when its loops have had enough messages."""

        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            closer = threading.Thread(target=self.close_after_enough)
            watched.append((self, closer))
            closer.start()

        def close_after_enough(self) -> None:
            while not ended.wait(0.02) and self.stats()["messages"] < ENOUGH:
                pass
            if not ended.is_set() and "for message in" in block.code:
                self.close()

    monkeypatch.setattr(kucoin_sync, "Stream", Watched)
    namespace = {"__name__": "readme", "stream": Watched()}
    try:
        exec(compile(block.code, block.readme, "exec"), namespace)
    finally:
        ended.set()
        for stream, closer in watched:
            closer.join(10)
            stream.close()
    market_with_key.check()


def test_five_lines_print_a_ladder_without_a_key_and_without_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = [block for block in PYTHON if block.readme == "README.md" and 'feed="uta")' in block.code]
    assert len([line for line in block.code.splitlines() if line and "import" not in line]) == 5
    exchange = Exchange(["BTC-USDT"], levels=600)
    with KucoinServer(exchange=exchange) as server:
        for name, url in server.uta_urls.items():
            monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)
        for name in ("REST", "FUTURES_REST"):
            monkeypatch.setenv(f"KUCOIN_SYNC_{name}_URL", "http://127.0.0.1:1")
        namespace: dict[str, object] = {}
        exec(compile(block.code, block.readme, "exec"), namespace)
    printed = [tuple(map(Decimal, line.split())) for line in capsys.readouterr().out.splitlines()]
    _, bids, asks = exchange.level2("BTC-USDT")
    assert printed == [*reversed(asks[:20]), *bids[:20]]
    assert namespace["book"].snapshot_depth == 500  # type: ignore[attr-defined]


def test_the_tests_pass_in_an_empty_folder(tmp_path: Path) -> None:
    assert TESTS
    for number, block in enumerate(TESTS):
        (tmp_path / f"test_{number}.py").write_text(block.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", spread(COMMANDS, 3), ids=str)
def test_the_commands_of_a_block_run(block: Block, tmp_path: Path) -> None:
    define = f'kucoin-sync() {{ {shlex.quote(sys.executable)} -m kucoin_sync "$@"; }}\n'
    for command in block.code.splitlines():
        done = subprocess.run(
            ["bash", "-c", define + command], capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout or " -o " in command


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_that_is_shown_can_be_given(command: str) -> None:
    arguments = shlex.split(command, comments=True)[1:]
    assert parser_for(arguments[0]).parse_args(arguments)


def test_every_block_is_of_a_language_that_is_seen_to() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "sh", "text", "console", "js"}
    assert all(block in COMMANDS or re.match("python3 -m venv", block.code) for block in SHELL)


@pytest.mark.timeout(180)
def test_the_reference_is_built_without_a_warning_and_has_every_public_module(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install -e '.[docs]'")
    pytest.importorskip("pandas", reason="pandas is not installed: pip install -e '.[docs]'")
    [command] = [block.code for block in BLOCKS if "-m pdoc" in block.code]
    arguments = shlex.split(command.replace("\\\n", ""))[1:]
    done = subprocess.run(
        [sys.executable, *arguments, "-o", tmp_path], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stdout + done.stderr
    built = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")} - {"index"}
    assert built == {f"kucoin_sync.{module}".rstrip(".").replace(".", "/") for module in PUBLIC}


def test_the_first_two_commands_set_everything_up() -> None:
    first, second = (block.code.strip() for block in SHELL[:2])
    for command in (first, second):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "kucoin-sync watch" in first
    assert "--demo" in first
    assert second.endswith("-m pytest")
