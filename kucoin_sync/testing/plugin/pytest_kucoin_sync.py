"""Fixtures for pytest: a local KuCoin, a stream to it, and its simulated market.

pytest loads this module in every run wherever the package is installed. So it is a module beside `kucoin_sync`, not in
it, and imports `kucoin_sync` only in the fixtures. A run without these fixtures costs nothing, and a coverage
measurement sees the first import of `kucoin_sync`.

Each test has its own server, which takes a millisecond to start. A bot that still runs from the previous test connects
to another port and can't disturb it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kucoin_sync import Stream
    from kucoin_sync.testing import KucoinServer, LiveExchange

_EXCHANGE = "kucoin_exchange"
_KEYS = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE")


@pytest.fixture
def kucoin_server_options() -> dict[str, Any]:
    """Return arguments for `kucoin_server`'s `KucoinServer`: none, unless a test overrides or parametrizes this."""
    return {}


@pytest.fixture
def kucoin_exchange_options() -> dict[str, Any]:
    """Return arguments for `kucoin_exchange`'s `Exchange`: none, unless a test overrides or parametrizes this."""
    return {}


@pytest.fixture
def kucoin_server(
    request: pytest.FixtureRequest, kucoin_server_options: dict[str, Any], kucoin_exchange_options: dict[str, Any]
) -> Iterator[KucoinServer]:
    """A local KuCoin (`kucoin_sync.testing.KucoinServer`), new for each test.

    While it runs, the environment points to it: `Stream()` without arguments connects to it, with its key, and never to
    KuCoin. If the options have `credentials`, the environment has no key. An error inside the server is raised again at
    the end of the test.
    """
    from kucoin_sync.testing import Exchange, KucoinServer

    options = dict(kucoin_server_options)
    if _EXCHANGE in request.fixturenames:  # a market takes long to make, so make it only for tests that use it
        options.setdefault("exchange", Exchange(**kucoin_exchange_options))
    with pytest.MonkeyPatch.context() as patch, KucoinServer(**options) as server:
        patch.setenv("KUCOIN_SYNC_REST_URL", server.rest_url)
        patch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", server.futures_rest_url)
        for option, url in server.uta_urls.items():
            patch.setenv(f"KUCOIN_SYNC_{option.upper()}", url)
        keys = () if "credentials" in options else (server.KEY, server.SECRET, server.PASSPHRASE)
        for name, value in zip_longest(_KEYS, keys):
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        yield server


@pytest.fixture
def kucoin_stream(kucoin_server: KucoinServer) -> Iterator[Stream]:
    """A stream (`kucoin_sync.Stream`) to `kucoin_server`, with credentials; closed before the server stops."""
    from kucoin_sync import Stream

    with Stream(**kucoin_server.stream_options) as stream:
        yield stream


@pytest.fixture
def kucoin_exchange(kucoin_server: KucoinServer) -> LiveExchange:
    """The simulated market behind `kucoin_server` (`kucoin_sync.testing.LiveExchange`).

    It stands still until a test calls `step`, which does the same in every run, or `run`. Its symbols are BTC-USDT,
    ETH-USDT, KCS-BTC and XBTUSDTM, its seed is 0; `kucoin_exchange_options` changes both.
    """
    from kucoin_sync.testing import LiveExchange

    return LiveExchange(kucoin_server)
