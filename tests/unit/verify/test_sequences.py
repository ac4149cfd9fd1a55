"""The order of the sequences of a topic."""

from __future__ import annotations

import pytest

from kucoin_sync.verify.sequences import Sequences, is_book_topic

from .venue import message_of

LEVEL2, TICKER, UTA_BOOK = (
    "/market/level2:BTC-USDT", "/market/ticker:BTC-USDT", "/uta/obu.SPOT:BTC-USDT_increment@10ms",
)  # fmt: skip


def update(start: int, end: int) -> dict[str, object]:
    data = {"changes": {"asks": [], "bids": []}, "sequenceStart": start, "sequenceEnd": end, "symbol": "BTC-USDT"}
    return {"type": "message", "topic": LEVEL2, "subject": "trade.l2update", "data": data}


def ticker(sequence: object, subject: str = "trade.ticker", topic: str = TICKER) -> dict[str, object]:
    return {"type": "message", "topic": topic, "subject": subject, "data": {"price": "1", "sequence": sequence}}


def obu(kind: str, start: int, end: int) -> dict[str, object]:
    data = {"s": "BTC-USDT", "O": start, "C": end, "a": [], "b": []}
    return {"T": "obu.SPOT", "P": 1, "dp": "increment@10ms", "t": kind, "d": data}


def disorder(topic: str, *frames: dict[str, object]) -> list[str]:
    sequences = Sequences(topic)
    for frame in frames:
        sequences.add(message_of(frame))
    return sequences.disorder


@pytest.mark.parametrize(
    ("topic", "is_book"),
    [
        (LEVEL2, True), (UTA_BOOK, True), ("/contractMarket/level2:XBTUSDTM", True), ("/market/level3:BTC-USDT", True),
        (TICKER, False), ("/uta/obu.SPOT:BTC-USDT_50", False), ("/market/ticker:all", False),
        ("/account/balance", False),
    ],
)  # fmt: skip
def test_which_topics_are_of_a_book(topic: str, is_book: bool) -> None:
    assert is_book_topic(topic) == is_book


def test_updates_of_a_book_may_overlap_and_be_swapped_but_leave_no_hole_and_do_not_repeat() -> None:
    assert disorder(LEVEL2, update(1, 3), update(3, 5), update(7, 6)) == []
    assert disorder(LEVEL2, update(1, 3), update(5, 6), update(7, 7)) == ["a hole: after 3 comes 5"]
    assert disorder(LEVEL2, update(1, 3), update(1, 3)) == ["after 3 comes 3 again, or goes back to it"]


def test_a_pushed_snapshot_begins_anew() -> None:
    assert disorder(UTA_BOOK, obu("snapshot", 5, 5), obu("delta", 6, 8), obu("snapshot", 20, 20)) == []
    assert disorder(UTA_BOOK, obu("snapshot", 5, 5), obu("delta", 7, 8)) == ["a hole: after 5 comes 7"]


def test_other_sequences_may_stay_and_skip_but_not_fall() -> None:
    assert disorder(TICKER, ticker(1), ticker(1), ticker(9)) == []
    assert disorder(TICKER, ticker(9), ticker(1), ticker(9)) == ["after 9 comes 1"]


def test_each_symbol_has_its_own_and_a_new_connection_begins_anew() -> None:
    everything = "/market/ticker:all"
    assert disorder(everything, ticker(9, "A-B", everything), ticker(1, "C-D", everything)) == []
    sequences = Sequences(TICKER)
    sequences.add(message_of(ticker(9)))
    sequences.add(message_of(ticker(1), epoch=2))
    assert sequences.disorder == []


def test_what_has_no_sequence_is_passed_over_and_many_faults_are_counted() -> None:
    assert disorder(TICKER, ticker(9), ticker("?"), {"type": "message", "topic": TICKER, "data": 5}) == []
    found = disorder(TICKER, *(ticker(20 - n) for n in range(9)))
    assert (len(found), found[-1]) == (6, "and 3 times more")
