"""The table of promises in `tests/reliability/README.md`: every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from ..support.readmes import ROOT, rows, text_of

PROMISES = rows(text_of("tests/reliability/README.md"))


#: A name with UTA in it.
UTA = re.compile(r"(?<![a-z])uta(?![a-z])", re.I)


@cache
def functions(path: str) -> dict[str, str]:
    """Return the source of the functions of a file, with their decorators, by name."""
    source = (ROOT / path).read_text(encoding="utf-8")
    found, lines = {}, source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = min(part.lineno for part in (*node.decorator_list, node))
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def named_by(promise: list[str]) -> list[tuple[str, str]]:
    """Return path and name of the tests that a promise names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise[4])


def is_of_both(path: str, name: str) -> bool:
    """Whether a test runs on the UTA feed."""
    source = functions(path).get(name, "")
    return "feed: Feed" in source or UTA.search(f"{path} {source}") is not None


def test_no_promise_is_left_out() -> None:
    assert len(PROMISES) >= 53


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[0])
def test_each_test_that_a_promise_names_exists(promise: list[str]) -> None:
    named = named_by(promise)
    assert named, "no test shows this promise"
    for path, name in named:
        assert name in functions(path), f"there is no {name} in {path}"


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[0])
def test_each_promise_says_whether_it_is_shown_on_the_uta_feed(promise: list[str]) -> None:
    classic, uta = promise[2:4]
    assert classic == "yes"
    if any(is_of_both(path, name) for path, name in named_by(promise)):
        assert uta == "yes"
    else:
        assert uta.startswith("no, "), "say why none of these tests runs on the UTA feed"
