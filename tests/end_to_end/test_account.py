"""A local account over a real connection to the local KuCoin: start, cut, refusals, holders, forks, and its end."""

from __future__ import annotations

import os
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import AccountNotReady, AuthenticationError, LocalAccount, Rotated, Stream, StreamClosed
from kucoin_sync.account import AccountChange, AccountOrder
from kucoin_sync.account.keeper import AccountKeeper
from kucoin_sync.testing import Exchange, KucoinServer, LiveExchange

from ..support.forks import child
from ..support.streams import FAST
from ..support.threads import LIMIT, Task, until

LAG = 0.2  # seconds that the accounts here give REST


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(["BTC-USDT", "XBTUSDTM"], seed=7)}


def changes_until(changes: Any, kind: str) -> list[AccountChange]:
    """Return the changes up to the next one of a kind."""
    found = [changes.get(LIMIT)]
    while found[-1].kind != kind:
        found.append(changes.get(LIMIT))
    return found


def spot(account: Any) -> dict[str, tuple[Decimal, Decimal]]:
    return {each.currency: (each.available, each.hold) for each in account.balances if each.account == "trade"}


def test_it_begins_with_what_the_exchange_has(
    server: KucoinServer, stream: Stream, live_exchange: LiveExchange
) -> None:
    resting = live_exchange.place("BTC-USDT", "buy", "0.1", "60000", client_oid="mine")
    live_exchange.place("XBTUSDTM", "sell", 3)
    with server.trading():  # nothing is answered before the end of this block
        account = stream.account(rest_lag=LAG)
        changes = iter(account)
        with pytest.raises(AccountNotReady, match="because spot: "):
            _ = account.orders
    assert account.wait_ready(LIMIT) is account and account.ready
    assert spot(account) == live_exchange.balances()
    assert account.balance("USDT").hold == Decimal("6006")
    assert account.balance("DOGE").total == 0
    assert [order.order_id for order in account.orders] == [resting]
    order = account.order("mine")
    assert order is not None and order is account.order(resting)
    assert (order.side, order.price, order.remaining_size, order.active) == ("buy", 60000, Decimal("0.1"), True)
    [position] = account.positions
    assert (position.symbol, position.side, position.size) == ("XBTUSDTM", "short", 3)
    assert account.balance("USDT", "futures").total < 500_000
    assert account.fills == () and account.unproved == ()
    assert account.reconciliations == 1
    assert [change.kind for change in changes_until(changes, "reconciled")] == ["reconciled"]
    assert repr(account) == "<LocalAccount: ready, 1 open orders, reconciled 1 times>"


def test_it_follows_the_pushes(stream: Stream, live_exchange: LiveExchange) -> None:
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    changes = iter(account)
    live_exchange.place("BTC-USDT", "buy", "0.0001", client_oid="buy")
    live_exchange.place("XBTUSDTM", "buy", 2)
    kinds: set[str] = set()
    while kinds != {"balance", "fill", "order", "position"}:
        kinds.add(changes.get(LIMIT).kind)
    both = {"BTC-USDT", "XBTUSDTM"}
    until(lambda: {fill.symbol for fill in account.fills} == both and account.positions, "fills are missing")
    until(lambda: spot(account) == live_exchange.balances() and not account.orders, "the account does not follow")
    order = account.order("buy")
    assert order is not None and order.ending == "filled" and order.filled_size == Decimal("0.0001")


@pytest.mark.parametrize("symbol", ["BTC-USDT", "XBTUSDTM"])
def test_a_fill_whose_push_is_lost_is_found_while_the_connection_stays(
    server: KucoinServer, stream: Stream, symbol: str
) -> None:
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    changes = iter(account)
    with server.trading() as traded:
        _, _, [first, second, *_] = traded.level2(symbol)
        bought = traded.place(symbol, "buy", Decimal(first[1]) + Decimal(second[1]))
        pushes = traded.take_pushes()
        matches = [push for push in pushes if "tradeOrders" in push.topic and push.data["type"] == "match"]
        server.publish_many([push for push in pushes if push is not matches[0]])
    found = changes_until(changes, "reconciled")
    told = [(change.fill.trade_id, change.recovered) for change in found if change.fill]
    assert told == [(push.data["tradeId"], False) for push in matches[1:]] + [(matches[0].data["tradeId"], True)]
    ending = [change.fill or change.order for change in found if change.fill or change.order][-1]
    assert isinstance(ending, AccountOrder) and (ending.order_id, ending.ending) == (bought, "filled")


