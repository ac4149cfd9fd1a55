"""Share one feed among many processes and hosts, through Redis Streams: `Relay` writes it, `RelayStream` reads it.

    kucoin-sync relay --redis redis://localhost            # run any number: one relays, the others stand by

    from kucoin_sync.relay import RelayStream

    with RelayStream("redis://localhost") as stream:
        for message in stream.subscribe("/market/ticker:ETH-USDT"):
            print(message.payload.price)

Redis is trusted: any client that can write to it can forge messages. All data in it is JSON; nothing is pickled.
"""

from .events import LeaseLost, LeaseTaken, RedisFailed, RelayDelayed
from .relay import Relay
from .stream import RelayStream

__all__ = ["LeaseLost", "LeaseTaken", "RedisFailed", "Relay", "RelayDelayed", "RelayStream"]
