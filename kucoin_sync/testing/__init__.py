"""A local KuCoin for tests and demonstrations: no network, no keys, and a market behind it.

    from kucoin_sync import Stream
    from kucoin_sync.testing import local_kucoin

    with local_kucoin("BTC-USDT") as server, Stream(**server.stream_options) as stream:
        print(stream.subscribe("/market/ticker:BTC-USDT").get(timeout=5))

In pytest the fixtures `kucoin_server`, `kucoin_stream` and `kucoin_exchange` are there by themselves; see
`pytest --fixtures`.

`KucoinServer` alone says only what a test tells it to; `LiveExchange` is the market behind it, where it has one.
`FaultProxy` stands in front of any server and does to connections what networks do.
"""

from .demo import local_kucoin
from .exchange import Exchange, OrderRejected, Push
from .faults import FaultProxy, Faults
from .live import LiveExchange
from .server import Command, Connection, KucoinServer, Request, ServerLimits

__all__ = [
    "Command",
    "Connection",
    "Exchange",
    "FaultProxy",
    "Faults",
    "KucoinServer",
    "LiveExchange",
    "OrderRejected",
    "Push",
    "Request",
    "ServerLimits",
    "local_kucoin",
]
