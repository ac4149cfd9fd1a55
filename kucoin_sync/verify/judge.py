"""From what was seen to findings: in what the venue differs from what this package believes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..payloads import Payload
from ..payloads.base import reader_for
from ..protocol.dialects import DIALECTS
from ..protocol.message import UNREADABLE, payload_class
from ..topics.grammar import row_of
from ..topics.table import Argument, Topic
from .judge_session import judge_session
from .members import WHOLE, members_of_data, optional_members, required_members
from .plan import interval_of
from .reference import Usual, usual_shapes
from .seen import BookSeen, Finding, Seen, Shape, StreamSeen, TopicSeen
from .sequences import is_book_topic
from .topic_log import member_of_mismatch

__all__ = ["absent_members", "judge", "judge_topic", "state_of"]

_LEAST_PUSHES, _START = 10, 5.0  # a topic is wrongly silent if so many pushes are missing, after so many seconds
_SNAPSHOT_SECONDS = 10.0


def judge(seen: Seen) -> list[Finding]:
    """Return all findings, in the order of what was seen."""
    found: list[Finding] = []
    for session in seen.sessions:
        found += judge_session(session, DIALECTS[session.dialect])
    for topic in seen.topics:
        found += judge_topic(topic, seen.seconds)
    for book in seen.books:
        found += _judge_book(book, seen.seconds)
    return found + list(_judge_stream(seen.stream))


def state_of(topic: TopicSeen) -> str:
    """Return the state of a topic in one word: "acked", "silent", "refused", "unanswered" or "skipped"."""
    return "silent" if topic.state == "acked" and not topic.messages else topic.state


def absent_members(topic: TopicSeen) -> list[str]:
    """Return the members that may be absent, and were absent from all messages of a topic; each with its struct."""
    came: dict[type[Payload], set[str]] = {}
    for shape in topic.shapes:
        cls = payload_class(shape.topic, shape.subject)
        if cls is not None:
            came.setdefault(cls, set()).update(member.path for member in members_of_data(cls, shape.sample))
    return [f"{cls.__name__}: {name}" for cls, paths in came.items() for name in sorted(optional_members(cls) - paths)]


def judge_topic(topic: TopicSeen, seconds: float) -> Iterator[Finding]:
    """Yield what is found about one topic that was subscribed for so many seconds."""
    row = row_of(topic.topic)
    assert row is not None, f"{topic.topic} is not in the topic table"
    if topic.state == "refused":
        if not row.legacy:
            yield Finding(topic.topic, f"it is refused: {topic.text}", "offered")
        return
    if topic.state == "skipped":
        yield Finding(topic.topic, f"it was not tried, because {topic.text}")
        return
    if topic.state == "unanswered":
        yield Finding(topic.topic, f"it was not confirmed: {topic.text}", "ack")
        return
    if row.legacy and topic.messages:
        yield Finding(topic.topic, f"it brings messages, though it is {row.legacy}")
    interval = interval_of(row)
    if not topic.messages and interval is not None and seconds >= _START + _LEAST_PUSHES * interval:
        yield Finding(topic.topic, f"it is silent, where a message every {interval:g} s is usual", "pushes")
    by_struct: dict[type[Payload], list[Shape]] = {}
    for shape in topic.shapes:
        cls = payload_class(shape.topic, shape.subject)
        if cls is None:
            yield Finding(topic.topic, f"no struct is known for the subject {shape.subject!r}", "subjects")
        else:
            by_struct.setdefault(cls, []).append(shape)
    for cls, shapes in by_struct.items():
        yield from _judge_shapes(topic.topic, row, cls, shapes)
    if topic.disorder:
        fact = "book order" if is_book_topic(topic.topic) else "order"
        yield Finding(topic.topic, f"its sequences: {'; '.join(topic.disorder)}", fact)


def _judge_shapes(topic: str, row: Topic, cls: type[Payload], shapes: list[Shape]) -> Iterator[Finding]:
    usual = usual_shapes().get((shapes[0].topic.partition(":")[0], cls)) or usual_shapes().get((row.prefix, cls))
    name = cls.__name__
    told: set[str] = set()
    came: set[str] = set()
    for member in sorted({member for shape in shapes for member in members_of_data(cls, shape.sample)}):
        came.add(member.path)
        kinds = _usual_kinds(usual, member.path, member.allowed)
        if not member.allowed:
            yield Finding(topic, f"{member.path} ({member.kind}) is not a member of {name}", "known members")
        elif member.kind not in kinds:
            told.add(member_of_mismatch(member.path))
            yield Finding(topic, f"{member.path} is {member.kind} where {' or '.join(kinds)} is usual", "kinds")
    missing = required_members(cls) - came if came != {WHOLE} else frozenset()
    for path in sorted(missing):
        yield Finding(topic, f"{path} never comes, which {name} needs", "required members")
    if usual is not None and not row.private and came != {WHOLE}:
        for path in sorted(usual.always - came - missing):
            if "[" not in path and path.rpartition(".")[0] in {"", *came}:
                yield Finding(topic, f"{path} never comes", "usual members")
    for text in sorted({text for shape in shapes for text in _unread(cls, shape)}):
        place = member_of_mismatch(text)
        if place not in told | missing:
            told.add(place)
            yield Finding(topic, f"{text}, which {name} can't take as it is", "values")
    if usual is not None and row.argument is not Argument.ALL and not row.private:
        for subject in sorted({shape.subject for shape in shapes} - usual.subjects, key=str):
            yield Finding(topic, f"its subject is {subject!r}, where {_listed(usual)} is usual", "subjects")


def _usual_kinds(usual: Usual | None, path: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of a member that are usual: those that the local KuCoin sends, else those of the struct."""
    kinds = usual.kinds.get(path) if usual is not None else None
    return tuple(sorted({*kinds, *({"null"} & {*allowed})})) if kinds else allowed


def _listed(usual: Usual) -> str:
    return " or ".join(sorted(map(repr, usual.subjects)))


def _unread(cls: type[Payload], shape: Shape) -> list[str]:
    try:
        return [each.text for each in reader_for(cls)(msgspec.json.encode(shape.sample)).mismatches]
    except UNREADABLE as error:
        return [f"the data is unreadable ({error})"]


def _judge_book(book: BookSeen, seconds: float) -> Iterator[Finding]:
    if book.no_snapshot and seconds >= _SNAPSHOT_SECONDS:
        yield Finding(book.topic, f"no snapshot came within {seconds:g} s", "book snapshot")
        return
    for text in book.differing:
        yield Finding(book.topic, text, "book")
    if book.problem and not book.differing:
        yield Finding(book.topic, f"the book: {book.problem}")


def _judge_stream(stream: StreamSeen) -> Iterator[Finding]:
    for text in stream.lost:
        yield Finding("connections", text, "stays open")
    for text in stream.notices:
        yield Finding("connections", text, "notices")
    counts = (
        (stream.unreadable, "that can't be read"),
        (stream.unknown_types, "of an unknown type"),
        (stream.unrouted, "that belong to no subscription"),
    )
    for count, what in counts:
        if count:
            yield Finding("connections", f"frames {what}: {count}", "frames")
