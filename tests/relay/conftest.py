"""Tests of the relay need a real redis-server."""

from __future__ import annotations

import pytest

from ..support.redis import MISSING


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, where there is no Redis to run."""
    if MISSING:
        for item in items:
            if item.path.parent.name == "relay":
                item.add_marker(pytest.mark.skip(reason=MISSING))
