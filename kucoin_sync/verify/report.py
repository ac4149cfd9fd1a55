"""Write what a run has seen, and read it again: the same messages give the same bytes, and the same findings.

A report has no key, no token and no id of an account: `topic_log` and `probe` leave them out. It has one sample of the
data of each shape.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .facts import FACTS
from .judge import judge
from .seen import Finding, Seen

__all__ = ["FORMAT", "dump", "load"]

#: Rises when a report changes so that older ones can't be read.
FORMAT = 1


class _Report(msgspec.Struct):
    format: int
    version: str
    differs: bool
    findings: list[dict[str, Any]]
    seen: Seen


def dump(seen: Seen, version: str) -> bytes:
    """Return a report as JSON with sorted members. `version` is that of this package."""
    findings = judge(seen)
    report = _Report(
        FORMAT, version, any(each.differs for each in findings), [_described(each) for each in findings], seen
    )
    return msgspec.json.format(msgspec.json.encode(report, order="sorted"), indent=1) + b"\n"


def load(data: bytes) -> Seen:
    """Return what the run of a report has seen.

    Raises:
        ValueError: the data is not a report of this format.
    """
    try:
        report = msgspec.json.decode(data, type=_Report)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is not a report of kucoin-sync verify: {error}") from None
    if report.format != FORMAT:
        raise ValueError(f"this report has the format {report.format}; this version reads {FORMAT}")
    return report.seen


def _described(finding: Finding) -> dict[str, Any]:
    fact = FACTS.get(finding.fact)
    told = {} if fact is None else {"fact": fact.text, "source": fact.source}
    return {"about": finding.about, "text": finding.text, **told}
