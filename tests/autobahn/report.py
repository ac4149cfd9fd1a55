"""What the fuzzing server says of two clients, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["Verdict", "failures_beyond", "less_strict", "table"]

Verdict = tuple[str, str]
"""What the server says of the behaviour in a case, and of how the connection was closed."""

_NONE: Verdict = ("MISSING", "MISSING")
_GOOD = ("OK", "INFORMATIONAL")  # the second where a case only measures
_LENIENT = "NON-STRICT"  # allowed, and not the best that can be done: no failure
_FAILURES = ("UNIMPLEMENTED", "WRONG CODE", "FAILED BY CLIENT", "UNCLEAN", "FAILED", "MISSING")
_RANKS = {word: rank for rank, word in enumerate((*_GOOD, _LENIENT, *_FAILURES))}
_GROUPS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing",
    9: "large and many messages",
    10: "automatic fragmentation",
}


def failures_beyond(ours: Mapping[str, Verdict], reference: Mapping[str, Verdict]) -> list[str]:
    """Return a sentence for each case in which the first client fails, and the second not, or less badly."""
    return _worse(ours, reference, _FAILURES)


def less_strict(ours: Mapping[str, Verdict], reference: Mapping[str, Verdict]) -> list[str]:
    """Return a sentence for each case in which the first client is lenient and the second is not; no failures."""
    return _worse(ours, reference, (_LENIENT,))


def _worse(ours: Mapping[str, Verdict], reference: Mapping[str, Verdict], words: Sequence[str]) -> list[str]:
    sentences = []
    for case in sorted({*ours, *reference}, key=_order):
        verdicts = ours.get(case, _NONE), reference.get(case, _NONE)
        for what, word, other in zip(("behaviour", "close"), *verdicts, strict=True):
            if word in words and _RANKS[word] > _RANKS[other]:
                sentences.append(f"case {case}: {what} {word}, with websocket-client {other}")
    return sentences


def table(clients: Mapping[str, Mapping[str, Verdict]]) -> str:
    """Return how many cases of each group ended how, one column for each client."""
    cases = sorted({case for verdicts in clients.values() for case in verdicts}, key=_order)
    groups: dict[int, list[str]] = {}
    for case in cases:
        groups.setdefault(_order(case)[0], []).append(case)
    rows = [["group", "cases", *clients]]
    for group, inside in groups.items():
        told = [_told(verdicts, inside) for verdicts in clients.values()]
        rows.append([f"{group} {_GROUPS.get(group, '')}".strip(), str(len(inside)), *told])
    rows.append(["all", str(len(cases)), *(_told(verdicts, cases) for verdicts in clients.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(max(lines, key=len)), *lines[1:]])


def _told(verdicts: Mapping[str, Verdict], cases: list[str]) -> str:
    """Return a summary such as "14 OK, 1 NON-STRICT; closes: 1 UNCLEAN"."""
    found = [verdicts.get(case, _NONE) for case in cases]
    behaviours, closes = (Counter(words) for words in zip(*found, strict=True))
    told = ", ".join(f"{behaviours[word]} {word}" for word in _RANKS if word in behaviours)
    others = ", ".join(f"{closes[word]} {word}" for word in _RANKS if word in closes and word not in _GOOD)
    return told + (f"; closes: {others}" if others else "")


def _order(case: str) -> tuple[int, ...]:
    return tuple(map(int, case.split(".")))
