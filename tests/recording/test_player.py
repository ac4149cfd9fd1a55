"""How a replay begins and ends when the program interrupts it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import StreamClosed
from kucoin_sync.internal.resources import start_thread
from kucoin_sync.recording import ReplayStream

from ..support.recordings import StepClock, numbers, push, write
from ..support.threads import LIMIT, Task, until

TOPIC = "/market/match:BTC-USDT"


class Interrupt(BaseException):
    pass


def test_a_close_ends_the_wait_for_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)])
    replay = ReplayStream(path, 1.0, clock=StepClock())
    waiting = Task(replay.wait)
    replay.close()
    with pytest.raises(StreamClosed, match=r"a\.jsonl was closed before its end"):
        waiting.result()
    replay.seek(0)
    with pytest.raises(StreamClosed):
        replay.wait()


def test_a_replay_that_was_closed_after_its_end_has_ended(tmp_path: Path) -> None:
    with ReplayStream(write(tmp_path / "a.jsonl", [push(1)]), None) as replay:
        assert replay.wait(LIMIT)
    assert replay.wait(LIMIT)


def test_a_callback_that_closes_the_replay_ends_the_wait(tmp_path: Path) -> None:
    with ReplayStream(write(tmp_path / "a.jsonl", [push(1), push(2)]), None) as replay:
        replay.subscribe(TOPIC, callback=lambda _: replay.close())
        with pytest.raises(StreamClosed):
            replay.wait(LIMIT)


def test_after_an_interrupted_start_the_next_one_plays_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[threading.Thread] = []

    def interrupted(*arguments: Any, **options: Any) -> threading.Thread:
        left.append(start_thread(*arguments, **options))
        raise Interrupt

    with ReplayStream(write(tmp_path / "a.jsonl", [push(1), push(2)]), None) as replay:
        subscription = replay.subscribe(TOPIC)
        with monkeypatch.context() as patch:
            patch.setattr("kucoin_sync.recording.player.start_thread", interrupted)
            with pytest.raises(Interrupt):
                replay.start()
        until(lambda: not left[0].is_alive(), "the thread of the interrupted start goes on")
        assert numbers(list(subscription)) == [1, 2]
