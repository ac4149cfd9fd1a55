"""What the server's error answers mean, told by their text."""

from __future__ import annotations

import pytest

from kucoin_sync.protocol import session_events
from kucoin_sync.protocol.session_events import TopicKey, classify_error

# Every documented or observed answer: (code, text, meaning).
ANSWERS = [
    (400, "topic is invalid", "refused"),
    (400, "topic /market/ticker:all:all is invalid", "refused"),
    (403, "login is required", "refused"),
    (404, "topic /market/nothing:BTC-USDT is not found", "refused"),
    (404, "topic does not exist", "refused"),
    (406, "topic is required", "refused"),
    (509, "exceed max subscription count limitation of 100 per time", "split"),
    (509, "exceed max subscription count limitation of 300 per session", "full"),
    (400, "exceed max subscription count limitation of 400 per session", "full"),
    (401, "token is invalid", "token"),
    (401, "token is expired", "token"),
    (509, "exceed max session count limitation of 50", "busy"),
    (509, "service busy, please retry later", "busy"),
    (400, "ping timeout", "idle"),
    (400, "Unexpected character ('h' (code 104)): was expecting double-quote to start field name", "refused"),
    (400, "data format is invalid", "refused"),
    (415, "type is not supported", "refused"),
    (415, "command type is invalid", "refused"),
    (500, "system error", "busy"),
    (509, "exceed max permits per second", "pace"),
]


@pytest.mark.parametrize(("code", "text", "means"), ANSWERS)
def test_every_known_answer_is_told_by_its_text(code: int, text: str, means: str) -> None:
    assert classify_error(code, text) == means
    assert classify_error(code, text.upper()) == means


def test_code_509_alone_has_five_meanings() -> None:
    texts = [text for code, text, _ in ANSWERS if code == 509]
    assert len(texts) == 5
    assert {classify_error(509, text) for text in texts} == {"split", "full", "busy", "pace"}


@pytest.mark.parametrize(
    ("code", "means"), [(401, "token"), (500, "busy"), (509, "pace"), (418, "refused"), (0, "refused")]
)
def test_an_unknown_text_is_judged_by_its_code(code: int, means: str) -> None:
    assert classify_error(code, "something new") == means


def test_the_text_counts_more_than_the_code() -> None:
    assert classify_error(404, "token is expired") == "token"
    assert classify_error(509, "ping timeout") == "idle"


def test_the_first_meaning_that_matches_counts() -> None:
    assert classify_error(509, "exceed max limitation of 300 per session, please retry later") == "full"


def test_a_key_is_a_topic_outside_of_tunnels_unless_it_names_one() -> None:
    assert TopicKey("/a/b") == ("/a/b", None)
    assert TopicKey("/a/b", "t") != TopicKey("/a/b")


def test_the_outcomes_are_all_that_a_session_tells() -> None:
    kinds = {kind.__name__ for kind in session_events.SessionEvent.__args__}
    assert kinds == {"Welcomed", "Acked", "Refused", "ConnectionFull", "Proved", "ServerError"}
