"""Every code block of the README runs: Python on the local KuCoin, commands as they stand."""

from __future__ import annotations

import ast
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
PACKAGE = Path(kucoin_sync.__file__).parent


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


# What it says of the code is so


def section(title: str) -> str:
    """Return the text of a section."""
    return re.split(rf"^## {re.escape(title)}$", TEXT, flags=re.M)[1].split("\n## ")[0]


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a program, with a dot in the place of each value that is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if "testing" not in path.parts
}
ALL_TEXTS = [text for source in SOURCES.values() for text in texts_of(ast.parse(source))]
#: Every text in the first column of the table of errors that is no name.
QUOTED = [
    quoted
    for row in section("Troubleshooting").splitlines()
    if row.startswith("| `")
    for quoted in re.findall(r"`([^`]+)`", row.split(" | ")[0])
    if " " in quoted
]


def test_there_are_errors_in_the_table() -> None:
    assert len(QUOTED) > 20


@pytest.mark.parametrize("quoted", QUOTED)
def test_an_error_is_quoted_as_it_reads(quoted: str) -> None:
    parts = [part.strip() for part in re.split("…", quoted) if part.strip()]
    pattern = re.compile(".*?".join(map(re.escape, parts)), re.S)
    assert any(pattern.search(text) for text in ALL_TEXTS)


def names_in(table: str, column: int, mark: str = "| ") -> set[str]:
    """Return what stands in code marks in a column of the rows that begin with `mark`."""
    rows = [row for row in table.splitlines() if row.startswith(mark)]
    return {name for row in rows for name in re.findall(r"`([\w/-]+)`", row.split("|")[column])}


def test_the_map_has_every_module_and_no_other() -> None:
    named = names_in(section("Working on it").partition("**A message's way.**")[0], 2)
    assert named == {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py.typed"))}


def test_every_thread_has_its_row() -> None:
    named = names_in(section("Working on it"), 1, "| `kucoin-")
    made = set()
    for source in SOURCES.values():
        for call in re.findall(r"\bThread\(.*?\)\n", source, re.S):
            (name,) = re.findall(r'name=f?"?([^",)]+)', call)
            made.add(name.replace("{number}", "N").replace("{self._name}", "kucoin-callbacks"))
    assert named == made - {"self._name"} | {"kucoin-callbacks"}


def test_every_module_with_a_lock_has_its_row() -> None:
    named = names_in(section("Working on it").partition("| lock in |")[2].partition("\n\n")[0], 1, "| `")
    made = {name for name, source in SOURCES.items() if re.search(r"threading\.(R?Lock|Condition)\(", source)}
    assert named == {name.replace(".", "/") for name in made}


def test_every_example_is_named() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.stem}`" in TEXT or f"examples/{path.name}" in TEXT
