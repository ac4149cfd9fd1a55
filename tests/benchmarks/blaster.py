"""The blaster: a process that plays KuCoin for one client, as fast as the machine allows.

REST (connect tokens) and the feed have a port each. On the feed every connection has one thread, which alone
reads and writes it: handshake, welcome, acks, pongs, and, once all topics are subscribed, the warm-up, a wait until
the client has read it (`POST /go`), and the measured messages. It ends with its standard input.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.frames import CLOSE, TEXT, close, frame, read_frame, switch
from tests.support.sockets import HOST, read_head

from .frames import Reel, StampedBurst
from .load import Load

__all__ = ["Blaster"]


class Blaster:
    """The two ports of one run.

    Attributes:
        go: set when the client has read the warm-up.
        all_there: reached by a connection when all its topics are subscribed.
        settled: for each connection, seconds from its welcome to its last ack so far.
    """

    def __init__(self, load: Load, certificate: str = "") -> None:
        self.load = load
        self.go = threading.Event()
        self.settled: list[float] = []
        self.connections: list[socket.socket] = []
        self.all_there = threading.Barrier(load.connections)
        self._context: ssl.SSLContext | None = None
        if load.tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server((HOST, 0))
        self._rest = ThreadingHTTPServer((HOST, 0), _requests(self))
        self.rest_url = f"http://{HOST}:{self._rest.server_port}"
        self.feed_url = f"{'wss' if load.tls else 'ws'}://{HOST}:{self._listener.getsockname()[1]}/"

    def start(self) -> None:
        """Serve both ports, on threads that end with the process."""
        for serve in (self._rest.serve_forever, self._accept):
            threading.Thread(target=serve, daemon=True).start()

    def token(self) -> dict[str, Any]:
        """Return the answer to a request for a connect token."""
        server = {
            "endpoint": self.feed_url,
            "encrypt": self.load.tls or None,  # python-kucoin hands it to `websockets`, which refuses False
            "protocol": "websocket",
            "pingInterval": 18_000,
            "pingTimeout": 10_000,
        }
        return {"code": "200000", "data": {"token": "token", "instanceServers": [server]}}

    def drop(self) -> None:
        """Cut all connections."""
        for connection in self.connections:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket's own: another thread uses it
        self.connections.clear()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self.connections.append(sock)
            _Feed(self, sock).run()
        except OSError:
            pass  # the client is gone, as it should be after its last message


class _Feed:
    """One client's connection."""

    def __init__(self, blaster: Blaster, sock: socket.socket) -> None:
        self._blaster = blaster
        self._sock = sock
        self._topics = 0
        self._welcomed = 0.0

    def run(self) -> None:
        """Converse until the client leaves."""
        load = self._blaster.load
        head = read_head(self._sock)
        query = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)
        self._sock.sendall(switch(head))
        # One welcome is of both feeds: a client of the classic feed reads `type`, one of the UTA feed `message`.
        self._send({"id": query.get("connectId", [""])[0], "type": "welcome", "message": "welcome"})
        self._welcomed = time.monotonic()
        self._blaster.settled.append(0.0)
        while self._topics < load.topics:
            self._answer(1.0)
        self._blaster.all_there.wait()
        self._blast(load.warmup, 0)
        while not self._blaster.go.is_set():
            self._answer(0.01)
        self._blast(load.count, load.warmup)
        while True:
            self._answer(1.0)

    def _blast(self, count: int, first: int) -> None:
        load = self._blaster.load
        if not load.pace:
            for block in Reel(load).blocks(count, first=first):
                self._sock.sendall(block)
                self._answer(0)
            return
        burst = StampedBurst(load) if load.stamped else None
        blocks = Reel(load).blocks(count, load.burst, first)
        start = time.monotonic()
        for number in range(count // load.burst):
            early = start + number / load.pace - time.monotonic()
            if early > 0:
                time.sleep(early)
            self._sock.sendall(burst.stamped(time.monotonic_ns()) if burst else next(blocks))
            self._answer(0)

    def _answer(self, timeout: float) -> None:
        """Answer what the client has sent, waiting up to `timeout` seconds for it."""
        if not select.select([self._sock], [], [], timeout)[0]:
            return
        while True:
            received = read_frame(self._sock)
            if received.opcode == CLOSE:
                self._sock.sendall(close(1000))
                raise ConnectionError("the client said goodbye")
            if received.opcode == TEXT:
                self._obey(json.loads(received.payload))
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                return

    def _obey(self, command: dict[str, Any]) -> None:
        if "action" in command:
            self._topics += len(command["symbols"])
            self._send({"id": command["id"], "result": True})
            return
        kind, command_id = command["type"], command["id"]
        if kind == "ping":
            self._send({"id": command_id, "type": "pong"})
            return
        if kind == "subscribe":
            self._topics += command["topic"].count(",") + 1
        if command.get("response"):
            self._send({"id": command_id, "type": "ack"})
            self._blaster.settled[-1] = time.monotonic() - self._welcomed

    def _send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(frame(json.dumps(message).encode()))


def _requests(blaster: Blaster) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer: object = None
            if self.path.startswith("/api/v1/bullet-"):
                answer = blaster.token()
            elif self.path == "/go":
                blaster.go.set()
            elif self.path == "/drop":
                blaster.drop()
            elif self.path == "/settled":
                answer = blaster.settled
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    return Requests


def main(arguments: list[str]) -> None:
    """Serve the load that `arguments` describe (JSON, certificate) until standard input ends."""
    blaster = Blaster(Load(**json.loads(arguments[0])), arguments[1])
    blaster.start()
    print(json.dumps({"rest_url": blaster.rest_url, "feed_url": blaster.feed_url}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
