"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

from .support.selection import examples

settings.register_profile("tests", max_examples=examples(100), deadline=None)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Let Python keep bytecode: tests start many programs, each of which would compile the package again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
