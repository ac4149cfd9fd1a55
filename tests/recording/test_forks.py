"""A forked child neither writes its parent's recording nor continues its parent's replay."""

from __future__ import annotations

from pathlib import Path

import pytest

from kucoin_sync import Stream, StreamClosed
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

from ..reliability.feed import ETH, numbers, publish
from ..support.forks import child
from ..support.recordings import numbers as numbers_of
from ..support.recordings import push, recorded, write

TOPIC = "/market/match:BTC-USDT"


def test_a_replay_is_closed_in_a_child_and_continues_in_its_parent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1), push(2)])
    with ReplayStream(path, speed=None) as replay:
        subscription = replay.subscribe(TOPIC)

        def in_child(say: object) -> None:
            assert replay.closed
            assert list(subscription) == []
            with pytest.raises(StreamClosed):
                replay.subscribe(TOPIC)

        with child(in_child):
            pass
        assert numbers_of(list(subscription)) == [1, 2]


def test_a_replay_that_could_not_be_made_does_not_matter_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def player(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("kucoin_sync.recording.replay.Player", player)
    replay = ReplayStream.__new__(ReplayStream)
    with pytest.raises(MemoryError):
        ReplayStream.__init__(replay, write(tmp_path / "a.jsonl", [push(1)]))
    replay.after_fork()


def test_a_child_writes_nothing_to_its_parents_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with KucoinServer() as server, Stream(**server.stream_options) as stream:
        with Recorder(stream, path):
            subscription = stream.subscribe(ETH)
            publish(server, [1])
            assert numbers(subscription, 1) == [1]

            def in_child(say: object) -> None:
                subscription.get(timeout=10)
                assert not stream._subscription_manager._observers, "nobody would take what it keeps"

            with child(in_child):
                server.wait_subscribed(ETH, 2)
                publish(server, [2])
            assert numbers(subscription, 1) == [2]
        assert len(recorded(path)) == 2
