"""What connections make of the settings of their stream."""

from __future__ import annotations

import itertools
import ssl
from typing import Any

from kucoin_sync import Credentials, Limits
from kucoin_sync.connections.options import ConnectionOptions
from kucoin_sync.net.rest import Endpoints
from kucoin_sync.protocol.dialect import Server
from kucoin_sync.protocol.dialects import DIALECTS

KEY = Credentials("key", "secret", "passphrase")
SERVER = Server("wss://a.example/", 18.0, 10.0, "token")


def options(**others: Any) -> ConnectionOptions:
    return ConnectionOptions(
        **{
            "endpoints": Endpoints.checked("https://a.example", "https://b.example"),
            "dialects": DIALECTS,
            "credentials": lambda: KEY,
            "context": ssl.create_default_context,
            "proxy": "",
            "limits": Limits(topics_per_connection=7, step_timeout=3.0),
            "user_agent": "test",
            "lifetime": lambda: 60.0,
            **others,
        }
    )


def test_a_connection_has_as_many_topics_as_the_limits_say() -> None:
    assert {options().capacity(market, private) for market in ("spot", "futures") for private in (True, False)} == {7}


def test_keys_are_read_when_a_session_or_rest_client_is_made_that_needs_them() -> None:
    asked: list[bool] = []
    settings: Any = options(credentials=lambda: asked.append(True))
    waker: Any = None
    for private in (False, True):
        settings.session(DIALECTS["classic"], SERVER, itertools.count(1), 0.0, private=private, clock_ms=int)
        assert len(asked) == private
    settings.rest(waker, signing=False)
    assert len(asked) == 1
    settings.rest(waker)
    assert len(asked) == 2


def test_a_session_has_the_heartbeat_of_its_server_and_the_limits_of_the_stream() -> None:
    session = options().session(DIALECTS["classic"], SERVER, itertools.count(1), 0.0, private=False, clock_ms=int)
    assert (session.heartbeat.every, session.limits.topics_per_connection) == (9.0, 7)
