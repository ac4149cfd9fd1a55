"""Record what a stream receives, and replay it.

from kucoin_sync.recording import Recorder, ReplayStream

with Recorder(stream, "day.jsonl.zst"):
    ...

with ReplayStream("day.jsonl.zst", speed=None) as replay:
    for message in replay.subscribe("/market/match:BTC-USDT"):
        print(message.payload.price)
"""

from .errors import (
    FramesMissing,
    RecordingEnded,
    RecordingError,
    RecordingFailed,
    RecordingResumed,
    ReplayDelayed,
    ReplayFailed,
)
from .recorder import Recorder
from .replay import ReplayStream

__all__ = [
    "FramesMissing",
    "Recorder",
    "RecordingEnded",
    "RecordingError",
    "RecordingFailed",
    "RecordingResumed",
    "ReplayDelayed",
    "ReplayFailed",
    "ReplayStream",
]
