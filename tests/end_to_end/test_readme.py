"""Every code block of the README runs: Python on the local KuCoin, commands as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import kucoin_sync
from kucoin_sync.testing import KucoinServer, local_kucoin

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
TESTS = [code for language, code in BLOCKS if language == "python" and "def test_" in code]
# What needs a Redis has a test of its own.
PYTHON = [
    code for language, code in BLOCKS if language == "python" and code not in TESTS and "kucoin_sync.relay" not in code
]
COMMANDS = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
ENOUGH = 5


@pytest.fixture
def market(nothing_left_behind: None) -> Iterator[KucoinServer]:
    with local_kucoin(credentials=("key", "secret", "passphrase")) as server:
        yield server


@pytest.mark.parametrize("code", PYTHON, ids=[code.strip().splitlines()[0] for code in PYTHON])
def test_a_python_block_runs(code: str, market: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    monkeypatch.setenv("KUCOIN_SYNC_REST_URL", market.rest_url)
    monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", market.futures_rest_url)
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
            if not ended.is_set() and "for message in" in code:
                self.close()

    monkeypatch.setattr(kucoin_sync, "Stream", Watched)
    namespace = {"__name__": "readme", "stream": Watched()}
    try:
        exec(compile(code, "README.md", "exec"), namespace)
    finally:
        ended.set()
        for stream, closer in watched:
            closer.join(10)
            stream.close()
    market.check()


def test_the_tests_pass_in_an_empty_folder(tmp_path: Path) -> None:
    for number, code in enumerate(TESTS):
        (tmp_path / f"test_{number}.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("kucoin-sync")])
def test_a_command_runs(command: str) -> None:
    arguments = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "kucoin_sync", *arguments], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_first_two_commands_set_everything_up() -> None:
    first, second = COMMANDS[:2]
    for command in (first, second):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "kucoin-sync watch" in first
    assert "--demo" in first
    assert second.endswith("-m pytest")
