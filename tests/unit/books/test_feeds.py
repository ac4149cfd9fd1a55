"""The feeds of books: each reads an update from data and from a whole frame, and applies it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kucoin_sync.books import FUTURES_LEVEL2, LEVEL2, LEVEL3

LEVELS: Any = ([["10", "1"]], [["11", "1"]])
ORDERS: Any = ([["b1", "10", "1", 1]], [["a1", "11", "1", 1]])
UPDATES: list[Any] = [
    (LEVEL2, LEVELS, None, {"sequenceStart": 8, "sequenceEnd": 8, "changes": {"bids": [["10", "3", "8"]], "asks": []}}),
    (FUTURES_LEVEL2, LEVELS, None, {"sequence": 8, "change": "10,buy,3", "timestamp": 1}),
    (LEVEL3, ORDERS, "change", {"sequence": 8, "orderId": "b1", "size": "3", "ts": 1, "time": 1, "symbol": "A-B"}),
]


@pytest.mark.parametrize(("feed", "rows", "subject", "data"), UPDATES, ids=["level 2", "futures", "level 3"])
def test_an_update_is_read_alike_from_data_and_from_a_frame_and_applied(
    feed: Any, rows: Any, subject: str | None, data: dict[str, Any]
) -> None:
    encoded = msgspec.json.encode(data)
    update = feed.read(msgspec.Raw(encoded), subject)
    frame = b'{"type":"message","topic":"/a:b","data":' + encoded + b"}"
    assert isinstance(update, feed.update_type)
    assert feed.read_frame(frame, subject) == update
    assert (update.sequence_start, update.sequence_end) == (8, 8)
    book = feed.new()
    feed.load(book, *rows, None)
    feed.apply(book, update, 7)
    assert [str(each) for each in (book.best_bid.price, book.best_bid.size, book.best_ask.price)] == ["10", "3", "11"]


@pytest.mark.parametrize("feed", [LEVEL2, FUTURES_LEVEL2, LEVEL3])
def test_data_of_another_form_raises_valueerror(feed: Any) -> None:
    with pytest.raises(ValueError):
        feed.read(msgspec.Raw(b"[]"), "change")
