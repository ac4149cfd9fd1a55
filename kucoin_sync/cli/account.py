"""`kucoin-sync account`: the account of an API key, live, or its changes as lines of JSON."""

from __future__ import annotations

import argparse
import contextlib
from collections import deque

from .. import AccountChange, AccountNotReady, AccountSnapshot, LocalAccount
from ..account.values import AccountBalance, AccountFill, AccountOrder, AccountPosition
from . import figures
from .feed import TIMEOUT, CommandStream, open_feed
from .layout import Column, Line, Span, columns, line, printable
from .live import View, add_ending, show
from .output import Output

__all__ = ["DEMO_LAG", "DESCRIPTION", "EXAMPLES", "Account", "add_arguments", "run"]

DESCRIPTION = """\
Show the account of your API key until Ctrl-C: balances, open orders, positions and the latest fills of spot, margin and
futures, and what was missed during a cut. Files and pipes get the whole account as one JSON object on a line, and then
one line for each change. The key is that of KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE; the right
"General" is enough."""
EXAMPLES = """\
examples:
  kucoin-sync account --demo
  kucoin-sync account --json --seconds 60"""

DEMO_LAG = 0.5  # seconds by which REST of the local KuCoin may lag behind
_LAG = 5.0  # and that of KuCoin
_KEPT = 100  # fills
_OF_ALL = 4  # parts among which the lines are divided


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_ending(parser, "changes")


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the account until Ctrl-C."""
    with (
        open_feed(options, output, (), seconds=options.seconds) as feed,
        feed.stream.account(rest_lag=DEMO_LAG if options.demo else _LAG) as account,
    ):
        if output.records:
            _print(account, feed, options, output)
        else:
            show(output, Account(account), feed, count=options.count)
    return 0


def _print(account: LocalAccount, feed: CommandStream, options: argparse.Namespace, output: Output) -> None:
    changes = iter(account)
    account.wait_ready(feed.deadline.left(_LAG + TIMEOUT))
    output.record({"kind": "account", **account.snapshot(timeout=None).to_dict()})
    printed = 0
    while printed != options.count and (seconds := feed.deadline.left(TIMEOUT)):
        with contextlib.suppress(TimeoutError):
            output.record(changes.get(seconds).to_dict())
            printed += 1


class Account(View):
    """An account in four tables. While it can't be read, it shows the last state and why."""

    title = "Account"

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._changes = iter(account)
        self._last: AccountSnapshot | None = None
        self._why = ""
        self._fills: deque[AccountChange] = deque(maxlen=_KEPT)

    def update(self) -> None:
        came: list[AccountChange] = []
        with contextlib.suppress(TimeoutError):
            while True:
                came.append(self._changes.get(0))
        self._fills.extendleft(change for change in came if change.fill is not None)
        try:
            self._last, self._why = self._account.snapshot(), ""
        except AccountNotReady as error:
            if self._account.closed:
                self._account.wait_ready()  # raises the error that ended the account
            self._why = str(error)
        if self._last is not None:
            self.seen += len(came)

    def draw(self, width: int, height: int) -> list[Line]:
        found: list[Line] = [line(Span(self._why, "bold"))] if self._why else []
        if self._last is None:
            return found
        found += [line(Span(f"unknown: {printable(text)}", "bold")) for text in self._last.unproved]
        most = max(1, (height - len(found)) // _OF_ALL - 2)
        for title, heads, rows in (
            ("Balances", _BALANCE, map(_balance, self._last.balances)),
            ("Open orders", _ORDER, map(_order, self._last.orders)),
            ("Positions", _POSITION, map(_position, self._last.positions)),
            ("Fills", _FILL, map(_fill, self._fills)),
        ):
            shown = list(rows)
            found.append(line(Span(f"{title}: {len(shown) or 'none'}", "dim")))
            if shown:
                found += columns(heads, shown[:most], width)
        return found[:height]


# A column that does not fit is left out: a number that is cut reads like another number.
_BALANCE = (Column("account", right=False), Column("of", right=False), Column("available"), Column("hold", rank=1))
_ORDER = (Column("order", right=False), Column("size"), Column("price", rank=1), Column("filled", rank=2))
_POSITION = (Column("position", right=False), Column("size"), Column("entry", rank=2), Column("profit", rank=1))
_FILL = (Column("fill", right=False), Column("size"), Column("price", rank=1), Column("", right=False, rank=2))


def _balance(balance: AccountBalance) -> list[Span]:
    return [
        Span(printable(balance.account)),
        Span(printable(balance.currency), "bold"),
        Span(figures.plain(balance.available)),
        Span(figures.plain(balance.hold), "dim"),
    ]


def _order(order: AccountOrder) -> list[Span]:
    return [
        _what(order.side, order.symbol),
        Span(figures.plain(order.size)),
        Span(figures.plain(order.price)),
        Span(figures.plain(order.filled_size) + ("" if order.active else " ?")),
    ]


def _position(position: AccountPosition) -> list[Span]:
    return [
        Span(f"{position.side or '-'} {printable(position.symbol)}", "up" if position.side == "long" else "down"),
        Span(figures.plain(position.size)),
        Span(figures.plain(position.entry_price)),
        Span(figures.plain(position.unrealised_pnl)),
    ]


def _fill(change: AccountChange) -> list[Span]:
    fill: AccountFill | None = change.fill
    assert fill is not None, "only fills are kept"
    return [
        _what(fill.side, fill.symbol),
        Span(figures.plain(fill.size)),
        Span(figures.plain(fill.price)),
        Span("missed in a cut" if change.recovered else "", "dim"),
    ]


def _what(side: str | None, symbol: str) -> Span:
    return Span(f"{side or '-'} {printable(symbol)}", "up" if side == "buy" else "down")
