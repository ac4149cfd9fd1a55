"""Server-sent events: messages of subscriptions as a browser's `EventSource` takes them. Knows no web framework.

    event: trade.ticker                     the message's subject, or the name that is given
    id: 1550467636704                       the message's sequence, where it has one
    data: {"price":"67000.1", …}            the message's data, as KuCoin sent it, on one line

Where messages are missing, an event `lost` stands in their place: `{"topic": …, "lost": 3, "epoch": 2}`. Its `lost` is
0 where nobody knows how many, because the connection is another one (`epoch`). Where KuCoin refuses a topic later on,
or the feed has ended with an error, an event `failed` says so. In silence come comments, to which a browser pays no
heed: writing them is how a server notices that it is gone.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from types import MappingProxyType

import msgspec

from .. import KucoinSyncError, Message, SlowConsumer, StreamClosed, Subscription, SubscriptionRejected
from ..delivery.queue import Inbox
from ..internal.guard import log

__all__ = ["HEADERS", "EventName", "EventStream", "encode"]

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
    }
)
"""Headers of a response with events; the last one keeps nginx from holding them back."""

EventName = str | Callable[[Message], str | None] | None
"""The name of a message's event: the same for all, or made of each; None is its subject."""

_KEEP_ALIVE = b": nothing new\n\n"
_LINE_ENDS = re.compile(r"[\r\n]")
_SEQUENCE = re.compile(r"[0-9]{1,40}")
_SEQUENCES = ("sequence", "sequenceEnd", "sn")
_REMEMBERED = 10_000


def encode(data: bytes | str, event: str | None = None, id: str | None = None) -> bytes:
    """Return one event; line ends in `event` become spaces, and several lines of `data` stay several.

    An `id` with a line end or a null character, which no browser would send back, is left out.
    """
    lines = []
    if event:
        lines.append(f"event: {_LINE_ENDS.sub(' ', event)}")
    if id is not None and not re.search(r"[\r\n\0]", id):
        lines.append(f"id: {id}")
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    lines += [f"data: {line}" for line in re.split(r"\r\n|\r|\n", text)]
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


class EventStream:
    """The body of a response: an iterable of bytes that closes its subscriptions when the browser leaves.

    Whoever serves it calls `close` at the end, as WSGI has it, whether anything was iterated over or not.

    Args:
        subscriptions: of this response alone. Their overflow policy should be "latest" or one that drops, because a
            browser that reads slowly must not cost the others anything.
        event: names the events.
        keep_alive: seconds of silence after which a comment is sent; a browser that has gone is noticed after two.
        retry: seconds after which the browser is to come back when the response has ended.
        on_close: called once, when it is closed.
    """

    def __init__(
        self,
        *subscriptions: Subscription,
        event: EventName = None,
        keep_alive: float = 5.0,
        retry: float = 2.0,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        if not keep_alive > 0:
            raise ValueError(f"keep_alive is {keep_alive!r}; it is a positive number of seconds")
        self._open = list(subscriptions)  # those that may bring more
        self._event = event
        self._keep_alive = keep_alive
        self._retry = retry
        self._epochs: dict[str | None, int] = {}
        # What closing does, each of it once: whoever closes takes it from here.
        self._closers: deque[Callable[[], object]] = deque(subscription.close for subscription in subscriptions)
        if on_close is not None:
            self._closers.append(on_close)
        self._chunks = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close the subscriptions, which ends the iteration; from any thread, and more than once."""
        while True:
            try:
                closer = self._closers.popleft()
            except IndexError:
                return
            closer()

    def _run(self) -> Iterator[bytes]:
        rung: SimpleQueue[None] = SimpleQueue()  # which a finaliser may put into while this is done
        bells = [_Bell(subscription.inbox, rung) for subscription in self._open]
        silent_from = time.monotonic()
        try:
            yield f"retry: {self._retry * 1000:.0f}\n\n".encode()
            while self._open:
                while not rung.empty():
                    rung.get()
                chunk = b"".join(event for each in tuple(self._open) for event in self._waiting(each))
                if chunk:
                    yield chunk
                    silent_from = time.monotonic()
                for bell in bells:
                    bell.hang()
                try:
                    rung.get(timeout=max(0.0, silent_from + self._keep_alive - time.monotonic()))
                except Empty:
                    yield _KEEP_ALIVE
                    silent_from = time.monotonic()
        finally:
            self.close()

    def _waiting(self, subscription: Subscription) -> Iterator[bytes]:
        """Yield the events of what a subscription has received so far."""
        for _ in range(subscription.pending + 1):
            try:
                message = subscription.get(timeout=0)
            except TimeoutError:
                return
            except SlowConsumer:
                continue  # the next message says how many are lost
            except SubscriptionRejected as error:
                yield _failed(str(error))
            except KucoinSyncError as error:
                self._open.remove(subscription)
                if not isinstance(error, StreamClosed):
                    log(logging.ERROR, "a stream of events has ended: %s", error)
                    yield _failed("the feed has ended with an error, which the server's log tells")
                return
            else:
                yield from self._events(message)

    def _events(self, message: Message) -> Iterator[bytes]:
        if message.lost or self._is_elsewhere(message):
            told = {"topic": message.topic, "lost": message.lost, "epoch": message.epoch}
            yield encode(msgspec.json.encode(told), "lost")
        name = self._event(message) if callable(self._event) else self._event
        data = bytes(message.wire_data) or b"null"
        # A line break in JSON can only stand between two tokens, where a space means the same.
        yield encode(data.replace(b"\r", b" ").replace(b"\n", b" "), name or message.subject, _sequence_of(message))

    def _is_elsewhere(self, message: Message) -> bool:
        """Whether a message came over another connection than the one before it on its topic."""
        before = self._epochs.pop(message.topic, message.epoch)
        if len(self._epochs) >= _REMEMBERED:
            del self._epochs[next(iter(self._epochs))]  # the topic that was silent for longest
        self._epochs[message.topic] = message.epoch
        return message.epoch > before


class _Bell:
    """Puts something into a queue when there is something in an inbox."""

    def __init__(self, inbox: Inbox, rung: SimpleQueue[None]) -> None:
        self._inbox = inbox
        self._rung = rung
        self._hangs = False

    def hang(self) -> None:
        """Wait for the next message, once."""
        if not self._hangs:
            self._hangs = True
            self._inbox.call(self)

    def release(self) -> None:
        """Ring; called by whoever puts a message."""
        self._hangs = False
        self._rung.put(None)


def _failed(sentence: str) -> bytes:
    return encode(msgspec.json.encode({"error": sentence}), "failed")


def _sequence_of(message: Message) -> str | None:
    """Return the sequence of a message as text, None where it has none."""
    for name in _SEQUENCES:
        for source in (message.data, message):
            value = source.get(name) if isinstance(source, Mapping) else None
            if _SEQUENCE.fullmatch(str(value)):
                return str(value)
    return None
