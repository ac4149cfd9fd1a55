"""What the READMEs say of the code is so: quoted errors, names, modules, threads, locks, events, links, sizes."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import kucoin_sync
from kucoin_sync import Limits, LocalLevel2Book, LocalLevel3Book, Stream, events

from .support.readmes import ARCHITECTURE, NAMES, PUBLIC, ROOT, names_in, rows, section, text_of

PACKAGE = Path(kucoin_sync.__file__).parent
#: By name, such as "relay/source"; the local KuCoin keeps to itself.
SOURCES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if PACKAGE / "testing" not in path.parents
}
PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
#: The README of a package whose modules are no concern of its readers has no table of them.
WITHOUT_MODULES = {"cli", "contrib", "testing"}


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a program, with a dot in the place of each value that is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def all_texts() -> list[str]:
    """Return the texts in all sources."""
    return [text for source in SOURCES.values() for text in texts_of(ast.parse(source))]


#: Every text in the first column of the table of errors that is no name.
QUOTED = [
    quoted
    for cells in rows(section("kucoin_sync/cli/README.md", "Troubleshooting"))
    for quoted in names_in(cells[0])
    if " " in quoted
]


def column(readme: str, title: str, index: int = 0) -> list[str]:
    """Return the texts in code marks in a column of the tables of a section."""
    return [name for cells in rows(section(readme, title)) for name in names_in(cells[index])]


# Errors


def test_there_are_errors_in_the_table() -> None:
    assert len(QUOTED) > 20


@pytest.mark.parametrize("quoted", QUOTED)
def test_an_error_is_quoted_as_it_reads(quoted: str) -> None:
    parts = [part.strip() for part in re.split("…", quoted) if part.strip()]
    pattern = re.compile(".*?".join(map(re.escape, parts)), re.S)
    assert any(pattern.search(text) for text in all_texts())


# The map


def test_the_map_has_every_package_and_module_at_the_root_and_no_other() -> None:
    named = set(column(ARCHITECTURE, "Packages"))
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.name.startswith("_")}
    assert named == PACKAGES | modules


@pytest.mark.parametrize("package", sorted(PACKAGES - WITHOUT_MODULES))
def test_the_readme_of_a_package_has_every_module_and_no_other(package: str) -> None:
    text = text_of(f"kucoin_sync/{package}/README.md")
    table = text.partition("| module | holds |\n")[2].partition("\n\n")[0]
    named = [name for cells in rows(table) for name in names_in(cells[0])]
    modules = {path.stem for path in (PACKAGE / package).iterdir() if not path.name.startswith("_")} - {"README"}
    assert sorted(named) == sorted(modules)


def test_the_drawing_of_a_message_has_12_classes_of_6_packages_at_most_and_each_exists() -> None:
    drawing = section(ARCHITECTURE, "One message").partition("```text\n")[2].partition("```")[0]
    classes = set(re.findall(r"\b[A-Z]\w+\b", drawing.replace("KuCoin", "").replace("I/O", "")))
    packages = set(re.findall(r"^ (\w+) ", drawing, re.M))
    assert packages <= PACKAGES
    assert len(packages) <= 6
    assert 10 <= len(classes) <= 12
    for name in classes:
        assert any(
            re.search(rf"^class {name}\b", source, re.M)
            for path, source in SOURCES.items()
            if path.partition("/")[0] in packages
        ), name


def test_what_decides_something_exists() -> None:
    answers = [names_in(cells[1]) for cells in rows(section(ARCHITECTURE, "Where what is decided"))]
    assert all(answers)
    named = {name for names in answers for name in names if name not in ("after_fork", "is_fatal")}
    assert named <= SOURCES.keys()
    assert "def after_fork(self" in SOURCES["internal/fork"] and "def is_fatal(" in SOURCES["exceptions"]


# Threads and locks


def test_every_thread_has_its_row() -> None:
    named = {name for name in column(ARCHITECTURE, "Threads") if name.startswith("kucoin-")}
    made = set()
    for source in SOURCES.values():
        for call in re.findall(
            r"(?<!class )(?<!def )\b(?:(?:Check)?Thread|start_thread|_acquire_thread|WorkerPool)\(.*?\)\n",
            source,
            re.S,
        ):
            (name,) = re.findall(r'name=f?"?([^",)]+)', call)
            name = re.sub(r"\{[\w.]*label\}", "", name)
            made.add(name.replace("{number}", "N").replace("{self._name}", "kucoin-callbacks"))
    assert named == made - {"self._name", "name"} | {"kucoin-callbacks"}


def test_every_thread_is_of_a_module() -> None:
    of = {name for cells in rows(section(ARCHITECTURE, "Threads")) for name in names_in(cells[1])}
    assert {name for name in of if "/" in name} <= SOURCES.keys()


def test_every_module_with_a_lock_has_its_row() -> None:
    made = {name for name, source in SOURCES.items() if re.search(r"threading\.(R?Lock|Condition)\(", source)}
    assert set(column(ARCHITECTURE, "Locks")) == made


# Names


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_stands_in_a_readme(module: str) -> None:
    found = importlib.import_module(f"kucoin_sync.{module}".rstrip("."))
    text = text_of(PUBLIC[module])
    prefix = f"{module.removeprefix('topics.')}." if module in ("topics.futures", "topics.uta") else ""
    marked = {re.split(r"[(:]", mark)[0].removeprefix(prefix) for mark in re.findall(r"`([^`\n]+)`", text)}
    assert set(found.__all__) - marked == set()


@pytest.mark.parametrize("readme", sorted(set(PUBLIC.values())))
def test_every_name_in_a_table_of_public_names_exists(readme: str) -> None:
    if "\n## Public names\n" in text_of(readme):
        modules = [importlib.import_module(f"kucoin_sync.{module}".rstrip(".")) for module in PUBLIC]
        public = {name for module in modules for name in module.__all__}
        assert set(column(readme, "Public names")) <= public


def test_every_public_package_is_among_those_with_public_names() -> None:
    exporting = {
        ".".join(path.parent.relative_to(PACKAGE).parts)
        for path in PACKAGE.rglob("__init__.py")
        if "__all__" in path.read_text(encoding="utf-8")
    }
    inside = {"cli"} | {name for name in exporting if name.startswith("testing.")}
    assert exporting - inside <= PUBLIC.keys()


def test_the_table_of_events_has_all_of_them_with_their_fields() -> None:
    told = {names_in(cells[0])[0]: tuple(names_in(cells[1])) for cells in rows(section(ARCHITECTURE, "Events"))}
    classes = {name: getattr(events, name) for name in events.__all__ if name != "Event"}
    assert told == {name: cls.__struct_fields__ for name, cls in classes.items()}


def test_the_table_of_limits_has_all_of_them_with_their_defaults() -> None:
    told = {names_in(cells[0])[0]: cells[1] for cells in rows(section(ARCHITECTURE, "Limits"))}
    assert told == {field.name: str(field.default) for field in msgspec.structs.fields(Limits)}


def test_the_table_of_options_has_all_of_them() -> None:
    assert column(ARCHITECTURE, "Options of a stream") == list(inspect.signature(Stream).parameters)


def test_the_table_of_arguments_of_subscribe_has_all_of_them() -> None:
    of_subscribe = inspect.signature(Stream.subscribe).parameters.keys() - {"self", "topic", "more_topics"}
    assert set(column("kucoin_sync/delivery/README.md", "Subscriptions")) == of_subscribe


def test_the_table_of_numbers_has_all_of_them() -> None:
    with Stream() as stream:
        assert sorted(column(ARCHITECTURE, "Numbers")) == sorted(stream.stats())


def test_the_tables_of_books_have_everything_that_a_book_offers() -> None:
    offered = {re.match(r"\w+", name)[0] for name in column("kucoin_sync/books/README.md", "What a book offers")}  # type: ignore[index]
    in_text = {"asks_complete_to", "bids_complete_to"}
    of_books = {name for name in {*dir(LocalLevel2Book), *dir(LocalLevel3Book)} if not name.startswith("_")}
    assert offered - {"for", "on_change"} | in_text == of_books - {"to_frame"}


def test_every_example_is_named() -> None:
    named = {name for cells in rows(text_of("examples/README.md")) for name in names_in(cells[0])}
    examples = {path.name for path in (ROOT / "examples").iterdir() if path.suffix != ".md"}
    assert named == {name for name in examples if not name.startswith("_")} - {"live_page.html"}


def test_the_table_of_extras_has_all_of_them() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    named = [name for cells in rows(text_of("README.md").partition("\n## ")[0]) for name in names_in(cells[0])]
    assert sorted(named) == sorted(settings["options.extras_require"])


# Sizes and links


def test_the_readme_of_the_project_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 16_384


def test_the_test_command_is_found_as_ci_finds_it() -> None:
    first = next(line for line in text_of("README.md").splitlines() if line.endswith("-m pytest"))
    assert first.startswith("python3 -m venv .venv && ")


def anchors_of(name: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a README."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text_of(name), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links_of(name: str) -> list[str]:
    """Return the targets of the links of a README."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text_of(name), flags=re.M | re.S))


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in links_of(name):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), link
        if anchor:
            assert anchor in anchors_of(path.resolve().relative_to(ROOT).as_posix()), link


def test_links_lead_from_the_readme_of_the_project_to_every_other() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in NAMES and name not in reached:
            reached.add(name)
            paths = [link.partition("#")[0] for link in links_of(name) if not link.startswith(("https://", "#"))]
            waiting += [((ROOT / name).parent / path).resolve().relative_to(ROOT).as_posix() for path in paths]
    assert reached == set(NAMES)
