"""How much memory a long run takes, and how much a message that waits for its consumer."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from collections import deque
from typing import Any

from ..load import Job
from ..meter import Meter, command, finish
from .stream import open_stream
from .websocket_client import connect

__all__ = ["after_many", "queued_dicts", "queued_messages"]


def _resident() -> int:
    """Return the bytes of memory that the process has, or, where the system does not tell, has had at most."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def after_many(job: Job, meter: Meter) -> None:
    """Read everything, as it comes; the difference is from after the warm-up to the end."""
    subscription = open_stream(job).subscribe(*job.load.topic_names(), maxsize=job.load.total)
    for _ in range(job.load.warmup):
        _price = subscription.get().payload.price
    before = _resident()
    command(job, "/go")
    for _ in range(job.load.count):
        _price = subscription.get().payload.price
    finish({"growth": _resident() - before})


def queued_messages(job: Job, meter: Meter) -> None:
    """Let messages wait in a subscription, none of them looked at."""
    subscription = open_stream(job).subscribe(*job.load.topic_names(), maxsize=job.load.total)
    for _ in range(job.load.warmup):
        _price = subscription.get().payload.price
    before, arrived = _resident(), threading.Event()
    command(job, "/go")
    while subscription.pending < job.load.count:
        arrived.wait(0.05)
    grown = (_resident() - before) / job.load.count
    message = subscription.get()
    frame = len(message.raw)
    parts: list[Any] = [message, message.type, message.topic, message.subject, message.raw]
    view = type(message.wire_data).__basicsize__  # its __sizeof__ makes no sense: it is a view of the frame's bytes
    estimate = view + sum(map(sys.getsizeof, parts))
    finish({"each": grown, "frame": frame, "beside": grown - frame, "estimate": estimate})


def queued_dicts(job: Job, meter: Meter) -> None:
    """For comparison: let messages wait in a deque, decoded to dicts by orjson."""
    from orjson import loads

    receive = connect(job).recv_data
    for _ in range(job.load.warmup):
        loads(receive()[1])
    before = _resident()
    queue: deque[Any] = deque()
    command(job, "/go")
    frame = 0
    while len(queue) < job.load.count:
        data = receive()[1]
        frame = len(data)
        queue.append(loads(data))
    grown = (_resident() - before) / job.load.count
    finish({"each": grown, "frame": frame, "beside": grown - frame})
