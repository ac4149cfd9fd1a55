"""Name the symbols from which nothing comes. KuCoin confirms symbols that do not exist and then sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import Event, Message, Stream, Subscription
from ..events import Stale
from ..topics import grammar
from ..topics.symbols import is_known, suggest

__all__ = ["Silence", "symbol_of"]

_AFTER = 3.0
_NAMED = 5


class Silence:
    """The symbols from which nothing has come since their topics were subscribed.

    Until its first message, each symbol has a subscription of its own beside that of the command, with `stale_after`.
    Both share the topics on the wire.

    Args:
        say: called once with a sentence, after 3 s, if there are such symbols.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        # The I/O threads take symbols out of these. A private topic is silent while nothing happens, so it is not here.
        self._unheard: dict[str, str] = {}
        self._silent: dict[str, str] = {}

    def watch(self, stream: Stream, topics: Iterable[str]) -> None:
        """Watch the symbols of topics that the command subscribes."""
        of: dict[str, list[str]] = {}
        for topic in topics:
            for single in grammar.split(topic):
                if not grammar.is_private(single):
                    of.setdefault(symbol_of(single) or single, []).append(single)
        self._unheard.update({symbol: singles[0] for symbol, singles in of.items()})
        watching: dict[str, Subscription[Any]] = {}
        for symbol, singles in of.items():

            def heard(_: Message, symbol: str = symbol) -> None:
                self._unheard.pop(symbol, None)
                self._silent.pop(symbol, None)
                if symbol in watching:  # not yet if the message came while the topics were being subscribed
                    watching.pop(symbol).close()

            watching[symbol] = stream.subscribe(*singles, callback=heard, inline=True, stale_after=_AFTER, timeout=0)

    def takes(self, event: Event) -> bool:
        """Return whether an event is about a subscription of `watch`; say which symbols are silent if it is news."""
        if not isinstance(event, Stale) or event.seconds != _AFTER:
            return False
        fresh = {symbol: topic for symbol, topic in tuple(self._unheard.items()) if symbol not in self._silent}
        if fresh:
            self._silent.update(fresh)
            self._say(_sentence(fresh))
        return True

    @property
    def text(self) -> str:
        """A sentence about the symbols that were said to be silent and still are; "" if there are none."""
        silent = dict(tuple(self._silent.items()))
        return _sentence(silent) if silent else ""


def symbol_of(single: str) -> str:
    """Return the symbol of a single topic, also of a candle or a depth; "" without one."""
    return grammar.argument_of(single).partition("_")[0]


def _sentence(silent: dict[str, str]) -> str:
    guesses = [guess for symbol in silent if (guess := suggest(symbol))]
    if guesses:
        more = f"KuCoin confirms symbols that do not exist, too: did you mean {_listed(guesses)}?"
    elif all(map(is_known, silent)):
        prefixes = dict.fromkeys(topic.partition(":")[0] for topic in silent.values())
        rows = [row for row in map(grammar.row_of, silent.values()) if row is not None]
        pushes = dict.fromkeys(row.push for row in rows)
        pace = f"{_listed([*prefixes])}, pushed: {_listed([*pushes])}"
        more = f"Perhaps nothing has happened there ({pace}), or KuCoin has no such symbol."
    else:
        more = "KuCoin confirms symbols that do not exist, too: check the spelling."
    return f"nothing has come from {_listed([*silent])} for {_AFTER:g} s. {more}"


def _listed(names: Sequence[str]) -> str:
    """Return names with commas, at most five of them."""
    more = len(names) - _NAMED
    if more > 0:
        return f"{', '.join(names[:_NAMED])} and {more} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
