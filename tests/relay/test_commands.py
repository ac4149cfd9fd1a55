"""`kucoin-sync relay`, the example, and the long run made short, as a user meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer

from ..benchmarks.relay import main as measure
from ..benchmarks.relay_soak import Plan, run
from ..support.redis import LocalRedis
from ..support.relays import MakeReader, RelayProcess
from ..support.selection import first
from ..support.threads import LIMIT
from .test_reading import OTHER, TOPIC, numbers, send, take

EXAMPLE = Path(__file__).parents[2] / "examples" / "redis_fanout.py"


def test_the_command_passes_on_what_it_is_told_and_what_readers_want(
    server: KucoinServer, redis: LocalRedis, run_relay: Callable[..., RelayProcess], make_reader: MakeReader
) -> None:
    process = run_relay("--topic", TOPIC, "--namespace", "elsewhere")
    assert "fencing token" in process.says("lease taken")
    server.wait_for(lambda s: s.connections and s.connections[0].topics == {TOPIC}, LIMIT, "the named topic")
    subscription = make_reader(namespace="elsewhere").subscribe(OTHER)
    send(server, 1, topic=OTHER)
    assert numbers(take(subscription, 1)) == [1]
    process.send(signal.SIGTERM)
    assert process.says("passed on") == "kucoin-sync: 1 messages passed on, 0 dropped\n"
    assert redis.call("GET", "{elsewhere}:1:lease") is None
    assert process.exit_code() == 0


def test_the_command_takes_redis_from_the_environment(
    server: KucoinServer, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUCOIN_SYNC_REDIS_URL", raising=False)
    assert main(["relay"]) == 1
    assert "no Redis was named: use --redis" in capsys.readouterr().err
    monkeypatch.setenv("KUCOIN_SYNC_REDIS_URL", "nonsense://")
    assert main(["relay"]) == 1
    assert "the URL of Redis" in capsys.readouterr().err
    assert main(["relay", "--redis", redis.url, "--topic", "nonsense"]) == 2
    assert "'nonsense' is not a topic" in capsys.readouterr().err


def test_without_redis_py_the_command_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("kucoin_sync.relay")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    assert main(["relay", "--redis", "redis://localhost"]) == 1
    assert "pip install 'kucoin-sync[redis]'" in capsys.readouterr().err


@pytest.mark.parametrize("there", first(True, False), ids=["with redis-server", "without"])
def test_the_example_runs(there: bool) -> None:
    environment = {**os.environ} if there else {**os.environ, "PATH": ""}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--demo", "--seconds", "0.5"],
        capture_output=True, text=True, timeout=55, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if there:
        *readers, relay, kucoin = done.stdout.splitlines()
        assert sorted(line[:9] for line in readers) == ["reader 0:", "reader 1:", "reader 2:"]
        assert relay.startswith("relay: ")
        assert kucoin == "KuCoin had 1 connection"
    else:
        assert done.stdout.startswith("There is no redis-server on the PATH")


@pytest.mark.long
@pytest.mark.timeout(180)
def test_no_message_is_lost_unnoticed_when_relays_are_killed_and_redis_restarts(nothing_left_behind: None) -> None:
    verdict = run(Plan(seconds=4, rate=600, topics=30, books=2, relays=3, readers=2))
    rows = {what: (figure, good) for what, figure, good in verdict.rows()}
    del rows["take-over"]  # how long it takes is for a machine at rest to show
    assert all(good for _, good in rows.values()), verdict.table()
    assert len(verdict.take_overs) == 2


@pytest.mark.long
def test_a_tiny_measurement_ends_with_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(["--messages", "300", "--runs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  through a relay")]) == 3
