"""What REST tells of trades, as the frames in which they would have been pushed. Pure.

Each topic has a `TradeRows`: how to ask, how to read the answer, and where a push is in the feed. A frame has what the
row tells, under the names of the push; what it does not tell is null. A value of an unusual form costs itself only: it
stands in the frame as it is. Only a row without a sequence, its place, is left out. Source: KuCoin's REST documentation
and recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from ..exceptions import RestError
from ..payloads.base import WireTime
from ..protocol.message import UNREADABLE, Message
from ..topics.grammar import argument_of, row_of
from .trades import Mark, Row, TradeJoin

__all__ = ["TradeRows", "placed", "trade_rows_for", "whole_number"]

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


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
        frame: returns the frame of a row, given its sequence and its time, None if it has no readable one.
        time: the member of a row that has its time.
        pushed: the struct of those members of a push that tell its place in the feed.
    """

    topic: str
    market: str
    path: str
    frame: Callable[[str, Mapping[str, Any], int, int | None], bytes]
    time: str
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
        """Return the rows of an answer, oldest first; raise RestError if none of them can be read.

        A row without a readable time counts as traded at the time of its neighbour.
        """
        told = data.get("list") if isinstance(data, Mapping) else data
        found = [] if not isinstance(told, list) else placed(told, lambda row: whole_number(_member(row, "sequence")))
        times = [whole_number(row.get(self.time)) for _, row, _ in found]
        time_ns = next((each for each in times if each is not None), None)
        if time_ns is None:
            if told == []:
                return []
            raise RestError("200000", f"trades that can't be read: {data!r:.100}", where=self.path)
        rows = []
        for (sequence, row, after_hole), time in zip(found, times, strict=True):
            time_ns = time_ns if time is None else time
            rows.append(Row(Mark(sequence, time_ns), self.frame(self.topic, row, sequence, time), after_hole))
        return sorted(rows)

    def mark_of(self, message: Message) -> Mark | None:
        """Return the place of a push in the feed, None if it does not tell it."""
        try:
            return Mark(*msgspec.structs.astuple(msgspec.convert(message.data, self.pushed, strict=False)))
        except UNREADABLE:
            return None


def placed(told: list[_T], place_of: Callable[[_T], int | None]) -> list[tuple[int, _T, bool]]:
    """Return the rows of an answer that have a place, the lowest first: place, row, and whether it is after a hole.

    A hole is a row without a place. KuCoin's answers are in order, in either direction.
    """
    found = [(place_of(row), row) for row in told]
    known = [place for place, _ in found if place is not None]
    if known and known[0] > known[-1]:
        found.reverse()
    rows, after_hole = [], False
    for place, row in found:
        if place is not None:
            rows.append((place, row, after_hole))
        after_hole = place is None
    return rows


def whole_number(value: Any) -> int | None:
    """Return the whole number of at most 63 bits that a value stands for, None if it is none."""
    try:
        number: int = msgspec.convert(value, WireTime, strict=False)
    except UNREADABLE:
        return None
    return number


def _member(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else None


def _spot_frame(topic: str, row: Mapping[str, Any], sequence: int, time: int | None) -> bytes:
    trade_id = row.get("tradeId")  # it is not documented, but sent
    return _classic(
        topic,
        "trade.l3match",
        {
            "symbol": argument_of(topic),
            "sequence": str(sequence),
            "side": row.get("side"),
            "size": row.get("size"),
            "price": row.get("price"),
            "time": row.get("time") if time is None else str(time),
            "tradeId": str(sequence) if trade_id in (None, "") else trade_id,
            "makerOrderId": None,
            "takerOrderId": None,
            "type": None,
        },
    )


def _futures_frame(topic: str, row: Mapping[str, Any], sequence: int, time: int | None) -> bytes:
    return _classic(
        topic,
        "match",
        {
            "symbol": argument_of(topic),
            "sequence": sequence,
            "side": row.get("side"),
            "size": row.get("size"),
            "price": row.get("price"),
            "takerOrderId": row.get("takerOrderId"),
            "makerOrderId": row.get("makerOrderId"),
            "tradeId": row.get("tradeId"),
            "ts": row.get("ts") if time is None else time,
        },
        sn=sequence,
    )


def _uta_frame(topic: str, row: Mapping[str, Any], sequence: int, time: int | None) -> bytes:
    told = {
        "s": argument_of(topic),
        "p": row.get("price"),
        "q": row.get("size"),
        "S": row.get("side"),
        "E": sequence,
        "ti": row.get("tradeId"),
        "M": row.get("ts") if time is None else time,
    }
    if row.get("isRpiTrade") is not None:  # of futures
        told["rpi"] = row["isRpiTrade"]
    return _encode({"T": f"trade.{_kind_of(topic)}", "P": None, "d": told})


def _classic(topic: str, subject: str, data: dict[str, Any], **more: Any) -> bytes:
    return _encode({"topic": topic, "type": "message", "subject": subject, **more, "data": data})


def _kind_of(topic: str) -> str:
    """Return "SPOT" or "FUTURES" of a topic of the UTA feed."""
    return topic.partition(":")[0].rpartition(".")[2]


_SOURCES: dict[str, tuple[str, Callable[[str, Mapping[str, Any], int, int | None], bytes], str, Any]] = {
    "/api/v1/market/histories": ("spot", _spot_frame, "time", _SpotPush),
    "/api/v1/trade/history": ("futures", _futures_frame, "ts", _FuturesPush),
    "/api/ua/v2/market/trade": ("spot", _uta_frame, "ts", _UtaPush),
}


def trade_rows_for(topic: str) -> TradeRows | None:
    """Return how the missed trades of a single topic are fetched, None if no path of REST tells them."""
    row = row_of(topic)
    if row is None or row.recovery not in _SOURCES:
        return None
    market, frame, time, pushed = _SOURCES[row.recovery]
    return TradeRows(str(topic), market, row.recovery, frame, time, pushed)
