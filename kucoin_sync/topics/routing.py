"""To which wanted single topics a pushed message belongs, when KuCoin pushes it under another name.

Most pushes carry the very topic that was subscribed; a dictionary finds those. For the others the table's
`pushed_as` says under which names a topic's messages may come. A message belongs to every wanted topic that
it may have been pushed for: one too many is harmless, one too few would be lost.

Written to by one thread at a time (its owner's lock); `find` may run in other threads meanwhile, because
entries are replaced whole.
"""

from __future__ import annotations

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


S = TypeVar("S")
Route = tuple[S, Callable[[Pushed], bool] | None]
"""A sink and, where only the payload can tell, the test that a message must pass."""


class Router(Generic[S]):
    """Map pushed topics to sinks.

    `exact` maps the topics that are wanted to their routes; read it directly where speed matters.
    """

    def __init__(self) -> None:
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
        self._refresh(single)
        return first

    def remove(self, single: str, sink: S) -> bool:
        """Remove a sink; return whether it was the topic's last."""
        rest = tuple(other for other in self._sinks.get(single, ()) if other is not sink)
        if rest:
            self._sinks[single] = rest
        else:
            self._sinks.pop(single, None)
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

    def _candidates(self, topic: str) -> Iterator[Route[S]]:
        """Yield the routes of a pushed topic; a sink has one for each wanted topic that may be meant."""
        prefix, colon, argument = topic.partition(":")
        for sink in self._sinks.get(topic, ()):
            yield sink, None
        for single, alias in self._by_prefix.get(prefix, {}).items():
            wanted = argument_of(single)
            if alias.argument == "same" and wanted != argument:
                continue
            if alias.argument == "none" and colon:
                continue
            test = _names(wanted, alias.fields) if alias.fields else None
            for sink in self._sinks.get(single, ()):
                yield sink, test


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
