"""An exchange's numberings of one book: each update tells which it is, for a book to be compared with the truth."""

from __future__ import annotations

from typing import Any

__all__ = ["FEEDS", "Numbering", "content"]

FEEDS = ("level2", "futures", "level3 v1", "level3 v2")
PRICES = 5


class Numbering:
    """One numbering of a book's updates: each sets a level, or opens an order, that tells which one it was."""

    def __init__(self, feed: str, name: int, first: int) -> None:
        self.feed, self.name, self.first, self.last = feed, name, first, first

    def value(self, sequence: int) -> str:
        return f"{sequence}.{self.name}"

    def update(self, sequence: int) -> tuple[dict[str, Any], str]:
        """Return data and subject of an update."""
        price, size = str(90 + sequence % PRICES), self.value(sequence)
        if self.feed == "level2":
            changes = {"bids": [[price, size, str(sequence)]], "asks": []}
            return {"sequenceStart": sequence, "sequenceEnd": sequence, "changes": changes}, "trade.l2update"
        if self.feed == "futures":
            return {"sequence": sequence, "change": f"{price},buy,{size}"}, "level2"
        order = {"orderId": size, "side": "buy", "price": "99", "size": "1", "time": sequence, "orderTime": sequence}
        subject = "open" if self.feed == "level3 v2" else "trade.l3open"
        return {"sequence": str(sequence), "type": "open", **order}, subject

    def several(self, first: int, last: int) -> tuple[dict[str, Any], str]:
        """Return an update of level 2 that covers several."""
        rows = [self.update(each)[0]["changes"]["bids"][0] for each in range(first, last + 1)]
        return {"sequenceStart": first, "sequenceEnd": last, "changes": {"bids": rows, "asks": []}}, "trade.l2update"

    def truth(self, sequence: int) -> set[str]:
        """Return what there is in the book at a sequence."""
        numbers = range(self.first, sequence + 1)
        kept = numbers if self.feed.startswith("level3") else numbers[-PRICES:]
        return {self.value(each) for each in kept}

    def snapshot(self, sequence: int) -> dict[str, Any]:
        if self.feed.startswith("level3"):
            bids = [[value, "99", "1", 1] for value in self.truth(sequence)]
        else:
            numbers = range(self.first, sequence + 1)[-PRICES:]
            bids = [[str(90 + each % PRICES), self.value(each)] for each in numbers]
        return {"sequence": str(sequence), "bids": bids, "asks": []}


def content(book: Any) -> set[str]:
    """Return what a book has, in the form of `Numbering.truth`."""
    if hasattr(book, "bid_orders"):
        return {order.id for order in book.bid_orders()}
    return {format(level.size, "f") for level in book.bids()}