def test_pushes_that_can_never_be_read_leave_it_ready_with_a_doubt(server: KucoinServer, stream: Stream) -> None:
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)

    def spoil() -> bool:
        data = {"accountId": "1", "currency": "USDT", "available": "?", "hold": "0", "relationEvent": "trade.hold"}
        server.publish("/account/balance", data, user=server.USER)
        return account.ready and bool(account.unproved)

    until(spoil, "the account does not become ready")
    assert "can't be read" in account.unproved[0]
    until(lambda: account.ready and not account.unproved, "the doubt does not end")


def test_what_a_cut_hid_comes_as_recovered_changes_each_once(
    server: KucoinServer, stream: Stream, live_exchange: LiveExchange
) -> None:
    server.lag_rest(0.1)
    resting = live_exchange.place("BTC-USDT", "buy", "0.1", "60000")
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    changes = iter(account)
    with server.trading() as traded:  # nothing is pushed before the end of this block
        server.drop_connections()
        traded.cancel(resting)
        bought = traded.place("BTC-USDT", "buy", "0.0001")
        sold = traded.place("XBTUSDTM", "sell", 1)
        traded.take_pushes()
    found = changes_until(changes, "reconciled")
    assert all(change.recovered for change in found[:-1])
    assert {change.fill.order_id for change in found if change.fill} == {bought, sold}
    endings = {change.order.order_id: change.order.ending for change in found if change.order}
    assert endings == {resting: "canceled", bought: "filled", sold: "filled"}
    fills = [(change.fill.symbol, change.fill.trade_id) for change in found if change.fill]
    assert len(set(fills)) == len(fills)
    assert all(fill.fee is not None for fill in account.fills)
    assert spot(account) == live_exchange.balances() and account.reconciliations == 2
    assert [(each.side, each.size) for each in account.positions] == [("short", 1)]


def test_with_rest_refused_reads_raise_and_nothing_is_invented(
    server: KucoinServer, stream: Stream, live_exchange: LiveExchange
) -> None:
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    changes = iter(account)
    server.fail_rest("/api/v1/[ahopr]*", 500, "500000", times=None)
    server.drop_connections()
    until(lambda: "500000" in str(_refusal(account)), "the reason does not show")
    live_exchange.place("BTC-USDT", "buy", "0.0001")
    with pytest.raises(AccountNotReady, match="not ready within"):
        account.wait_ready(0.3)
    assert not [change for change in (changes.get(1) for _ in range(changes.pending)) if change.recovered]
    server.reset_script()
    account.wait_ready(LIMIT)
    assert spot(account) == live_exchange.balances()


def _refusal(account: Any) -> object:
    try:
        return account.balances and ""
    except AccountNotReady as error:
        return error


