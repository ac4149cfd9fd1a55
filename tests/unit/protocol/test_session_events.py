"""The events of a session, and the keys that they name."""

from __future__ import annotations

from kucoin_sync.protocol import session_events
from kucoin_sync.protocol.session_events import TopicKey


def test_a_key_is_a_topic_outside_of_tunnels_unless_it_names_one() -> None:
    assert TopicKey("/a/b") == ("/a/b", None)
    assert TopicKey("/a/b", "t") != TopicKey("/a/b")


def test_these_are_all_events_of_a_session() -> None:
    kinds = {kind.__name__ for kind in session_events.SessionEvent.__args__}
    assert kinds == {"Welcomed", "Acked", "TopicRefused", "ConnectionFull", "Proved", "ServerError", "Unsubscribed"}
