"""The order of things: what is wanted now goes ahead, what came is read before it is judged, and nothing piles up."""

from __future__ import annotations

import pytest

from kucoin_sync import Stream
from kucoin_sync.testing import KucoinServer

from .feed import ETH

BTC = "/market/ticker:BTC-USDT"


def commands_naming(server: KucoinServer, topic: str) -> list[str]:
    """Return the types of the commands that the server got for a topic."""
    return [
        command.message["type"]
        for command in server.received
        if topic.partition(":")[2] in str(command.message.get("topic"))
    ]


# Subscribed and unsubscribed again and again


@pytest.mark.parametrize("how", ["a subscription", "by name", "in a tunnel", "tunnels"])
def test_a_topic_that_comes_and_goes_600_times_does_not_delay_another(
    server: KucoinServer, stream: Stream, how: str
) -> None:
    holder = stream.tunnel("t") if how == "in a tunnel" else stream
    subscription = holder.subscribe(BTC)
    for _ in range(600):
        if how == "a subscription":
            subscription.close()
            subscription = stream.subscribe(BTC, timeout=0)
        elif how == "by name":
            stream.unsubscribe(BTC)
            stream.subscribe(BTC, timeout=0)
        elif how == "in a tunnel":
            subscription.close()
            subscription = holder.subscribe(BTC, timeout=0)
        else:
            with stream.tunnel("again") as again:
                again.subscribe(BTC, timeout=0)
    stream.subscribe(ETH)
    assert len([each for each in commands_naming(server, BTC) if each == "subscribe"]) <= 50
