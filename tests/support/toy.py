"""A toy dialect, unlike KuCoin's classic one in all that a dialect may choose, and a server that speaks it.

No token, binary frames, another envelope, the heartbeat in the welcome, a login, limits of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

from kucoin_sync import Credentials, Limits
from kucoin_sync.protocol.dialect import Answer, Server
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.envelopes import FrameBatch, Push
from kucoin_sync.protocol.message import UNREADABLE, Arrival, EnvelopePrefix, Message, Origin, RawPush, Reading
from kucoin_sync.topics import grammar
from kucoin_sync.topics.table import Argument, Topic

__all__ = ["PRICE", "TALK", "Toy", "ToyServer", "install"]

#: One command may have several symbols, as the table says; the other topic is private.
PRICE = Topic("/toy/price", Argument.SYMBOLS, "price", "toy", False, "now and then", "a price", {}, dialect="toy")
TALK = Topic("/toy/talk", Argument.NONE, "talk", "toy", True, "now and then", "a word", {}, dialect="toy")


class ToyMessage(Message):
    data_key = "d"

    @staticmethod
    def decode_frame(frame: bytes) -> Message:
        head, body = _heads(frame), _bodies(frame)
        return _Undecoded(head.topic, subject=head.T, wire_data=body.d)

    def __getitem__(self, key: str) -> Any:
        return self._mapping()[key]


class _Undecoded(ToyMessage):
    subject: str | None = None
    wire_data: msgspec.Raw = msgspec.Raw()


class _Split(ToyMessage):
    wire_data: msgspec.Raw = msgspec.Raw()


class _Plain(ToyMessage):
    data: Any = None


class _Of(msgspec.Struct):
    s: str = ""


class _Head(msgspec.Struct):
    """The part of a push that says whose it is."""

    T: str
    d: _Of

    @property
    def topic(self) -> str:
        return f"/toy/{self.T}:{self.d.s}" if self.d.s else f"/toy/{self.T}"


class _Body(msgspec.Struct):
    d: msgspec.Raw


class _Control(msgspec.Struct):
    id: str = ""
    message: str = ""
    op: str = ""
    result: bool | None = None
    pingInterval: float | None = None  # noqa: N815 - as it is sent


_heads = msgspec.json.Decoder(_Head).decode
_bodies = msgspec.json.Decoder(_Body).decode
_controls = msgspec.json.Decoder(_Control).decode


class _Reader:
    """Looks into each frame for whose it is."""

    def __init__(self) -> None:
        self._prefixes: dict[str, EnvelopePrefix] = {}

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:
        prefixes = [self._prefix_of(frame) for frame in frames]
        known = [prefix for prefix in prefixes if prefix is not None]
        if len(known) < len(frames):
            return None
        if len(frames) == 1:
            return (RawPush(frames[0], arrival, known[0]),)
        return FrameBatch(frames, arrival, known, text=b"".join(frames))

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        head = _heads(frame)
        message = ToyMessage.decode_frame(frame)
        message.raw, message.origin = frame, Origin(arrival)
        undecoded: Reading = _Split, lambda frame: _bodies(frame).d
        plain: Reading = _Plain, lambda frame: msgspec.json.decode(_bodies(frame).d)
        readings = undecoded, undecoded, plain, undecoded
        made = EnvelopePrefix(b"", slice(None), (head.topic, head.T), readings, ToyMessage.decode_frame)
        self._prefixes[head.topic] = made
        return message

    def _prefix_of(self, frame: bytes) -> EnvelopePrefix | None:
        try:
            return self._prefixes.get(_heads(frame).topic)
        except UNREADABLE:
            return None

    def forget(self, topics: int) -> None:
        pass


class Toy:
    """The toy dialect; see `Dialect` for the methods."""

    name = "toy"
    binary = True
    mixed = False
    site = ""
    tunnels = False

    def __init__(self, url: str) -> None:
        self._url = url

    def limits(self, limits: Limits, *, private: bool) -> Limits:
        return msgspec.structs.replace(limits, topics_per_connection=3)

    def token_path(self, *, private: bool) -> str | None:
        return None

    def servers(self, market: str, *, private: bool, token: Any = None) -> Sequence[Server]:
        assert market == "toy" and token is None
        return [Server(self._url + ("/private" if private else ""), 60.0, 10.0)]

    def url(self, server: Server, connect_id: str) -> str:
        assert connect_id
        return server.endpoint

    def login(self, credentials: Credentials, clock_ms: Callable[[], int]) -> Callable[[str], bytes] | None:
        def write(command_id: str) -> bytes:
            signed = credentials.headers(clock_ms(), "POST", "/login")
            return json.dumps({"id": command_id, "op": "login", "key": signed["KC-API-KEY"]}).encode()

        return write

    def ping(self, command_id: str) -> bytes:
        return json.dumps({"id": command_id, "op": "ping"}).encode()

    def command(
        self,
        kind: str,
        command_id: str,
        topics: Sequence[str] = (),
        tunnel: str | None = None,
        *,
        private: bool = False,
    ) -> bytes:
        assert tunnel is None and private == (topics[0] == TALK.prefix)
        channel = topics[0].removeprefix("/toy/").partition(":")[0]
        symbols = [grammar.argument_of(topic) for topic in topics]
        return json.dumps({"id": command_id, "action": kind.upper(), "channel": channel, "symbols": symbols}).encode()

    def answer(self, frame: bytes) -> Answer:
        control = _controls(frame)
        if control.message == "welcome":
            interval = None if control.pingInterval is None else control.pingInterval / 1000
            return Answer("welcome", ping_interval=interval)
        if control.result is False:
            return Answer("error", control.id, reason=control.message, meaning="refused")
        return Answer("ack" if control.result else control.op, control.id)

    def reader(self) -> _Reader:
        return _Reader()


def install(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the package know the dialect and its topics, as if its modules and the table had them."""
    monkeypatch.setitem(DIALECTS, "toy", Toy(url))
    monkeypatch.setitem(grammar._DIALECTS, "toy", "toy")
    for row in (PRICE, TALK):
        monkeypatch.setitem(grammar._BY_PREFIX, row.prefix, (row,))


