"""A numbered feed, and what tests say about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from kucoin_sync import Subscription
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server import Pushed

__all__ = ["CANARIES", "ETH", "MATCH", "TOKEN", "at_best", "numbers", "publish", "read", "seconds_of"]

#: Key, secret and passphrase of the account, none of which may be found in anything that the package says.
CANARIES = ("canary-key-5f1c0a", "canary-secret-9b27e4", "canary-passphrase-3d88f2")
#: A connect token, likewise.
TOKEN = "canary-token-7a41d9"
ETH = "/market/ticker:ETH-USDT"
MATCH = "/market/match:OLD-USDT"


def publish(server: KucoinServer, sequence: Iterable[int], topic: str = ETH) -> None:
    """Push numbered messages of one length."""
    server.publish_many([Pushed(topic, {"n": f"{number:08}"}, "trade.ticker", None, {}) for number in sequence])


def read(subscription: Subscription[Any], count: int) -> list[tuple[int, int]]:
    """Return (number, epoch) of the next messages."""
    messages = [subscription.get(timeout=20) for _ in range(count)]
    return [(int(message["data"]["n"]), message.epoch) for message in messages]


def numbers(subscription: Subscription[Any], count: int) -> list[int]:
    """Return the numbers of the next messages."""
    return [number for number, _ in read(subscription, count)]


def at_best(limit: float, measure: Callable[[], float], tries: int = 5) -> float:
    """Return the first time within `limit` seconds, else the shortest: a busy machine may spoil one, not all."""
    shortest = float("inf")
    for _ in range(tries):
        shortest = min(shortest, measure())
        if shortest <= limit:
            break
    return shortest


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began
