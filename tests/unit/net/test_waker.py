"""Waits, and their ends by data, deadline, wake-up and cancelling."""

from __future__ import annotations

import threading

import pytest

from kucoin_sync.net.waker import Cancelled, Step, Waker

from ...support.dialling import SocketPair
from ...support.forks import unix_sockets
from ...support.threads import LIMIT, Task, reached


class TestWaker:
    def test_no_socket_is_left_where_memory_is_short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def short(*_: object) -> None:
            raise MemoryError

        before = unix_sockets()
        monkeypatch.setattr("kucoin_sync.net.waker.Poller", short)
        with pytest.raises(MemoryError) as held:
            Waker()
        assert unix_sockets() == before, held

    @pytest.mark.usefixtures("way_of_waiting")
    def test_wake_ends_a_sleep_under_way(self, waker: Waker, poll_begun: threading.Event) -> None:
        sleeper = Task(waker.pause, 1000 * LIMIT)
        reached(poll_begun, "the sleep never began")
        waker.wake()
        sleeper.result()

    def test_wake_ends_the_next_sleep(self, waker: Waker) -> None:
        waker.wake()
        waker.pause(1000 * LIMIT)

    @pytest.mark.usefixtures("way_of_waiting")
    @pytest.mark.parametrize("seconds", [0.01, 0.0, -5.0])
    def test_a_sleep_ends_by_itself(self, waker: Waker, seconds: float) -> None:
        Task(waker.pause, seconds).result()

    def test_wakes_that_nobody_waits_for_are_one(self, waker: Waker) -> None:
        for _ in range(5000):  # more than the system holds
            waker.wake()
        waker.pause(1000 * LIMIT)
        assert not waker.wait(0.0)

    def test_cancel_ends_a_sleep_under_way(self, waker: Waker, poll_begun: threading.Event) -> None:
        sleeper = Task(waker.pause, 1000 * LIMIT)
        reached(poll_begun, "the sleep never began")
        waker.cancel()
        with pytest.raises(Cancelled):
            sleeper.result()

    def test_cancel_ends_every_wait_from_now_on(self, waker: Waker, socket_pair: SocketPair) -> None:
        waker.cancel()
        for _ in range(3):
            with pytest.raises(Cancelled):
                Task(waker.pause, 1000 * LIMIT).result()
            with pytest.raises(Cancelled):
                Task(socket_pair[0].recv, 1).result()

    def test_clear_forgets_wakes_and_tells_of_cancel(self, waker: Waker) -> None:
        waker.wake()
        waker.clear()
        assert not waker.wait(0.0)
        waker.cancel()
        with pytest.raises(Cancelled):
            waker.clear()

    def test_a_wake_that_meets_a_clear_is_still_told_of(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who looks at `called` instead of waiting must not miss what a wait would notice."""
        sender = waker._sender

        class Met:
            def send(self, data: bytes) -> int:
                waker.clear()  # by the other thread, at this very moment
                return sender.send(data)

        assert not waker.called
        monkeypatch.setattr(waker, "_sender", Met())
        waker.wake()
        monkeypatch.undo()
        assert waker.wait(0.0)
        assert waker.called
        waker.clear()
        assert not waker.called

    def test_a_step_that_has_just_begun_is_no_trouble_yet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        step = Step("DNS has not answered", "check DNS", since=100.0)
        monkeypatch.setattr("time.monotonic", lambda: 100.9)
        assert step.so_far() == "DNS has not answered yet"
        monkeypatch.setattr("time.monotonic", lambda: 102.0)
        assert step.so_far() == str(step) == "DNS has not answered within 2 s; check DNS"

    def test_waking_after_close_is_allowed(self) -> None:
        closed = Waker()
        closed.close()
        closed.wake()
        closed.clear()
        closed.cancel()
        with pytest.raises(Cancelled):
            closed.clear()
