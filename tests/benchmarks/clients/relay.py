"""`RelayStream`, behind a relay that reads from the blaster."""

from __future__ import annotations

import os

from kucoin_sync.relay import RelayStream

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["iterate_payloads"]


def iterate_payloads(job: Job, meter: Meter) -> None:
    read = reader("payloads", job.load, meter)
    stream = RelayStream(os.environ["KUCOIN_SYNC_REDIS_URL"])
    for message in stream.subscribe(*job.load.topic_names(), maxsize=job.load.total, timeout=30):
        read(message)
