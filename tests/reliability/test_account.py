"""A local account equals the exchange's after each reconciliation, whatever was missed and however late REST is."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.accounts import SimulatedAccount, fills_of, held, truth


def _fill_keys(account: SimulatedAccount) -> Counter[tuple[str, str, str]]:
    fills = [change.fill for change in account.changes if change.fill is not None]
    return Counter((fill.symbol, fill.trade_id, fill.order_id) for fill in fills)


def walk(seed: int, cuts: int) -> SimulatedAccount:
    """Trade while the connections are cut at random instants; check the account after each reconciliation."""
    account = SimulatedAccount(seed)
    for _ in range(20):
        account.trader.act()  # what was before the start is no change
    account.run(6.0)
    before = set(fills_of(account.exchange))

    def check() -> None:
        assert held(account.followers.values()) == truth(account.exchange)
        happened = [key for key in fills_of(account.exchange) if key not in before]
        assert _fill_keys(account) == Counter(happened)

    account.on_reconciled = check
    for market in account.followers:
        account.connect(market)
    account.run(8.0)
    rng = account.rng
    for _ in range(cuts):
        for _ in range(rng.randrange(8)):
            account.trade()
            account.run(rng.uniform(0, 0.5))
        for market in rng.choice([("spot",), ("futures",), ("spot", "futures")]):
            account.cut(market)
        for _ in range(rng.randrange(12)):
            account.trade()
            account.run(rng.uniform(0, 0.6))
        for market, connected in account.connected.items():
            if not connected:
                account.connect(market)
        if rng.random() < 0.7:
            for _ in range(rng.randrange(10)):
                account.trade()
                account.run(rng.uniform(0, 1.0))
            account.run(20.0)
    account.run(30.0)
    assert account.reconciled > cuts // 2
    assert not [change for change in account.changes if change.kind == "unknown"]
    return account


@pytest.mark.parametrize("seed", range(2))
def test_it_equals_the_exchange_after_each_reconciliation(seed: int) -> None:
    account = walk(seed, cuts=15)
    recovered = [change.kind for change in account.changes if change.recovered]
    assert {"fill", "order", "balance"} <= set(recovered)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_it_equals_the_exchange_after_each_of_200_cuts(seed: int) -> None:
    walk(seed, cuts=200)
