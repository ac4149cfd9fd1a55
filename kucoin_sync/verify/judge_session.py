"""What the conversation with one service says about the protocol. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..protocol.dialect import Answer, Dialect
from ..protocol.message import UNREADABLE
from .questions import CLOSE, PING, WELCOME, Question, questions
from .seen import Answered, Finding, SessionSeen

__all__ = ["judge_session"]

_MAX_CLOCK = 5.0
_INTERVALS = {"pingInterval": 18_000, "pingTimeout": 10_000}
_PONG_SECONDS = _INTERVALS["pingTimeout"] / 1000
_SERVER = ("endpoint", "encrypt", "protocol", "pingInterval", "pingTimeout")
_SILENCE = 50.0, 65.0
_PONG_TIMES = {"classic": ("timestamp", 10**15, 10**17), "uta": ("ts", 10**17, 10**20)}


def judge_session(session: SessionSeen, dialect: Dialect) -> Iterator[Finding]:
    """Yield what is found about one service."""
    market = session.market
    if session.clock is not None and abs(session.clock) > _MAX_CLOCK:
        side = "ahead of" if session.clock > 0 else "behind"
        yield Finding(market, f"this machine's clock is {abs(session.clock):.1f} s {side} KuCoin's", "clock")
    if session.token is not None:
        yield from _judge_token(market, session.token)
    by_name = {answered.name: answered for answered in session.answers}
    for question in questions(dialect, market):
        if question.name in by_name:
            yield from _judge_answer(market, question, by_name[question.name], dialect)
    if session.error:
        yield Finding(market, session.error, "reach" if not session.answers else "stays open")
    if CLOSE in by_name and not session.code:
        yield Finding(market, "the close frame was not answered", "close")
    if dialect.name == "classic" and session.waited >= _SILENCE[1] and session.silent is None:
        yield Finding(market, f"a silent client was not cut within {session.waited:.0f} s", "silence")
    elif dialect.name == "classic" and session.silent is not None and session.silent < _SILENCE[0]:
        yield Finding(market, f"a silent client was cut after {session.silent:.0f} s already", "silence")


def _judge_token(market: str, token: dict[str, Any]) -> Iterator[Finding]:
    servers = token.get("instanceServers")
    if not isinstance(servers, list) or not servers or not all(isinstance(server, dict) for server in servers):
        yield Finding(market, "the answer names no server", "token")
        return
    for name in _SERVER:
        if any(name not in server for server in servers):
            yield Finding(market, f"{name} is missing from a server of the answer", "token")
    for name, usual in _INTERVALS.items():
        values = {server.get(name) for server in servers} - {usual, None}
        if values:
            yield Finding(market, f"{name} is {', '.join(sorted(map(str, values)))}", "intervals")


def _judge_answer(market: str, question: Question, answered: Answered, dialect: Dialect) -> Iterator[Finding]:
    answers = [answer for frame in answered.frames if (answer := _answer(dialect, frame)) is not None]
    answer = next((each for each in answers if question.is_answered_by(each)), None)
    what = f"the answer to {question.name!r}"
    if not question.kind:
        if answer is not None:
            yield Finding(market, f"{what} is {_said(answer)}, where none is usual", question.fact)
        return
    if answer is None or answered.seconds is None:
        others = ", ".join(map(_said, answers))
        yield Finding(market, f"{what} did not come{f', but {others}' if others else ''}", question.fact)
        return
    if answer.kind != question.kind or (question.code and answer.code != question.code):
        usual = f"{question.kind}{f' {question.code}' if question.code else ''}"
        yield Finding(market, f"{what} is {_said(answer)}, where {usual} is usual", question.fact)
        return
    if question.name == WELCOME:
        yield from _judge_welcome(market, answered, answer, dialect)
    elif question.name == PING:
        if answered.seconds > _PONG_SECONDS:
            late = f"the pong came after {answered.seconds:.1f} s, later than {_PONG_SECONDS:g} s"
            yield Finding(market, late, question.fact)
        yield from _judge_pong_time(market, answered, dialect)


def _judge_welcome(market: str, answered: Answered, answer: Answer, dialect: Dialect) -> Iterator[Finding]:
    if dialect.name == "classic" and answer.command_id != "connect-id":
        yield Finding(market, "the id of the welcome is not the connectId", "welcome")
    for name, seconds in (("pingInterval", answer.ping_interval), ("pingTimeout", answer.ping_timeout)):
        if seconds is not None and seconds * 1000 != _INTERVALS[name]:
            yield Finding(market, f"{name} is {seconds * 1000:g}", "intervals")
    if len(answered.frames) > 1:
        yield Finding(market, "the welcome was not the first frame", "welcome")


def _judge_pong_time(market: str, answered: Answered, dialect: Dialect) -> Iterator[Finding]:
    name, least, most = _PONG_TIMES[dialect.name]
    value = msgspec.json.decode(answered.frames[-1]).get(name)
    if not isinstance(value, int) or not least <= value < most:
        yield Finding(market, f"{name} of the pong is {value!r:.40}", "pong time")


def _answer(dialect: Dialect, frame: str) -> Answer | None:
    try:
        return dialect.answer(frame.encode())
    except UNREADABLE:
        return None


def _said(answer: Answer) -> str:
    code = f" {answer.code}" if answer.code else ""
    reason = f" ({answer.reason})" if answer.reason else ""
    return f"{answer.kind or 'a frame of an unknown type'}{code}{reason}"
