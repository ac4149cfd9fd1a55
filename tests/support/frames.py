"""RFC 6455 from a server's side, byte for byte: frames to send, right or wrong, and those that came."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from typing import NamedTuple

from .sockets import read_head

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "close",
    "frame",
    "read_frame",
    "shake",
    "switch",
]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(payload: bytes = b"", opcode: int = TEXT, *, fin: bool = True, reserved: int = 0, mask: bytes = b"") -> bytes:
    """Return the bytes of one frame; `reserved` are its three reserved bits, `mask` four bytes or none."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    marked, size = 0x80 if mask else 0, len(payload)
    if size < 126:
        head += bytes([marked | size])
    elif size < 65536:
        head += struct.pack("!BH", marked | 126, size)
    else:
        head += struct.pack("!BQ", marked | 127, size)
    return head + mask + (_masked(payload, mask) if mask else payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame((b"" if code is None else struct.pack("!H", code)) + reason, CLOSE)


class Frame(NamedTuple):
    """A frame that a client sent, unmasked."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big")


def read_frame(connection: socket.socket) -> Frame:
    """Return the next frame of a client; fail where it is not masked, as every client's has to be."""
    first, second = _exactly(connection, 2)
    assert second & 0x80, "a client has to mask its frames"
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(_exactly(connection, 2 if size == 126 else 8), "big")
    mask = _exactly(connection, 4)
    return Frame(first & 0xF, _masked(_exactly(connection, size), mask))


def switch(head: bytes, *more: bytes) -> bytes:
    """Return the answer of a server that accepts the handshake `head`, with `more` header lines."""
    key = next(line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: ")).split(b": ")[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        *more,
    ]
    return b"\r\n".join([*lines, b"", b""])


def shake(connection: socket.socket, *more: bytes, then: bytes = b"") -> bytes:
    """Accept a client's handshake, sending `then` in the same breath; return the client's head."""
    head = read_head(connection)
    connection.sendall(switch(head, *more) + then)
    return head


def _masked(payload: bytes, mask: bytes) -> bytes:
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = connection.recv(min(65536, size - len(received)))
        if not chunk:
            raise ConnectionError("the other side closed in the middle of a frame")
        received += chunk
    return bytes(received)
