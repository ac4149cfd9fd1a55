"""A small simulated exchange, whose state is rendered as all of KuCoin's feeds.

Call `step` for an action of the crowd, `place`, `cancel` and `reduce` for actions of a user, and `heartbeat` for the
periodic feeds; then send the pushes. The same seed and calls give the same pushes, byte for byte. It runs on a
simulated clock. It starts no threads, opens no sockets, reads no real clock, and is not thread-safe.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from . import snapshots
from .account_history import AccountHistory
from .accounts import Accounts
from .history import PublicCandle
from .ledger import SCALE
from .market import Market
from .orders import Order, OrderRejected
from .push import Outbox, Push, Wants
from .specs import spec_for
from .tape import PublicTrade
from .units import Amount, exact, number, parse, text
from .uta_account_feeds import unified_balances
from .uta_book import NEVER, Windows

__all__ = ["Exchange"]

_START_NS = 1_730_000_000_000_000_000
_SHORTEST_STEP_NS = 500_000
_STEP_SPREAD_NS = 7_000_000
_USER_ACTION_NS = 100_000
_ALL_FUNDING = "/uta/funding-fee-all-symbols"


class Exchange:
    """Several markets with a crowd of traders, and the accounts of a few users.

    `levels` is about the depth of each side of a book. `accounts` are user ids; each has money in every
    currency. Unknown symbols get made-up terms.

    `wants` says whether to render a push; None renders all. It is called with the topic exactly as in the push: with
    one symbol ("/market/level2:BTC-USDT", never a comma, ":all" only in "/market/ticker:all"), a market
    ("/market/snapshot:USDS"), a candle ("/market/candles:BTC-USDT_1min"), or a private topic without its user
    ("/spotMarket/tradeOrdersV2"; always with the symbol in "/contractMarket/tradeOrders:XBTUSDTM"). It is called once
    per action for each public event-driven topic, and for the others when a push is due, so it should be fast, such as
    a set lookup.
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("BTC-USDT", "ETH-USDT", "KCS-BTC", "XBTUSDTM"),
        *,
        seed: int | str = 0,
        start_ns: int = _START_NS,
        levels: int = 50,
        accounts: Iterable[str] = ("demo-user",),
    ) -> None:
        if levels < 1:
            raise ValueError(f"a book needs at least one level, not {levels}")
        specs = [spec_for(symbol) for symbol in dict.fromkeys(symbols)]
        if not specs:
            raise ValueError("an exchange needs at least one symbol")
        self.symbols = tuple(spec.symbol for spec in specs)
        self.now_ns = start_ns
        self._outbox = Outbox()
        self._windows = Windows()
        self._accounts = Accounts(accounts, specs)
        for account in self._accounts.values():
            account.pushed = unified_balances(account, self._accounts)
        self._draw = random.Random(f"{seed}:exchange").random
        # The orders of the first book are not rendered, because there are no subscribers yet.
        self._outbox.wants = lambda topic: False
        self._markets = {
            spec.symbol: Market(spec, index, seed, start_ns, levels, self._accounts, self._outbox, self._windows)
            for index, spec in enumerate(specs)
        }
        self._list = list(self._markets.values())
        self._outbox.wants = None

    def __repr__(self) -> str:
        return f"Exchange({', '.join(self.symbols)}; now_ns={self.now_ns})"

    @property
    def wants(self) -> Wants:
        """The function that says which topics to render; see the class."""
        return self._outbox.wants

    @wants.setter
    def wants(self, wants: Wants) -> None:
        self._outbox.wants = wants

    def step(self, symbol: str | None = None) -> list[Push]:
        """Let the crowd do one action, on `symbol` or on a random market, and return all pending pushes."""
        markets = self._list
        market = markets[int(self._draw() * len(markets))] if symbol is None else self._market(symbol)
        self._tick(_SHORTEST_STEP_NS + int(self._draw() * _STEP_SPREAD_NS))
        market.act(self.now_ns)
        return self._outbox.take()

    def heartbeat(self) -> list[Push]:
        """Return a push of every periodic topic and symbol, and all pending pushes.

        Depth, best prices, ticker of all, candles, snapshots, mark price and funding. KuCoin's timers differ
        between topics; here all fire together, when this is called. The clock stands still.
        """
        self._windows.close(self.now_ns)
        for market in self._list:
            market.fire_timer(self.now_ns)
        if self._outbox.wanted(_ALL_FUNDING):
            rows = [row for market in self._list if (row := market.funding(self.now_ns)) is not None]
            self._outbox.put_uta(_ALL_FUNDING, "funding-fee-all-symbols", rows, self.now_ns)
        return self._outbox.take()

    def fast_heartbeat(self) -> list[Push]:
        """Return a push of every topic that the UTA feed pushes each 100 ms, and all pending pushes.

        The depths 5 and 50, and call auctions; `heartbeat` pushes them, too.
        """
        for market in self._list:
            market.fire_fast_timer(self.now_ns)
        return self._outbox.take()

    @property
    def window_is_open(self) -> bool:
        """Whether a book `increment@10ms` of the UTA feed has collected changes."""
        return self._windows.due_ns < NEVER

    @property
    def push_entering_levels(self) -> bool:
        """Whether books `increment@10ms` push an unchanged level that enters the best 500; KuCoin does not say it."""
        return self._windows.push_entering

    @push_entering_levels.setter
    def push_entering_levels(self, push: bool) -> None:
        self._windows.push_entering = push

    def close_windows(self) -> None:
        """Push what the books `increment@10ms` of the UTA feed have collected, before their window of 10 ms ends."""
        self._windows.close(self.now_ns)

    def uta_book(self, symbol: str) -> Push:
        """Return the snapshot of the best 500 levels that a new subscriber of `increment@10ms` gets.

        The changes that are pushed from now on follow it. Changes up to it are among the pending pushes.
        """
        return self._market(symbol).uta_book(self.now_ns)

    def take_pushes(self) -> list[Push]:
        """Return the pending pushes, and forget them."""
        return self._outbox.take()

    def place(
        self,
        symbol: str,
        side: str,
        size: Amount,
        price: Amount | None = None,
        *,
        hidden: bool = False,
        post_only: bool = False,
        user: str | None = None,
        client_oid: str | None = None,
        stop_price: Amount | None = None,
    ) -> str:
        """Place an order and return its id; without a price it is a market order.

        With `stop_price` the order waits until the last price reaches that price from its current side. `user` is an
        account, by default the first one; "" is a stranger, whose orders use no balance and cause no private
        pushes. Raises OrderRejected (a ValueError) if the order is invalid or the account does not have the money.
        """
        market = self._market(symbol)
        owner = next(iter(self._accounts), "") if user is None else user
        order = self._order(market, side, size, price, owner, client_oid, hidden, post_only)
        stop = None if stop_price is None else _units(stop_price, market.spec.price_scale)
        if stop is not None and (stop <= 0 or not owner):
            raise OrderRejected("a stop order needs a positive stop price and an account")
        self._tick(_USER_ACTION_NS)
        if stop is None:
            market.place(order, self.now_ns)
        else:
            market.place_stop(order, stop, self.now_ns)
        return order.id

    def cancel(self, order_id: str) -> bool:
        """Cancel an order that rests or waits for its stop price; return False if it does not exist any more."""
        market = self._market_with(order_id)
        if market is None:
            return False
        self._tick(_USER_ACTION_NS)
        market.cancel(order_id, self.now_ns)
        return True

    def reduce(self, order_id: str, new_size: Amount) -> None:
        """Decrease the remaining size of a resting order to `new_size`, as self-trade prevention does."""
        market = self._market_with(order_id)
        if market is None:
            raise OrderRejected(f"no order {order_id} rests in any book")
        lots = _units(new_size, market.spec.size_scale)
        self._tick(_USER_ACTION_NS)
        market.reduce(order_id, lots, self.now_ns)

    def level2(self, symbol: str) -> snapshots.Level2:
        """Return (sequence, bids, asks): the whole visible book as exact (price, size), best first."""
        return snapshots.level2(self._market(symbol).engine)

    def level3(self, symbol: str) -> snapshots.Level3:
        """Return (sequence, bids, asks): every visible order as exact (id, price, size, time_ns).

        They are in trading order.
        """
        return snapshots.level3(self._market(symbol).engine)

    def level2_snapshot(self, symbol: str, depth: int | None = None) -> dict[str, Any]:
        """Return the `data` of KuCoin's REST response: the whole book, or `depth` levels of each side."""
        return snapshots.level2_snapshot(self._market(symbol).engine, depth, self.now_ns)

    def level3_snapshot(self, symbol: str) -> dict[str, Any]:
        """Return the `data` of KuCoin's former REST response for a level 3 book."""
        return snapshots.level3_snapshot(self._market(symbol).engine, self.now_ns)

    def trades(self, symbol: str) -> list[PublicTrade]:
        """Return the latest trades of a symbol, up to 20,000, as exact numbers, oldest first."""
        return self._market(symbol).tape.public(self.now_ns)

    def candles(self, symbol: str, length: str = "1min") -> list[PublicCandle]:
        """Return the candles of a length, of a month at most, as exact numbers, oldest first."""
        market = self._market(symbol)
        prices, sizes, values = market.spec.price_scale, market.spec.size_scale, market.spec.value_scale
        return [
            PublicCandle(
                bar.start,
                exact(bar.open, prices),
                exact(bar.high, prices),
                exact(bar.low, prices),
                exact(bar.close, prices),
                exact(bar.volume, sizes),
                exact(bar.turnover, values),
            )
            for bar in market.candles(length, self.now_ns)
        ]

    def trade_rows(self, symbol: str, as_of_ns: int, *, uta: bool = False) -> list[dict[str, Any]]:
        """Return the latest 100 trades up to an instant, as KuCoin's REST does, or that of its UTA feed."""
        tape = self._market(symbol).tape
        return tape.uta_rows(as_of_ns) if uta else tape.rows(as_of_ns)

    def candle_rows(self, symbol: str, length: str, as_of_ns: int) -> list[list[Any]]:
        """Return the candles of a length ("1min" …) up to an instant, oldest first, with KuCoin's columns."""
        market = self._market(symbol)
        spec = market.spec
        bars = market.candles(length, as_of_ns)
        if spec.futures:
            return [
                [
                    bar.start * 1000,
                    *(number(price, spec.price_scale) for price in (bar.open, bar.high, bar.low, bar.close)),
                    bar.volume,
                    number(bar.turnover, spec.value_scale),
                ]
                for bar in bars
            ]
        return [
            [
                str(bar.start),
                *(text(price, spec.price_scale) for price in (bar.open, bar.close, bar.high, bar.low)),
                text(bar.volume, spec.size_scale),
                text(bar.turnover, spec.value_scale),
            ]
            for bar in bars
        ]

    def balances(self, user: str) -> dict[str, tuple[Decimal, Decimal]]:
        """Return (available, hold) of each currency in an account's spot balance."""
        balances = self._accounts[user].spot.balances
        return {name: (exact(b.available, SCALE), exact(b.hold, SCALE)) for name, b in balances.items()}

    def account_history(self, user: str) -> AccountHistory:
        """Return what REST tells of an account, as of any instant."""
        return self._accounts[user].history

    def account_id(self, user: str, currency: str) -> str:
        """Return the id of an account's spot balance in a currency."""
        return self._accounts[user].account_id(currency)

    def unified_balances(self, user: str) -> dict[str, tuple[Decimal, Decimal]]:
        """Return (available, hold) of each currency in a unified account, as the UTA feed pushes them.

        The balance of USDT has the futures wallet in it, if contracts are traded.
        """
        balances = unified_balances(self._accounts[user], self._accounts)
        return {name: (exact(available, SCALE), exact(hold, SCALE)) for name, (available, hold, _) in balances.items()}

    def _tick(self, ns: int) -> None:
        """Advance the clock before an action, and end the window of the books if it is over."""
        self._advance(ns)
        if self.now_ns >= self._windows.due_ns:
            self._windows.close(self.now_ns)

    def _advance(self, ns: int) -> None:
        """Advance the clock before an action."""
        self.now_ns += ns

    def _market(self, symbol: str) -> Market:
        try:
            return self._markets[symbol]
        except KeyError:
            raise ValueError(f"{symbol!r} is not traded here; there are {', '.join(self.symbols)}") from None

    def _market_with(self, order_id: str) -> Market | None:
        return next((market for market in self._list if market.has(order_id)), None)

    def _order(
        self, market: Market, side: str, size: Amount, price: Amount | None, owner: str,
        client_oid: str | None, hidden: bool, post_only: bool,
    ) -> Order:  # fmt: skip
        if side not in ("buy", "sell"):
            raise OrderRejected(f"side is buy or sell, not {side!r}")
        if owner and owner not in self._accounts:
            raise OrderRejected(f"{owner!r} has no account here")
        lots = _units(size, market.spec.size_scale)
        ticks = 0 if price is None else _units(price, market.spec.price_scale)
        if lots <= 0 or (price is not None and ticks <= 0):
            raise OrderRejected("size and price must be positive")
        if price is None and (hidden or post_only):
            raise OrderRejected("a market order does not rest, so it can't be hidden or post-only")
        account = bool(owner)
        if client_oid is None:
            client_oid = market.ids.client_oid() if account else ""
        return Order(
            market.ids.order(), side, ticks, lots, self.now_ns + _USER_ACTION_NS,
            owner=owner, account=account, hidden=hidden, post_only=post_only, client_oid=client_oid,
        )  # fmt: skip

    def _check(self) -> None:
        """Assert every invariant of books and balances."""
        for market in self._list:
            market.engine._check()
        for account in self._accounts.values():
            account.spot._check()


def _units(value: Amount, scale: int) -> int:
    try:
        return parse(value, scale)
    except ValueError as error:
        raise OrderRejected(str(error)) from None
