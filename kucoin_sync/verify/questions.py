"""The conversation that shows how a service answers: what is asked, what is expected, and which fact that is about.

It is harmless: a few commands, one of them with more topics than KuCoin takes in one, none that could count against the
limits of an address. The client's frames are here, and no I/O; `probe` sends them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from .. import topics
from ..protocol.dialect import Answer, Dialect
from .plan import CONTRACT, SYMBOL

__all__ = ["CLOSE", "PING", "WELCOME", "Question", "questions"]

WELCOME, PING, CLOSE = "welcome", "ping", "close"
_MANY = 101
_NO_SYMBOL, _NO_CONTRACT = "NOSUCHCOIN-USDT", "NOSUCHCOINUSDTM"

_encode = msgspec.json.encode


class Question(NamedTuple):
    """One question.

    Attributes:
        frame: what the client sends; b"" if it only waits.
        command_id: the id in the answer; "" accepts any error.
        kind, code: of the expected answer; `kind` "" expects none before the answer to the ping that follows.
        fact: the fact that is wrong if another answer comes.
    """

    name: str
    frame: bytes
    command_id: str
    kind: str
    fact: str
    code: int = 0

    def is_answered_by(self, answer: Answer) -> bool:
        """Return whether a frame that is no push answers it."""
        if self.name == WELCOME:
            return answer.kind in ("welcome", "error")
        return answer.command_id == self.command_id or (not self.command_id and answer.kind == "error")


def questions(dialect: Dialect, market: str) -> tuple[Question, ...]:
    """Return the questions to a public service, in their order."""
    spot = "spot" in market
    classic = dialect.name == "classic"
    ticker: Callable[[str], str] = topics.uta.ticker
    if classic:
        ticker = topics.ticker if spot else topics.futures.ticker
    known = str(ticker(SYMBOL if spot else CONTRACT))
    unknown = str(ticker(_NO_SYMBOL if spot else _NO_CONTRACT))
    refused = 404 if classic else 0

    def command(number: int, kind: str, topic: str) -> tuple[bytes, str]:
        return dialect.command(kind, f"v{number}", [topic]), f"v{number}"

    def raw(number: int, members: dict[str, Any]) -> tuple[bytes, str]:
        return _encode({"id": f"v{number}", **members}), f"v{number}"

    nothing: dict[str, Any] = {"action": "SUBSCRIBE", "channel": "nosuchchannel", "tradeType": "SPOT"}
    private: dict[str, Any] = {"action": "SUBSCRIBE", "channel": "orderAll", "tradeType": "UNIFIED"}
    if classic:
        orders = str(topics.orders() if spot else topics.futures.orders())
        nothing = {"type": "subscribe", "topic": "/market/nosuchtopic:BTC-USDT", "response": True}
        private = {"type": "subscribe", "topic": orders, "privateChannel": True, "response": True}
    asked = [
        Question(WELCOME, b"", "", "welcome", "welcome"),
        Question(PING, dialect.ping("v1"), "v1", "pong", "pong"),
        Question("subscribe", *command(2, "subscribe", known), "ack", "ack"),
        Question("subscribe again", *command(3, "subscribe", known), "ack", "twice"),
        Question("an unknown symbol", *command(4, "subscribe", unknown), "ack", "unknown symbol"),
        Question("an unknown topic", *raw(5, nothing), "error", "unknown topic", refused),
        Question("a private topic", *raw(6, private), "error", "login", 403 if classic else 0),
        Question("unsubscribe", *command(7, "unsubscribe", known), "ack", "ack"),
    ]
    if market == "spot":
        many = "/market/ticker:" + ",".join(f"NOSUCH{number}-USDT" for number in range(_MANY))
        members = {"type": "subscribe", "topic": many, "response": True}
        asked.append(Question(f"{_MANY} topics", *raw(8, members), "error", "topics in a command", 509))
    asked.append(Question("no JSON", b"this is not JSON", "", "error" if classic else "", "not JSON", 400 * classic))
    return tuple(asked)
