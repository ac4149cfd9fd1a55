"""The code blocks of the READMEs that are about relays run, on the local KuCoin and a redis-server."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import kucoin_sync.relay
from kucoin_sync import Stream
from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.testing import local_kucoin

from ..support.readmes import BLOCKS, Block
from ..support.redis import LocalRedis

RELAYS = [block for block in BLOCKS if block.language == "python" and "kucoin_sync.relay" in block.code]


@pytest.mark.parametrize("block", RELAYS, ids=str)
def test_a_block_runs(block: Block, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch) -> None:
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
            if "Relay(" in block.code:
                relay.close()  # it makes its own
            try:
                exec(compile(block.code, block.readme, "exec"), {"__name__": "readme"})
            finally:
                ended.set()
                for closer in closers:
                    closer.join(10)
