"""A connection and its owner, without a server."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

from kucoin_sync.connections.connection import Connection
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.message import Message
from kucoin_sync.protocol.session_events import Acked, TopicKey

from ...support.threads import LIMIT

ONE, TWO = TopicKey("/market/level2:BTC-USDT"), TopicKey("/market/level2:ETH-USDT")


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.command_ids = self.epochs = itertools.count(1)
        self.confirmed: list[tuple[TopicKey, ...]] = []

    def payload_mismatch(self, message: Message) -> None: ...
    def ended(self, source: Any) -> None: ...
    def acked(self, source: Any, keys: tuple[TopicKey, ...]) -> None:
        self.confirmed.append(keys)


class Session:
    """A session in which one key is confirmed and wanted."""

    def is_active(self, key: TopicKey) -> bool:
        return key == TWO


def test_a_confirmation_counts_only_for_what_was_not_unsubscribed_since() -> None:
    """Else the next `subscribe` of that topic would return before the server has its command."""
    owner: Any = Owner()
    options: Any = SimpleNamespace(dialects=DIALECTS)
    connection = Connection(1, "spot", False, options, owner, lambda source, pushes: None)
    session: Any = Session()
    connection._session = session
    connection._handle_session_event(Acked((ONE, TWO)))
    connection._handle_session_event(Acked((ONE,)))
    connection.close()
    connection.thread.join(LIMIT)
    assert owner.confirmed == [(TWO,)]
