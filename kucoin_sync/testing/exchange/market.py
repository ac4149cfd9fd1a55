"""One symbol with its book, crowd, history, stop orders and feeds.

A market turns each action into calls of the engine, and passes every event to the history, the public feed and the
accounts in the right order. It renders no pushes itself.
"""

from __future__ import annotations

import random
from typing import Any

from .account_feeds import AccountFeed, SpotAccountFeed
from .accounts import Accounts
from .actors import Crowd
from .engine import Engine
from .feeds import SpotFeed
from .futures_account_feeds import FuturesAccountFeed
from .futures_feeds import FuturesFeed
from .futures_periodic import FuturesTimer
from .history import Bar, History
from .ids import Ids
from .orders import MATCH, Event, Order, OrderRejected
from .periodic import SpotTimer
from .push import Outbox, Push
from .specs import Spec
from .stops import Stop, Stops
from .tape import Tape
from .uta_account_feeds import UtaAccountFeed
from .uta_book import Windows
from .uta_feeds import UtaFeed
from .uta_periodic import UtaTimer

__all__ = ["Market"]


class Market:
    """One symbol of an exchange."""

    def __init__(
        self,
        spec: Spec,
        index: int,
        seed: object,
        now_ns: int,
        levels: int,
        accounts: Accounts,
        outbox: Outbox,
        windows: Windows,
    ) -> None:
        rng = random.Random(f"{seed}:{spec.symbol}")
        self.spec = spec
        self.ids = Ids(spec, index, int(rng.random() * 65_536), now_ns)
        self.history = History(spec, rng, now_ns)
        first = (1_700_000_000_000 if spec.futures else 14_000_000_000) + int(rng.random() * 1_000_000_000)
        trades = 1_790_000_000_000 + int(rng.random() * 1_000_000_000) if spec.futures else 0
        self.engine = Engine(spec, self._on_event, sequence=first, trades=trades)
        self.tape = Tape(spec, self.ids)
        self._accounts = accounts
        self._marks = accounts.marks if spec.futures else {}
        self._stops = Stops()
        self._traded = False
        self._feed: SpotFeed | FuturesFeed
        self._timer: SpotTimer | FuturesTimer
        self._account_feed: AccountFeed
        if spec.futures:
            self._feed = FuturesFeed(self.engine, self.ids, outbox)
            self._timer = FuturesTimer(self.engine, self.history, outbox)
            self._account_feed = FuturesAccountFeed(spec, self.ids, accounts, outbox)
        else:
            self._feed = SpotFeed(self.engine, self.history, self.ids, outbox)
            self._timer = SpotTimer(self.engine, self.history, outbox)
            self._account_feed = SpotAccountFeed(spec, self.ids, accounts, outbox)
        self._uta = UtaFeed(self.engine, self.history, self.ids, outbox, windows)
        self._uta_timer = UtaTimer(self.engine, self.history, outbox)
        self._uta_accounts = UtaAccountFeed(spec, self.ids, accounts, outbox)
        self._crowd = Crowd(self.engine, rng, self.ids.order, levels)
        self._crowd.populate(now_ns)

    def __repr__(self) -> str:
        return f"Market({self.engine})"

    def act(self, now_ns: int) -> None:
        """Let the crowd do one action."""
        self._begin()
        self._crowd.act(now_ns)
        self._settle(now_ns)

    def place(self, order: Order, now_ns: int) -> None:
        """Place an order; an account needs the money for it."""
        self._begin()
        self._submit(order, now_ns)
        self._settle(now_ns)

    def place_stop(self, order: Order, price: int, now_ns: int) -> None:
        """Add an account's stop order; its money is held only when it triggers."""
        stop = Stop(order, price, price >= self.history.last_price)
        self._stops.add(stop)
        self._push_stop(stop, "open", now_ns)

    def has(self, order_id: str) -> bool:
        """Return whether an order rests in the book or waits for its stop price."""
        return order_id in self.engine.orders or order_id in self._stops

    def cancel(self, order_id: str, now_ns: int) -> None:
        """Cancel an order that rests or waits for its stop price."""
        stop = self._stops.remove(order_id)
        if stop is not None:
            self._push_stop(stop, "cancel", now_ns)
            return
        self._begin()
        self.engine.cancel(order_id, now_ns)
        self._settle(now_ns)

    def reduce(self, order_id: str, new_size: int, now_ns: int) -> None:
        """Decrease a resting order."""
        self._begin()
        self.engine.reduce(order_id, new_size, now_ns)
        self._settle(now_ns)

    def fire_timer(self, now_ns: int) -> None:
        """Push the periodic feeds."""
        self._timer.fire(now_ns)
        self._uta_timer.fire_fast(now_ns)
        self._uta_timer.fire(now_ns)

    def fire_fast_timer(self, now_ns: int) -> None:
        """Push the feeds of the UTA family that have the shortest period."""
        self._uta_timer.fire_fast(now_ns)

    def uta_book(self, now_ns: int) -> Push:
        """Return the UTA feed's snapshot of the book for a new subscriber."""
        return self._uta.book.snapshot(now_ns)

    def funding(self, now_ns: int) -> dict[str, Any] | None:
        """Return the funding of a contract in the UTA feed's form, None for a spot symbol."""
        return self._uta_timer.funding_data(now_ns // 1_000_000) if self.spec.futures else None

    def candles(self, length: str, as_of_ns: int) -> list[Bar]:
        """Return the candles of a length up to an instant; see `History.candles`."""
        self.history.roll(as_of_ns)
        trades = ((each.now_ns, each.price, each.size) for each in self.tape.trades(as_of_ns))
        return self.history.candles(length, as_of_ns, trades)

    def _begin(self) -> None:
        self._feed.begin()
        self._uta.begin()

    def _submit(self, order: Order, now_ns: int) -> None:
        if order.account:
            self._account_feed.reserve(order, self._worst_cost(order), now_ns)
            self._uta_accounts.push_reserved(order, now_ns)
            account = self._accounts[order.owner]
            account.history.add_balances(account.spot.balances.items(), now_ns)
            account.history.add_wallet(account.wallet, now_ns)
        self.engine.submit(order, now_ns)

    def _worst_cost(self, order: Order) -> int:
        cost, _ = self.engine.fill_cost(order.side, order.size, order.price)
        # A sell may fill above its limit, which needs more margin on futures.
        return max(cost, order.price * order.size)

    def _settle(self, now_ns: int) -> None:
        """Trigger the stop orders that the action's trades reached, and end the action."""
        while self._traded:
            self._traded = False
            for stop in self._stops.take_due(self.history.last_price):
                self._trigger(stop, now_ns)
        self._feed.finish(now_ns)
        self._uta.finish(now_ns)

    def _trigger(self, stop: Stop, now_ns: int) -> None:
        self._push_stop(stop, "triggered", now_ns)
        self._account_feed.push_activated(stop, self.engine.sequence, now_ns)
        try:
            self._submit(stop.order, now_ns)
        except OrderRejected:
            self._push_stop(stop, "cancel", now_ns)

    def _push_stop(self, stop: Stop, kind: str, now_ns: int) -> None:
        self._account_feed.push_stop(stop, kind, now_ns)
        self._uta_accounts.push_stop(stop, kind, now_ns)

    def _on_event(self, event: Event) -> None:
        maker = event.maker
        if event.kind == MATCH and maker is not None:
            self._traded = True
            self.history.add(maker.price, event.size, event.now_ns)
            self.tape.add(event)
            if self.spec.futures:
                self._marks[self.spec.symbol] = maker.price
        self._feed.record(event)
        self._uta.record(event)
        if event.order.account or (maker is not None and maker.account):
            self._account_feed.record(event)
            for order in (event.order, maker):
                if order is not None and order.account:
                    account = self._accounts[order.owner]
                    account.history.add_event(self.spec, self.ids, account.spot, account.wallet, event, order)
            self._uta_accounts.record(event)
