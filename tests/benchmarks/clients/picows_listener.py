"""picows: WebSocket in Cython, on asyncio's loop or uvloop's; the payload is decoded where it lies in its buffer."""

from __future__ import annotations

import asyncio

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["on_asyncio", "on_uvloop"]


async def _listen(job: Job, meter: Meter) -> None:
    read, loads = reader("items", job.load, meter), orjson.loads

    class Listener(WSListener):
        subscribed = False

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            message = loads(frame.get_payload_as_memoryview())
            if self.subscribed:
                read(message)
            elif message["type"] == "welcome":
                transport.send(WSMsgType.TEXT, job.subscribe_command().encode())
            else:
                self.subscribed = True

    transport, _ = await ws_connect(
        Listener, f"{job.feed_url}?token=token&connectId=1", ssl_context=job.context(), read_buffer_init_size=256 * 1024
    )
    await transport.wait_disconnected()


def on_asyncio(job: Job, meter: Meter) -> None:
    asyncio.run(_listen(job, meter))


def on_uvloop(job: Job, meter: Meter) -> None:
    import uvloop

    uvloop.run(_listen(job, meter))
