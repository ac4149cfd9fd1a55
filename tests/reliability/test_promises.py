"""The table of promises in `tests/reliability/README.md`: every test that it names exists."""

from __future__ import annotations

import ast
import re

import pytest

from ..support.readmes import ROOT, rows, text_of

PROMISES = rows(text_of("tests/reliability/README.md"))


def functions(path: str) -> set[str]:
    """Return the names of the functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_no_promise_is_left_out() -> None:
    assert len(PROMISES) >= 53


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[0])
def test_each_test_that_a_promise_names_exists(promise: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise[2])
    assert named, "no test shows this promise"
    for path, name in named:
        assert name in functions(path), f"there is no {name} in {path}"
