"""Much traffic of a local KuCoin: numbered messages of many topics, and the trading of an exchange."""

from __future__ import annotations

import itertools
import threading
from typing import Any, NamedTuple

from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server import Pushed

from .threads import Task

__all__ = ["Flow", "Size", "names", "symbols"]


class Size(NamedTuple):
    """How much flows: topics, books, messages a second, and how often a connection is cut."""

    topics: int
    books: int
    rate: int
    cuts: int


def names(size: Size, *, uta: bool = False) -> list[str]:
    """Return topics of both markets, of trades and of tickers, and private ones."""
    kinds = [
        (["/uta/trade.SPOT", "/uta/ticker.SPOT"], ["/uta/trade.FUTURES", "/uta/ticker.FUTURES"]),
        (["/market/match", "/market/ticker"], ["/contractMarket/execution", "/contractMarket/tickerV2"]),
    ][not uta]
    public = [
        f"{kind}:{symbol.format(number)}"
        for (of_kinds, symbol) in zip(kinds, ("A{}-USDT", "A{}USDTM"), strict=True)
        for kind in of_kinds
        for number in range(size.topics // 4)
    ]
    private = ["/uta/orderAll.UNIFIED"] if uta else ["/spotMarket/tradeOrdersV2", "/contractMarket/tradeOrders"]
    return public + private


def data_of(topic: str, n: int) -> dict[str, Any]:
    """Return data with the number `n` where KuCoin has the sequence, the trade id, or what tells order events apart."""
    symbol = topic.partition(":")[2]
    if topic.startswith("/uta/order"):
        return {"oi": "1", "eT": "MATCH", "U": n, "fS": str(n), "n": n}
    if topic.endswith(("radeOrders", "OrdersV2")):
        return {"orderId": "1", "type": "match", "ts": n, "filledSize": str(n), "n": n}
    if topic.startswith("/uta/"):
        return {"s": symbol, "E": n, "ti": str(n), "n": n}
    return {"symbol": symbol, "sequence": str(n), "tradeId": str(n), "n": n}


class Flow:
    """Numbered messages that flow on a thread, at a rate, and the exchange's steps between them."""

    def __init__(self, server: KucoinServer, names: list[str], rate: int) -> None:
        self.sent: dict[str, int] = dict.fromkeys(names, 0)
        self._server = server
        self._rate = rate
        self._stop = threading.Event()
        self._task = Task(self._run)

    def _run(self) -> None:
        turn = itertools.cycle(self.sent)
        while not self._stop.wait(0.01):
            pushes = []
            for topic in itertools.islice(turn, self._rate // 100):
                pushes.append(Pushed(topic, data_of(topic, self.sent[topic])))
                self.sent[topic] += 1
            self._server.publish_many(pushes)
            self._server.step_exchange(2)

    def end(self) -> None:
        self._stop.set()
        self._task.result()


def symbols(size: Size) -> tuple[str, ...]:
    return tuple(f"B{number}-USDT" if number % 2 else f"B{number}USDTM" for number in range(size.books))
