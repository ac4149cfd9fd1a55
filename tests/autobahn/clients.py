"""Two clients that send every message back: one on `WebSocketConnection`, one on plain websocket-client."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import websocket

from kucoin_sync import Limits
from kucoin_sync.net import websocket as net_websocket
from kucoin_sync.net.waker import Waker
from kucoin_sync.net.websocket import ConnectionLost, SecretUrl, WebSocketConnection

__all__ = ["CLIENTS", "ask", "echo_with_transport", "echo_with_websocket_client"]

LIMIT = 100.0
"""Seconds that a case may take; the longest allows itself 100."""
_TEXT, _BINARY = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY


def ask(url: str) -> str:
    """Return the one message that the server has to say at a URL, "" where it says none."""
    with closing(websocket.create_connection(url, timeout=LIMIT)) as connection:
        return str(connection.recv())


class _Framing(net_websocket._Framing):
    """Sends binary messages back itself: `WebSocketConnection` counts and skips them, as no feed has them."""

    def recv_data_frame(self, control_frame: bool = False) -> Any:
        opcode, frame = super().recv_data_frame(control_frame)
        if opcode == _BINARY:
            self.send(frame.data, _BINARY)
        return opcode, frame


class _EchoTransport(WebSocketConnection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._framing = _Framing()

    def close_with(self, code: int) -> None:
        """Do what `close` does, with a close code."""
        if self._failure is None:
            self._framing.send_close(code)
            self._flush()
        self._socket.close()


def echo_with_transport(url: str) -> None:
    """Send back what comes until the connection ends, over the receive path of a stream.

    UTF-8 is checked here, as by websocket-client's own test client: below a stream that is the reader's part.
    """
    with closing(Waker()) as waker:
        connection = _EchoTransport.connect(SecretUrl(url), waker=waker, limits=Limits())
        deadline, code = time.monotonic() + LIMIT, 1000
        try:
            while time.monotonic() < deadline:
                for message in connection.receive(deadline):
                    message.decode()
                    connection.send_text(message)
        except ConnectionLost:
            pass
        except UnicodeDecodeError:
            code = 1007
        finally:
            connection.close_with(code)


def echo_with_websocket_client(url: str) -> None:
    """Do the same with websocket-client alone, at its defaults."""
    connection = websocket.create_connection(url, timeout=LIMIT)
    code = 1000
    try:
        while connection.connected:
            opcode, data = connection.recv_data()
            if opcode in (_TEXT, _BINARY):
                connection.send(data, opcode)
    except websocket.WebSocketPayloadException:
        code = 1007
    except websocket.WebSocketProtocolException:
        code = 1002
    except (websocket.WebSocketException, OSError):
        pass
    finally:
        connection.close(code)
        connection.shutdown()  # `close` leaves the socket open where the server was faster


CLIENTS: dict[str, Callable[[str], None]] = {
    "kucoin_sync": echo_with_transport,
    "websocket-client": echo_with_websocket_client,
}
