"""Fixtures for pytest: a local KuCoin, a stream to it, and a market behind it, for each test that asks for them.

pytest loads this module in every run of everybody who has the package installed. So it is installed as a module
of its own, beside `kucoin_sync` and not in it, and imports that only in the fixtures: who asks for none pays
nothing, and who measures the coverage of `kucoin_sync` sees its first import.

Each test has its own server, because that costs a millisecond: it knows nothing of the test before, whose bot may
still be running and dials another port.
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
    """Arguments for the `KucoinServer` of `kucoin_server`: none; override it, or parametrize it, to give some."""
    return {}


@pytest.fixture
def kucoin_exchange_options() -> dict[str, Any]:
    """Arguments for the `Exchange` of `kucoin_exchange`: none; override it, or parametrize it, to give some."""
    return {}


@pytest.fixture
def kucoin_server(
    request: pytest.FixtureRequest, kucoin_server_options: dict[str, Any], kucoin_exchange_options: dict[str, Any]
) -> Iterator[KucoinServer]:
    """A local KuCoin (`kucoin_sync.testing.KucoinServer`), new for each test.

    While it runs, the environment points to it: `Stream()` without arguments talks to it, with its key, and never to
    KuCoin (without a key where the options have `credentials`). An error inside the server is raised again at the end
    of the test.
    """
    from kucoin_sync.testing import Exchange, KucoinServer

    options = dict(kucoin_server_options)
    if _EXCHANGE in request.fixturenames:  # making a market takes longer than all the rest
        options.setdefault("exchange", Exchange(**kucoin_exchange_options))
    with pytest.MonkeyPatch.context() as patch, KucoinServer(**options) as server:
        patch.setenv("KUCOIN_SYNC_REST_URL", server.rest_url)
        patch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", server.futures_rest_url)
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

    It stands still until it is told to `step`, which does the same in every run, or to `run`. Its symbols are BTC-USDT,
    ETH-USDT, KCS-BTC and XBTUSDTM, its seed is 0; `kucoin_exchange_options` changes both.
    """
    from kucoin_sync.testing import LiveExchange

    return LiveExchange(kucoin_server)
