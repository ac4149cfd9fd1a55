"""HTTP/1.1 on one socket: REST requests in turn, until a request opens a WebSocket.

`http.server` parses the requests. Each client has a thread of its own, which runs one `Handler`.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from io import BufferedReader
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from . import uta_topics
from .channel import Channel
from .connection import Connection
from .context import Context
from .conversation import BaseConversation, Conversation
from .frames import accept_key
from .listener import Peer
from .refusals import Refused, RestRefused
from .rest import Answer, refusal
from .scripting import Failure, HandshakePlan
from .state import Request
from .tokens import Grant
from .uta_conversation import UtaConnection, UtaConversation

__all__ = ["ENDPOINTS", "FUTURES", "Handler"]

_ENDPOINT = "/endpoint"
FUTURES = "/futures"  # path prefix of the futures service
_UTA = {"/uta/spot": uta_topics.SPOT, "/uta/futures": uta_topics.FUTURES, "/uta/private": uta_topics.PRIVATE}
#: The WebSocket paths by market.
ENDPOINTS = {"spot": _ENDPOINT, "futures": FUTURES + _ENDPOINT, **{market: path for path, market in _UTA.items()}}


class Handler(BaseHTTPRequestHandler):
    """Serve one client."""

    protocol_version = "HTTP/1.1"
    server_version = "kucoin-sync"
    sys_version = ""
    disable_nagle_algorithm = True

    def __init__(self, peer: Peer, context: Context) -> None:
        self._peer = peer
        self._context = context
        super().__init__(peer.sock, peer.address, cast(Any, None))

    def do_GET(self) -> None:
        """Answer a GET, which may open a WebSocket."""
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.close_connection = True
            self._upgrade()
        else:
            self._rest()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._rest()

    do_PUT = do_DELETE = do_POST  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the server keeps the requests for tests."""

    def _request(self, body: str = "") -> Request:
        """Return the request, with its service."""
        futures = self.path.startswith(f"{FUTURES}/")
        target = self.path[len(FUTURES) :] if futures else self.path
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        market = _UTA.get(parts.path) or ("futures" if futures else "spot")
        return Request(self.command, parts.path, target, query, headers, body, market, time.time_ns())

    # REST

    def _rest(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        request = self._request(body)
        self._context.state.log_request(request)
        failure = self._context.script.take_failure(request.path)
        if failure is None:
            self._reply(self._answer(request))
        elif failure.hang:
            self._wait_for_the_end()
        else:
            self._fail(failure, request)

    def _fail(self, failure: Failure, request: Request) -> None:
        cut = failure.delay > 0 and self._peer.cut_event.wait(failure.delay)
        if failure.drop or cut:
            self.close_connection = True
        elif failure.body is not None:
            self._reply(Answer(failure.status, failure.body, failure.headers))
        elif failure.code == "200000":
            self._reply(self._answer(request))
        else:
            self._reply(refusal(RestRefused(failure.code, failure.text, failure.status), failure.headers))

    def _answer(self, request: Request) -> Answer:
        try:
            return self._context.rest.answer(request)
        except Exception as error:
            # An error of the server or of a scripted snapshot: `check` raises it.
            self._context.state.record(error)
            return refusal(RestRefused("500000"), {})

    def _reply(self, answer: Answer) -> None:
        headers = {"Content-Type": "application/json", **answer.headers}
        self._write(answer.status, headers, answer.body)

    def _write(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wait_for_the_end(self) -> None:
        """Read and discard until the client disconnects or is cut."""
        self.close_connection = True
        while self.rfile.read1(4096):
            pass

    # WebSocket

    def _upgrade(self) -> None:
        request = self._request()
        with self._context.state.lock:  # once a handshake is in the log, its plan is taken
            plan = self._context.script.take_handshake()
            self._context.state.log_handshake(request)
        if plan is not None:
            self._answer_as_planned(plan)
        elif request.path != _ENDPOINT and request.market not in _UTA.values():
            self._write(404, {}, b"")
        elif request.headers.get("sec-websocket-version") != "13":
            self._write(426, {"Sec-WebSocket-Version": "13"}, b"")
        elif not request.headers.get("sec-websocket-key"):
            self._write(400, {}, b"")
        else:
            self._open(request)

    def _answer_as_planned(self, plan: HandshakePlan) -> None:
        if plan.raw is None:
            self._write(plan.status, plan.headers, plan.body.encode())
        else:
            self.wfile.write(plan.raw)
            self._wait_for_the_end()

    def _open(self, request: Request) -> None:
        context, market = self._context, request.market
        error: Refused | None = None
        user: str | None = None
        uta = market in _UTA.values()
        try:
            user = None if uta else self._check_token(market, request.query.get("token", "")).user
        except Refused as refused:
            if context.refuse_in_handshake:
                self._write(refused.code, {}, refused.text.encode())
                return
            error = refused
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept_key(request.headers["sec-websocket-key"]))
        self.end_headers()
        channel = Channel(self._peer.sock, context.send_timeout, self._received())
        connect_id = request.query.get("connectId") or uuid.uuid4().hex
        kind = UtaConnection if uta else Connection
        connection = kind(connect_id, market, user, channel, context.state, context.index, context.clock)
        conversation: BaseConversation
        if isinstance(connection, UtaConnection):
            conversation = UtaConversation(connection, context)
        else:
            conversation = Conversation(connection, context)
        with connection.alone():  # nothing is sent before the welcome
            if error is None:
                error = context.admit(connection)
            else:
                context.state.add(connection)
            if error is None:
                conversation.welcome()
            else:
                conversation.refuse(error)
        connection.serve(conversation.handle)

    def _check_token(self, market: str, token: str) -> Grant:
        with self._context.state.lock:
            return self._context.tokens.check(token, market, self._context.clock.now())

    def _received(self) -> bytes:
        """Return the bytes that the client sent right after its handshake."""
        self._peer.sock.setblocking(False)
        try:
            return cast(BufferedReader, self.rfile).peek()
        except ssl.SSLWantReadError:
            return b""
