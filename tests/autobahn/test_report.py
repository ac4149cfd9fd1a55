"""What is told of two clients' verdicts; the cases themselves are no part of the suite."""

from __future__ import annotations

from .report import Verdict, failures_beyond, less_strict, table

GOOD, LENIENT, FAILED = ("OK", "OK"), ("NON-STRICT", "OK"), ("FAILED", "FAILED")
UNCLEAN = ("OK", "UNCLEAN")


def test_a_failure_counts_where_the_reference_does_better() -> None:
    ours: dict[str, Verdict] = {"10.1.1": FAILED, "2.1": UNCLEAN, "2.2": FAILED, "2.3": GOOD}
    reference: dict[str, Verdict] = {"10.1.1": LENIENT, "2.1": GOOD, "2.2": FAILED, "2.3": FAILED, "2.4": GOOD}
    assert failures_beyond(ours, reference) == [
        "case 2.1: close UNCLEAN, with websocket-client OK",
        "case 2.4: behaviour MISSING, with websocket-client OK",
        "case 2.4: close MISSING, with websocket-client OK",
        "case 10.1.1: behaviour FAILED, with websocket-client NON-STRICT",
        "case 10.1.1: close FAILED, with websocket-client OK",
    ]
    assert less_strict(ours, reference) == []


def test_leniency_is_told_and_no_failure() -> None:
    ours, reference = {"3.2": LENIENT, "3.3": LENIENT}, {"3.2": GOOD, "3.3": LENIENT}
    assert failures_beyond(ours, reference) == []
    assert less_strict(ours, reference) == ["case 3.2: behaviour NON-STRICT, with websocket-client OK"]


def test_the_table_counts_by_group() -> None:
    clients: dict[str, dict[str, Verdict]] = {
        "a": {"1.1.1": GOOD, "1.2": LENIENT, "10.1": UNCLEAN},
        "b": {"1.1.1": ("INFORMATIONAL", "OK"), "1.2": FAILED},
    }
    lines = [" ".join(line.split()) for line in table(clients).splitlines()]
    assert lines[2:] == [
        "1 framing 2 1 OK, 1 NON-STRICT 1 INFORMATIONAL, 1 FAILED; closes: 1 FAILED",
        "10 automatic fragmentation 1 1 OK; closes: 1 UNCLEAN 1 MISSING; closes: 1 MISSING",
        "all 3 2 OK, 1 NON-STRICT; closes: 1 UNCLEAN 1 INFORMATIONAL, 1 FAILED, 1 MISSING; closes: 1 FAILED, 1 MISSING",
    ]
