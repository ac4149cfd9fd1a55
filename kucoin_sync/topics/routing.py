"""To which wanted single topics a pushed message belongs, when KuCoin pushes it under another name.

Most pushes carry the very topic that was subscribed; a dictionary finds those. For the others the table's
`pushed_as` says under which names a topic's messages may come. A message belongs to every wanted topic that
it may have been pushed for.

Where a topic and one of its other names are both wanted, KuCoin may push an event once under each name. With `once`
a router tells these apart (see `_OwnName`): a sink gets each event once for each topic that it wants.

Written to by one thread at a time (its owner's lock); `find` may run in other threads meanwhile, because
entries are replaced whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from .grammar import argument_of, row_of
from .table import PushedAs

__all__ = ["Route", "Router"]


class Pushed(Protocol):
    """What routing needs to know of a message."""

    @property
    def topic(self) -> str | None: ...
    @property
    def data(self) -> Any: ...


_MOST = 1000  # names that a topic's pushes are told apart from
_GIVEN = 256  # messages that are remembered until they come under the topic's own name

S = TypeVar("S")
Route = tuple[S, Callable[[Pushed], bool] | None]
"""A sink and, where only the payload can tell, the test that a message must pass."""


class Router(Generic[S]):
    """Map pushed topics to sinks.

    `exact` maps the topics that are wanted to their routes; read it directly where speed matters.

    Args:
        once: whether a sink gets what is pushed once under each of two names once for each of them that it wants. The
            tests of such routes must be asked once for each message.
    """

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._own_names: dict[str, _OwnName[S]] = {}  # wanted topics that have another wanted name, or had one
        self.exact: dict[str, tuple[Route[S], ...]] = {}
        self._sinks: dict[str, tuple[S, ...]] = {}  # wanted single topic -> who wants it
        self._by_prefix: dict[str, dict[str, PushedAs]] = {}  # pushed prefix -> wanted topic -> how it is pushed

    def __len__(self) -> int:
        return len(self._sinks)

    def sinks(self, single: str) -> tuple[S, ...]:
        """Return who wants a single topic."""
        return self._sinks.get(single, ())

    def add(self, single: str, sink: S) -> bool:
        """Add a sink; return whether it is the topic's first."""
        first = single not in self._sinks
        self._sinks[single] = (*self._sinks.get(single, ()), sink)
        if first:
            row = row_of(single)
            for alias in row.pushed_as if row else ():
                self._by_prefix[alias.prefix] = {**self._by_prefix.get(alias.prefix, {}), single: alias}
        if first and self._once:
            self._tell_apart(single)
        self._refresh(single)
        return first

    def remove(self, single: str, sink: S) -> bool:
        """Remove a sink; return whether it was the topic's last."""
        rest = tuple(other for other in self._sinks.get(single, ()) if other is not sink)
        if (own_name := self._own_names.get(single)) is not None:
            own_name.forget(sink)
        if rest:
            self._sinks[single] = rest
        else:
            self._sinks.pop(single, None)
            self._own_names.pop(single, None)
            row = row_of(single)
            for alias in row.pushed_as if row else ():
                wanted = self._by_prefix.get(alias.prefix, {})
                self._by_prefix[alias.prefix] = {other: how for other, how in wanted.items() if other != single}
        self._refresh(single)
        return not rest

    def find(self, topic: str) -> tuple[Route[S], ...]:
        """Return the routes of a pushed topic, () where nobody wants it. Keeps nothing of what it is asked."""
        found = self.exact.get(topic)
        if found is not None:
            return found
        if "," in topic:
            prefix, _, arguments = topic.partition(":")
            return _merged(route for part in arguments.split(",") for route in self._candidates(f"{prefix}:{part}"))
        return _merged(self._candidates(topic))

    def _refresh(self, single: str) -> None:
        """Recompute the entries that a change of one wanted topic may touch."""
        row = row_of(single)
        prefixes = {alias.prefix for alias in row.pushed_as} if row else set()
        touched = (
            {single} | {topic for topic in self._sinks if topic.partition(":")[0] in prefixes} if prefixes else {single}
        )
        for topic in touched:
            if topic in self._sinks:
                self.exact[topic] = _merged(self._candidates(topic))
            else:
                self.exact.pop(topic, None)

    def _tell_apart(self, single: str) -> None:
        """Note where pushes of `single` may stand for another wanted topic, or those of another one for `single`."""
        pairs = [(name, single) for name, _ in self._aliases(single)]
        row = row_of(single)
        prefixes = {alias.prefix: alias for alias in row.pushed_as} if row else {}
        for other in tuple(self._sinks) if prefixes else ():
            alias = prefixes.get(other.partition(":")[0])
            if alias is not None and other != single and _may_be(alias, single, other):
                pairs.append((single, other))
        for name, other in pairs:
            self._own_names.setdefault(name, _OwnName()).note(other)
            self.exact[name] = _merged(self._candidates(name))

    def _candidates(self, topic: str) -> Iterator[Route[S]]:
        """Yield the routes of a pushed topic; a sink has one for each wanted topic that may be meant."""
        own_name = self._own_names.get(topic)
        for sink in self._sinks.get(topic, ()):
            yield sink, None if own_name is None else own_name.as_itself(sink)
        for single, test in self._aliases(topic):
            own_name = self._own_names.get(single)
            for sink in self._sinks.get(single, ()):
                if own_name is None or topic not in own_name.others:
                    yield sink, test
                else:
                    yield sink, own_name.as_another(sink, test)

    def _aliases(self, topic: str) -> Iterator[tuple[str, Callable[[Pushed], bool] | None]]:
        """Yield the wanted topics that may have pushes of another name, each with the test that a push must pass."""
        for single, alias in self._by_prefix.get(topic.partition(":")[0], {}).items():
            if single != topic and _may_be(alias, single, topic):
                test = _names(argument_of(single), alias.fields) if alias.fields else None
                yield single, _is_not(test, alias.unless) if alias.unless else test


