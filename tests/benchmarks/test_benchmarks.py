"""The benchmarks run: one scenario, a few hundred messages, `Stream` only. What they measure is no test's business."""

from __future__ import annotations

import pytest

from .__main__ import main


def test_a_tiny_run_ends_with_a_table_and_a_summary_of_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["saturated", "--only", "Stream payload", "--messages", "300", "--runs", "1"])
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("Stream payload")]
    rate = row.split()[2]
    assert float(rate.replace(",", "")) > 0
    assert "failed" not in out
    assert "left out" not in out
