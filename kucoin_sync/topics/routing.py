"""Route pushed messages to the sinks that want their topics, including pushes under another topic name.

Most pushes carry the topic that was subscribed; a dictionary finds their sinks. For the others, the table's `pushed_as`
lists the names under which a topic's messages may come. A message belongs to every wanted topic that it may have been
pushed for.

If a topic and one of its other names are both wanted, KuCoin may push an event once under each name. With `deduplicate`
a sink gets each event once for each topic that it wants; see `_Deduplicator`.

One thread at a time may write (the owner's lock guards that). Other threads may call `find` meanwhile, because entries
are replaced whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from ..payloads import Payload
from .grammar import argument_of, payload_class, row_of
from .table import PushedAs

__all__ = ["Route", "Router"]


class Pushed(Protocol):
    """The part of a message that routing needs."""

    @property
    def topic(self) -> str | None: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def data(self) -> Any: ...


_MAX_NAMES = 1000  # other names that are remembered for a topic
_MAX_REMEMBERED = 256  # delivered messages that are remembered, to know them when they come again
_STAMPS = frozenset(("U", "currentTimestamp", "sequence", "timestamp", "ts"))  # members with an event's time or number

S = TypeVar("S")
_Kind = type[Payload] | None
Route = tuple[S, Callable[[Pushed], bool] | None]
"""A sink, and the test that a message must pass; None if the topic alone decides."""


class Router(Generic[S]):
    """Map pushed topics to sinks.

    `exact` maps wanted topics to their routes. Hot code reads it directly.

    Args:
        deduplicate: whether an event that is pushed under two names reaches a sink only once for each topic that it
            wants. The tests of such routes have a state: call them once for each message.
    """

    def __init__(self, *, deduplicate: bool = False) -> None:
        self._deduplicate = deduplicate
        self._deduplicators: dict[str, _Deduplicator[S]] = {}  # of wanted topics that share or shared pushes
        self.exact: dict[str, tuple[Route[S], ...]] = {}
        self._sinks: dict[str, tuple[S, ...]] = {}  # wanted single topic -> its sinks
        self._by_prefix: dict[str, dict[str, PushedAs]] = {}  # pushed prefix -> wanted topic -> how it is pushed

    def __len__(self) -> int:
        return len(self._sinks)

    def sinks(self, single: str) -> tuple[S, ...]:
        """Return the sinks of a single topic."""
        return self._sinks.get(single, ())

    def add(self, single: str, sink: S) -> bool:
        """Add a sink; return whether it is the topic's first."""
        first = single not in self._sinks
        self._sinks[single] = (*self._sinks.get(single, ()), sink)
        if first:
            row = row_of(single)
            for alias in row.pushed_as if row else ():
                self._by_prefix[alias.prefix] = {**self._by_prefix.get(alias.prefix, {}), single: alias}
        if first and self._deduplicate:
            self._add_deduplicators(single)
        self._refresh(single)
        return first

    def remove(self, single: str, sink: S) -> bool:
        """Remove a sink; return whether it was the topic's last."""
        rest = tuple(other for other in self._sinks.get(single, ()) if other is not sink)
        if (deduplicator := self._deduplicators.get(single)) is not None:
            deduplicator.forget_sink(sink)
        if rest:
            self._sinks[single] = rest
        else:
            self._sinks.pop(single, None)
            self._deduplicators.pop(single, None)
            row = row_of(single)
            for alias in row.pushed_as if row else ():
                wanted = self._by_prefix.get(alias.prefix, {})
                self._by_prefix[alias.prefix] = {other: how for other, how in wanted.items() if other != single}
        self._refresh(single)
        return not rest

    def find(self, topic: str) -> tuple[Route[S], ...]:
        """Return the routes of a pushed topic, () if no sink wants it. The result is not cached."""
        found = self.exact.get(topic)
        if found is not None:
            return found
        if "," in topic:
            prefix, _, arguments = topic.partition(":")
            return _merge(route for part in arguments.split(",") for route in self._routes(f"{prefix}:{part}"))
        return _merge(self._routes(topic))

    def _refresh(self, single: str) -> None:
        """Recompute the entries that depend on one wanted topic."""
        row = row_of(single)
        prefixes = {alias.prefix for alias in row.pushed_as} if row else set()
        touched = (
            {single} | {topic for topic in self._sinks if topic.partition(":")[0] in prefixes} if prefixes else {single}
        )
        for topic in touched:
            if topic in self._sinks:
                self.exact[topic] = _merge(self._routes(topic))
            else:
                self.exact.pop(topic, None)

    def _add_deduplicators(self, single: str) -> None:
        """Make deduplicators for `single` and for wanted topics that share pushes with it."""
        pairs = [(name, single) for name, _ in self._aliases(single)]
        row = row_of(single)
        prefixes = {alias.prefix: alias for alias in row.pushed_as} if row else {}
        for other in tuple(self._sinks) if prefixes else ():
            alias = prefixes.get(other.partition(":")[0])
            if alias is not None and other != single and _name_matches(alias, single, other):
                pairs.append((single, other))
        for name, other in pairs:
            for topic in (name, other):
                deduplicator = self._deduplicators.setdefault(topic, _Deduplicator(_identifying_members(topic)))
                deduplicator.mutual |= (other, name) in pairs
            self._deduplicators[name].add_name(other)
            self.exact[name] = _merge(self._routes(name))

    def _routes(self, topic: str) -> Iterator[Route[S]]:
        """Yield the routes of a pushed topic: one for each sink of each wanted topic that the push may belong to."""
        deduplicator = self._deduplicators.get(topic)
        for sink in self._sinks.get(topic, ()):
            yield sink, None if deduplicator is None else deduplicator.own_name_test(sink)
        for single, test in self._aliases(topic):
            deduplicator = self._deduplicators.get(single)
            for sink in self._sinks.get(single, ()):
                if deduplicator is None or topic not in deduplicator.other_names:
                    yield sink, test
                else:
                    yield sink, deduplicator.other_name_test(sink, test)

    def _aliases(self, topic: str) -> Iterator[tuple[str, Callable[[Pushed], bool] | None]]:
        """Yield the wanted topics whose pushes may come under this other name, each with the test for a push."""
        for single, alias in self._by_prefix.get(topic.partition(":")[0], {}).items():
            if single != topic and _name_matches(alias, single, topic):
                test = _field_test(argument_of(single), alias.fields) if alias.fields else None
                yield single, _exclude(test, alias.unless) if alias.unless else test


