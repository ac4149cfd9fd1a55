"""What can go wrong with recordings: one error, and what a stream's `on_event` is told."""

from __future__ import annotations

from ..events import Event
from ..exceptions import KucoinSyncError

__all__ = [
    "FramesMissing",
    "RecordingEnded",
    "RecordingError",
    "RecordingFailed",
    "RecordingResumed",
    "ReplayDelayed",
    "ReplayFailed",
    "reason_of",
]


def reason_of(error: BaseException) -> str:
    """Return what a sentence says of an error: that of the system, else its kind and text."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class RecordingError(KucoinSyncError):
    """A file can't be written or read as a recording; the text names it and says why.

    `retriable` is True on the instance where the system had no thread, descriptor or memory for a moment.
    """

    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class RecordingFailed(Event, frozen=True):
    """A recorder can't write; the stream goes on, what is not recorded is counted, and it tries again."""

    path: str
    error: BaseException
    retry_in: float

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        reason = reason_of(self.error)
        return f"recording failed: {self.path} can't be written ({reason}); next attempt in {self.retry_in:.1f} s"


class RecordingResumed(Event, frozen=True):
    """A recorder can write again; `dropped` frames are missing in the recording, which says so in their place."""

    path: str
    dropped: int

    def __str__(self) -> str:
        return f"recording resumed: {self.path} is written again; {self.dropped} messages are missing in it"


class ReplayFailed(Event, frozen=True):
    """A replay has ended with an error before its end, and with it what it plays for."""

    path: str
    error: Exception

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"the replay of {self.path} has ended before its end: {self.error}"


class FramesMissing(Event, frozen=True):
    """A replay has come to a place where messages are missing, because of `reason`."""

    dropped: int
    reason: str

    def __str__(self) -> str:
        return f"incomplete recording: {self.dropped} messages are missing here, because {self.reason}"


class ReplayDelayed(Event, frozen=True):
    """A replay can't go on for want of something, such as a descriptor; it tries again after `retry_in` seconds."""

    path: str
    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"the replay of {self.path} waits: {self.error}; next attempt in {self.retry_in:.1f} s"


class RecordingEnded(Event, frozen=True):
    """A replay has come to the end of what can be read of a recording."""

    path: str
    whole: bool

    @property
    def level(self) -> int:
        return 20 if self.whole else 30

    def __str__(self) -> str:
        if self.whole:
            return f"the replay of {self.path} has come to its end"
        return (
            f"the replay of {self.path} has come to its end; the recorder did not close that file, "
            "and what follows its last whole message is lost"
        )
