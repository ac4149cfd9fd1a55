"""The keeper of an account among stand-ins: what makes it ready, what its readers and listeners see, and its end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from kucoin_sync import (
    AccountFailed,
    AccountNotReady,
    AuthenticationError,
    ConnectionFailed,
    Event,
    RestError,
    StreamClosed,
)
from kucoin_sync.account.keeper import AccountKeeper
from kucoin_sync.account.part_follower import PartFollower
from kucoin_sync.testing.exchange import Push

from ...support.interrupts import read_before
from ...support.kept_accounts import KeptAccount
from ...support.threads import LIMIT, Task, until


@pytest.fixture
def kept() -> Iterator[KeptAccount]:
    kept = KeptAccount()
    yield kept
    kept.close()


def opened(kept: KeptAccount) -> KeptAccount:
    kept.keeper.open()
    kept.connect()
    kept.keeper.wait(LIMIT)
    return kept


def balance(available: str, time: int = 1) -> Push:
    data = {
        "accountId": "548674591001", "currency": "USDT", "available": available, "hold": "0", "total": available,
        "relationEvent": "trade.setted", "time": str(1_800_000_000_000 + time),
    }  # fmt: skip
    return Push("/account/balance", "account.balance", data)


def total(kept: KeptAccount) -> Any:
    states = kept.keeper.followers["spot"].part.state
    return kept.keeper.read(lambda: str(states.balances["548674591001", "USDT"].total))


def test_it_is_ready_when_each_part_is_in_step(kept: KeptAccount) -> None:
    keeper = kept.keeper
    keeper.open()
    with pytest.raises(AccountNotReady, match="spot: the server has not confirmed its topics yet; futures: "):
        keeper.read(lambda: None)
    kept.connect("spot")
    kept.manager.error = ConnectionFailed("no network")
    until(lambda: keeper.followers["spot"].live, "spot is not in step")
    with pytest.raises(AccountNotReady, match=r"because futures: .* \(no network\)"):
        keeper.wait(0.01)
    kept.connect("futures")
    keeper.wait(LIMIT)
    assert keeper.ready and keeper.reconciliations == 1
    assert keeper.describe() == "ready, 0 open orders, reconciled 1 times"


def test_pushes_are_applied_and_told(kept: KeptAccount) -> None:
    opened(kept)
    changes = kept.keeper.listen(10)
    kept.push(balance("7"))
    change: Any = changes.get(LIMIT)
    assert (change.kind, str(change.balance.total), change.reconciliations) == ("balance", "7", 1)
    assert total(kept) == "7"


def test_a_callback_gets_the_changes(kept: KeptAccount) -> None:
    seen: list[Any] = []
    listener = kept.keeper.listen(10, seen.append)
    opened(kept)
    until(lambda: seen, "the callback is not called")
    assert seen[0].kind == "reconciled"
    listener.close()


def test_a_cut_of_one_part_makes_it_unreadable_until_that_is_reconciled(kept: KeptAccount) -> None:
    opened(kept)
    kept.push(balance("7"))
    until(lambda: total(kept) == "7", "the push is not applied")
    kept.cut("spot")
    until(lambda: not kept.keeper.ready, "the cut is not noted")
    kept.manager.error = ConnectionFailed("a cut")
    with pytest.raises(AccountNotReady, match=r"spot: there is no connection to KuCoin: a cut$"):  # said once
        total(kept)
    kept.connect("spot")
    kept.keeper.wait(LIMIT)
    assert total(kept) == "1000000" and kept.keeper.reconciliations == 2


def test_topics_that_were_confirmed_before_count(kept: KeptAccount) -> None:
    kept.manager.carried = {topic for each in kept.keeper.followers.values() for topic in each.part.topics}
    kept.keeper.open()
    kept.keeper.wait(LIMIT)
    kept.keeper.carried([])
    assert kept.keeper.ready


def test_a_part_that_is_refused_is_left_out_and_named(kept: KeptAccount) -> None:
    kept.refusals["/api/v1/positions"] = AuthenticationError("no right", code="400007")
    opened(kept)
    assert kept.keeper.unproved() == ["futures: no right"]
    kept.push(balance("7"))
    until(lambda: total(kept) == "7", "the rest is not followed")


def test_with_all_parts_refused_it_ends(kept: KeptAccount) -> None:
    kept.refusals["/api/v1/positions"] = AuthenticationError("no right", code="400007")
    kept.refusals["/api/v1/accounts"] = RestError("900001", "no exchange")
    kept.keeper.open()
    kept.connect()
    with pytest.raises((RestError, AuthenticationError)):
        kept.keeper.wait(LIMIT)
    with pytest.raises(AccountNotReady, match="can't be read any more"):
        total(kept)


def test_an_account_of_a_closed_stream_is_not_one_to_wait_for(kept: KeptAccount) -> None:
    opened(kept)
    kept.manager.closed = True
    kept.keeper.close()
    with pytest.raises(StreamClosed, match=r"can't be read any more: .* closed with its stream"):
        total(kept)


def test_a_subscription_that_ends_with_an_error_leaves_its_part_out(kept: KeptAccount) -> None:
    opened(kept)
    kept.keeper.followers["futures"].queues[1].finish(ConnectionFailed("no futures for you"))
    until(lambda: kept.keeper.unproved() == ["futures: no futures for you"], "the part is not left out")
    assert kept.keeper.ready


def test_unsubscribed_topics_end_it(kept: KeptAccount) -> None:
    opened(kept)
    loop = kept.keeper.listen(10)
    kept.keeper.followers["spot"].queues[1].finish(None)
    until(lambda: kept.keeper.ended is not None, "it does not end")
    with pytest.raises(StreamClosed, match="unsubscribed"):
        kept.keeper.wait(LIMIT)
    assert list(loop) == []
    assert list(kept.keeper.listen(10)) == []


def test_a_failed_opening_leaves_nothing_behind(kept: KeptAccount) -> None:
    kept.subscriber.error = ConnectionFailed("no thread")
    with pytest.raises(ConnectionFailed, match="no thread"):
        kept.keeper.open()
    assert [each.closed for each in kept.subscriber.made] == [True]
    kept.manager.closed = True
    with pytest.raises(StreamClosed):
        kept.keeper.open()


def test_the_end_wakes_those_that_wait_and_is_told_as_the_users_own(kept: KeptAccount) -> None:
    kept.keeper.open()
    waiting = Task(partial(kept.keeper.wait, None))
    until(lambda: kept.keeper._waiting, "nobody waits")
    kept.close()
    with pytest.raises(StreamClosed, match="closed with its stream"):
        waiting.result()
    assert kept.keeper.describe() == "ended, the account was closed with its stream"
    assert kept.manager.watchers == {}


@pytest.mark.parametrize("error", [MemoryError("no memory"), RuntimeError("a defect")])
def test_after_a_shortage_it_begins_anew_and_after_a_defect_it_ends(kept: KeptAccount, error: Exception) -> None:
    opened(kept)
    take, errors = PartFollower.take, [error]

    def fail_once(follower: PartFollower, now: float) -> bool:
        if errors:
            raise errors.pop()
        return take(follower, now)

    events: list[Event] = []
    with patch.object(PartFollower, "take", fail_once), patch.object(kept.callbacks, "emit", events.append):
        kept.push(balance("7"))
        until(lambda: not errors, "nothing happens")
        until(lambda: kept.keeper.reconciliations == 2 or events, "nothing comes of it")
    if isinstance(error, MemoryError):
        kept.keeper.wait(LIMIT)
        assert kept.keeper.reconciliations == 2
    else:
        with pytest.raises(ConnectionFailed, match="a defect in this package: RuntimeError") as caught:
            kept.keeper.wait(LIMIT)
        assert events == [AccountFailed(caught.value)]


@pytest.mark.parametrize("change", ["end", "_change"])
def test_a_read_that_interrupts_a_change_at_any_step_waits_for_nobody(change: str) -> None:
    def walk() -> int:
        for step in itertools.count(1):
            keeper = KeptAccount().keeper
            call = {
                "end": lambda keeper=keeper: keeper.end(StreamClosed("the end")),  # type: ignore[misc]
                "_change": lambda keeper=keeper: keeper._change(lambda: None, None),  # type: ignore[misc]
            }[change]

            def read(keeper: AccountKeeper = keeper) -> None:
                with suppress(AccountNotReady):
                    keeper.under_lock(lambda: None)

            code = {getattr(AccountKeeper, change).__code__, AccountKeeper.update.__code__}
            if not read_before(step, call, keeper, read, code):
                return step
        raise AssertionError

    assert Task(walk).result() > 30


def test_a_forked_child_begins_anew_when_it_resumes(kept: KeptAccount) -> None:
    opened(kept)
    keeper = kept.keeper
    threads = [keeper._thread, *keeper._calls.close()]
    seen: list[Any] = []
    keeper.listen(10, seen.append)
    with patch.object(keeper, "ended", StreamClosed("the parent's thread ends")):
        keeper._queue.put(lambda now: None)
        for thread in threads:
            assert thread is not None
            thread.join(LIMIT)
    keeper.after_fork()
    assert not keeper.ready
    keeper.resume()
    kept.connect()
    keeper.wait(LIMIT)
    keeper.resume()
    until(lambda: seen, "the callback is not called")