def test_a_refused_key_ends_it(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest("/api/v1/accounts", 401, "400003", times=None)
    account = stream.account(rest_lag=LAG)
    with pytest.raises(AuthenticationError):
        account.wait_ready(LIMIT)
    with pytest.raises(AccountNotReady, match="any more"):
        _ = account.orders
    assert account.closed


def test_without_a_key_there_is_none(server: KucoinServer) -> None:
    options = {**server.stream_options, "credentials": None}
    with Stream(**options) as stream, pytest.raises(AuthenticationError, match="needs an API key"):
        stream.account()


def test_what_the_key_may_not_see_is_named_and_not_fatal(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest("/api/v1/positions", 401, "400007", times=None)
    server.fail_rest("/api/v3/isolated/accounts", 401, "400007", times=None)
    server.fail_rest("/api/v3/hf/margin/*", 400, "101030", "not enabled", times=None)
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    named = [text.partition(":")[0] for text in account.unproved]
    assert sorted(named) == ["cross margin", "futures", "isolated margin", "isolated margin balances"]
    assert account.balance("USDT").total == account.balance("USDT").available == 1_000_000
    assert account.balance("USDT", "margin").total == 0
    hidden: Any
    for hidden in (
        lambda: account.balance("USDT", "futures"),
        lambda: account.balance("USDT", "isolated BTC-USDT"),
        lambda: account.positions,
    ):
        with pytest.raises(AccountNotReady, match=r"can't be seen: .*400007"):
            hidden()
    assert account.snapshot().positions == (), "there it is among what is unproved"


def test_several_holders_share_one_and_the_last_ends_it(server: KucoinServer, stream: Stream) -> None:
    seen: list[AccountChange] = []
    with server.trading():  # nothing is answered before the end of this block
        one, other = stream.account(rest_lag=LAG), stream.account()
        third = stream.account(on_change=seen.append)
    one.wait_ready(LIMIT)
    other.wait_ready(LIMIT)
    until(lambda: seen, "on_change is not called")
    assert len([each for each in server.requests if each.path == "/api/v1/recentFills"]) == 1
    one.close()
    one.close()
    assert one.closed and not other.closed
    with pytest.raises(AccountNotReady, match="closed"):
        _ = one.orders
    with pytest.raises(StreamClosed):
        iter(one)
    assert other.orders == ()
    third.close()
    other.close()
    assert other.closed
    again = stream.account(rest_lag=LAG)
    assert again.wait_ready(LIMIT).reconciliations == 1


def test_an_account_opened_while_the_last_holder_closes_is_a_new_one(
    server: KucoinServer, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[LocalAccount] = []
    end = AccountKeeper.end

    def end_late(keeper: AccountKeeper, error: Exception) -> Any:
        if not opened:
            opened.append(Task(lambda: stream.account(rest_lag=LAG)).result())
        return end(keeper, error)

    first = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    monkeypatch.setattr(AccountKeeper, "end", end_late)
    first.close()
    [again] = opened
    assert first.closed and not again.closed
    assert again.wait_ready(LIMIT).reconciliations == 1
    server.drop_connections()
    until(lambda: again.ready and again.reconciliations == 2, "it does not notice a cut")


def test_it_ends_with_the_stream(server: KucoinServer) -> None:
    with Stream(**server.stream_options) as stream:
        account = stream.account(rest_lag=2 * LIMIT)  # so it is not ready before the end
        waiting = Task(account.wait_ready)
        changes = iter(account)
        loop = Task(list, changes)
    with pytest.raises(StreamClosed, match="the account was closed with its stream"):
        waiting.result()
    assert loop.result() == []
    with pytest.raises(StreamClosed):
        stream.account()


def test_unusual_arguments_are_refused(stream: Stream) -> None:
    options: Any
    for options in ({"maxsize": 0}, {"maxsize": None}, {"rest_lag": -1}):
        with pytest.raises(ValueError):
            stream.account(**options)
    with pytest.raises(TypeError):
        stream.account(on_change=3)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_follows_on_its_own(server: KucoinServer, stream: Stream, live_exchange: LiveExchange) -> None:
    live_exchange.place("BTC-USDT", "buy", "0.1", "60000")
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)

    def run(say: Any) -> None:
        say(account.ready)
        account.wait_ready(LIMIT)
        say((len(account.orders), spot(account)))
        stream.close()

    with ExitStack() as held:
        held.enter_context(server.trading())  # nothing is answered before this is closed
        with child(run) as forked:
            assert forked.hear() is False
            held.close()
            assert forked.hear() == (1, live_exchange.balances())
    assert account.ready and spot(account) == live_exchange.balances()
    assert account.reconciliations == 1


def test_it_ends_when_one_of_its_topics_is_unsubscribed(stream: Stream) -> None:
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    stream.unsubscribe("/account/balance")
    until(lambda: account.closed, "it goes on without its balances")
    with pytest.raises(StreamClosed, match="unsubscribed"):
        account.wait_ready(0)


def test_a_refused_topic_leaves_its_part_out(server: KucoinServer, stream: Stream) -> None:
    server.reject_next(404, topic="/contract/positionAll")
    account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
    [reason] = account.unproved
    assert reason.startswith("futures: KuCoin rejected the topic '/contract/positionAll'")


def test_a_connection_that_is_replaced_in_time_costs_no_reconciliation(
    server: KucoinServer, live_exchange: LiveExchange
) -> None:
    events: list[Any] = []
    with Stream(**server.stream_options, limits=FAST, rotate_after=1.0, on_event=events.append) as stream:
        account = stream.account(rest_lag=LAG).wait_ready(LIMIT)
        until(lambda: sum(isinstance(event, Rotated) for event in events) >= 2, "no connection is replaced")
        live_exchange.place("BTC-USDT", "buy", "0.0001")
        until(lambda: account.fills and spot(account) == live_exchange.balances(), "the account does not follow")
        assert account.reconciliations == 1
