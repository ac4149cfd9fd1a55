from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.account.calls import Call, Plan, one, together
from kucoin_sync.exceptions import RestError


def call(path: str) -> Call:
    return Call("spot", path, 2, "spot")


def paths(calls: list[Call]) -> list[str]:
    return [str(each) for each in calls]


def test_one_call_returns_its_data_or_raises_its_error() -> None:
    plan = one(call("/a"))
    assert paths(next(plan)) == ["/a"]
    with pytest.raises(StopIteration) as ended:
        plan.send([{"x": 1}])
    assert ended.value.value == {"x": 1}
    plan = one(call("/a"))
    next(plan)
    with pytest.raises(RestError):
        plan.send([RestError("400100", "no")])


def two_steps(name: str) -> Plan[list[Any]]:
    first = yield from one(call(f"/{name}/1"))
    second = yield from one(call(f"/{name}/2"))
    return [first, second]


def nothing() -> Plan[str]:
    return "at once"
    yield []


def test_plans_run_side_by_side_and_each_gets_its_own_answers() -> None:
    plan: Plan[list[Any]] = together([two_steps("a"), nothing(), one(call("/b")), two_steps("c")])
    assert paths(next(plan)) == ["/a/1", "/b", "/c/1"]
    assert paths(plan.send([1, 2, 3])) == ["/a/2", "/c/2"]
    with pytest.raises(StopIteration) as ended:
        plan.send([4, 5])
    assert ended.value.value == [[1, 4], "at once", 2, [3, 5]]


def test_no_plans_need_no_call() -> None:
    with pytest.raises(StopIteration) as ended:
        next(together([]))
    assert ended.value.value == []
