"""Fixtures: a local KuCoin whose tickers a test pushes, and settings for it; no test leaves anything behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync.contrib.options import Options
from kucoin_sync.contrib.web import WebFeed
from kucoin_sync.testing import KucoinServer

MakeFeed = Callable[..., WebFeed]


@pytest.fixture
def settings(server: KucoinServer) -> dict[str, Any]:
    """Settings, without a prefix, for the local KuCoin."""
    uta = {name.upper(): url for name, url in server.uta_urls.items()}
    rest = {"REST_URL": server.rest_url, "FUTURES_REST_URL": server.futures_rest_url}
    return {"REDIS_URL": "", "PROXY": "", **rest, **uta}


@pytest.fixture
def make_feed(settings: dict[str, Any]) -> Iterator[MakeFeed]:
    """Make feeds with the settings and further ones; close them after the test."""
    made: list[WebFeed] = []

    def make(**more: Any) -> WebFeed:
        made.append(WebFeed(Options.read({**settings, **more})))
        return made[-1]

    yield make
    for feed in made:
        feed.close()
