"""The WebSocket handshake on a socket of ours. The only module that imports websocket-client."""

from __future__ import annotations

from ..exceptions import ConnectionFailed, ProtocolError, TokenError
from ..internal.foreign import other_module
from .socket import CancellableSocket

try:
    from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException
except (Exception, SystemExit) as error:  # another module of that name may raise anything
    raise ImportError(
        other_module("websocket", "websocket-client")
        or "websocket-client is not installed: pip install websocket-client"
    ) from error

__all__ = ["ABNF", "SecretUrl", "WebSocket", "WebSocketException", "shake_hands"]


class SecretUrl(str):
    """A URL with a token in its query; its repr, which tracebacks and debuggers may show, hides the query."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.partition("?")[0] + "?***")


class _HandshakeSocket:
    """The socket that websocket-client gets for its handshake.

    It reads all headers of the response before it returns the first byte. It removes cookies from request and response,
    because websocket-client keeps cookies for the whole process.

    Attributes:
        rest: the bytes that came after the headers.
    """

    def __init__(self, connected: CancellableSocket) -> None:
        self._socket = connected
        self._headers = b""
        self.rest = b""

    def send(self, data: bytes) -> int:
        self._socket.send(b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Cookie:")))
        return len(data)

    def recv(self, count: int) -> bytes:
        if not self._headers:
            headers, self.rest = self._socket.read_head()
            # websocket-client accepts lines that end with a bare line feed, and strips them; so do the same here.
            self._headers = b"\n".join(
                line
                for line in headers.split(b"\n")
                if not line.strip().lower().startswith((b"set-cookie", b"content-length"))
            )
        data, self._headers = self._headers[:count], self._headers[count:]
        return data

    def gettimeout(self) -> float | None:
        return None

    def close(self) -> None:
        self._socket.close()


def shake_hands(connected: CancellableSocket, url: SecretUrl, user_agent: str) -> bytes:
    """Do the WebSocket handshake; return the bytes that the server sent right after it."""
    handshake_socket = _HandshakeSocket(connected)
    framing = WebSocket(enable_multithread=False)
    try:
        framing.connect(  # type: ignore[no-untyped-call]
            url,
            socket=handshake_socket,
            redirect_limit=0,
            suppress_origin=True,
            header=[f"User-Agent: {user_agent}"] if user_agent else [],
        )
    except WebSocketBadStatusException as error:
        if error.status_code == 401:
            raise TokenError(f"{connected.peer} refused the connect token in the handshake (HTTP 401)") from None
        raise ConnectionFailed(
            f"{connected.peer} refused the WebSocket handshake with HTTP {error.status_code}"
        ) from None
    except WebSocketException as error:
        text = str(error).partition(":")[0]  # the rest of the text quotes the peer, which may quote our token
        if "Redirect" in text:
            raise ConnectionFailed(
                f"{connected.peer} redirects the WebSocket handshake elsewhere, which is refused", retriable=False
            ) from None
        raise ProtocolError(f"{connected.peer} did not answer with a valid WebSocket handshake: {text}") from None
    except ValueError as error:
        raise ProtocolError(f"the WebSocket handshake with {connected.peer} failed: {error}") from None
    return handshake_socket.rest
