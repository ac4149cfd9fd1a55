"""Find the snapshots of books that the UTA feed has pushed among the frames of a recording."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .format import Batch, records

__all__ = ["has_pushed_snapshots", "pushed_snapshots"]

_DEPTH, _KIND = b"increment@10ms", b"snapshot"


class _Data(msgspec.Struct):
    s: str


class _Push(msgspec.Struct):
    """The part of a push that says which book it is of."""

    dp: str
    t: str
    d: _Data


_decode = msgspec.json.Decoder(_Push).decode


def has_pushed_snapshots(text: bytes) -> bool:
    """Return whether a block of a recording may have such a snapshot; for most blocks that is one search."""
    return _DEPTH in text and _KIND in text.lower()


def pushed_snapshots(text: bytes) -> Iterator[tuple[str, str, int]]:
    """Yield market, symbol and time of each such snapshot in a block."""
    for record in records(text):
        if not isinstance(record, Batch) or not record.origin.market.startswith("uta-"):
            continue
        for frame in record.frames:
            if _DEPTH in frame and _KIND in frame.lower():
                try:
                    push = _decode(frame)
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    continue
                if push.t.lower() == "snapshot":
                    yield record.origin.market, push.d.s, record.origin.received_ns
