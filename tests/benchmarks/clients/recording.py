"""`Stream` with payloads, recorded: what the recorder costs the reader."""

from __future__ import annotations

import os
import tempfile

from kucoin_sync.recording import Recorder

from ..load import Job
from ..meter import Meter
from ..reading import reader
from .stream import open_stream

__all__ = ["iterate_gzip", "iterate_plain", "iterate_zstd"]


def _iterate(job: Job, meter: Meter, suffix: str) -> None:
    stream = open_stream(job)
    descriptor, path = tempfile.mkstemp(suffix)
    os.close(descriptor)
    os.unlink(path)
    recorder = Recorder(stream, path)
    # The process ends at the last message: an open file that has no name any more goes with it.
    os.unlink(path)
    read = reader("payloads", job.load, meter)

    def recorded() -> dict[str, float]:
        numbers = recorder.stats()
        return {"dropped": numbers["dropped"], "share": numbers["written"] / max(1, numbers["bytes"])}

    meter.extra = recorded
    for message in stream.subscribe(*job.load.topic_names(), maxsize=job.load.total):
        read(message)


def iterate_plain(job: Job, meter: Meter) -> None:
    _iterate(job, meter, ".jsonl")


def iterate_gzip(job: Job, meter: Meter) -> None:
    _iterate(job, meter, ".jsonl.gz")


def iterate_zstd(job: Job, meter: Meter) -> None:
    _iterate(job, meter, ".jsonl.zst")
