"""aiohttp's client with bytes as they are, no compression and no size limit, on asyncio."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["iterate"]


async def _iterate(job: Job, meter: Meter) -> None:
    read, loads = reader("items", job.load, meter), orjson.loads
    url = f"{job.feed_url}?token=token&connectId=1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=job.context() or True, compress=0, max_msg_size=0, decode_text=False) as connection,
    ):
        assert loads((await connection.receive()).data)["type"] == "welcome"
        await connection.send_str(job.subscribe_command())
        assert loads((await connection.receive()).data)["type"] == "ack"
        async for message in connection:
            read(loads(message.data))


def iterate(job: Job, meter: Meter) -> None:
    asyncio.run(_iterate(job, meter))
