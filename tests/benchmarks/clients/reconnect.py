"""How long it takes, after a cut, from the new connection's welcome until all topics are confirmed again.

The blaster takes the time. The wait before dialling again is each client's policy and not counted.
"""

from __future__ import annotations

import threading

from kucoin_sync import Event, Resubscribed, Stream

from ..load import Job
from ..meter import Meter, command, finish

__all__ = ["stream", "universal_sdk"]


def stream(job: Job, meter: Meter) -> None:
    again = threading.Event()

    def tell(event: Event) -> None:
        if isinstance(event, Resubscribed):
            again.set()

    client = Stream(rest_url=job.rest_url, on_event=tell)  # with KuCoin's own limits
    subscription = client.subscribe(*job.load.topic_names())
    assert subscription.topics
    command(job, "/drop")
    assert again.wait(30), "the stream has not come back"
    finish({"seconds": _settled(job)[-1]})


def universal_sdk(job: Job, meter: Meter) -> None:
    """The SDK subscribes again one by one, five seconds after the welcome: here, with as few calls as possible."""
    from .universal_sdk import open_socket

    socket = open_socket(job, reconnect_interval=0.1)
    symbols = [name.partition(":")[2] for name in job.load.topic_names()]
    commands = [symbols[start : start + 100] for start in range(0, len(symbols), 100)]
    for part in commands:
        socket.ticker(part, lambda topic, subject, data: None)
    command(job, "/drop")
    unchanged, last, waiting = 0, 0.0, threading.Event()
    while unchanged < 30:
        waiting.wait(0.1)
        settled = _settled(job)
        now = settled[-1] if len(settled) > 1 else 0.0
        unchanged = unchanged + 1 if now and now == last else 0
        last = now
    finish({"seconds": last})


def _settled(job: Job) -> list[float]:
    settled = command(job, "/settled")
    assert isinstance(settled, list)
    return settled
