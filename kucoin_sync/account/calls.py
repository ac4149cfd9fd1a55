"""The REST calls that an account needs, and plans of several of them.

A plan is a generator. It yields a list of calls that may be made at the same time, and is sent the list of their
answers: the data, or the error if KuCoin refused the call for good. So a plan does no I/O and knows no clock.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from ..exceptions import KucoinSyncError

__all__ = ["Call", "Plan", "one", "together"]

T = TypeVar("T")


class Call(NamedTuple):
    """One signed GET request.

    Attributes:
        market: "spot" or "futures": the REST service.
        weight: what it costs of the quota of its pool.
        pool: KuCoin's pool of quotas: "spot", "futures" or "management".
        query: its parameters, in order.
    """

    market: str
    path: str
    weight: int
    pool: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.path


#: What a plan yields, is sent, and returns.
Plan = Generator[list[Call], list[Any], T]


def one(call: Call) -> Plan[Any]:
    """Make one call; return its data.

    Raises:
        KucoinSyncError: KuCoin refused it for good.
    """
    [answer] = yield [call]
    if isinstance(answer, KucoinSyncError):
        raise answer
    return answer


def together(plans: Sequence[Plan[T]]) -> Plan[list[T]]:
    """Run plans side by side, so that their calls are made at the same time; return their results in order.

    Raises:
        KucoinSyncError: one of the plans failed; the others are left where they are.
    """
    results: dict[int, T] = {}
    waiting: dict[int, list[Call]] = {}

    def advance(number: int, answers: list[Any] | None) -> None:
        try:
            waiting[number] = next(plans[number]) if answers is None else plans[number].send(answers)
        except StopIteration as ended:
            waiting.pop(number, None)
            results[number] = ended.value

    for number in range(len(plans)):
        advance(number, None)
    while waiting:
        batch = dict(waiting)
        answers = yield [call for calls in batch.values() for call in calls]
        for number, calls in batch.items():
            own, answers = answers[: len(calls)], answers[len(calls) :]
            advance(number, own)
    return [results[number] for number in range(len(plans))]
