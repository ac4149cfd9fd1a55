"""websocket-client: its bare `WebSocket` in a loop, and `WebSocketApp`. It sets TCP_NODELAY itself.

UTF-8 validation is left out, which makes it much faster: the JSON decoder checks UTF-8 anyway.
"""

from __future__ import annotations

import json
from typing import Any

import websocket

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["app", "connect", "loop_json", "loop_orjson"]


def _sslopt(job: Job) -> dict[str, Any]:
    return {"ca_certs": job.authority} if job.load.tls else {}


def connect(job: Job) -> websocket.WebSocket:
    """Return a connection that has subscribed."""
    connection = websocket.create_connection(
        f"{job.feed_url}?token=token&connectId=1",
        skip_utf8_validation=True,
        enable_multithread=False,
        sslopt=_sslopt(job),
    )
    assert json.loads(connection.recv())["type"] == "welcome"
    connection.send(job.subscribe_command())
    assert json.loads(connection.recv())["type"] == "ack"
    return connection


def loop_json(job: Job, meter: Meter) -> None:
    read, loads = reader("items", job.load, meter), json.loads
    receive = connect(job).recv
    while True:
        read(loads(receive()))


def loop_orjson(job: Job, meter: Meter) -> None:
    from orjson import loads

    read = reader("items", job.load, meter)
    receive = connect(job).recv_data  # bytes, without decoding them to text first
    while True:
        _opcode, data = receive()
        read(loads(data))


def app(job: Job, meter: Meter) -> None:
    read, loads = reader("items", job.load, meter), json.loads

    def greet(app: websocket.WebSocketApp, text: str) -> None:
        if loads(text)["type"] == "welcome":
            app.send(job.subscribe_command())
        else:
            app.on_message = on_message

    def on_message(_: websocket.WebSocketApp, text: str) -> None:
        read(loads(text))

    running = websocket.WebSocketApp(f"{job.feed_url}?token=token&connectId=1", on_message=greet)
    running.run_forever(skip_utf8_validation=True, sslopt=_sslopt(job))
