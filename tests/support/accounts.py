"""A simulated account: the exchange, REST that lags, cuts and the parts of an account that follow, on one step clock.

Nothing here waits. `SimulatedAccount.run` moves the clock from event to event.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from kucoin_sync.account.calls import Call
from kucoin_sync.account.futures import FuturesPart
from kucoin_sync.account.part_follower import PartFollower
from kucoin_sync.account.spot import SpotPart
from kucoin_sync.account.values import AccountChange
from kucoin_sync.exceptions import RestError
from kucoin_sync.testing.exchange import Exchange, OrderRejected, Push
from kucoin_sync.testing.server.account_routes import ACCOUNT_ROUTES, order_by_id
from kucoin_sync.testing.server.refusals import RestRefused
from kucoin_sync.testing.server.routes import View
from kucoin_sync.testing.server.state import Request

USER = "demo-user"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "KCS-BTC", "XBTUSDTM")
_TOPICS = {*SpotPart.topics, *FuturesPart.topics}
_START = 1_730_000_000


class TimedExchange(Exchange):
    """An exchange whose clock is the test's."""

    seconds = 0.0

    def _advance(self, ns: int) -> None:
        self.now_ns = max(self.now_ns + 1, int((_START + self.seconds) * 1e9))


class Trader:
    """Places, decreases and cancels orders at random, on one exchange and account."""

    def __init__(self, exchange: Exchange, rng: random.Random) -> None:
        self._exchange = exchange
        self._rng = rng
        self._orders: list[str] = []

    def act(self) -> list[Push]:
        """Do one action of the account, or let the crowd act; return the pushes."""
        exchange, rng = self._exchange, self._rng
        symbol = rng.choice(exchange.symbols)
        _, bids, asks = exchange.level2(symbol)
        choice = rng.random()
        with contextlib.suppress(OrderRejected):
            if choice < 0.35 or not bids or not asks:
                return exchange.step(symbol)
            if choice < 0.6:
                side, levels = rng.choice([("buy", bids), ("sell", asks)])
                price = levels[min(rng.randrange(6), len(levels) - 1)][0]
                self._orders.append(exchange.place(symbol, side, levels[0][1], price))
            elif choice < 0.75:
                exchange.place(symbol, rng.choice(["buy", "sell"]), min(bids[0][1], asks[0][1]))
            elif self._orders:
                order = self._orders[rng.randrange(len(self._orders))]
                if choice < 0.85:
                    with contextlib.suppress(ValueError):
                        exchange.reduce(order, min(bids[0][1], asks[0][1]))
                else:
                    exchange.cancel(order)
                    self._orders.remove(order)
        return exchange.take_pushes()


def truth(exchange: Exchange) -> dict[str, Any]:
    """Return what the exchange holds for the account: balances, open orders and positions."""
    history = exchange.account_history(USER)
    now = exchange.now_ns
    rows = [row for futures in (False, True) for row in history.orders(now, futures=futures, active=True)]
    wallet = history.wallet(now)
    assert wallet is not None
    return {
        "balances": exchange.balances(USER),
        "wallet": pytest.approx((wallet.wallet / 1e18, wallet.available / 1e18), abs=1e-6),
        "orders": {
            (row["id"], Decimal(row["dealSize"]), Decimal(row["size"]), Decimal(row.get("remainSize", "-1")))
            for row in rows
        },
        "positions": {row["symbol"]: row["currentQty"] for row in history.positions(now)},
    }


def held(followers: Iterable[PartFollower]) -> dict[str, Any]:
    """Return the same of what the parts of an account hold."""
    states = [follower.part.state for follower in followers]
    balances = [balance for state in states for balance in state.balances.values()]
    wallets = [each for each in balances if each.account == "futures"]
    return {
        "balances": {each.currency: (each.available, each.hold) for each in balances if each.account == "trade"},
        "wallet": (float(wallets[0].total), float(wallets[0].available)) if wallets else None,
        "orders": {
            (
                each.order_id,
                each.filled_size,
                each.size,
                each.remaining_size if "-" in each.symbol else Decimal(-1),
            )
            for state in states
            for each in state.open_orders()
        },
        "positions": {
            each.symbol: int(each.size if each.side == "long" else -each.size)
            for state in states
            for each in state.open_positions()
        },
    }


