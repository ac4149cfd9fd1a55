"""Fold the messages of one topic into what is seen of it: counts, one sample of each shape, sequences."""

from __future__ import annotations

import re
from typing import Any

from .. import Message
from ..payloads import Payload
from ..protocol.message import UNREADABLE, mismatches_of, payload_class
from ..topics.grammar import is_private
from .members import Member, cleaned, kind_of, members_of_data
from .seen import Shape, TopicSeen
from .sequences import Sequences

__all__ = ["TopicLog", "member_of_mismatch"]

_MAX_SHAPES = 40
_MAX_DEPTH = 8
_MAX_ROWS = 8  # more than a candle has columns


class TopicLog:
    """What is seen of one topic so far."""

    def __init__(self, topic: str, state: str = "acked", text: str = "") -> None:
        self.messages = 0
        self._seen = TopicSeen(topic, state, text)
        self._private = is_private(topic)
        self._sequences = Sequences(topic)
        self._shapes: dict[Any, Shape] = {}
        self._typed = 0

    @property
    def topic(self) -> str:
        return self._seen.topic

    def add(self, message: Message) -> None:
        """Take a message of the topic."""
        self.messages += 1
        cls = payload_class(message.topic, message.subject)
        data, unread = _data_of(message), mismatches_of(message)
        self._typed += cls is not None and not unread
        key = (message.topic, message.subject, _members(cls, data), tuple(map(member_of_mismatch, unread)))
        shape = self._shapes.get(key)
        if shape is not None:
            shape.count += 1
        elif len(self._shapes) < _MAX_SHAPES:
            sample = cleaned(cls, data) if self._private else _pruned(data) if unread else _shortened(cls, data)
            self._shapes[key] = Shape(str(message.topic), message.subject, 1, sample)
        self._sequences.add(message)

    def seen(self) -> TopicSeen:
        """Return what is seen so far."""
        seen = self._seen
        shapes = list(self._shapes.values())
        return TopicSeen(
            seen.topic, seen.state, seen.text, self.messages, self._typed, shapes, self._sequences.disorder
        )


def _members(cls: type[Payload] | None, data: Any) -> frozenset[Member]:
    return frozenset({Member("", kind_of(data), ())}) if cls is None else members_of_data(cls, data)


def _data_of(message: Message) -> Any:
    try:
        return message.data
    except UNREADABLE:
        return None  # `mismatches_of` says so


def _shortened(cls: type[Payload] | None, data: Any) -> Any:
    """Return the data with the first rows of its lists only, if these have all of its members."""
    short = _pruned(data, _MAX_ROWS)
    return short if _members(cls, short) == _members(cls, data) else _pruned(data)


def _pruned(value: Any, rows: int | None = None, depth: int = _MAX_DEPTH) -> Any:
    """Return a value with so many rows of each list, and nothing that is nested deeper than any payload."""
    if not isinstance(value, dict | list) or not depth:
        return None if isinstance(value, dict | list) else value
    if isinstance(value, dict):
        return {name: _pruned(each, rows, depth - 1) for name, each in value.items()}
    return [_pruned(each, rows, depth - 1) for each in value[:rows]]


def member_of_mismatch(text: str) -> str:
    """Return the member that a mismatch is about; all rows of a list are one."""
    return re.sub(r"\[\d+\]", "[]", text.partition(" is ")[0].partition(" has ")[0])
