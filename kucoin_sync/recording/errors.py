"""The error and the events of recording and replay."""

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
    """Return the text of an error for use in a sentence: the system's text, else the type and text of the exception."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class RecordingError(KucoinSyncError):
    """A file can't be written or read as a recording; the text names the file and the reason.

    `retriable` is True on the instance if the system was temporarily out of threads, file descriptors or memory.
    """

    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class RecordingFailed(Event, frozen=True):
    """A recorder can't write, or not fast enough. The stream continues; unrecorded messages are counted.

    The recorder retries in `retry_in` seconds; with 0.0 it is still writing.
    """

    path: str
    error: BaseException
    retry_in: float

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        reason = reason_of(self.error)
        told = f"recording failed: {self.path} can't be written ({reason})"
        return f"{told}; next attempt in {self.retry_in:.1f} s" if self.retry_in else told


class RecordingResumed(Event, frozen=True):
    """A recorder can write again. `dropped` messages are missing; the recording notes the number at that point."""

    path: str
    dropped: int

    def __str__(self) -> str:
        return f"recording resumed: {self.path} is written again; {self.dropped} messages are missing in it"


class ReplayFailed(Event, frozen=True):
    """A replay has failed before the end of the recording; its subscriptions and books have ended with this error."""

    path: str
    error: Exception

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"the replay of {self.path} has failed: {self.error}"


class FramesMissing(Event, frozen=True):
    """A replay has reached a point where the recorder dropped `dropped` messages, because of `reason`."""

    dropped: int
    reason: str

    def __str__(self) -> str:
        return f"incomplete recording: {self.dropped} messages are missing here, because {self.reason}"


class ReplayDelayed(Event, frozen=True):
    """A replay lacks a resource, such as a file descriptor; it tries again after `retry_in` seconds."""

    path: str
    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"the replay of {self.path} waits: {self.error}; next attempt in {self.retry_in:.1f} s"


class RecordingEnded(Event, frozen=True):
    """A replay has reached the end of the readable part of a recording."""

    path: str
    whole: bool

    @property
    def level(self) -> int:
        return 20 if self.whole else 30

    def __str__(self) -> str:
        if self.whole:
            return f"the replay of {self.path} has ended"
        return (
            f"the replay of {self.path} has ended; the recorder did not close that file, "
            "so anything after its last complete message is lost"
        )
