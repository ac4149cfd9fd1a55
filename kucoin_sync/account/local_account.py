"""The local account that `Stream.account` returns. It equals the exchange's, or refuses to be read.

`keeper` keeps it in step, on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec

from ..books.local_book import Changes
from ..exceptions import AccountNotReady, StreamClosed
from ..internal.fork import NotPicklable
from ..internal.signals import holds_no_lock, run_or_defer
from .keeper import AccountKeeper
from .values import AMOUNTS, AccountBalance, AccountChange, AccountFill, AccountOrder, AccountPosition, AccountValue

__all__ = ["AccountSnapshot", "LocalAccount"]

T = TypeVar("T")


#: What the balances of an account are called where they can't be seen; the others are of spot.
_BALANCES = {"margin": "cross margin", "isolated": "isolated margin"}
_ACCOUNTS = ("trade", "main", "margin", "futures", "isolated")


class AccountSnapshot(AccountValue, frozen=True, kw_only=True):
    """An account at one instant; the members are as those of `LocalAccount`."""

    balances: tuple[AccountBalance, ...]
    orders: tuple[AccountOrder, ...]
    positions: tuple[AccountPosition, ...]
    fills: tuple[AccountFill, ...]
    unproved: tuple[str, ...]
    reconciliations: int


class LocalAccount(NotPicklable):
    """The account of the stream's API key, kept up to date; made by `Stream.account`.

    Any thread may read it. It can't be read before the start state is known, after a cut, and while it is reconciled:
    then reads raise `AccountNotReady`, which says why. Reads with a `timeout` first wait that many seconds (None: no
    limit). When the stream is closed, they raise `StreamClosed`. Two reads may see two states; take a `snapshot` for
    one.

    What can't be known is said, in `unproved` and in changes of the kind "unknown".
    """

    def __init__(
        self, keeper: AccountKeeper, maxsize: int, release: Callable[[LocalAccount], object], stream: object = None
    ) -> None:
        self._keeper = keeper
        self._stream = stream  # kept alive while the account is held
        self._maxsize = maxsize
        self._release = release
        self._closed = False
        self.listener: Any = None  # of `on_change`

    # State

    @property
    def ready(self) -> bool:
        """Whether the account can be read."""
        self._keeper.first_use()
        return self._keeper.ready and not self._closed

    def wait_ready(self, timeout: float | None = None) -> LocalAccount:
        """Wait until the account can be read (None: without a limit); return it.

        Raises:
            AccountNotReady: it was not ready within `timeout` seconds.
            StreamClosed: it is closed.
            AuthenticationError, RestError, ConnectionFailed: it has ended, because KuCoin refused the key.
        """
        self._check_open()
        self._keeper.wait(timeout)
        return self

    @property
    def reconciliations(self) -> int:
        """How often the account was reconciled with REST: once at the start, and once after each cut."""
        return self._keeper.reconciliations

    @property
    def unproved(self) -> tuple[str, ...]:
        """What can't be seen with this key, and what stays unknown, in sentences."""
        return self._keeper.under_lock(lambda: tuple(self._keeper.unproved()))

    # Reading

    def balance(self, currency: str, account: str = "trade", *, timeout: float | None = 0.0) -> AccountBalance:
        """Return the balance of a currency; zero if there is none.

        Args:
            currency: such as "USDT".
            account: "trade", "main", "margin", "isolated BTC-USDT" or "futures".

        Raises:
            AccountNotReady: the account can't be read now, the key may not see this part of it, or there is no telling
                whether futures have a balance of this currency.
            ValueError: there is no such account, or the currency is not in upper case.
        """
        return self._read(lambda: self._balance(currency, account), timeout)

    @property
    def balances(self) -> tuple[AccountBalance, ...]:
        """All balances, by account and currency."""
        return self._read(self._balances)

    @property
    def orders(self) -> tuple[AccountOrder, ...]:
        """The open orders. One whose end can't be proved is among them, with `active` None."""
        return self._read(self._orders)

    def order(self, name: str, *, timeout: float | None = 0.0) -> AccountOrder | None:
        """Return an order, open or ended, by its id or its client id; None if it is not known."""
        return self._read(lambda: self._order(name), timeout)

    @property
    def positions(self) -> tuple[AccountPosition, ...]:
        """The open futures positions. Raises AccountNotReady if the key may not see them."""
        return self._read(self._seen_positions)

    @property
    def fills(self) -> tuple[AccountFill, ...]:
        """The fills since the start, the latest 10,000 of spot and of futures, in the order of their times."""
        return self._read(self._fills)

    def snapshot(self, *, timeout: float | None = 0.0) -> AccountSnapshot:
        """Return everything at one instant."""
        return self._read(
            lambda: AccountSnapshot(
                balances=self._balances(),
                orders=self._orders(),
                positions=self._positions(),
                fills=self._fills(),
                unproved=tuple(self._keeper.unproved()),
                reconciliations=self._keeper.reconciliations,
            ),
            timeout,
        )

    def _read(self, how: Callable[[], T], timeout: float | None = 0.0) -> T:
        """Return `how()`, after waiting up to `timeout` seconds for the account to be ready."""
        if self._closed:
            raise AccountNotReady("this account was closed; open it again with stream.account()")
        if timeout != 0.0:
            self._keeper.wait_until_settled(timeout)
        return self._keeper.read(how)

    def _states(self) -> list[Any]:
        """Return the states of the parts; raise AccountNotReady if one that was seen can't be seen any more."""
        for follower in self._keeper.followers.values():
            if follower.unseen is not None and not follower.part.state.is_starting:
                raise AccountNotReady(f"a part of the account can't be seen any more: {follower.unseen}")
        return [follower.part.state for follower in self._keeper.followers.values()]

    def _balances(self) -> tuple[AccountBalance, ...]:
        found: dict[tuple[str, str], AccountBalance] = {}
        for state in self._states():
            for balance in state.balances.values():
                key = balance.account, balance.currency
                found[key] = _sum(found[key], balance) if key in found else balance
        return tuple(found[key] for key in sorted(found))

    def _seen(self, market: str, name: str) -> None:
        """Raise AccountNotReady if the key may not see something: there is no telling whether it is empty."""
        follower = self._keeper.followers[market]
        reason = follower.part.unseen.get(market if follower.unseen is not None else name)
        if reason is not None:
            raise AccountNotReady(f"this part of the account can't be seen: {reason}")

    def _balance(self, currency: str, account: str) -> AccountBalance:
        if account == "futures":
            self._seen("futures", f"futures balance of {currency}")
        else:
            self._seen("spot", f"{_BALANCES.get(account.partition(' ')[0], 'spot')} balances")
        for balance in self._balances():
            if (balance.currency, balance.account) == (currency, account):
                return balance
        if account.partition(" ")[0] not in _ACCOUNTS:
            raise ValueError(f"account is {account!r}; it is one of {', '.join(_ACCOUNTS)}, or isolated and a symbol")
        if currency != currency.upper():
            raise ValueError(f"there is no balance of {currency!r}: KuCoin's names are in upper case")
        if account == "futures" and not self._keeper.followers["futures"].part.knows(currency):
            raise AccountNotReady(
                f"KuCoin was not asked for a futures balance of {currency}, as no contract is known to be settled in it"
                + (": its futures call bitcoin XBT" if currency == "BTC" else "")
            )
        nothing = Decimal(0)
        return AccountBalance(currency=currency, account=account, available=nothing, hold=nothing, total=nothing)

    def _orders(self) -> tuple[AccountOrder, ...]:
        return tuple(order for state in self._states() for order in state.open_orders())

    def _order(self, name: str) -> AccountOrder | None:
        return next((order for state in self._states() if (order := state.order(name)) is not None), None)

    def _seen_positions(self) -> tuple[AccountPosition, ...]:
        self._seen("futures", "futures positions")
        return self._positions()

    def _positions(self) -> tuple[AccountPosition, ...]:
        return tuple(position for state in self._states() for position in state.open_positions())

    def _fills(self) -> tuple[AccountFill, ...]:
        fills = [fill for state in self._states() for fill in state.fills.values()]
        return tuple(sorted(fills, key=lambda fill: fill.time_ns // 1_000_000))  # REST tells milliseconds

    # Changes

    def __iter__(self) -> Changes[AccountChange]:
        """Iterate over the changes from now on; see `AccountChange`.

        Every iterator gets all changes. The loop ends when the account or the stream is closed. It raises SlowConsumer
        if more than `maxsize` changes were waiting, and any error that ended the account.
        """
        self._check_open()
        return Changes(self._keeper.listen(self._maxsize), self)

    def close(self) -> None:
        """Stop holding the account. The last holder's `close` ends it. Closing it again does nothing."""
        run_or_defer(partial(self._release, self))

    def let_go(self) -> AccountKeeper:
        """Note that this holder is closed; return what keeps its account. For the stream."""
        self._closed = True
        if self.listener is not None:
            self.listener.close()
        return self._keeper

    @property
    def closed(self) -> bool:
        """Whether this holder was closed, or the account has ended."""
        return self._closed or self._keeper.ended is not None

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosed("this account was closed; open it again with stream.account()")

    def __enter__(self) -> LocalAccount:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - {"let_go", "listener"})

    def __repr__(self) -> str:
        try:
            text = self._keeper.under_lock(self._keeper.describe)
        except AccountNotReady:
            text = "in use"
        return f"<LocalAccount: {'closed' if self._closed else text}>"


def _sum(one: AccountBalance, other: AccountBalance) -> AccountBalance:
    """Return two balances of one currency in one kind of account, such as trading and high-frequency, as one."""
    return msgspec.structs.replace(
        one,
        account_id=None,
        available=AMOUNTS.add(one.available, other.available),
        hold=AMOUNTS.add(one.hold, other.hold),
        total=AMOUNTS.add(one.total, other.total),
        time_ns=max(one.time_ns, other.time_ns),
    )
