"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from .support.selection import examples, sample_of_rows

settings.register_profile("tests", max_examples=examples(100), deadline=None)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Let Python keep bytecode: tests start many programs, each of which would compile the package again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the rows of long walks that only a thorough run visits."""
    kept = sample_of_rows(items)
    left_out = [item for item in items if item not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item in kept]
