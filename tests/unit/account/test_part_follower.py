"""One part that follows, on a number for a clock; the property tests of `reliability` walk through it at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kucoin_sync.account.calls import Plan
from kucoin_sync.account.part import SLACK_NS
from kucoin_sync.account.part_follower import PartFollower
from kucoin_sync.account.reconciliation import PUSHES_WAIT, RETRIES
from kucoin_sync.exceptions import AuthenticationError, RestError, SlowConsumer

from .test_reconciliation import SomePart

LAG = 5.0


class Calls:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.dropped: list[object] = []

    def ask(self, calls: Any, done: Any) -> object:
        self.asked.append((list(calls), done))
        return len(self.asked)

    def drop(self, batch: object) -> None:
        self.dropped.append(batch)

    def obstacle(self, batch: object) -> str:
        return "REST is slow"


class Queue:
    def __init__(self) -> None:
        self.pushes: list[Any] = []
        self.notices: list[Exception] = []
        self.decoder = SimpleNamespace(unreadable=0)

    def __len__(self) -> int:
        return len(self.pushes)

    @property
    def alert(self) -> bool:
        return bool(self.notices)

    def notice(self) -> Exception | None:
        return self.notices.pop() if self.notices else None

    def take_messages(self, limit: int) -> Iterator[Any]:
        taken, self.pushes = self.pushes[:limit], self.pushes[limit:]
        return iter(taken)


class Follower(PartFollower):
    """A follower with its surroundings."""

    def __init__(self) -> None:
        self.calls, self.queue, self.now = Calls(), Queue(), 0.0
        answered = cast(Any, lambda follower, *more: follower.answers(*more, follower.now))
        super().__init__(SomePart(), LAG, cast(Any, self.calls), answered)
        self.subscriptions = cast(Any, [SimpleNamespace(message_queue=self.queue)])

    def answer(self, *answers: Any) -> None:
        """Answer the latest calls."""
        self.calls.asked[-1][1](list(answers) or [{}])

    def push(self, available: int = 1, **more: Any) -> None:
        data = {"currency": "USDT", "accountId": "a", "available": available, "hold": 0, "time": "1", **more}
        self.queue.pushes.append(SimpleNamespace(topic="/account/balance", data=data, lost=0))


def in_step() -> Follower:
    follower = Follower()
    follower.carried(["/t"], 0.0)
    follower.answer()
    follower.act(LAG)
    follower.answer()
    assert follower.live
    return follower


def test_it_is_in_step_after_its_first_reconciliation() -> None:
    follower = Follower()
    assert (follower.live, follower.settled, follower.next_deadline) == (False, False, math.inf)
    follower.carried(["/t"], 10.0)
    assert follower.why() == "it is being reconciled with what REST tells; REST is slow"
    follower.answer()
    assert follower.next_deadline == 10.0 + LAG
    follower.act(10.0 + LAG - 0.1)
    assert len(follower.calls.asked) == 1
    follower.act(10.0 + LAG)
    follower.answer()
    assert follower.live and follower.why() == ""


def test_pushes_wait_for_the_first_answers_but_not_for_long() -> None:
    follower = in_step()
    follower.lost(["/t"], "a cut", [])
    follower.carried(["/t"], 100.0)
    follower.push()
    assert not follower.take(100.0) and len(follower.queue) == 1
    assert follower.next_deadline == 100.0 + PUSHES_WAIT
    assert follower.act(100.0 + PUSHES_WAIT)
    follower.take(100.0 + PUSHES_WAIT)
    assert len(follower.queue) == 0 and len(follower.part.state.balances) == 1


def test_what_was_pushed_before_a_cut_is_applied_and_counts_as_older() -> None:
    follower = in_step()
    follower.push()
    follower.lost(["/t"], "a cut", follower.drain())
    assert follower.reason == "a cut" and len(follower.part.state.balances) == 1
    assert not follower.part.state.fresh


def test_a_cut_in_between_abandons_the_run_and_late_answers() -> None:
    follower = in_step()
    follower.lost(["/t"], "a cut", [])
    follower.carried(["/t"], 100.0)
    late = follower.calls.asked[-1][1]
    follower.lost(["/t"], "another cut", [])
    late([{}])
    assert follower.calls.dropped == [3]
    assert (follower.reason, follower.next_deadline) == ("another cut", math.inf)
    follower.carried(["/t"], 200.0)
    assert len(follower.calls.asked) == 4
    late([{}])
    assert follower.next_deadline == 200.0 + PUSHES_WAIT, "the new run still waits for its own answers"


@pytest.mark.parametrize("spoil", ["lost", "unreadable data", "unreadable frame", "overflow"])
def test_a_missing_push_makes_it_begin_again(spoil: str) -> None:
    follower = in_step()
    follower.push()
    if spoil == "lost":
        follower.queue.pushes[0].lost = 3
    elif spoil == "unreadable data":
        follower.queue.pushes[0].data = ["what?"]
    elif spoil == "overflow":
        follower.queue.notices.append(SlowConsumer("too slow"))
    else:
        take = follower.queue.take_messages

        def spoiled(limit: int) -> Iterator[Any]:
            follower.queue.decoder.unreadable += 1
            return take(limit)

        follower.queue.take_messages = spoiled  # type: ignore[method-assign]
    follower.take(50.0)
    assert not follower.live and follower.part.state.collecting
    assert len(follower.calls.asked) == 3


def match(filled: int, size: int) -> Any:
    data = {
        "symbol": "S", "orderId": "1", "side": "buy", "type": "match", "originSize": "9", "filledSize": filled,
        "matchSize": size, "matchPrice": "1", "tradeId": str(filled), "ts": 1_700_000_000_000_000_000,
    }  # fmt: skip
    return SimpleNamespace(topic="/spotMarket/tradeOrdersV2", data=data, lost=0)


def test_a_match_that_is_not_pushed_makes_it_begin_again_after_a_moment() -> None:
    follower = in_step()
    follower.queue.pushes = [match(2, 2), match(7, 1)]
    follower.take(50.0)
    assert follower.live and follower.next_deadline == 50.0 + RETRIES[0]
    follower.act(50.9)
    assert follower.live
    follower.act(51.0)
    assert not follower.live and follower.part.state.collecting
    assert len(follower.calls.asked) == 3


def test_a_match_that_is_pushed_late_changes_nothing() -> None:
    follower = in_step()
    follower.queue.pushes = [match(7, 5), match(9, 2)]
    follower.take(50.0)
    follower.queue.pushes = [match(2, 2), match(9, 1)]
    follower.take(50.5)
    follower.act(51.0)
    assert follower.live and follower.next_deadline == math.inf


def test_each_order_that_lacks_fills_has_its_own_moment() -> None:
    follower = in_step()
    follower.queue.pushes = [match(2, 1)]
    follower.take(50.0)
    other = match(3, 1)
    other.data["orderId"] = "2"
    follower.queue.pushes = [match(1, 1), other]
    follower.take(50.9)
    follower.act(51.0)
    assert follower.live and follower.next_deadline == 52.0
    follower.act(52.0)
    assert not follower.live


def test_pushes_that_can_not_be_read_again_and_again_do_not_keep_it_unready() -> None:
    follower = in_step()
    state, ready = follower.part.state, []

    def spoil() -> None:
        follower.queue.pushes.append(SimpleNamespace(topic="/account/balance", data=["what?"], lost=0))
        follower.take(follower.now)

    def go_on(steps: int) -> None:
        for _ in range(steps):
            follower.now += LAG / 5
            follower.act(follower.now)
            if follower._batch is not None:
                follower.answer()
            ready.append(follower.live)

    for _ in range(40):
        spoil()
        go_on(4)
    first = ready.index(True)
    assert first <= 5 * 4 and all(ready[first:])
    assert "can't be read" in state.doubts["pushes"] and state.collecting
    assert [change.kind for change in state.take_changes()] == ["unknown"]
    go_on(12)
    assert follower.live and not state.doubts and not state.collecting
    spoil()
    assert not follower.live, "a single one is waited for"


def test_a_run_that_follows_a_doubt_asks_for_what_the_missing_push_may_have_told() -> None:
    follower = in_step()
    state = follower.part.state
    state.newest_ns = 1_700_000_000 * 10**9
    follower.lost(["/t"], "a cut", [])
    follower.carried(["/t"], 100.0)
    follower.answer()
    state.newest_ns += 60 * 10**9
    follower._miss("gone", 200.0)
    state.newest_ns += 60 * 10**9
    follower.act(200.0)
    follower.answer()
    assert follower.live and state.doubts
    assert follower.part.since_ns == 1_700_000_060 * 10**9 - SLACK_NS
    follower._miss("gone again", 201.0)
    follower.lost(["/t"], "a cut", [])
    assert not follower.live and follower.reason == "a cut"
    follower.carried(["/t"], 300.0)
    follower.answer()
    follower.act(300.0 + LAG)
    follower.answer()
    assert follower.live and not state.doubts, "all that was missing is from before this run"


def test_several_missing_pushes_in_a_row_are_waited_for() -> None:
    follower = in_step()
    for now in (50.0, 50.1, 50.0 + LAG - 0.1):
        follower._miss("gone", now)
    follower.answer()
    follower.act(50.0 + LAG)
    assert not follower.live
    follower.act(50.0 + 2 * LAG)
    follower.answer()
    assert follower.live and not follower.part.state.doubts


def test_what_is_missing_before_a_run_begins_needs_no_other_one() -> None:
    follower = Follower()
    follower._miss("gone", 0.0)
    assert follower.calls.asked == [] and follower.next_deadline == math.inf


def test_a_part_that_may_not_be_seen_is_left_out() -> None:
    follower = Follower()
    follower.carried(["/t"], 0.0)
    follower.answer(RestError("900001", "no"))
    assert (follower.live, follower.settled) == (False, True)
    assert follower.part.unseen["spot"].startswith("spot: KuCoin answered")


def test_a_part_that_could_not_be_seen_is_looked_at_again_after_each_cut() -> None:
    follower = Follower()
    follower.carried(["/t"], 0.0)
    follower.answer(RestError("900001", "no"))
    follower.lost(["/t"], "a cut", [])
    follower.carried(["/t"], 1.0)
    assert (follower.unseen, follower.part.unseen, follower.settled) == (None, {}, False)
    follower.answer()
    assert len(follower.calls.asked) == 2


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, AttributeError, ArithmeticError])
def test_a_run_that_can_not_read_an_answer_begins_anew_after_growing_delays(error: type[Exception]) -> None:
    follower, check = Follower(), SomePart.check

    def odd() -> Plan[None]:
        yield from check(follower.part)  # type: ignore[arg-type]
        raise error("odd")

    follower.part.check = odd  # type: ignore[method-assign]
    follower.carried(["/t"], 0.0)
    delays = []
    for count in range(3):
        assert len(follower.calls.asked) == count + 1
        follower.answer()
        assert not follower.settled and "can't be read" in follower.why()
        delays.append(follower.next_deadline)
        follower.act(follower.next_deadline)
    assert delays == sorted(delays)
    follower.lost(["/t"], "a cut", [])
    assert follower.next_deadline == math.inf


def test_a_refused_key_is_an_error() -> None:
    follower = Follower()
    follower.carried(["/t"], 0.0)
    with pytest.raises(AuthenticationError):
        follower.answer(AuthenticationError("unknown key", code="400003"))
