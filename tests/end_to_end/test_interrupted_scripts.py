"""Ctrl-C in a user's script shows the interrupt, and no error of this package."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from kucoin_sync.testing import KucoinServer

from ..support.processes import HEAR
from ..support.selection import first

LOOP = """
with Stream(**options) as stream:
    for message in stream.subscribe("/market/level2:BTC-USDT"):
        print(message.payload.symbol, flush=True)
"""
WAIT = """
stream = Stream(**options)
silent = stream.subscribe("/market/ticker:NONE-USDT")
print("ready", flush=True)
silent.get()
"""
BOOK = """
with Stream(**options) as stream:
    book = stream.book("BTC-USDT").wait_ready(timeout=30)
    for change in book:
        print(change.bids, flush=True)
"""
UNREACHABLE = """
stream = Stream(rest_url="http://127.0.0.1:9", on_event=lambda event: print(event, flush=True))
stream.subscribe("/market/ticker:BTC-USDT", timeout=None)
"""
CALLBACKS = """
with Stream(**options) as stream:
    silent = stream.subscribe("/market/ticker:NONE-USDT")
    def wait(message):
        print("called", flush=True)
        silent.get()
    stream.subscribe("/market/level2:BTC-USDT", callback=wait)
    while True:
        time.sleep(60)
"""


@pytest.mark.parametrize("script", first(CALLBACKS, LOOP, WAIT, BOOK, UNREACHABLE), ids=lambda text: text.split()[-1])
def test_ctrl_c_shows_the_interrupt_only(script: str, market: KucoinServer) -> None:
    options = {"rest_url": market.rest_url, "futures_rest_url": market.futures_rest_url, "proxy": ""}
    begin = f"import time\nfrom kucoin_sync import Stream\noptions = {options!r}\n"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", begin + script],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=HEAR,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    *_, last = err.splitlines()
    assert last.startswith("KeyboardInterrupt")
    assert err.count("Traceback") == 1
    assert "kucoin_sync.exceptions" not in err
