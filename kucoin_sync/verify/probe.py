"""Hold the conversation of `questions` with one service, over a connection of its own, and note what comes.

It takes each step with the code that a `Stream` uses, because a stream does not show its answers. What it notes has no
token, no connectId and no session id.
"""

from __future__ import annotations

import json
import time
from secrets import token_hex
from typing import Any

from ..exceptions import KucoinSyncError
from ..limits import Limits
from ..net.connect_pace import connect_pace
from ..net.endpoints import Endpoints
from ..net.rest import Rest, default_context
from ..net.waker import Waker
from ..net.websocket import ConnectionLost, SecretUrl, WebSocketConnection
from ..protocol.dialect import Dialect, Server
from ..protocol.message import UNREADABLE
from .questions import CLOSE, PING, WELCOME, Question, questions
from .seen import Answered, SessionSeen

__all__ = ["Probe"]

_PING_AGAIN = "v99"
_PATIENT = 2  # unanswered questions, after which the others are not asked
_HIDDEN = {"sessionId": "session-id", "token": "removed"}
_SECOND = 1.05
"""Seconds between two pings: KuCoin asks for at most one a second."""


class Probe:
    """The conversation with one public service.

    Args:
        dialect: with the URLs of the feed's servers, where these are fixed.
        market: "spot" or "futures", or "uta-spot" or "uta-futures".
        endpoints: the base URLs of REST.
        rest, waker: fetch token and time, and cancel that; the caller owns them.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self, dialect: Dialect, market: str, endpoints: Endpoints, rest: Rest, waker: Waker, timeout: float
    ) -> None:
        self._dialect = dialect
        self._market = market
        self._site = f"{dialect.name} {dialect.site or endpoints.of(market)}"
        self._rest = rest
        self._waker = waker
        self._timeout = timeout
        self._transport: WebSocketConnection | None = None
        self._connect_id = token_hex(8)
        self._answers: list[Answered] = []
        self._token: dict[str, Any] | None = None
        self._clock: float | None = None
        self._error = ""
        self._last_sent = self._last_ping = time.monotonic()
        self._waited = 0.0
        self._silent: float | None = None
        self._code = 0

    def talk(self) -> None:
        """Connect and ask everything. An error of the venue or of the network is noted, and not raised."""
        try:
            server = self._server()
            self._connect(server)
            unanswered = 0
            for question in questions(self._dialect, self._market):
                unanswered += not self._ask(question)
                if unanswered > _PATIENT or (unanswered and question.name == WELCOME):
                    return
        except KucoinSyncError as error:
            self._error = str(error)
            self._code = error.code if isinstance(error, ConnectionLost) else 0

    def watch(self) -> None:
        """Note whether the server has ended the connection meanwhile; the client stays silent. Never waits."""
        self._receive(time.monotonic())

    def close(self, wait_silent: float = 0.0) -> None:
        """End the conversation: stay silent until `wait_silent` seconds have passed, then send a close frame."""
        until = self._last_sent + wait_silent
        self._receive(until)
        transport, self._transport = self._transport, None
        if transport is None:
            return
        try:
            if not self._error:
                self._waited = round(wait_silent, 1)
                self._say_close(transport)
        finally:
            transport.close()

    def seen(self) -> SessionSeen:
        """Return what was seen."""
        return SessionSeen(
            self._market, self._dialect.name, list(self._answers), self._error, self._token, self._clock, self._waited,
            self._silent, self._code,
        )  # fmt: skip

    def _server(self) -> Server:
        path = self._dialect.token_path(private=False)
        if path is None:
            return self._dialect.servers(self._market, private=False)[0]
        self._rest.server_time(self._market)  # connects; the second request measures the clock
        before = time.time()
        theirs = self._rest.server_time(self._market)
        self._clock = round((before + time.time()) / 2 - theirs, 1)
        data = self._rest.call(self._market, "POST", path)
        self._token = {**data, "token": _HIDDEN["token"]} if isinstance(data, dict) else {}
        del data  # a secret, which the variables of a traceback must not show
        return self._rest.servers(self._dialect, self._market, private=False)[0]

    def _connect(self, server: Server) -> None:
        limits = Limits(step_timeout=self._timeout)
        while (delay := connect_pace.delay(self._site, limits.connections_per_minute, time.monotonic())) > 0:
            self._waker.pause(delay)
        self._transport = WebSocketConnection.connect(
            SecretUrl(self._dialect.url(server, self._connect_id)),
            waker=self._waker,
            limits=limits,
            context=default_context() if server.endpoint.startswith("wss:") else None,
            binary=self._dialect.binary,
        )

    def _ask(self, question: Question) -> bool:
        """Ask a question; return whether it was answered."""
        assert self._transport is not None
        timeout = self._timeout * 2 if question.name == PING else self._timeout  # a late pong is told from none
        if not question.kind:
            self._wait(self._last_ping + _SECOND)
        began = time.monotonic()
        if question.frame:
            self._send(question.frame)
        if not question.kind:
            self._send(self._dialect.ping(_PING_AGAIN))
        if question.name == PING:
            self._last_ping = began
        frames: list[str] = []
        answered = False
        while not answered and (now := time.monotonic()) < began + timeout:
            for frame in self._transport.receive(began + timeout, now):
                answered |= self._take(question, frame, frames)
        seconds = round(time.monotonic() - began, 1) if answered else None
        self._answers.append(Answered(question.name, frames, seconds))
        return answered

    def _take(self, question: Question, frame: bytes, frames: list[str]) -> bool:
        """Note a frame that is no push; return whether it ends the question."""
        try:
            answer = self._dialect.answer(frame)
        except UNREADABLE:
            return False  # a push; the stream counts what it can't read
        if answer.command_id == _PING_AGAIN:
            return not question.kind
        frames.append(self._shown(frame))
        return bool(question.kind) and question.is_answered_by(answer)

    def _shown(self, frame: bytes) -> str:
        members = json.loads(frame)
        for name, shown in _HIDDEN.items():
            if name in members:
                members[name] = shown
        if members.get("id") == self._connect_id:
            members["id"] = "connect-id"
        return json.dumps(members)

    def _send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send_text(frame)
        self._last_sent = time.monotonic()

    def _wait(self, until: float) -> None:
        """Receive until an instant; pushes and late answers are passed over."""
        assert self._transport is not None
        while (now := time.monotonic()) < until:
            self._transport.receive(until, now)

    def _receive(self, until: float) -> None:
        """Pass over what comes until an instant; note the end of the connection."""
        transport = self._transport
        try:
            while transport is not None and not self._error:
                transport.receive(until)
                if time.monotonic() >= until:
                    return
        except ConnectionLost as error:
            self._silent = round(time.monotonic() - self._last_sent, 1)
            self._code = error.code
            self._transport = None
            transport.close()  # type: ignore[union-attr]  # it is the one that has failed

    def _say_close(self, transport: WebSocketConnection) -> None:
        transport.send_close()
        until = time.monotonic() + self._timeout
        self._answers.append(Answered(CLOSE))
        try:
            while (now := time.monotonic()) < until:
                transport.receive(until, now)
        except ConnectionLost as error:
            self._code = error.code
