"""The feed's frames, made beforehand: of the shape and size of KuCoin's, with numbers of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from tests.support.frames import BINARY, TEXT, frame

from .load import Load

__all__ = ["SENT", "Reel", "StampedBurst"]

#: Added to a stamp, so that it has the same number of digits whatever the clock says.
SENT = 10**18


def _ticker(topic: str, number: int, time: int) -> bytes:
    """A ticker whose numbers have as many digits as they need, so that its length varies as on the live feed."""
    price = 67_000 + number / 10
    draw = Random(number)

    def size(scale: int) -> str:
        return f"{draw.random() * scale:.{draw.randint(1, 8)}f}"

    data = {
        "bestAsk": f"{price + 0.1:.{number % 3}f}",
        "bestAskSize": size(10),
        "bestBid": f"{price:.{number % 3}f}",
        "bestBidSize": size(100),
        "price": f"{price:.{number % 3}f}",
        "sequence": str(14_000_000_000 + number),
        "size": size(1),
        "time": time,
    }
    return _push(topic, "trade.ticker", data)


def _level2(topic: str, number: int, time: int) -> bytes:
    """Mostly one changed level of one side, sometimes several, as the live feed has it."""
    sequence, price = 14_000_000_000 + 3 * number, 67_000 + number / 10
    rows = [
        [f"{price + step / 10:.1f}", f"{number % 79 / 1000:.8f}", str(sequence + step)]
        for step in range(3 if number % 10 == 0 else 1)
    ]
    data = {
        "changes": {"asks": [], "bids": rows} if number % 2 else {"asks": rows, "bids": []},
        "sequenceEnd": sequence + len(rows) - 1,
        "sequenceStart": sequence,
        "symbol": topic.partition(":")[2],
        "time": time,
    }
    return _push(topic, "trade.l2update", data)


def _uta_ticker(topic: str, number: int, time: int) -> bytes:
    """The ticker of the UTA feed with the same numbers, its members in the order of the live feed of its market."""
    of_classic = json.loads(_ticker(topic, number, time))["data"]
    now = time * 1_000_000 + number
    data = {
        "A": of_classic["bestAskSize"],
        "B": of_classic["bestBidSize"],
        "E": int(of_classic["sequence"]),
        "M": now,
        "S": "BUY" if number % 2 else "SELL",
        "a": of_classic["bestAsk"],
        "b": of_classic["bestBid"],
        "l": of_classic["price"],
        "q": of_classic["size"],
        "s": topic.partition(":")[2],
    }
    channel = topic.partition(":")[0].removeprefix("/uta/")
    if channel == "ticker.FUTURES":
        data = {name: data[name] for name in ("a", "A", "q", "b", "B", "s", "S", "E", "l", "M")}
    return json.dumps({"T": channel, "P": now + 40_000, "d": data}, separators=(",", ":")).encode()


def _push(topic: str, subject: str, data: dict[str, object]) -> bytes:
    push = {"topic": topic, "type": "message", "subject": subject, "data": data}
    return json.dumps(push, separators=(",", ":")).encode()


def _frames(load: Load, count: int, time: int) -> list[bytes]:
    make = _uta_ticker if load.feed.startswith("uta") else {"ticker": _ticker, "level2": _level2}[load.feed]
    topics, opcode = load.topic_names(), BINARY if load.feed.startswith("uta") else TEXT
    return [frame(make(topics[number % len(topics)], number, time), opcode) for number in range(count)]


class Reel:
    """Frames in a row, as one block of bytes to send over and over."""

    def __init__(self, load: Load) -> None:
        self._distinct = load.distinct
        frames = 2 * _frames(load, load.distinct, 1_729_757_723_612)  # so that a block can begin anywhere
        self._ends = [0]
        for each in frames:
            self._ends.append(self._ends[-1] + len(each))
        self._block = memoryview(b"".join(frames))

    def blocks(self, count: int, size: int = 0, first: int = 0) -> Iterator[memoryview]:
        """Yield blocks of `size` frames (0: the whole reel) from number `first` on, `count` frames in all."""
        size, sent = size or self._distinct, 0
        while sent < count:
            start = (first + sent) % self._distinct
            stop = start + min(size, count - sent)
            yield self._block[self._ends[start] : self._ends[stop]]
            sent += stop - start


class StampedBurst:
    """Frames that are sent together and carry the instant of it."""

    def __init__(self, load: Load) -> None:
        stamp = str(SENT).encode()
        self._block = bytearray(b"".join(_frames(load, load.burst, SENT)))
        self._length = len(stamp)
        self._places = []
        place = self._block.find(stamp)
        while place >= 0:
            self._places.append(place)
            place = self._block.find(stamp, place + 1)

    def stamped(self, now: int) -> bytearray:
        """Return the frames with `now` (monotonic nanoseconds) in each; valid until the next call."""
        text = str(SENT + now).encode()
        for place in self._places:
            self._block[place : place + self._length] = text
        return self._block
