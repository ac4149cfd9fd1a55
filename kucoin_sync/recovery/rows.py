"""What REST tells of trades, as the frames in which they would have been pushed. Pure.

Each topic has a `TradeRows`: how to ask, how to read the answer, and where a push is in the feed. A frame has what the
row tells, under the names of the push; what it does not tell is null. Source: KuCoin's REST documentation and recorded
answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ..exceptions import RestError
from ..protocol.message import UNREADABLE, Message
from ..topics.grammar import argument_of, row_of
from .trades import Mark, Row, TradeJoin

__all__ = ["TradeRows", "trade_rows_for"]

_encode = msgspec.json.Encoder().encode


class _SpotTrade(msgspec.Struct):
    sequence: int  # as text
    price: str
    size: str
    side: str
    time: int
    tradeId: str | None = None  # noqa: N815 - KuCoin's name; it is not documented, but sent


class _FuturesTrade(msgspec.Struct):
    sequence: int
    tradeId: str  # noqa: N815
    makerOrderId: str  # noqa: N815
    takerOrderId: str  # noqa: N815
    ts: int
    size: int
    price: str
    side: str


class _UtaTrade(msgspec.Struct):
    sequence: int  # as text until 2026-01
    tradeId: str  # noqa: N815
    price: str
    size: str
    side: str
    ts: int
    isRpiTrade: bool | None = None  # noqa: N815 - of futures


class _UtaTrades(msgspec.Struct):
    rows: list[_UtaTrade] = msgspec.field(name="list")


class _SpotPush(msgspec.Struct):
    sequence: int
    time: int


class _FuturesPush(msgspec.Struct):
    sequence: int
    ts: int


class _UtaPush(msgspec.Struct):
    E: int
    M: int


class TradeRows(NamedTuple):
    """How the missed trades of one topic are fetched and read.

    Attributes:
        topic: the topic.
        market: the service of REST, "spot" or "futures".
        path: of the request.
        reader: returns the rows of an answer.
        pushed: the struct of those members of a push that tell its place in the feed.
    """

    topic: str
    market: str
    path: str
    reader: Callable[[str, Any], list[Row]]
    pushed: type[_SpotPush] | type[_FuturesPush] | type[_UtaPush]

    def query(self, _: TradeJoin) -> dict[str, str]:
        """Return the query of a request."""
        row = row_of(self.topic)
        symbol = {"symbol": argument_of(self.topic)}
        return symbol if row is None or row.dialect == "classic" else {"tradeType": _kind_of(self.topic), **symbol}

    def join(self, last: Mark, now: float) -> TradeJoin:
        """Return what fills the gap after the last delivered trade."""
        return TradeJoin(last, now)

    def read(self, data: Any) -> list[Row]:
        """Return the rows of an answer, oldest first; raise RestError if they can't be read."""
        try:
            return sorted(self.reader(self.topic, data))
        except UNREADABLE as error:
            raise RestError("200000", f"trades that can't be read: {error}", where=self.path) from None

    def mark_of(self, message: Message) -> Mark | None:
        """Return the place of a push in the feed, None if it does not tell it."""
        try:
            return Mark(*msgspec.structs.astuple(msgspec.convert(message.data, self.pushed, strict=False)))
        except UNREADABLE:
            return None


def _read_spot(topic: str, data: Any) -> list[Row]:
    symbol = argument_of(topic)
    return [
        Row(
            Mark(each.sequence, each.time),
            _classic(
                topic,
                "trade.l3match",
                {
                    "symbol": symbol,
                    "sequence": str(each.sequence),
                    "side": each.side,
                    "size": each.size,
                    "price": each.price,
                    "time": str(each.time),
                    "tradeId": each.tradeId or str(each.sequence),
                    "makerOrderId": None,
                    "takerOrderId": None,
                    "type": None,
                },
            ),
        )
        for each in msgspec.convert(data, list[_SpotTrade], strict=False)
    ]


def _read_futures(topic: str, data: Any) -> list[Row]:
    symbol = argument_of(topic)
    return [
        Row(
            Mark(each.sequence, each.ts),
            _classic(
                topic,
                "match",
                {
                    "symbol": symbol,
                    "sequence": each.sequence,
                    "side": each.side,
                    "size": each.size,
                    "price": each.price,
                    "takerOrderId": each.takerOrderId,
                    "makerOrderId": each.makerOrderId,
                    "tradeId": each.tradeId,
                    "ts": each.ts,
                },
                sn=each.sequence,
            ),
        )
        for each in msgspec.convert(data, list[_FuturesTrade], strict=False)
    ]


def _read_uta(topic: str, data: Any) -> list[Row]:
    symbol, kind = argument_of(topic), _kind_of(topic)
    rows = []
    for each in msgspec.convert(data, _UtaTrades, strict=False).rows:
        told = {
            "s": symbol,
            "p": each.price,
            "q": each.size,
            "S": each.side,
            "E": each.sequence,
            "ti": each.tradeId,
            "M": each.ts,
        }
        if each.isRpiTrade is not None:
            told["rpi"] = each.isRpiTrade
        rows.append(Row(Mark(each.sequence, each.ts), _encode({"T": f"trade.{kind}", "P": None, "d": told})))
    return rows


def _classic(topic: str, subject: str, data: dict[str, Any], **more: Any) -> bytes:
    return _encode({"topic": topic, "type": "message", "subject": subject, **more, "data": data})


def _kind_of(topic: str) -> str:
    """Return "SPOT" or "FUTURES" of a topic of the UTA feed."""
    return topic.partition(":")[0].rpartition(".")[2]


_READERS: dict[str, tuple[str, Callable[[str, Any], list[Row]], Any]] = {
    "/api/v1/market/histories": ("spot", _read_spot, _SpotPush),
    "/api/v1/trade/history": ("futures", _read_futures, _FuturesPush),
    "/api/ua/v2/market/trade": ("spot", _read_uta, _UtaPush),
}


def trade_rows_for(topic: str) -> TradeRows | None:
    """Return how the missed trades of a single topic are fetched, None if no path of REST tells them."""
    row = row_of(topic)
    if row is None or row.recovery not in _READERS:
        return None
    market, read, pushed = _READERS[row.recovery]
    return TradeRows(str(topic), market, row.recovery, read, pushed)
