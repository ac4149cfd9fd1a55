"""The REST calls of an account: within its share of the quotas, again after a failure, and none after the end."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync.account import rest_calls
from kucoin_sync.account.calls import Call
from kucoin_sync.account.rest_calls import RestCalls
from kucoin_sync.exceptions import AuthenticationError, ConnectionFailed, RestError
from kucoin_sync.net.waker import Cancelled, Waker

from ...support.threads import LIMIT, until


def call(name: str, weight: int = 1, pool: str = "spot") -> Call:
    return Call("futures" if pool == "futures" else "spot", name, weight, pool, (("q", "1"),))


class Server:
    """Answers calls with what a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[str] = []
        self.closed = 0
        self.free = threading.Event()
        self.free.set()

    def make(self, waker: Waker, signing: bool) -> Any:
        assert signing
        server = self

        class Rest:
            def call(self, market: str, method: str, path: str, query: Any, *, signed: bool) -> Any:
                assert (method, query, signed) == ("GET", {"q": "1"}, True)
                server.asked.append(path)
                while not server.free.wait(0.01):
                    if waker.cancelled:
                        raise Cancelled
                left = server.answers.get(path, [])
                answer = left.pop(0) if left else f"{path} {market}"
                if isinstance(answer, Exception):
                    raise answer
                return answer

            def close(self) -> None:
                server.closed += 1

        return Rest()


@pytest.fixture
def rest_service() -> Server:
    return Server()


MakeCalls = Callable[..., RestCalls]


@pytest.fixture
def make(rest_service: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeCalls]:
    monkeypatch.setattr(rest_calls, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(rest_calls, "_LONGEST_DELAY", 0.02)
    made: list[RestCalls] = []

    def make_calls(limits: dict[str, int] | None = None) -> RestCalls:
        made.append(RestCalls(rest_service.make, limits))
        made[-1].open()
        return made[-1]

    yield make_calls
    for each in made:
        for thread in each.close():
            thread.join(LIMIT)
            assert not thread.is_alive()


def ask(calls: RestCalls, *wanted: Call) -> list[Any]:
    done: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    calls.ask(wanted, done.put)
    return done.get(timeout=LIMIT)


def test_answers_come_together_and_in_order(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    assert ask(calls, call("a"), call("b", 3, "futures"), call("a")) == ["a spot", "b futures", "a spot"]
    assert (calls.count, calls.weight) == (3, 5)
    assert ask(calls) == []


def test_a_passing_error_is_no_answer(make: MakeCalls, rest_service: Server) -> None:
    errors = [ConnectionFailed("no network"), RestError("500000", "?", retriable=True), OSError("a defect")]
    rest_service.answers["a"] = list(errors)
    assert ask(make(), call("a"), call("b")) == ["a spot", "b spot"]
    assert rest_service.asked.count("a") == 4


def test_an_error_for_good_is_the_answer(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    refused = RestError("400100", "no such order")
    rest_service.answers["a"] = [refused]
    assert ask(calls, call("a")) == [refused]
    assert ask(calls, call("a")) == ["a spot"]


def test_kucoins_own_refusal_of_a_path_that_was_answered_before_is_the_answer_if_it_is_repeated(
    make: MakeCalls, rest_service: Server
) -> None:
    calls = make()
    assert ask(calls, call("a")) == ["a spot"]
    refused = RestError("900001", "no such symbol")
    rest_service.answers["a"] = [refused] * 2
    assert ask(calls, call("a")) == ["a spot"]
    rest_service.answers["a"] = [refused] * 3
    assert ask(calls, call("a")) == [refused]


def test_a_path_that_was_answered_before_is_refused_only_with_the_key(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    assert ask(calls, call("a")) == ["a spot"]
    refused = AuthenticationError("unknown key", code="400003")
    rest_service.answers["a"] = [RestError("403", "a proxy's page"), refused]
    assert ask(calls, call("a")) == [refused]


def test_a_slow_request_is_made_again_where_the_key_was_accepted_before(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    late = AuthenticationError("the timestamp is off", code="400002")
    rest_service.answers["a"] = [late]
    assert ask(calls, call("a")) == [late], "the clock may be wrong"
    assert ask(calls, call("b")) == ["b spot"]
    rest_service.answers["c"] = [late, late]
    assert ask(calls, call("c")) == ["c spot"]
    rest_service.answers["d"] = [no_right := AuthenticationError("no right", code="400007")]
    assert ask(calls, call("d")) == [no_right]


def test_the_reason_of_a_delay_shows(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    rest_service.answers["a"] = [RestError("429000", "slow down", retriable=True, retry_after=3600.0)]
    batch = calls.ask([call("a")], lambda answers: None)
    until(lambda: "slow down" in calls.obstacle(batch), "the reason does not show")
    assert calls.obstacle(object()) == ""
    calls.drop(batch)
    assert calls.obstacle(batch) == ""


def test_a_call_that_waits_for_the_share_of_a_quota_says_so(make: MakeCalls, rest_service: Server) -> None:
    calls = make({"spot": 5, "futures": 1, "management": 1})
    assert ask(calls, call("a", weight=3)) == ["a spot"]
    batch = calls.ask([call("b", weight=3)], lambda answers: None)
    said = r"the limit of 5 units of weight in 30 s is reached \(half of KuCoin's spot quota\), .* waits for \d+\.\d s"
    assert re.fullmatch(said, calls.obstacle(batch))
    assert calls.obstacle(calls.ask([call("c", pool="futures")], lambda answers: None)) == ""


def test_no_more_is_asked_than_the_share_of_a_quota(make: MakeCalls, rest_service: Server) -> None:
    calls = make({"spot": 5, "futures": 1, "management": 1})
    calls.ask([call(f"a{number}", 2) for number in range(4)], lambda answers: None)
    until(lambda: calls.weight >= 4, "nothing is asked")
    assert ask(calls, call("b", 1, "futures")) == ["b futures"], "another pool is not held up"
    assert (calls.weight, len(rest_service.asked)) == (5, 3)


def test_a_dropped_call_has_no_answer(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    rest_service.free.clear()
    told: list[Any] = []
    batch = calls.ask([call("a")], told.append)
    until(lambda: rest_service.asked, "nothing is asked")
    calls.drop(batch)
    rest_service.free.set()
    assert ask(calls, call("b")) == ["b spot"] and told == []


def test_the_end_cancels_what_runs(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    rest_service.free.clear()
    calls.ask([call("a")], lambda answers: None)
    until(lambda: rest_service.asked, "nothing is asked")
    for thread in calls.close():
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert rest_service.closed == 1


def test_a_forked_child_remembers_what_was_answered(make: MakeCalls, rest_service: Server) -> None:
    calls = make()
    assert ask(calls, call("a")) == ["a spot"]
    child = calls.after_fork()
    child.open()
    rest_service.answers["a"] = [RestError("403", "a proxy's page")]
    assert ask(child, call("a")) == ["a spot"]
    for thread in child.close():
        thread.join(LIMIT)
