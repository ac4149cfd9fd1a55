"""One feed for many processes and hosts, through Redis Streams: `Relay` passes it on, `RelayStream` reads it.

    kucoin-sync relay --redis redis://localhost            # any number of them: one works, the others stand by

    from kucoin_sync.relay import RelayStream

    with RelayStream("redis://localhost") as stream:
        for message in stream.subscribe("/market/ticker:ETH-USDT"):
            print(message.payload.price)

Redis is trusted: whoever can write to it can make readers believe anything. Nothing in it is pickled, all is JSON.
"""

from .events import LeaseLost, LeaseTaken, RedisFailed, RelayDelayed
from .relay import Relay
from .stream import RelayStream

__all__ = ["LeaseLost", "LeaseTaken", "RedisFailed", "Relay", "RelayDelayed", "RelayStream"]
