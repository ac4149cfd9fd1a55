"""The stream of a command, from KuCoin or from a local KuCoin (`--demo`), and a summary of its numbers."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import Event, Message, Stream, Subscription
from ..exceptions import KucoinSyncError
from ..topics import grammar
from ..topics.symbols import is_known
from .figures import counted
from .output import Output
from .silence import Silence, symbol_of

if TYPE_CHECKING:
    from ..testing import KucoinServer

__all__ = ["TIMEOUT", "CommandStream", "Deadline", "open_feed", "symbols_of", "waiting"]

TIMEOUT = 10.0
"""Seconds to wait for KuCoin's confirmation."""
_SOON = 0.001
"""Seconds to wait after the deadline; 0 would not wait at all, and not fail."""

_EVERYTHING = 100_000
_REMEMBERED = 50


class Deadline:
    """The instant at which a command ends by itself; never if `seconds` is None."""

    def __init__(self, seconds: float | None) -> None:
        self._at = float("inf") if seconds is None else time.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Return the seconds that are left, at most `at_most`; 0 after the deadline."""
        return max(0.0, min(at_most, self._at - time.monotonic()))


class CommandStream:
    """A stream with a summary of its numbers.

    Attributes:
        place: the name of the data's source, for display.
        server: the local KuCoin with `--demo`, otherwise None.
        events: the latest events, the newest last.
        silence: the symbols from which nothing comes.
        deadline: the instant at which the command ends.
    """

    def __init__(
        self,
        stream: Stream,
        place: str,
        server: KucoinServer | None,
        events: deque[Event],
        silence: Silence,
        deadline: Deadline,
    ) -> None:
        self.stream = stream
        self.place = place
        self.server = server
        self.events = events
        self.silence = silence
        self.deadline = deadline
        self._started = time.monotonic()
        self._latest: list[Subscription] = []

    @property
    def timeout(self) -> float:
        """Seconds to wait for KuCoin's confirmation, at most until the deadline."""
        return max(_SOON, round(self.deadline.left(TIMEOUT), 1))  # errors name it

    def latest(self, *topics: str, stale_after: float | None = None) -> Subscription:
        """Subscribe topics, such as tickers, and keep only the newest message of each symbol.

        `message.lost` counts the messages that the newest one replaced.
        """
        subscription = self.stream.subscribe(
            *topics, overflow="latest", maxsize=_EVERYTHING, stale_after=stale_after, timeout=self.timeout
        )
        self.silence.watch(self.stream, topics)
        self._latest.append(subscription)
        return subscription

    def every(self, *topics: str, stale_after: float | None = None, recover: bool = False) -> Subscription:
        """Subscribe topics and keep every message; a slow reader loses the oldest ones, and the summary counts them."""
        subscription = self.stream.subscribe(
            *topics, overflow="drop_oldest", stale_after=stale_after, timeout=self.timeout, recover=recover
        )
        self.silence.watch(self.stream, topics)
        return subscription

    def summary(self) -> str:
        """Return the counts of messages, reconnects and losses so far."""
        numbers = self.stream.stats()
        # A message that a newer one replaced is not lost: only the newest is shown.
        lost = numbers["dropped"] - sum(subscription.dropped for subscription in self._latest)
        parts = [
            f"{counted(numbers['messages'], 'message')} in {time.monotonic() - self._started:.1f} s",
            counted(numbers["reconnects"], "reconnect"),
            *(
                [counted(numbers["book_resyncs"], "resync")]
                if numbers["book_snapshots"] or numbers["book_resyncs"]
                else []
            ),
            f"{lost} lost",
            *([f"{numbers['misfits']:,} with unexpected fields"] if numbers["misfits"] else []),
        ]
        return ", ".join(parts)


@contextlib.contextmanager
def open_feed(
    options: argparse.Namespace,
    output: Output,
    symbols: Iterable[str],
    *,
    seconds: float | None = None,
    quiet: bool = False,
    on_event: Callable[[Event], object] = str,
) -> Iterator[CommandStream]:
    """Yield the feed for the command line's options; print its summary at the end, also after Ctrl-C.

    The feed's deadline is `seconds` after its start. Warnings go to standard error unless `quiet`. `on_event` is called
    with each event of the stream, except those of silence.
    """

    events: deque[Event] = deque(maxlen=_REMEMBERED)
    # A live view shows the sentence by itself for as long as it is true.
    silence = Silence(lambda text: output.aside.write(f"kucoin-sync: {text}\n"))

    def say(event: Event) -> None:
        if silence.takes(event):
            return
        events.append(event)
        on_event(event)
        if event.level >= logging.WARNING and not quiet and not options.verbose:  # `--verbose` logs it already
            output.aside.say(f"kucoin-sync: {event}")

    with contextlib.ExitStack() as stack:
        server = None
        arguments: dict[str, Any] = {"rest_url": options.rest_url, "futures_rest_url": options.futures_rest_url}
        if options.demo:
            from ..testing import local_kucoin  # only the demo needs it

            server = stack.enter_context(local_kucoin(*filter(is_known, symbols)))
            arguments = server.stream_options
        stream = stack.enter_context(Stream(**arguments, on_event=say))
        feed = CommandStream(
            stream, "local KuCoin, simulated" if options.demo else "KuCoin", server, events, silence, Deadline(seconds)
        )
        try:
            yield feed
        except (KucoinSyncError, BrokenPipeError):
            raise  # the error message suffices
        except BaseException:
            output.aside.say(f"kucoin-sync: {feed.summary()}")
            raise
        output.aside.say(f"kucoin-sync: {feed.summary()}")


def symbols_of(wanted: Iterable[str]) -> list[str]:
    """Return the symbols of topics, for a local KuCoin to trade."""
    return [symbol_of(single) for topic in wanted for single in grammar.split(topic)]


def waiting(subscription: Subscription) -> Iterator[Message]:
    """Yield the messages that have arrived, without waiting for more.

    Raises:
        SubscriptionRejected, AuthenticationError, StreamClosed: as `Subscription.get` does.
    """
    for _ in range(subscription.pending + 1):
        try:
            yield subscription.get(timeout=0)
        except TimeoutError:
            return
