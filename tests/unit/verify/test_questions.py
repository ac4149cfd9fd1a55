"""What a service is asked."""

from __future__ import annotations

import json

import pytest

from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.dialect import Answer, Dialect
from kucoin_sync.protocol.uta import UTA
from kucoin_sync.verify.facts import FACTS
from kucoin_sync.verify.questions import questions


@pytest.mark.parametrize(
    ("dialect", "market"),
    [(CLASSIC, "spot"), (CLASSIC, "futures"), (UTA, "uta-spot"), (UTA, "uta-futures")],
    ids=["spot", "futures", "uta-spot", "uta-futures"],
)
def test_each_question_has_a_name_an_id_and_a_fact_of_its_own(dialect: Dialect, market: str) -> None:
    asked = questions(dialect, market)
    assert asked[0].frame == b"", "nothing is sent before the welcome"
    assert len({question.name for question in asked}) == len(asked)
    assert {question.fact for question in asked} <= FACTS.keys()
    sent = [json.loads(question.frame) for question in asked[1:-1]]
    assert [frame["id"] for frame in sent] == [question.command_id for question in asked[1:-1]]
    assert len(set(map(str, sent))) == len(sent)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(asked[-1].frame)


def test_one_command_has_more_topics_than_kucoin_takes() -> None:
    [many] = [question for question in questions(CLASSIC, "spot") if question.code == 509]
    assert json.loads(many.frame)["topic"].count(",") == 100


def test_what_answers_a_question() -> None:
    welcome, ping, *_, last = questions(CLASSIC, "spot")
    assert welcome.is_answered_by(Answer("welcome", "x")) and welcome.is_answered_by(Answer("error"))
    assert not welcome.is_answered_by(Answer("notice"))
    assert ping.is_answered_by(Answer("pong", "v1")) and not ping.is_answered_by(Answer("pong", "v2"))
    assert last.is_answered_by(Answer("error", "any")) and not last.is_answered_by(Answer("pong", "v1"))