def fills_of(exchange: Exchange) -> list[tuple[str, str, str]]:
    """Return the keys of all fills of the account so far."""
    history = exchange.account_history(USER)
    rows = [row for futures in (False, True) for row in history.fills(exchange.now_ns, futures=futures)]
    return [(row["symbol"], str(row["tradeId"]), row["orderId"]) for row in rows]


def answer(exchange: Exchange, call: Call, as_of_ns: int) -> Any:
    """Return the data with which the local server answers a call, as JSON gives it; or the error."""
    route = ACCOUNT_ROUTES.get(("GET", call.path)) or order_by_id(call.market, call.path)
    assert route is not None, call
    assert (route.market, route.pool, route.weight) == (call.market, call.pool, call.weight), call
    return answer_path(exchange, call.market, call.path, dict(call.query), as_of_ns)


def answer_path(exchange: Exchange, market: str, path: str, query: dict[str, str], as_of_ns: int) -> Any:
    """Return the data with which the local server answers a GET, as JSON gives it; or the error."""
    request = Request("GET", path, path, query, {}, "", market, 0)
    route = ACCOUNT_ROUTES.get(("GET", path)) or order_by_id(market, path)
    assert route is not None, path
    try:
        data = route.answer(View(exchange, as_of_ns), request, USER)
    except RestRefused as refused:
        return RestError(refused.code, refused.text)
    return msgspec.json.decode(msgspec.json.encode(data))


class _Queue:
    """The part of a message queue that a part's follower uses."""

    alert = False
    decoder = SimpleNamespace(unreadable=0)

    def __init__(self) -> None:
        self.pushes: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self.pushes)

    def take_messages(self, limit: int) -> list[Any]:
        return [self.pushes.popleft() for _ in range(min(limit, len(self.pushes)))]


class _Calls:
    """Answers the calls of one account later, from what REST shows then."""

    def __init__(self, account: SimulatedAccount) -> None:
        self._account = account
        self.weights: list[tuple[float, str, int]] = []

    def ask(self, calls: Sequence[Call], done: Callable[[list[Any]], None]) -> object:
        account = self._account
        batch = SimpleNamespace(left=len(calls), answers=[None] * len(calls), dropped=False)

        def reply(place: int, call: Call, lag: float) -> None:
            as_of = int((_START + max(0.0, account.exchange.seconds - lag)) * 1e9)
            if not lag:
                as_of = account.exchange.now_ns
            batch.answers[place] = answer(account.exchange, call, as_of)
            batch.left -= 1
            if not batch.left and not batch.dropped:
                done(batch.answers)

        for place, call in enumerate(calls):
            self.weights.append((account.exchange.seconds, call.pool, call.weight))
            account.at(account.rng.uniform(0.01, 0.3), reply, place, call, account.lag())
        return batch

    def drop(self, batch: Any) -> None:
        batch.dropped = True

    def obstacle(self, batch: object) -> str:
        return ""


