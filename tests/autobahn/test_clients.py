"""Both clients send back what comes, so that the cases test the receive path and not their own drivers."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from ..support.frames import BINARY, TEXT, Frame, close, frame, read_frame, shake
from ..support.sockets import HOST, Peer, drain
from .clients import CLIENTS


@pytest.mark.parametrize("echo", CLIENTS.values(), ids=CLIENTS)
def test_texts_and_binary_messages_come_back_until_the_end(echo: Callable[[str], None]) -> None:
    came: list[Frame] = []

    def script(connection: socket.socket) -> None:
        shake(connection, then=frame(b"text"))
        came.append(read_frame(connection))
        connection.sendall(frame(b"\0", BINARY))
        came.append(read_frame(connection))
        connection.sendall(close(1000))
        drain(connection)

    with Peer(script) as peer:
        echo(f"ws://{HOST}:{peer.port}")
    assert came == [Frame(TEXT, b"text"), Frame(BINARY, b"\0")]
