"""Each example runs on the local KuCoin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
BRANCHES = (
    "ETH-USDT ticker:", "snapshot of the market BTC:", "snapshot of KCS-BTC:", "ticker of all:", "level 2 of KCS-BTC:",
    "trade of BTC-USDT:", "level 3: received:", "level 3: open:", "level 3: done:", "level 3: match:",
    "level 3: change:", "level 3: my stop order was activated:", "balance:",
)  # fmt: skip


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=55, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_order_book_reads_a_book_and_follows_it() -> None:
    first, *shown, last = run("order_book.py", "--demo", "--seconds", "1").splitlines()
    assert first == "whole"
    assert shown
    assert all("the best 10 asks cost" in line for line in shown)
    assert last.endswith("; 0 resyncs")
    assert run("order_book.py", "XBTUSDTM", "--demo", "--seconds", "0.1").startswith("whole\n")


def test_all_topics_prints_from_every_branch_and_unsubscribes_by_the_same_names() -> None:
    lines = run("all_topics.py", "--demo").splitlines()
    missing = [branch for branch in BRANCHES if not any(line.startswith(branch) for line in lines)]
    assert not missing
    assert lines[-1] == (
        "unsubscribed: /market/ticker:ETH-USDT, /market/snapshot:BTC, /market/snapshot:KCS-BTC, /market/ticker:all, "
        "/market/level2:KCS-BTC, /market/match:BTC-USDT, /market/level3:BTC-USDT, /account/balance"
    )
