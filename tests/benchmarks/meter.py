"""The client's clock: it is asked twice in a run, at marks that the user's code passes, and ends the process.

A mark is a number of messages read. At the first the warm-up is over and the blaster is told to go on; at the
second, one message later, time and CPU start; at the third they stop.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable

from .frames import SENT
from .load import Job

__all__ = ["Meter", "finish"]


class Meter:
    """Measures one run.

    Attributes:
        first_mark: the number of messages at which `mark` has to be called first.
        latencies: monotonic nanoseconds at which a message was read, less its stamp; filled by who reads.
        delivered: messages that the user's code saw, where some are superseded on purpose.
        extra: returns further results, of some clients.
    """

    def __init__(self, job: Job) -> None:
        self.first_mark = job.load.warmup
        self.latencies: list[int] = []
        self.delivered = 0
        self.extra: Callable[[], dict[str, float]] = dict
        self._job = job
        self._started: tuple[int, float, float, int] | None = None

    def mark(self, seen: int) -> int:
        """Take note that `seen` messages were read; return at how many to call again."""
        if self._started is None and seen < self.first_mark + 1:
            command(self._job, "/go")
            return seen + 1
        if self._started is None:
            self._started = seen, time.monotonic(), time.process_time(), self.delivered
            return self._job.load.total
        cpu, now = time.process_time(), time.monotonic()
        seen_before, then, cpu_before, delivered_before = self._started
        count = seen - seen_before
        result = {
            "messages": count,
            "rate": count / (now - then),
            "cpu": (cpu - cpu_before) / count * 1e6,
            "delivered": self.delivered - delivered_before,
            **self.extra(),
        }
        if self.latencies:
            measured = sorted((each + SENT) / 1000 for each in self.latencies[-count:])
            result["p50"] = measured[len(measured) // 2]
            result["p99"] = measured[len(measured) * 99 // 100]
        finish(result)
        return 0


def command(job: Job, path: str) -> object:
    """Give the blaster a command of ours; return its answer."""
    request = urllib.request.Request(job.rest_url + path, data=b"")
    decoder = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with decoder.open(request, timeout=10) as response:
        return json.loads(response.read())


def finish(result: dict[str, float]) -> None:
    """Print the result and end the process at once: how clients close is not what is measured here."""
    print(json.dumps(result), flush=True)
    sys.stderr.flush()
    os._exit(0)
