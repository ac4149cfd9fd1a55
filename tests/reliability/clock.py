"""A client whose pauses take no time: it sleeps by moving its clock forward."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kucoin_sync.connections import connection, receiver
from kucoin_sync.net import connect_pace, dial, reconnecting, rest
from kucoin_sync.net import socket as net_socket
from kucoin_sync.net import waker as net_waker
from kucoin_sync.net import websocket as net_websocket

__all__ = ["Clock"]


class Clock:
    """Stands for the module `time` in the modules that connect; `seconds` is how far it is ahead of the machine's.

    `slept` is called with each pause after the clock has moved; on the thread that would have slept. With `by_hand`
    only the test moves it, and pauses take their time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, by_hand: bool = False) -> None:
        self.seconds = 0.0
        self.slept: Callable[[float], object] = lambda seconds: None
        for module in (
            connection,
            connect_pace,
            receiver,
            reconnecting,
            rest,
            dial,
            net_websocket,
            net_socket,
            net_waker,
        ):
            monkeypatch.setattr(module, "time", self)
        if by_hand:
            return
        clock = self

        def pause(waker: net_waker.Waker, seconds: float) -> None:
            waker.clear()  # ends where the stream is closed
            clock.seconds += seconds
            clock.slept(seconds)

        monkeypatch.setattr(net_waker.Waker, "pause", pause)

    def monotonic(self) -> float:
        return time.monotonic() + self.seconds

    def time(self) -> float:
        return time.time() + self.seconds

    def time_ns(self) -> int:
        return time.time_ns()