class SimulatedAccount:
    """An account of which each part is cut at random.

    Args:
        lag: returns by how many seconds one answer of REST lags behind.
        rest_lag: what the account believes.

    Attributes:
        odds: how often each of these happens to a push: "repeated", "swapped" with the next one if neither is of a
            balance, "lost" if it is a match, "unreadable", or "partial": one of the mark price follows.
        pushed_orders: the ids of the orders that were pushed so far.
    """

    def __init__(self, seed: int, *, longest_lag: float = 3.0, rest_lag: float = 5.0) -> None:
        self.rng = random.Random(seed)
        self.odds: dict[str, float] = {}
        self.pushed_orders: set[str] = set()
        self.exchange = TimedExchange(SYMBOLS, seed=seed)
        self.exchange.wants = lambda topic: self._topic_of(topic) is not None
        self.trader = Trader(self.exchange, self.rng)
        self.changes: list[AccountChange] = []
        self.reconciled = 0
        self.on_reconciled: Callable[[], object] = lambda: None
        self.longest_lag = longest_lag
        self.calls = _Calls(self)
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = itertools.count()
        self._queues = {"spot": _Queue(), "futures": _Queue()}
        self.connected = {"spot": False, "futures": False}
        self.followers = {
            part.market: PartFollower(part, rest_lag, cast(Any, self.calls), self._answered)
            for part in (SpotPart(), FuturesPart())
        }
        for market, follower in self.followers.items():
            follower.subscriptions = cast(Any, [SimpleNamespace(message_queue=self._queues[market])])
        self._was_ready = False

    def lag(self) -> float:
        """Return the lag of one answer."""
        return self.rng.choice([0.0, self.rng.uniform(0, self.longest_lag)])

    def at(self, delay: float, do: Callable[..., object], *arguments: Any) -> None:
        """Do something in `delay` seconds."""
        heapq.heappush(self._events, (self.exchange.seconds + delay, next(self._count), do, arguments))

    def connect(self, market: str) -> None:
        """Have the server confirm the topics of a part."""
        self.connected[market] = True
        follower = self.followers[market]
        follower.carried(follower.part.topics, self.exchange.seconds)

    def cut(self, market: str) -> None:
        """Lose the connection of a part."""
        self.connected[market] = False
        follower = self.followers[market]
        pushes = self._queues[market].take_messages(10**9)
        follower.lost(follower.part.topics, "cut", pushes)

    def run(self, seconds: float) -> None:
        """Let everything happen that is due in the next seconds."""
        end = self.exchange.seconds + seconds
        while True:
            due = min(follower.next_deadline for follower in self.followers.values())
            first = self._events[0][0] if self._events else float("inf")
            if min(due, first) > end:
                break
            self.exchange.seconds = max(self.exchange.seconds, min(due, first))
            if first <= due:
                _, _, do, arguments = heapq.heappop(self._events)
                do(*arguments)
            for follower in self.followers.values():
                follower.act(self.exchange.seconds)
            self.settle()
        self.exchange.seconds = end

    def trade(self) -> None:
        """Let the trader act once, and deliver the pushes where there is a connection."""
        for push in self._disturbed(self.trader.act()):
            topic = self._topic_of(push.topic)
            if topic is None:
                continue
            market = "spot" if topic in SpotPart.topics else "futures"
            if self.connected[market]:
                self._queues[market].pushes.append(push)
                if "tradeOrders" in topic and isinstance(push.data, dict):
                    self.pushed_orders.add(push.data["orderId"])
        self.settle()

    def _disturbed(self, pushes: list[Push]) -> list[Any]:
        """Return pushes as a connection brings them, with what the odds do to them."""
        brought: list[Any] = []
        for push in pushes:
            data = msgspec.json.decode(msgspec.json.encode(push.data))
            copies = 2 if self._happens("repeated") else 1
            if data.get("type") == "match" and self._happens("lost"):
                copies = 0
            if self._happens("unreadable"):
                data = [data]
            brought += [SimpleNamespace(topic=push.topic, data=data, lost=0) for _ in range(copies)]
            if "/position" in push.topic and self._happens("partial"):
                marks = {"markPrice": 1, "currentTimestamp": push.data["currentTimestamp"]}
                brought.append(SimpleNamespace(topic=push.topic, data=marks, lost=0))
        for place in range(1, len(brought)):
            pair = brought[place - 1 : place + 1]
            if not any("ccount/" in push.topic for push in pair) and self._happens("swapped"):
                brought[place - 1 : place + 1] = pair[::-1]
        return brought

    def _happens(self, name: str) -> bool:
        return name in self.odds and self.rng.random() < self.odds[name]

    def settle(self) -> None:
        """Let the followers take their pushes, collect the changes, and note when all are in step."""
        for follower in self.followers.values():
            while follower.take(self.exchange.seconds):
                pass
            self.changes += follower.part.state.take_changes()
        ready = all(follower.settled for follower in self.followers.values())
        if ready and not self._was_ready:
            self.reconciled += 1
            self.on_reconciled()
        self._was_ready = ready

    def _answered(self, follower: PartFollower, number: int, answers: list[Any]) -> None:
        follower.answers(number, answers, self.exchange.seconds)

    @staticmethod
    def _topic_of(topic: str) -> str | None:
        name = topic.partition(":")[0].replace("/contract/position", "/contract/positionAll")
        return name if name in _TOPICS else None
