"""What connections make of the settings of their stream."""

from __future__ import annotations

import ssl
from typing import Any

from kucoin_sync import Credentials, Limits
from kucoin_sync.connections.options import ConnectionOptions
from kucoin_sync.net.endpoints import Endpoints
from kucoin_sync.protocol.dialects import DIALECTS

KEY = Credentials("key", "secret", "passphrase")


def options(**others: Any) -> ConnectionOptions:
    return ConnectionOptions(
        **{
            "endpoints": Endpoints.chosen("https://a.example", "https://b.example"),
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


def test_keys_are_read_when_a_rest_client_is_made_that_needs_them() -> None:
    asked: list[bool] = []
    settings: Any = options(credentials=lambda: asked.append(True))
    waker: Any = None
    settings.rest(waker, signing=False)
    assert not asked
    settings.rest(waker)
    assert len(asked) == 1
