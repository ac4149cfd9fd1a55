"""`Stream`, in the ways in which it can be read."""

from __future__ import annotations

import threading

from kucoin_sync import Limits, Stream, Subscription

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["call_back", "call_inline", "iterate_items", "iterate_latest", "iterate_payloads", "open_stream"]


def open_stream(job: Job, redundancy: int = 1) -> Stream:
    """Return a stream to the blaster; it may subscribe as often as it likes."""
    limits = Limits(commands_per_10s=100_000)
    uta = {"uta_spot_url": job.feed_url, "uta_futures_url": job.feed_url}
    return Stream(rest_url=job.rest_url, ssl_context=job.context(), limits=limits, redundancy=redundancy, **uta)


def _subscribe(job: Job, overflow: str = "raise") -> Subscription:
    """Subscribe all topics at once, with room for every message: none may be lost."""
    return open_stream(job, job.load.connections).subscribe(
        *job.load.topic_names(), maxsize=job.load.total, overflow=overflow
    )


def iterate_payloads(job: Job, meter: Meter) -> None:
    read = reader("payloads", job.load, meter)
    for message in _subscribe(job):
        read(message)


def iterate_items(job: Job, meter: Meter) -> None:
    read = reader("items", job.load, meter)
    for message in _subscribe(job):
        read(message)


def iterate_latest(job: Job, meter: Meter) -> None:
    """A consumer that takes its time over each message, and wants the newest only."""
    read = reader("latest", job.load, meter)
    pause, never = job.options["pause"], threading.Event()
    for message in _subscribe(job, "latest"):
        read(message)
        never.wait(pause)


def call_back(job: Job, meter: Meter) -> None:
    """A callback, and a subscription for each topic."""
    _call(job, meter, inline=False)


def call_inline(job: Job, meter: Meter) -> None:
    """A callback on the reading thread, and a subscription for each topic."""
    _call(job, meter, inline=True)


def _call(job: Job, meter: Meter, *, inline: bool) -> None:
    read = reader("payloads", job.load, meter)
    stream = open_stream(job, job.load.connections)
    for topic in job.load.topic_names():
        stream.subscribe(topic, callback=read, inline=inline, maxsize=job.load.total, timeout=0)
    threading.Event().wait()  # the last message ends the process
