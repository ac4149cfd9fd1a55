"""`run_feed`, run in the test's process: its output, its errors and its end."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, InvalidTopic
from kucoin_sync.contrib.feed import run_feed
from kucoin_sync.contrib.options import Options
from kucoin_sync.relay import Relay
from kucoin_sync.testing import KucoinServer

from ..support.redis import MISSING, LocalRedis
from ..support.threads import LIMIT, Task, until

TICKER = "/market/ticker:BTC-USDT"
needs_redis = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@needs_redis
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_passes_on_what_is_named_until_a_signal_and_restores_what_signals_did(
    server: KucoinServer, redis: LocalRedis, web_settings: dict[str, Any], number: signal.Signals
) -> None:
    said: list[str] = []
    before = handlers()

    def end() -> None:
        server.wait_subscribed(TICKER, timeout=LIMIT)
        server.drop_connections()
        until(lambda: any("disconnected" in line for line in said), "the cut was not told")
        os.kill(os.getpid(), number)

    ending = Task(end)
    run_feed(Options.read({**web_settings, "REDIS_URL": redis.url, "TOPICS": [TICKER]}), said.append)
    ending.result()
    assert handlers() == before
    assert said[0].startswith("lease taken: this relay passes the feed on")
    assert said[-1] == "0 messages passed on, 0 dropped"
    assert not any(line.startswith("connected") for line in said), "what is as it should be is not told"


@needs_redis
def test_it_restores_signal_handlers_that_python_has_not_set(
    redis: LocalRedis, web_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relay, "run", interrupt)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        run_feed(Options.read({**web_settings, "REDIS_URL": redis.url}), str)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@needs_redis
def test_off_the_main_thread_it_touches_no_signals(
    redis: LocalRedis, web_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relay, "run", interrupt)
    said: list[str] = []
    Task(run_feed, Options.read({**web_settings, "REDIS_URL": redis.url}), said.append).result()
    assert said == ["0 messages passed on, 0 dropped"]


def interrupt(_: Relay) -> None:
    raise KeyboardInterrupt


def test_without_a_redis_it_says_what_to_set(web_settings: dict[str, Any]) -> None:
    with pytest.raises(
        ConnectionFailed, match="set REDIS_URL in the settings of kucoin_sync, or KUCOIN_SYNC_REDIS_URL"
    ):
        run_feed(Options.read(web_settings), str)


def test_a_topic_that_can_not_be_passed_on_is_an_error(web_settings: dict[str, Any]) -> None:
    options = Options.read({**web_settings, "REDIS_URL": "redis://localhost", "TOPICS": ["/account/balance"]})
    before = handlers()
    with pytest.raises(InvalidTopic, match="/account/balance can't be passed on"):
        run_feed(options, str)
    assert handlers() == before


def test_without_redis_py_the_error_names_the_extra(
    web_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("kucoin_sync.relay")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConnectionFailed, match=r"pip install 'kucoin-sync\[redis\]'"):
        run_feed(Options.read({**web_settings, "REDIS_URL": "redis://localhost"}), str)
