"""The order books side by side with other ways to keep one: `python -m tests.benchmarks.books`.

All take the same decoded updates, near the top of the book, and are read the same way: both best levels every 10
updates, the best 50 of both sides every 100. All keep prices and sizes exact. They take turns, round after round;
figures are CPU time of this process, the least of all rounds, and ratios are medians of the ratios within a round.
Of the peers, order-book is under the GPL, version 3: it is measured here, beside this package, and used nowhere else.
Asserts nothing but that all end with the same book.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from kucoin_sync.books import (
    LEVEL2,
    LEVEL3,
    UTA_LEVEL2,
    Calibration,
    Level2Book,
    Level3Book,
    PushedCalibration,
    WireLevel2Update,
    WireLevel3Event,
)
from kucoin_sync.books.codec import Level2Rows, read_level2, read_level2_frame, read_level3
from kucoin_sync.books.uta import UTA_DEPTH, read_uta_level2_frame

__all__ = ["main"]

_MIDDLE = 670_000  # price units of a tenth
_TOP = 50
_L3_ORDERS = 100_000

Rows = list[tuple[Decimal, Decimal]]


class Stream(NamedTuple):
    """A snapshot and what follows it."""

    bids: list[list[str]]
    asks: list[list[str]]
    data: list[bytes]
    updates: list[WireLevel2Update]


def _text(units: int, decimals: int) -> str:
    return f"{units / 10**decimals:.{decimals}f}".rstrip("0").rstrip(".")


def level2_stream(levels: int, count: int, *, near: int = 200, seed: int = 1) -> Stream:
    """Return a book of `levels` on each side and `count` updates within `near` ticks of its top.

    As on the live feed most change one level and some a few; a row sets a new size, deletes a level, or inserts one.
    """
    draw = random.Random(seed)
    books = [
        {_MIDDLE + sign * (1 + 2 * place): draw.randrange(1, 10**8) for place in range(levels)} for sign in (-1, 1)
    ]
    bids, asks = ([[_text(price, 1), _text(size, 8)] for price, size in book.items()] for book in books)
    data, sequence = [], 0
    for _ in range(count):
        start = sequence + 1
        rows: list[list[list[str]]] = [[], []]
        for _ in range(1 if draw.random() < 0.8 else 3):
            sequence += 1
            side = draw.randrange(2)
            price = _MIDDLE + (-1, 1)[side] * (1 + int(draw.random() ** 3 * near))
            size = draw.randrange(1, 10**8)
            if price in books[side] and draw.random() < 0.4:
                size = 0
                del books[side][price]
            else:
                books[side][price] = size
            rows[side].append([_text(price, 1), _text(size, 8), str(sequence)])
        changes = {"asks": rows[1], "bids": rows[0]}
        update = {
            "changes": changes,
            "sequenceEnd": sequence,
            "sequenceStart": start,
            "symbol": "BTC-USDT",
            "time": 1729816425625,
        }
        data.append(json.dumps(update, separators=(",", ":")).encode())
    return Stream(bids, asks, data, [read_level2(each) for each in data])


class Result(NamedTuple):
    """CPU seconds, and the best levels at the end."""

    seconds: float
    bids: Rows
    asks: Rows


def ours(stream: Stream) -> Result:
    """Keep the book with this package, gaps and overlaps checked."""
    calibration = Calibration(LEVEL2)
    calibration.snapshot({"sequence": 0, "bids": stream.bids, "asks": stream.asks})
    push, book = calibration.push, calibration.book
    gc.collect()
    started = time.process_time()
    for number, update in enumerate(stream.updates):
        push(update)
        if number % 10 == 0:
            _ = book.best_bid, book.best_ask
            if number % 100 == 0:
                _ = book.bids(_TOP), book.asks(_TOP)
    return Result(time.process_time() - started, book.bids(_TOP), book.asks(_TOP))


class Peer(NamedTuple):
    """Another way to keep a side of a book.

    Attributes:
        new: makes a bid side (True) or an ask side from a dict.
        drop: removes a price, if it is there.
        best: returns the best level of a bid side (True) or an ask side.
        top: returns so many.
    """

    new: Callable[[dict[Decimal, Decimal], bool], Any]
    drop: Callable[[Any, Decimal], object]
    best: Callable[[Any, bool], Any]
    top: Callable[[Any, int, bool], Any]


def peer(kind: Peer, stream: Stream) -> Result:
    """Keep the book another way, with the least that has to be checked."""
    drop, best, top = kind.drop, kind.best, kind.top
    bids, asks = (
        kind.new({Decimal(price): Decimal(size) for price, size in rows}, rows is stream.bids)
        for rows in (stream.bids, stream.asks)
    )
    last = 0
    gc.collect()
    started = time.process_time()
    for number, update in enumerate(stream.updates):
        if update.sequence_start > last + 1 or update.sequence_end <= last:
            raise AssertionError("the stream has no gaps")
        for side, rows in ((bids, update.changes.bids), (asks, update.changes.asks)):
            for price, size, sequence in rows:
                if sequence <= last:
                    continue
                amount = Decimal(size)
                if amount:
                    side[Decimal(price)] = amount
                else:
                    drop(side, Decimal(price))
        last = update.sequence_end
        if number % 10 == 0:
            _ = best(bids, True), best(asks, False)
            if number % 100 == 0:
                _ = top(bids, _TOP, True), top(asks, _TOP, False)
    return Result(time.process_time() - started, list(top(bids, _TOP, True)), list(top(asks, _TOP, False)))


def peers() -> tuple[dict[str, tuple[Peer, float]], list[str]]:
    """Return the other ways with the targets of our ratio to them, and what is not installed."""
    found: dict[str, tuple[Peer, float]] = {}
    missing = []
    if importlib.util.find_spec("sortedcontainers"):
        from sortedcontainers import SortedDict

        found["sortedcontainers.SortedDict"] = (
            Peer(
                lambda levels, _: SortedDict(levels),
                lambda side, price: side.pop(price, None),
                lambda side, is_bids: side.peekitem(-1 if is_bids else 0),
                lambda side, n, is_bids: side.items()[: -n - 1 : -1] if is_bids else side.items()[:n],
            ),
            1.5,
        )
    else:
        missing.append("sortedcontainers")
    if importlib.util.find_spec("order_book"):
        import order_book

        def new(levels: dict[Decimal, Decimal], is_bids: bool) -> Any:
            book = order_book.OrderBook()
            side = book.bids if is_bids else book.asks
            for price, size in levels.items():
                side[price] = size
            return side

        def drop(side: Any, price: Decimal) -> None:
            if price in side:
                del side[price]

        found["order-book (C)"] = (
            Peer(
                new, drop, lambda side, _: side.index(0), lambda side, n, _: [side.index(place) for place in range(n)]
            ),
            3.0,
        )
    else:
        missing.append("order-book")
    found["dict, sorted when read"] = (
        Peer(
            lambda levels, _: levels,
            lambda side, price: side.pop(price, None),
            lambda side, is_bids: (max if is_bids else min)(side.items()),
            lambda side, n, is_bids: sorted(side.items(), reverse=is_bids)[:n],
        ),
        5.0,
    )
    return found, missing


def compare(levels: int, count: int, rounds: int) -> list[list[str]]:
    """Return the rows of the table that compares all ways on one stream."""
    stream = level2_stream(levels, count)
    others, missing = peers()
    ways: dict[str, Callable[[], Result]] = {"Calibration + Level2Book": lambda: ours(stream)}
    for name, (kind, _) in others.items():
        ways[name] = lambda kind=kind: peer(kind, stream)  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        ends = []
        for name, way in ways.items():
            result = way()
            seconds[name].append(result.seconds)
            ends.append([*map(tuple, result.bids), *map(tuple, result.asks)])
        assert all(end == ends[0] for end in ends), "all ways lead to one book"
    (first, reference), *rest = seconds.items()
    rows = [[f"2×{levels:,} levels: {first}", f"{min(reference) / count * 1e6:.2f} µs", "", "", ""]]
    for name, taken in rest:
        ratio = median(other / own for other, own in zip(taken, reference, strict=True))
        target = others[name][1]
        rows.append(
            [
                f"2×{levels:,} levels: {name}",
                f"{min(taken) / count * 1e6:.2f} µs",
                f"{ratio:.2f}×",
                f"≥ {target:g}×",
                _verdict(ratio >= target),
            ]
        )
    return rows + [[f"{name} is not installed and was left out", "", "", "", ""] for name in missing]


def whole_way(count: int, rounds: int) -> list[list[str]]:
    """Return the rows of how many frames a second become a changed book, of both feeds."""
    stream = level2_stream(UTA_DEPTH, count)
    classic = [
        b'{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":%b}' % data
        for data in stream.data
    ]
    uta = [_uta_frame("delta", *_uta_rows(update)) for update in stream.updates]
    start = _uta_frame("snapshot", 0, 0, stream.bids, stream.asks)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        books: tuple[Calibration[Any, Any], ...] = Calibration(LEVEL2), PushedCalibration(UTA_LEVEL2)
        books[0].snapshot({"sequence": 0, "bids": stream.bids, "asks": stream.asks})
        books[1].push(start)
        frames_of: list[tuple[list[bytes], Callable[[bytes], Any]]] = [
            (classic, read_level2_frame),
            (uta, read_uta_level2_frame),
        ]
        for book, (frames, read), seconds in zip(books, frames_of, taken, strict=True):
            push = book.push
            gc.collect()
            started = time.process_time()
            for frame in frames:
                push(read(frame))
            seconds.append(time.process_time() - started)
            assert book.sequence == stream.updates[-1].sequence_end
        assert books[0].book.bids(_TOP) == books[1].book.bids(_TOP), "both ways lead to one book"
    ratio = median(one / other for one, other in zip(*taken, strict=True))
    row = _rate("UTA level 2: frame's bytes to applied", count / min(taken[1]), 0, "updates")
    return [
        _rate("level 2: frame's bytes to applied", count / min(taken[0]), 150_000, "updates"),
        [*row[:2], f"{ratio:.2f}×", "≥ 0.9×", _verdict(ratio >= 0.9)],
    ]


def _uta_rows(update: WireLevel2Update) -> tuple[int, int, Any, Any]:
    changes = update.changes
    bids, asks = ([row[:2] for row in rows] for rows in (changes.bids, changes.asks))
    return update.sequence_start, update.sequence_end, bids, asks


def _uta_frame(kind: str, start: int, end: int, bids: Any, asks: Any) -> bytes:
    data = {"s": "BTC-USDT", "a": asks, "b": bids, "O": start, "C": end, "M": 1790114460661000000}
    push = {"T": "obu.SPOT", "dp": "increment@10ms", "t": kind, "P": 1790114460671676191, "d": data}
    return json.dumps(push, separators=(",", ":")).encode()


def growth(count: int, rounds: int) -> list[list[str]]:
    """Return the rows of what an update costs on ever larger books, one in two a new level or one less."""
    rows: list[list[str]] = []
    sizes = (1_000, 5_000, 20_000, 100_000)
    for where in ("near the top", "anywhere"):
        taken: dict[int, list[float]] = {levels: [] for levels in sizes}
        streams = {levels: _churn(levels, count, 40 if where == "near the top" else levels) for levels in sizes}
        for _ in range(rounds):
            for levels, (bids, changes) in streams.items():
                book = Level2Book()
                book.load(bids, [])
                apply = book.apply
                for change in changes:  # a book that has been up for a while
                    apply(change)
                gc.collect()
                started = time.process_time()
                for change in changes:
                    apply(change)
                taken[levels].append(time.process_time() - started)
        for levels in sizes:
            ratio = median(one / base for one, base in zip(taken[levels], taken[sizes[0]], strict=True))
            bound = math.log(levels) / math.log(sizes[0])
            figures = [
                f"{min(taken[levels]) / count * 1e6:.2f} µs",
                f"{ratio:.2f}×",
                f"≤ {bound:.2f}×",
                _verdict(ratio <= bound),
            ]
            rows.append([f"level 2: an insertion or deletion {where} of {levels:,} levels", *figures])
    return rows


def _churn(levels: int, count: int, span: int) -> tuple[list[list[str]], list[WireLevel2Update]]:
    draw = random.Random(levels)
    bids = [[_text(1_000 + 10 * place, 1), "1"] for place in range(levels)]
    updates = []
    for number in range(count):
        if number % 2 == 0:
            price = _text(1_001 + 10 * (levels - draw.randrange(span)), 1)
        row = price, "0" if number % 2 else "2.5", 1
        updates.append(WireLevel2Update(1, 1, Level2Rows([], [row])))
    return bids, updates


class Orders(NamedTuple):
    """A level 3 snapshot and what follows it."""

    bids: list[list[Any]]
    asks: list[list[Any]]
    data: list[tuple[bytes, str]]
    events: list[WireLevel3Event]


def level3_stream(orders: int, count: int, seed: int = 2) -> Orders:
    """Return `orders` on the book and about `count` events near its top: orders come, trade, shrink and go."""
    draw = random.Random(seed)
    rows: tuple[list[list[Any]], list[list[Any]]] = ([], [])
    left: list[tuple[str, str, int]] = []  # what is near the top: id, side, size
    for number in range(orders):
        side, far = number % 2, int(draw.random() ** 2 * 5_000)
        size = draw.randrange(1, 10**8)
        rows[side].append([f"{number:024x}", _text(_MIDDLE + (-1, 1)[side] * (1 + far), 1), _text(size, 8), number])
        if far < 400:
            left.append((f"{number:024x}", ("buy", "sell")[side], size))
    data: list[tuple[bytes, str]] = []

    def tell(subject: str, **fields: Any) -> None:
        event = {"symbol": "BTC-USDT", "sequence": len(data) + 1, **fields, "ts": 1593487482038606180}
        data.append((json.dumps(event, separators=(",", ":")).encode(), subject))

    number = orders
    while len(data) < count:
        what = draw.random()
        if what < 0.45:
            number += 1
            name, side, size = f"{number:024x}", draw.randrange(2), draw.randrange(1, 10**8)
            tell("received", orderId=name, clientOid="")
            price = _text(_MIDDLE + (-1, 1)[side] * (1 + int(draw.random() ** 2 * 400)), 1)
            tell("open", orderId=name, side=("buy", "sell")[side], price=price, size=_text(size, 8), orderTime=number)
            left.append((name, ("buy", "sell")[side], size))
            continue
        place = draw.randrange(len(left))
        name, name_of_side, size = left[place]
        if what < 0.55 and size > 1:
            rest = draw.randrange(1, size)
            trade = {"price": "67000", "size": _text(size - rest, 8), "remainSize": _text(rest, 8), "tradeId": name}
            tell("match", makerOrderId=name, takerOrderId="f" * 24, side=name_of_side, **trade)
            left[place] = name, name_of_side, rest
        elif what < 0.6 and size > 1:
            tell("update", orderId=name, size=_text(size - 1, 8))
            left[place] = name, name_of_side, size - 1
        else:
            tell("done", orderId=name, reason="canceled")
            left[place] = left[-1]
            left.pop()
    return Orders(*rows, data, [read_level3(*each) for each in data])


def level3(count: int, rounds: int) -> list[list[str]]:
    """Return the rows of how many events a second a large level 3 book takes, its best levels read every 10."""
    stream = level3_stream(_L3_ORDERS, count)
    ways: dict[str, Sequence[Any]] = {"decoded event": [(each,) for each in stream.events], "data's bytes": stream.data}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, arguments in ways.items():
            calibration = Calibration(LEVEL3)
            calibration.snapshot({"sequence": 0, "bids": stream.bids, "asks": stream.asks})
            push, book = calibration.push, calibration.book
            assert isinstance(book, Level3Book)
            gc.collect()
            started = time.process_time()
            for number, each in enumerate(arguments):
                push(*each)
                if number % 10 == 0:
                    _ = book.best_bid, book.best_ask
            taken[way].append(time.process_time() - started)
            assert calibration.sequence == len(stream.data)
    what = f"level 3 of {_L3_ORDERS:,} orders"
    return [_rate(f"{what}: {way} to applied", len(stream.data) / min(taken[way]), 100_000, "events") for way in ways]


def _rate(what: str, rate: float, target: float, unit: str) -> list[str]:
    return [what, f"{rate:,.0f} {unit}/s", "", f"≥ {target:,.0f}", _verdict(rate >= target)]


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


def _print(heads: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for line in (heads, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.books", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default: 7")
    parser.add_argument("--updates", type=int, default=20_000, metavar="N", help="updates in a run; default: 20,000")
    chosen = parser.parse_args(arguments)
    count, rounds = chosen.updates, chosen.rounds
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, CPU time; {rounds} rounds of {count:,} updates\n"
    )
    rows = []
    for levels in (1_000, 5_000):
        rows += compare(levels, count, rounds)
    rows += whole_way(count, rounds)
    rows += growth(count, rounds)
    rows += level3(count, rounds)
    _print(["", "measured", "ratio", "target", ""], rows)


if __name__ == "__main__":
    main()
