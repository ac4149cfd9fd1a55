"""What the user's code does with a message: read topic and price, count, and look at the clock at the marks.

One function for each shape in which clients hand messages over: "items" (dicts, and what reads like them),
"payloads" (`Stream`'s typed view), "events" (the SDK's callbacks). All clients pay the same for it: a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .load import Load
from .meter import Meter

__all__ = ["reader"]

Read = Callable[..., None]


def reader(shape: str, load: Load, meter: Meter) -> Read:
    """Return the function to be called with each message."""
    return _READERS[shape, "stamped" if load.stamped else load.feed.rpartition(" ")[2]](meter)


def _ticker_items(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(message: Any) -> None:
        nonlocal seen, mark
        _topic, _price = message["topic"], message["data"]["price"]
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _ticker_payloads(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(message: Any) -> None:
        nonlocal seen, mark
        _topic, _price = message.topic, message.payload.price
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _ticker_events(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(topic: str, subject: str, data: Any) -> None:
        nonlocal seen, mark
        _topic, _price = topic, data.price
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _ticker_latest(meter: Meter) -> Read:
    """As payloads, where a message stands for those that it superseded."""
    seen, mark = 0, meter.first_mark

    def read(message: Any) -> None:
        nonlocal seen, mark
        _topic, _price = message.topic, message.payload.price
        meter.delivered += 1
        seen += 1 + message.lost
        if seen >= mark:
            mark = meter.mark(seen)

    return read


def _level2_items(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(message: Any) -> None:
        nonlocal seen, mark
        changes = message["data"]["changes"]
        _topic, _price = message["topic"], (changes["asks"] or changes["bids"])[0][0]
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _level2_payloads(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(message: Any) -> None:
        nonlocal seen, mark
        changes = message.payload.changes
        _topic, _price = message.topic, (changes.asks or changes.bids)[0].price
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _level2_events(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark

    def read(topic: str, subject: str, data: Any) -> None:
        nonlocal seen, mark
        _topic, _price = topic, (data.changes.asks or data.changes.bids)[0][0]
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _stamped_items(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark
    note, clock = meter.latencies.append, time.monotonic_ns

    def read(message: Any) -> None:
        nonlocal seen, mark
        data = message["data"]
        _topic, _price, sent = message["topic"], data["price"], data["time"]
        note(clock() - sent)
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _stamped_payloads(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark
    note, clock = meter.latencies.append, time.monotonic_ns

    def read(message: Any) -> None:
        nonlocal seen, mark
        payload = message.payload
        _topic, _price, sent = message.topic, payload.price, payload.time_ns
        note(clock() - sent)
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


def _stamped_events(meter: Meter) -> Read:
    seen, mark = 0, meter.first_mark
    note, clock = meter.latencies.append, time.monotonic_ns

    def read(topic: str, subject: str, data: Any) -> None:
        nonlocal seen, mark
        _topic, _price, sent = topic, data.price, data.time
        note(clock() - sent)
        seen += 1
        if seen == mark:
            mark = meter.mark(seen)

    return read


_READERS: dict[tuple[str, str], Callable[[Meter], Read]] = {
    ("items", "ticker"): _ticker_items,
    ("items", "level2"): _level2_items,
    ("items", "stamped"): _stamped_items,
    ("payloads", "ticker"): _ticker_payloads,
    ("payloads", "level2"): _level2_payloads,
    ("payloads", "stamped"): _stamped_payloads,
    ("events", "ticker"): _ticker_events,
    ("events", "level2"): _level2_events,
    ("events", "stamped"): _stamped_events,
    ("latest", "ticker"): _ticker_latest,
}