class ToyServer:
    """Speaks the dialect; `with` starts it.

    Attributes:
        commands: all commands so far, without pings.
        pings: how many came.
        refused: symbols and keys that it refuses.
    """

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.pings = 0
        self.refused: set[str] = set()
        self.connections: list[ServerConnection] = []
        self._threads: list[threading.Thread] = []
        self._server: WebSocketServer = serve(self._converse, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self) -> ToyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        for thread in (self._thread, *self._threads):
            thread.join(10)

    def push(self, channel: str, *values: object, symbol: str = "", connection: int = -1) -> None:
        """Push each value, as fast as possible; each frame begins differently."""
        for n, value in enumerate(values):
            data = {"v": value, "s": symbol} if symbol else {"v": value}
            frame = {"P": n, "T": channel, "d": data}
            self.connections[connection].send(json.dumps(frame).encode())

    def _converse(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self._threads += threading.current_thread(), connection.recv_events_thread
        connection.send(b'{"message":"welcome","pingInterval":400}')
        try:
            for text in connection:
                assert isinstance(text, str), "commands are text"
                self._answer(connection, json.loads(text))
        except ConnectionClosed:
            pass

    def _answer(self, connection: ServerConnection, command: dict[str, Any]) -> None:
        if command.get("op") == "ping":
            self.pings += 1
            connection.send(json.dumps({"op": "pong", "id": command["id"]}).encode())
            return
        self.commands.append(command)
        said = {*command.get("symbols", ()), command.get("key")}
        answer: dict[str, Any] = {"id": command["id"], "result": True}
        if said & self.refused:
            answer.update(result=False, message="invalid request data")
        connection.send(json.dumps(answer).encode())
