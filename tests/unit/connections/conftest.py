"""Fixtures of the tests of connections."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import Event
from kucoin_sync.connections.manager import SubscriptionManager

from ...support.sources import (
    Connection,
)


@pytest.fixture
def told() -> list[Event]:
    """The events that were emitted."""
    return []


@pytest.fixture
def subscription_manager(monkeypatch: pytest.MonkeyPatch, told: list[Event]) -> SubscriptionManager:
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    return SubscriptionManager(make, lambda *_: 300, told.append)
