"""python-kucoin: its `KucoinSocketManager`, on asyncio, pointed at the blaster."""

from __future__ import annotations

import asyncio
from typing import Any

from kucoin.asyncio import KucoinSocketManager
from kucoin.client import Client

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["call_back"]


async def _run(job: Job, meter: Meter) -> None:
    read = reader("items", job.load, meter)

    async def on_message(message: dict[str, Any]) -> None:
        read(message)

    client = Client("", "", "")
    client.API_URL = job.rest_url
    sockets = await KucoinSocketManager.create(asyncio.get_running_loop(), client, on_message)
    for topic in job.load.topic_names():
        await sockets.subscribe(topic)
    await asyncio.Event().wait()


def call_back(job: Job, meter: Meter) -> None:
    asyncio.run(_run(job, meter))
