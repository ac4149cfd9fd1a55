"""Measure what recording costs: `python -m tests.benchmarks.recording`, which is the scenario "recording"."""

from __future__ import annotations

import sys

from .__main__ import main

if __name__ == "__main__":
    main(["recording", *sys.argv[1:]])