def _name_matches(alias: PushedAs, wanted: str, pushed: str) -> bool:
    """Return whether the name of a push allows that it belongs to a wanted topic."""
    if alias.argument == "same":
        return argument_of(wanted) == argument_of(pushed)
    return alias.argument == "any" or ":" not in pushed


class _Deduplicator(Generic[S]):
    """Drops repeated events of a wanted topic that shares pushes with another, so that one may be pushed for each.

    Events have a kind, the class of their payload; what follows is true of each kind by itself. Pushes under another
    name are delivered until the first push under the topic's own name. From then on, only pushes under its own name are
    delivered. Of these, the events that were delivered before are dropped, up to the first event that was not.

    An event may also be pushed twice under one name, once for each topic. The second push is dropped if it is certain
    that it is the same event; see `_identity`. If it is not, both pushes are delivered. Of two topics that may each be
    pushed as the other, all events come twice; there, every second one of other equal pushes is dropped.

    Args:
        members: the members of the data that identify an event, the first one above all; () if none are known.

    Attributes:
        other_names: the other names. They stay after they are no longer wanted, because their pushes may still come.
        mutual: whether each of two topics may be pushed as the other.
    """

    def __init__(self, members: tuple[str, ...]) -> None:
        self._members = members
        self.other_names: dict[str, None] = {}
        self.mutual = False
        self._recent: dict[tuple[S, bool], deque[Any]] = {}  # by sink, and whether under the own name
        self._seen: set[_Kind] = set()  # the kinds that have come under the own name
        self._delivered: dict[S, dict[_Kind, deque[Any]]] = {}

    def add_name(self, other: str) -> None:
        """Deduplicate pushes under another name, too."""
        if len(self.other_names) >= _MAX_NAMES:
            self.other_names.clear()
        self.other_names[other] = None

    def forget_sink(self, sink: S) -> None:
        """Forget the messages delivered to a sink."""
        self._delivered.pop(sink, None)
        for own in (True, False):
            self._recent.pop((sink, own), None)

    def _is_repeat(self, sink: S, message: Pushed, *, own: bool) -> bool:
        """Return whether the same event was delivered to a sink before, under the own name or another; note it."""
        event, certain = _identity(message, self._members)
        if event is None or not (certain or self.mutual):
            return False
        recent = self._recent.setdefault((sink, own), deque(maxlen=_MAX_REMEMBERED))
        if event in recent:
            if not certain:
                recent.remove(event)
            return True
        recent.append(event)
        return False

    def other_name_test(self, sink: S, named: Callable[[Pushed], bool] | None) -> Callable[[Pushed], bool]:
        """Return a test of whether to deliver a push under another name to a sink."""

        def test(message: Pushed) -> bool:
            kind = payload_class(message.topic, message.subject)
            if kind in self._seen or not (named is None or named(message)):
                return False
            if self._is_repeat(sink, message, own=False):
                return False
            delivered = self._delivered.setdefault(sink, {}).setdefault(kind, deque(maxlen=_MAX_REMEMBERED))
            delivered.append(_data(message))
            return True

        return test

    def own_name_test(self, sink: S) -> Callable[[Pushed], bool]:
        """Return a test of whether a push under the topic's own name is new to a sink."""

        def test(message: Pushed) -> bool:
            kind = payload_class(message.topic, message.subject)
            self._seen.add(kind)
            if self._is_repeat(sink, message, own=True):
                return False
            delivered = self._delivered.get(sink, {}).get(kind)
            if delivered is None:
                return True
            data = _data(message)
            for place, before in enumerate(delivered):
                if _same_event(before, data, self._members):
                    for _ in range(place + 1):
                        delivered.popleft()
                    return False
            self._delivered.get(sink, {}).pop(kind, None)
            return True

        return test


