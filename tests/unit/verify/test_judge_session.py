"""A service that answers otherwise: each difference is found, and the fact that is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.uta import UTA
from kucoin_sync.verify.judge_session import judge_session
from kucoin_sync.verify.seen import Finding

from .venue import session_seen

Answers = dict[str, list[Any]]
SERVER = {"endpoint": "wss://a.kucoin.com", "encrypt": True, "protocol": "websocket", "pingInterval": 18000}


def put(name: str, *answer: Any) -> Callable[[Answers], object]:
    return lambda answers: answers.update({name: list(answer)})


def error(code: int, number: int) -> dict[str, Any]:
    return {"id": f"v{number}", "type": "error", "code": code, "data": "refused"}


def found(market: str, change: Callable[[Answers], object] = list, **more: Any) -> list[Finding]:
    dialect = UTA if market.startswith("uta") else CLASSIC
    return list(judge_session(session_seen(market, dialect, change, **more), dialect))


@pytest.mark.parametrize("market", ["spot", "futures", "uta-spot", "uta-futures"])
def test_a_service_as_believed_differs_in_nothing(market: str) -> None:
    assert found(market) == []
    assert found(market, waited=66.0, silent=60.5) == []


PONG = {"id": "v1", "type": "pong", "timestamp": 1790113097443000}
DIFFERENCES: dict[str, tuple[str, Callable[[Answers], object], str, str]] = {
    "no welcome": ("spot", put("welcome", None), "welcome", "did not come"),
    "a welcome with another id": ("spot", put("welcome", 0.1, {"id": "x", "type": "welcome"}), "welcome", "connectId"),
    "a token that is refused": ("spot", put("welcome", 0.1, error(401, 0)), "welcome", "error 401 (refused)"),
    "another frame before the welcome": (
        "spot", lambda answers: answers["welcome"].insert(1, {"type": "notice"}), "welcome", "was not the first",
    ),
    "another interval in a welcome": (
        "uta-spot", lambda answers: answers["welcome"][1].update(pingInterval=30000), "intervals", "30000",
    ),
    "a pong that is late": ("spot", put("ping", 12.0, PONG), "pong", "the pong came after 12.0 s"),
    "no pong": ("futures", put("ping", None), "pong", "the answer to 'ping' did not come"),
    "a pong with another id": ("spot", put("ping", None, {"id": "7", "type": "pong"}), "pong", "not come, but pong"),
    "a pong without a time": ("spot", put("ping", 0.1, {"id": "v1", "type": "pong"}), "pong time", "None"),
    "a pong in milliseconds": (
        "uta-spot", put("ping", 0.1, {"id": "v1", "type": "pong", "ts": 1790113097443}), "pong time", "1790113097443",
    ),
    "no ack": ("spot", put("subscribe", None), "ack", "did not come"),
    "an ack without its id": ("uta-spot", put("subscribe", None, {"result": True}), "ack", "did not come, but ack"),
    "one ack for two commands": ("spot", put("subscribe again", None), "twice", "did not come"),
    "a symbol that is refused": ("spot", put("an unknown symbol", 0.1, error(404, 4)), "unknown symbol", "error 404"),
    "an unknown topic that is confirmed": (
        "spot", put("an unknown topic", 0.1, {"id": "v5", "type": "ack"}), "unknown topic", "ack, where error 404",
    ),
    "another code": ("spot", put("an unknown topic", 0.1, error(400, 5)), "unknown topic", "error 400 (refused)"),
    "a private topic for all": (
        "uta-spot", put("a private topic", 0.1, {"id": "v6", "result": True}), "login", "is ack",
    ),
    "101 topics in a command": (
        "spot", put("101 topics", 0.1, {"id": "v8", "type": "ack"}), "topics in a command", "ack, where error 509",
    ),
    "no error for what is no JSON": ("spot", put("no JSON", None), "not JSON", "did not come"),
    "an error for what is no JSON": (
        "uta-spot", put("no JSON", 0.1, {"result": False, "msg": "bad"}), "not JSON", "error (bad), where none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_in_the_answers_is_found_and_named(name: str) -> None:
    market, change, fact, text = DIFFERENCES[name]
    [finding] = found(market, change)
    assert (finding.about, finding.fact) == (market, fact)
    assert text in finding.text


@pytest.mark.parametrize(
    ("more", "fact", "text"),
    [
        ({"token": {"instanceServers": []}}, "token", "no server"),
        ({"token": {"instanceServers": [SERVER]}}, "token", "pingTimeout is missing"),
        ({"token": {"instanceServers": [{**SERVER, "pingTimeout": 5000}]}}, "intervals", "pingTimeout is 5000"),
        ({"clock": -6.2}, "clock", "6.2 s behind KuCoin's"),
        ({"silent": 31.0}, "silence", "after 31 s already"),
        ({"waited": 66.0}, "silence", "not cut within 66 s"),
        ({"code": 0}, "close", "was not answered"),
        ({"error": "closed the connection (code 1008)"}, "stays open", "1008"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_difference_around_the_answers_is_found_and_named(more: dict[str, Any], fact: str, text: str) -> None:
    [finding] = found("spot", **more)
    assert finding.fact == fact
    assert text in finding.text


def test_a_service_that_can_not_be_reached_is_one_finding() -> None:
    [finding] = found("spot", dict.clear, token=None, clock=None, code=0, error="no route to host")
    assert (finding.fact, finding.text) == ("reach", "no route to host")
