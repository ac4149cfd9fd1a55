"""What a run has seen, in a form that can be written and judged again. No judgement is here."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Answered", "BookSeen", "Finding", "Seen", "SessionSeen", "Shape", "StreamSeen", "TopicSeen"]


class Answered(msgspec.Struct, frozen=True):
    """One question of the conversation with a service.

    Attributes:
        frames: the frames that came until the answer, without ids of the connection.
        seconds: until the answer came; None if none came.
    """

    name: str
    frames: list[str] = []
    seconds: float | None = None


class SessionSeen(msgspec.Struct, frozen=True):
    """The conversation with one service.

    Attributes:
        error: why it ended before its end, "" if it did not.
        token: the data of the answer to the token request, without the token; None in a feed without one.
        clock: seconds by which this machine's clock is ahead of KuCoin's; None if that was not measured.
        silent: seconds without a message from the client until the server ended the connection; None if it did not.
        code: of the close frame that ended the conversation; 1006 without one, 0 if the connection did not end.
    """

    market: str
    dialect: str
    answers: list[Answered] = []
    error: str = ""
    token: dict[str, Any] | None = None
    clock: float | None = None
    waited: float = 0.0
    silent: float | None = None
    code: int = 0


class Shape(msgspec.Struct):
    """Messages of one topic whose data has the same members of the same kinds; `sample` is the data of the first."""

    topic: str
    subject: str | None
    count: int
    sample: Any


class TopicSeen(msgspec.Struct):
    """One topic: whether it was confirmed, and what came.

    Attributes:
        state: "acked", "refused", "unanswered", or "skipped" after others of its service were not answered; `text` is
            the reason.
        typed: how many of the messages have a payload that was read without an unusual value.
        disorder: what is wrong with the order of the sequences.
    """

    topic: str
    state: str = "acked"
    text: str = ""
    messages: int = 0
    typed: int = 0
    shapes: list[Shape] = []
    disorder: list[str] = []


class BookSeen(msgspec.Struct, frozen=True):
    """One book: how often it was compared, and what differed.

    Attributes:
        problem: why it could not be compared, "" if it was.
        no_snapshot: whether a snapshot should have been pushed, and was not.
    """

    topic: str
    compared: int = 0
    problem: str = ""
    differing: list[str] = []
    no_snapshot: bool = False


class StreamSeen(msgspec.Struct):
    """What the stream tells of its connections."""

    unreadable: int = 0
    unknown_types: int = 0
    unrouted: int = 0
    lost: list[str] = []
    notices: list[str] = []


class Seen(msgspec.Struct):
    """Everything that a run has seen in `seconds`."""

    seconds: float
    sessions: list[SessionSeen] = []
    topics: list[TopicSeen] = []
    books: list[BookSeen] = []
    stream: StreamSeen = msgspec.field(default_factory=StreamSeen)


class Finding(msgspec.Struct, frozen=True):
    """One thing in which the venue differs, or a note about what could not be seen.

    Attributes:
        about: the topic, or the service.
        fact: the key of the fact in `facts.FACTS` that is wrong; "" for a note.
    """

    about: str
    text: str
    fact: str = ""

    @property
    def differs(self) -> bool:
        """Whether the venue differs from what this package believes."""
        return bool(self.fact)
