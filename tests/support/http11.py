"""HTTP/1.1 from a server's side, byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from .sockets import drain, read_head

__all__ = ["answer", "answering", "success"]


def answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def success(data: Any) -> bytes:
    """Return the answer with which KuCoin gives `data`."""
    return answer(json.dumps({"code": "200000", "data": data}).encode(), "200 OK", "Content-Type: application/json")


def answering(*answers: bytes, heads: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Return a script that gives these answers to requests without a body, one each, then keeps the connection.

    `heads` takes the requests.
    """

    def script(connection: socket.socket) -> None:
        for one in answers:
            head = read_head(connection)
            if heads is not None:
                heads.append(head)
            connection.sendall(one)
        drain(connection)

    return script
