"""What the README says of the code is so: the errors that it quotes, its map, its threads, locks and examples."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kucoin_sync

ROOT = Path(__file__).parents[1]
PACKAGE = Path(kucoin_sync.__file__).parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


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


#: By name, such as "relay/carrier"; the local KuCoin keeps to itself.
SOURCES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if PACKAGE / "testing" not in path.parents
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
        for call in re.findall(r"(?<!class )(?<!def )\b(?:Thread|start_thread|_acquire_thread)\(.*?\)\n", source, re.S):
            (name,) = re.findall(r'name=f?"?([^",)]+)', call)
            made.add(name.replace("{number}", "N").replace("{self._name}", "kucoin-callbacks"))
    assert named == made - {"self._name", "name"} | {"kucoin-callbacks"}


def test_every_module_with_a_lock_has_its_row() -> None:
    named = names_in(section("Working on it").partition("| lock in |")[2].partition("\n\n")[0], 1, "| `")
    made = {name for name, source in SOURCES.items() if re.search(r"threading\.(R?Lock|Condition)\(", source)}
    assert named == made


def test_every_example_is_named() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.stem}`" in TEXT or f"examples/{path.name}" in TEXT