def _may_be(alias: PushedAs, wanted: str, pushed: str) -> bool:
    """Whether a push of this name may be one of a wanted topic, as far as names tell."""
    if alias.argument == "same":
        return argument_of(wanted) == argument_of(pushed)
    return alias.argument == "any" or ":" not in pushed


class _OwnName(Generic[S]):
    """A wanted topic of which other names are wanted, too, so that each event may come under its own and theirs.

    A push of another name counts until the topic was seen under its own name. Then what was given under another name
    and comes again under its own is left out, up to the first that was not given.

    Attributes:
        others: the other names, as long as they are wanted and after that: what was under way still comes.
    """

    def __init__(self) -> None:
        self.others: dict[str, None] = {}
        self._seen = False
        self._given: dict[S, deque[Any]] = {}

    def note(self, other: str) -> None:
        """Tell its pushes apart from those of another name."""
        if len(self.others) >= _MOST:
            self.others.clear()
        self.others[other] = None

    def forget(self, sink: S) -> None:
        """Remember nothing more of what a sink was given."""
        self._given.pop(sink, None)

    def as_another(self, sink: S, named: Callable[[Pushed], bool] | None) -> Callable[[Pushed], bool]:
        """Return the test whether a push of another name counts for a sink."""

        def test(message: Pushed) -> bool:
            if self._seen or not (named is None or named(message)):
                return False
            self._given.setdefault(sink, deque(maxlen=_GIVEN)).append(_data(message))
            return True

        return test

    def as_itself(self, sink: S) -> Callable[[Pushed], bool]:
        """Return the test whether a push of the topic's own name is new to a sink."""

        def test(message: Pushed) -> bool:
            self._seen = True
            given = self._given.get(sink) if self._given else None
            if given is None:
                return True
            data = _data(message)
            for place, before in enumerate(given):
                if _same(before, data):
                    for _ in range(place + 1):
                        given.popleft()
                    return False
            self._given.pop(sink, None)
            return True

        return test


def _merged(candidates: Iterable[Route[S]]) -> tuple[Route[S], ...]:
    """Return the routes with one for each sink, so that it gets no message twice."""
    routes: dict[S, Callable[[Pushed], bool] | None] = {}
    for sink, test in candidates:
        known = routes.setdefault(sink, test)
        if known is not None and known is not test:
            routes[sink] = test and _either(known, test)
    return tuple(routes.items())


def _either(one: Callable[[Pushed], bool], other: Callable[[Pushed], bool]) -> Callable[[Pushed], bool]:
    return lambda message: one(message) or other(message)


def _is_not(test: Callable[[Pushed], bool] | None, unless: tuple[tuple[str, str], ...]) -> Callable[[Pushed], bool]:
    """Return a test that a message fails which has one of these values, too."""

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
        return None  # nested too deep for this thread's stack; the consumer may see for itself


def _same(one: Any, other: Any) -> bool:
    """Whether two payloads tell of one event: they are equal in what both have."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = one.keys() & other.keys()
        return bool(both) and all(one[key] == other[key] for key in both)
    return bool(one == other)


def _names(wanted: str, fields: tuple[tuple[str, ...], ...]) -> Callable[[Pushed], bool]:
    """Return the test whether one of the payload's `fields` is, or contains, `wanted`."""

    def test(message: Pushed) -> bool:
        try:
            data = message.data
        except RecursionError:
            return True  # nested too deep for this thread's stack; the consumer may see for itself
        for path in fields:
            value: Any = data
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            if value == wanted or (isinstance(value, list) and wanted in value):
                return True
        return False

    return test
