"""A local KuCoin with a simulated market, for tests and demonstrations without a network or keys.

    from kucoin_sync import Stream
    from kucoin_sync.testing import local_kucoin

    with local_kucoin("BTC-USDT") as server, Stream(**server.stream_options) as stream:
        print(stream.subscribe("/market/ticker:BTC-USDT").get(timeout=5))

pytest finds the fixtures `kucoin_server`, `kucoin_stream` and `kucoin_exchange` by itself; see `pytest --fixtures`.
`make_message` makes a message without a server.

`KucoinServer` without an exchange sends only the messages that a test publishes. `LiveExchange` is the market of a
server with an exchange. `FaultProxy` stands in front of any server and delays, cuts or resets connections.
"""

from .demo import local_kucoin
from .exchange import Exchange, OrderRejected, Push
from .faults import FaultProxy, Faults
from .live import LiveExchange
from .messages import make_message
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
    "make_message",
]
