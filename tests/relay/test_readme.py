"""The README's code blocks about relays run, on the local KuCoin and a redis-server."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

import kucoin_sync.relay
from kucoin_sync import Stream
from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.testing import local_kucoin

from ..support.redis import LocalRedis

TEXT = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = [code for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S) if "kucoin_sync.relay" in code]


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_runs(code: str, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUCOIN_SYNC_REDIS_URL", redis.url)
    ended = threading.Event()
    closers: list[threading.Thread] = []

    class Watched(RelayStream):
        """A stream that closes itself when its loop has had enough messages."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            closers.append(threading.Thread(target=self.close_after_enough))
            closers[-1].start()

        def close_after_enough(self) -> None:
            while not ended.wait(0.02) and self.stats()["messages"] < 200:
                pass
            if not ended.is_set():
                self.close()

    monkeypatch.setattr(kucoin_sync.relay, "RelayStream", Watched)
    with local_kucoin() as server:
        monkeypatch.setenv("KUCOIN_SYNC_REST_URL", server.rest_url)
        monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", server.futures_rest_url)
        with Stream() as stream, Relay(stream, redis.url) as relay:
            if "Relay(" in code:
                relay.close()  # it makes its own
            try:
                exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
            finally:
                ended.set()
                for closer in closers:
                    closer.join(10)
