"""What users hold: reads, waits, several holders. `tests/end_to_end/test_account.py` has whole programs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from decimal import Decimal, DefaultContext, localcontext
from typing import Any

import pytest

from kucoin_sync import AccountNotReady, StreamClosed
from kucoin_sync.account.local_account import LocalAccount
from kucoin_sync.account.values import AccountBalance
from kucoin_sync.exceptions import RestError

from ...support.kept_accounts import KeptAccount
from ...support.threads import LIMIT, until


@pytest.fixture
def kept_with_orders() -> Iterator[KeptAccount]:
    kept = KeptAccount()
    kept.exchange.place("BTC-USDT", "buy", "0.1", "60000", user="demo-user", client_oid="mine")
    kept.exchange.place("XBTUSDTM", "buy", 2, user="demo-user")
    kept.exchange.take_pushes()
    kept.keeper.open()
    yield kept
    kept.close()


@pytest.fixture
def account(kept_with_orders: KeptAccount) -> LocalAccount:
    return LocalAccount(kept_with_orders.keeper, 10, lambda each: each.let_go())


def test_reads_wait_for_it_or_raise(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    assert not account.ready
    with pytest.raises(AccountNotReady, match="can't be read now, because spot: "):
        account.balance("USDT")
    with pytest.raises(AccountNotReady):
        account.balance("USDT", timeout=0.01)
    assert "not ready, spot: " in repr(account)
    kept_with_orders.connect()
    assert account.balance("USDT", timeout=LIMIT).hold == Decimal(6006)
    assert account.ready and account.wait_ready(0) is account
    order = account.order("mine", timeout=LIMIT)
    assert order is not None and account.order(order.order_id) == order
    assert account.order("other") is None


def test_what_was_seen_and_is_refused_is_not_told_as_it_was_and_comes_back_after_the_next_cut(
    kept_with_orders: KeptAccount, account: LocalAccount
) -> None:
    kept_with_orders.connect()
    account.wait_ready(LIMIT)
    kept_with_orders.cut("futures")
    kept_with_orders.refusals["/api/v1/orders"] = RestError("400100", "not today")
    kept_with_orders.connect("futures")
    until(lambda: account.unproved, "nothing is refused")
    for read in (lambda: account.orders, lambda: account.positions, lambda: account.balances, account.snapshot):
        with pytest.raises(AccountNotReady, match="not today"):
            read()
    kept_with_orders.refusals.clear()
    kept_with_orders.cut("futures")
    kept_with_orders.connect("futures")
    until(lambda: account.ready and not account.unproved, "it is not seen again")
    assert len(account.positions) == 1


def test_a_snapshot_has_everything_at_one_instant(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    kept_with_orders.connect()
    snapshot = account.snapshot(timeout=LIMIT)
    assert snapshot.balances == account.balances
    assert (snapshot.orders, snapshot.positions, snapshot.fills) == (account.orders, account.positions, account.fills)
    assert (snapshot.unproved, snapshot.reconciliations) == ((), 1)
    assert [(each.account, each.currency) for each in snapshot.balances] == [
        ("futures", "USDT"),
        ("trade", "BTC"),
        ("trade", "USDT"),
    ]


def test_balances_of_two_accounts_of_one_kind_are_one(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    kept_with_orders.connect()
    account.wait_ready(LIMIT)
    state = kept_with_orders.keeper.followers["spot"].part.state
    one = Decimal(1)
    state.balances["other", "USDT"] = AccountBalance(
        currency="USDT", account="trade", account_id="other", available=one, hold=one, total=one + one
    )
    balance = account.balance("USDT")
    assert (balance.total, balance.hold, balance.account_id) == (1_000_002, 6007, None)
    assert account.balance("USDT", "main").total == 0


def test_the_sums_are_exact_in_a_program_that_rounds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultContext, "prec", 3)  # each thread begins with it
    kept = KeptAccount()
    kept.keeper.open()
    try:
        account = LocalAccount(kept.keeper, 10, lambda each: each.let_go())
        kept.connect()
        account.wait_ready(LIMIT)
        kept.exchange.take_pushes()
        kept.exchange.place("BTC-USDT", "buy", "0.35802467", user="demo-user")
        followed = [topic for follower in kept.keeper.followers.values() for topic in follower.part.topics]
        for push in kept.exchange.take_pushes():
            if push.topic in followed:
                kept.push(push)
        until(lambda: account.balance("BTC", timeout=LIMIT).total != 12, "the fills do not come")
        with localcontext() as context:
            context.prec = 3
            assert account.balance("BTC", timeout=LIMIT).total == Decimal("12.35802467")
            state = kept.keeper.followers["spot"].part.state
            state.balances["other", "BTC"] = account.balance("BTC")
            assert account.balance("BTC").total == Decimal("24.71604934")
        assert not state.missing_fills() and account.unproved == ()
    finally:
        kept.close()


def test_a_balance_that_can_not_exist_is_not_zero(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    kept_with_orders.connect()
    account.wait_ready(LIMIT)
    assert account.balance("ETH").total == account.balance("BTC", "isolated BTC-USDT").total == 0
    with pytest.raises(ValueError, match="account is 'spot'; it is one of trade, main, "):
        account.balance("USDT", "spot")
    with pytest.raises(ValueError, match="no balance of 'usdt': KuCoin's names are in upper case"):
        account.balance("usdt")
    assert account.balance("ETH", "futures").total == 0
    with pytest.raises(AccountNotReady, match="not asked for a futures balance of KCS, as no contract is known to be "):
        account.balance("KCS", "futures")
    with pytest.raises(AccountNotReady, match="settled in it: its futures call bitcoin XBT"):
        account.balance("BTC", "futures")


def test_iterating_gets_the_changes_from_then_on(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    changes = iter(account)
    kept_with_orders.connect()
    assert changes.get(LIMIT).kind == "reconciled"
    assert changes.pending == 0


def test_a_closed_holder_reads_no_more(kept_with_orders: KeptAccount, account: LocalAccount) -> None:
    kept_with_orders.connect()
    with account:
        account.wait_ready(LIMIT)
    assert account.closed and not account.ready
    for use in (lambda: account.orders, lambda: account.snapshot()):
        with pytest.raises(AccountNotReady, match="this account was closed"):
            use()
    for wait in (lambda: iter(account), lambda: account.wait_ready(0)):
        with pytest.raises(StreamClosed):
            wait()
    assert account.let_go() is kept_with_orders.keeper, "it can be closed again"
    assert repr(account) == "<LocalAccount: closed>"
    assert kept_with_orders.keeper.ready, "others may hold it"


def test_it_is_of_one_process_and_shows_its_users_names(account: LocalAccount) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(account)
    names: Any = dir(account)
    assert {"balance", "orders", "unproved", "close"} <= set(names) and "let_go" not in names
