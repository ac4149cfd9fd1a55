"""`websockets.sync`: its own thread reads, the user's iterates. Bytes as they are, no compression, no size limit."""

from __future__ import annotations

import orjson
from websockets.sync.client import connect

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["iterate"]


def iterate(job: Job, meter: Meter) -> None:
    read, loads = reader("items", job.load, meter), orjson.loads
    with connect(
        f"{job.feed_url}?token=token&connectId=1",
        ssl=job.context(),
        compression=None,
        proxy=None,
        ping_interval=None,
        max_size=None,
    ) as connection:
        assert loads(connection.recv())["type"] == "welcome"
        connection.send(job.subscribe_command())
        assert loads(connection.recv())["type"] == "ack"
        receive = connection.recv
        while True:
            read(loads(receive(decode=False)))