def _merge(candidates: Iterable[Route[S]]) -> tuple[Route[S], ...]:
    """Return one route for each sink, so that it gets no message twice."""
    routes: dict[S, Callable[[Pushed], bool] | None] = {}
    for sink, test in candidates:
        known = routes.setdefault(sink, test)
        if known is not None and known is not test:
            routes[sink] = test and _either(known, test)
    return tuple(routes.items())


def _either(one: Callable[[Pushed], bool], other: Callable[[Pushed], bool]) -> Callable[[Pushed], bool]:
    return lambda message: one(message) or other(message)


def _exclude(test: Callable[[Pushed], bool] | None, unless: tuple[tuple[str, str], ...]) -> Callable[[Pushed], bool]:
    """Return a test that also refuses a message that has one of these values."""

    def both(message: Pushed) -> bool:
        data = _data(message)
        if isinstance(data, Mapping) and any(data.get(key) == value for key, value in unless):
            return False
        return test is None or test(message)

    return both


def _data(message: Pushed) -> Any:
    try:
        return message.data
    except RecursionError:
        return None  # nested too deep for this thread's stack; the consumer gets the error when it reads the data


def _identifying_members(single: str) -> tuple[str, ...]:
    """Return the members of the data that identify an event of a topic, () if the table has none."""
    row = row_of(single)
    return () if row is None or row.same.rising else row.same.members


def _identity(message: Pushed, members: tuple[str, ...]) -> tuple[Any, bool]:
    """Return what equal pushes have in common, and whether two pushes that have it in common are one event.

    They are one if they have all of `members`, or if all their data is equal and has a time or a number in it.
    """
    data = _data(message)
    try:
        if not isinstance(data, Mapping):
            return hash(repr(data)), False
        if members and all(member in data for member in members):
            return [_comparable(data[member]) for member in members], True
        return hash((message.subject, repr(sorted(data.items())))), not _STAMPS.isdisjoint(data)
    except (RecursionError, ValueError):  # nested too deep for this thread's stack, or an integer of too many digits
        return None, False


def _same_event(one: Any, other: Any, members: tuple[str, ...]) -> bool:
    """Return whether two payloads are of one event: they have members in common, and these are equal.

    If both have the first of `members`, no others are compared.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = one.keys() & other.keys()
        if members and members[0] in both:
            both &= set(members)
        return bool(both) and all(_comparable(one[key]) == _comparable(other[key]) for key in both)
    return bool(one == other)


def _comparable(value: Any) -> Any:
    """Return the number that a value is or spells, or the value itself if there is none."""
    if not isinstance(value, int | float | str):
        return value
    try:
        number = Decimal(str(value))
    except (ArithmeticError, ValueError):  # ValueError: an integer of too many digits
        return value
    return number if number.is_finite() else value


def _field_test(wanted: str, fields: tuple[tuple[str, ...], ...]) -> Callable[[Pushed], bool]:
    """Return a test of whether one of the payload's `fields` is, or contains, `wanted`."""

    def test(message: Pushed) -> bool:
        try:
            data = message.data
        except RecursionError:
            return True  # nested too deep for this thread's stack; the consumer gets the error when it reads the data
        for path in fields:
            value: Any = data
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            if value == wanted or (isinstance(value, list) and wanted in value):
                return True
        return False

    return test
