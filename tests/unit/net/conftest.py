"""Fixtures of the tests of sockets."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kucoin_sync.net.socket import CancellableSocket
from kucoin_sync.net.waker import Poller, Waker

from ...support.dialling import SocketPair
from ...support.sockets import tcp_pair
from ...support.threads import LIMIT


@pytest.fixture
def waker() -> Iterator[Waker]:
    made = Waker()
    yield made
    made.close()


@pytest.fixture
def socket_pair(waker: Waker) -> Iterator[SocketPair]:
    """A cancellable socket and the socket at its other end."""
    ours, theirs = tcp_pair()
    ours.setblocking(False)
    made = CancellableSocket(ours, waker, time.monotonic() + LIMIT, "the peer")
    yield made, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def poll_begun(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set when a wait begins."""
    begun = threading.Event()
    wait = Poller.wait

    def noting(*arguments: Any) -> tuple[int, bool]:
        begun.set()
        return wait(*arguments)

    monkeypatch.setattr(Poller, "wait", noting)
    return begun


@pytest.fixture(params=["poll", "select"])
def way_of_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait with `poll`, and with `select` as on systems without `poll`."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    tls: bool = request.param == "tls"
    return tls
