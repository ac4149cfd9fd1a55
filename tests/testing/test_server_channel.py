"""The socket under a connection: cutting, closing, stalling, and what TLS may ask for."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync.testing.server.channel import Channel, ChannelEnded


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.settimeout(5)
    with near, far:
        yield near, far


Ends = tuple[socket.socket, socket.socket]


class Scripted(socket.socket):
    """A socket whose calls first raise what TLS raises."""

    def __init__(self, inner: socket.socket) -> None:
        super().__init__(inner.family, inner.type, inner.proto, fileno=inner.detach())
        self.receiving: list[Exception] = []
        self.sending: list[Exception] = []

    def recv(self, *arguments: Any) -> bytes:
        return self._do(self.receiving, super().recv, *arguments)

    def send(self, *arguments: Any) -> int:
        return self._do(self.sending, super().send, *arguments)

    @staticmethod
    def _do(failures: list[Exception], call: Callable[..., Any], *arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return call(*arguments)


def test_what_was_received_before_comes_first(ends: Ends) -> None:
    near, far = ends
    channel = Channel(near, 1.0, b"abc")
    far.sendall(b"def")
    assert [channel.read(2), channel.read(2), channel.read(9)] == [b"ab", b"c", b"def"]


def test_reading_ends_when_the_peer_goes_away(ends: Ends) -> None:
    near, far = ends
    channel = Channel(near, 1.0)
    far.close()
    for _ in range(2):
        with pytest.raises(ChannelEnded):
            channel.read(1)


@pytest.mark.parametrize("rst", [False, True])
def test_cutting_wakes_the_reader(ends: Ends, rst: bool) -> None:
    channel = Channel(ends[0], 1.0)
    ended = threading.Event()

    def read() -> None:
        try:
            channel.read(1)
        except ChannelEnded:
            ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    channel.cut(rst=rst)
    assert ended.wait(5)
    thread.join()
    channel.close()
    assert not channel.send(b"x")
    channel.cut()


def test_cutting_wakes_a_sender(ends: Ends) -> None:
    channel = Channel(ends[0], 60.0)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(channel.send(b"x" * 10_000_000)))
    thread.start()
    ends[1].recv(1)
    channel.close()
    thread.join()
    assert results == [False]
    assert not channel.stalled


def test_a_peer_that_takes_nothing_is_cut_after_the_timeout(ends: Ends) -> None:
    channel = Channel(ends[0], 0.02)
    assert not channel.send(b"x" * 10_000_000)
    assert channel.stalled
    assert not channel.send(b"x")


def test_a_slow_peer_is_not_cut(ends: Ends) -> None:
    near, far = ends
    channel = Channel(near, 5.0)
    came: list[int] = []

    def read() -> None:
        while sum(came) < 3_000_000:
            came.append(len(far.recv(50_000)))

    thread = threading.Thread(target=read)
    thread.start()
    assert channel.send(b"x" * 3_000_000)
    thread.join()
    assert sum(came) == 3_000_000


def test_sending_at_once_waits_neither_for_the_peer_nor_for_another_sender(ends: Ends) -> None:
    channel = Channel(ends[0], 60.0)
    assert channel.send_at_once(b"x")
    assert not channel.send_at_once(b"x" * 10_000_000)
    assert not channel.stalled
    near, far = socket.socketpair()
    with near, far:
        busy = Channel(near, 60.0)
        release, held = threading.Event(), threading.Event()

        def hold() -> None:
            with busy.alone():
                held.set()
                release.wait(5)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(5)
        assert not busy.send_at_once(b"x")
        release.set()
        thread.join()
        assert far.recv(1) == b""


def test_reading_over_tls_may_first_have_to_read_or_write(ends: Ends) -> None:
    near, far = ends
    sock = Scripted(near)
    channel = Channel(sock, 1.0)
    far.sendall(b"abc")
    sock.receiving = [ssl.SSLWantReadError(), ssl.SSLWantWriteError()]
    assert channel.read(3) == b"abc"
    sock.receiving = [ConnectionResetError()]
    with pytest.raises(ChannelEnded):
        channel.read(1)
    channel.close()


def test_writing_over_tls_may_first_have_to_write_or_read(ends: Ends) -> None:
    near, far = ends
    sock = Scripted(near)
    channel = Channel(sock, 1.0)
    far.sendall(b"?")
    sock.sending = [ssl.SSLWantWriteError(), ssl.SSLWantReadError()]
    assert channel.send(b"abc")
    assert far.recv(3) == b"abc"
    sock.sending = [BrokenPipeError()]
    assert not channel.send(b"abc")
    assert not channel.stalled
    channel.close()
