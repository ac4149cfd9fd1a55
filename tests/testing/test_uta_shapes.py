"""Every push of the UTA family has the member names, types and nesting of KuCoin's own messages."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.testing import Push
from tests.testing.test_exchange_shapes import fits, integers, session, texts

ROWS = [(str, str)]
TRADE = {**texts("s p q S ti"), **integers("E M")}
KLINE = {**texts("s i o c h l v a"), **integers("O C"), "S": bool}
FUNDING = {**texts("s fr lfr fc ff"), **integers("ft nt gl")}
ORDER = {
    **texts(
        "tT oi ci eT s S pS oT lR oS p q qU l mM ti fS lS ls aP f fC t cR cS rS tD tP tPT pP pPT pOP lP lPT lOP toi"
    ),
    **texts("stp tIF bT"),
    **integers("os O U"),
    **dict.fromkeys(("rO", "pO"), bool),
}
EXECUTION = {**texts("oi s S oT p q lR ci"), **integers("E")}
SHAPES: dict[str, Any] = {
    "ticker.SPOT": {**texts("s b B a A l q S"), **integers("E M")},
    "ticker.FUTURES": {**texts("s b B a A l q S"), **integers("E M")},
    "trade.SPOT": TRADE,
    "trade.FUTURES": {**TRADE, "rpi": bool},
    "kline.SPOT": KLINE,
    "kline.FUTURES": KLINE,
    "obu.SPOT": {"s": str, "a": ROWS, "b": ROWS, **integers("O C M")},
    "obu.FUTURES": {"s": str, "a": ROWS, "b": ROWS, **integers("O C M")},
    "mark-price": {**texts("s mp ip oi"), "ts": int},
    "funding-fee": FUNDING,
    "funding-fee-all-symbols": [FUNDING],
    "callAuctionInfo.SPOT": {"s": str, **dict.fromkeys(("slp", "blp", "shp", "bhp", "eq", "es"), float), "ts": int},
    "orderAll.UNIFIED": ORDER,
    "execution.UNIFIED": {**EXECUTION, **texts("ti f fC fT fP")},
    "execution.lite.UNIFIED": EXECUTION,
    "execution.lite.SPOT": {**EXECUTION, "ti": int},
    "execution.lite.FUTURES": {**EXECUTION, "ti": str},
    "balance.UNIFIED": {**texts("c b a h e l cS"), "U": int},
    "positionAll.UNIFIED": {**texts("pi s mM q eP pV mP lP bP l uPL rPL iM mmr mtM r pM adl"), **integers("U O")},
}
SHAPES["positionAll.FUTURES"] = SHAPES["positionAll.UNIFIED"]


@pytest.fixture(scope="module")
def uta_pushes() -> list[Push]:
    return [push for push in session() if push.topic.startswith("/uta/")]


def test_every_push_has_the_shape_of_its_subject(uta_pushes: list[Push]) -> None:
    for push in uta_pushes:
        data = push.data
        if push.subject == "execution.lite.UNIFIED":
            data = {name: value for name, value in data.items() if name != "ti"}  # text or number
        assert fits(data, SHAPES[push.subject]), push


def test_every_subject_and_every_kind_of_event_came_up(uta_pushes: list[Push]) -> None:
    assert {push.subject for push in uta_pushes} == SHAPES.keys()
    orders = {(push.data["eT"], push.data["os"]) for push in uta_pushes if push.subject == "orderAll.UNIFIED"}
    assert orders >= {
        ("OPEN", 0), ("TRIGGER", 1), ("CANCEL", 5), ("OPEN", 2), ("UPDATE", 2), ("MATCH", 4), ("FILL", 3),
    }  # fmt: skip


def test_every_push_has_the_envelope_of_its_subject(uta_pushes: list[Push]) -> None:
    for push in uta_pushes:
        message = push.message()
        expected = {"T": str, "P": int, "d": type(push.data)}
        if push.subject.startswith("obu"):
            expected |= {"dp": str, "t": str}
        elif push.subject.startswith("callAuction"):
            expected |= {"t": str}
        assert {name: type(value) for name, value in message.items()} == expected, push
        assert push.private == (push.user is not None) == ("UNIFIED" in push.topic or ".lite" in push.topic
                                                          or "/uta/position" in push.topic)  # fmt: skip


def test_the_times_are_in_nanoseconds(uta_pushes: list[Push]) -> None:
    for push in uta_pushes:
        assert 10**18 < push.extra["P"] < 10**19
        for name in ("M", "U") if isinstance(push.data, dict) else ():
            assert 10**18 < push.data.get(name, push.extra["P"]) <= push.extra["P"]
