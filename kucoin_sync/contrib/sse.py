"""Server-sent events: send messages of subscriptions to a browser's `EventSource`. Independent of web frameworks.

    event: trade.ticker                     the message's subject, or the given name
    id: 1550467636704                       the message's sequence, if it has one
    data: {"symbol":"BTC-USDT","price":"67000.1", …}    the message's data, as KuCoin sent it, on one line

An object in `data` has a member `symbol` wherever the message has a symbol: if KuCoin sent none, it is added in front.

An event `lost` takes the place of missing messages: `{"topic": …, "lost": 3, "epoch": 2}`. Its `lost` is 0 if the
number is unknown, because the connection was replaced (`epoch`). An event `failed` reports that KuCoin has refused a
topic later on, or that the feed has ended with an error. During silence, comments are sent. Browsers ignore them, but
writing them shows the server that a browser has disconnected.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from queue import Empty
from types import MappingProxyType

import msgspec

from .. import KucoinSyncError, Message, SlowConsumer, StreamClosed, Subscription, SubscriptionRejected
from ..delivery.queue import MessageQueue
from ..internal.guard import log
from ..internal.timed_queue import TimedQueue

__all__ = ["HEADERS", "EventName", "EventStream", "encode"]

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
    }
)
"""The headers of a response with events; the last one keeps nginx from buffering them."""

EventName = str | Callable[[Message], str | None] | None
"""The name of the events: a fixed name, or a function of the message; None uses the message's subject."""

_KEEP_ALIVE = b": nothing new\n\n"
_LINE_ENDS = re.compile(r"[\r\n]")
_SEQUENCE = re.compile(r"[0-9]{1,40}")
_SEQUENCES = ("sequence", "sequenceEnd", "sn")
#: Where the data of the UTA feed has it, by channel; in other channels these members are no sequences.
_UTA_SEQUENCES = {"/uta/ticker": ("E",), "/uta/trade": ("E",), "/uta/obu": ("C",)}
_MAX_EPOCHS = 10_000


def encode(data: bytes | str, event: str | None = None, id: str | None = None) -> bytes:
    """Return one event as text; line breaks in `event` become spaces, and `data` keeps its lines.

    An `id` with a line break or a null character is left out, because browsers ignore such an id.
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
    """The body of a response: an iterable of bytes that closes its subscriptions when the browser disconnects.

    The server must call `close` at the end, as WSGI requires, even if nothing was iterated.

    Args:
        subscriptions: used by this response alone. Their overflow policy should be "latest" or one that drops, so that
            a slow browser does not delay others.
        event: the name of the events.
        keep_alive: seconds of silence after which a comment is sent; a disconnect is noticed after two comments.
        retry: seconds after which the browser should reconnect when the response has ended.
        on_close: called once, when the stream is closed.
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
        self._active = list(subscriptions)  # subscriptions that have not ended
        self._event = event
        self._keep_alive = keep_alive
        self._retry = retry
        self._epochs: dict[str | None, int] = {}
        # The functions to call on close. Each close removes a function before it calls it, so that it runs once.
        self._closers: deque[Callable[[], object]] = deque(subscription.close for subscription in subscriptions)
        if on_close is not None:
            self._closers.append(on_close)
        self._chunks = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close the subscriptions, which ends the iteration. May be called from any thread, and more than once."""
        while True:
            try:
                closer = self._closers.popleft()
            except IndexError:
                return
            closer()

    def _run(self) -> Iterator[bytes]:
        wakeups: TimedQueue[None] = TimedQueue()  # a finaliser may put into it at any time
        notifiers = [_Notifier(subscription.message_queue, wakeups) for subscription in self._active]
        silent_from = time.monotonic()
        try:
            yield f"retry: {self._retry * 1000:.0f}\n\n".encode()
            while self._active:
                wakeups.clear()
                chunk = b"".join(event for each in tuple(self._active) for event in self._pending_events(each))
                if chunk:
                    yield chunk
                    silent_from = time.monotonic()
                for notifier in notifiers:
                    notifier.arm()
                try:
                    wakeups.get(timeout=max(0.0, silent_from + self._keep_alive - time.monotonic()))
                except Empty:
                    yield _KEEP_ALIVE
                    silent_from = time.monotonic()
        finally:
            self.close()

    def _pending_events(self, subscription: Subscription) -> Iterator[bytes]:
        """Yield the events of all pending messages of a subscription."""
        for _ in range(subscription.pending + 1):
            try:
                message = subscription.get(timeout=0)
            except TimeoutError:
                return
            except SlowConsumer:
                continue  # the next message says how many are lost
            except SubscriptionRejected as error:
                yield _failed_event(str(error))
            except KucoinSyncError as error:
                self._active.remove(subscription)
                if not isinstance(error, StreamClosed):
                    log(logging.ERROR, "a stream of events has ended: %s", error)
                    yield _failed_event("the feed has ended with an error; see the server's log")
                return
            else:
                yield from self._events(message)

    def _events(self, message: Message) -> Iterator[bytes]:
        if message.lost or self._is_newer_connection(message):
            report = {"topic": message.topic, "lost": message.lost, "epoch": message.epoch}
            yield encode(msgspec.json.encode(report), "lost")
        name = self._event(message) if callable(self._event) else self._event
        data = _with_symbol(bytes(message.wire_data) or b"null", message)
        # In JSON, a line break can only occur between two tokens, where a space means the same.
        yield encode(data.replace(b"\r", b" ").replace(b"\n", b" "), name or message.subject, _sequence_of(message))

    def _is_newer_connection(self, message: Message) -> bool:
        """Whether a message came over a newer connection than the message before it on its topic."""
        before = self._epochs.pop(message.topic, message.epoch)
        if len(self._epochs) >= _MAX_EPOCHS:
            del self._epochs[next(iter(self._epochs))]  # the topic that has been silent for longest
        self._epochs[message.topic] = message.epoch
        return message.epoch > before


class _Notifier:
    """Puts an item into a queue when a message arrives in a message queue."""

    def __init__(self, message_queue: MessageQueue, wakeups: TimedQueue[None]) -> None:
        self._message_queue = message_queue
        self._wakeups = wakeups
        self._armed = False

    def arm(self) -> None:
        """Notify once, at the next message."""
        if not self._armed:
            self._armed = True
            self._message_queue.call(self)

    def release(self) -> None:
        """Put the item into the queue; called by the message queue."""
        self._armed = False
        self._wakeups.put(None)


def _with_symbol(data: bytes, message: Message) -> bytes:
    """Return the data of a message with its symbol as a member, if it is an object and has none."""
    members = message.data
    if not isinstance(members, dict) or "symbol" in members or (symbol := message.symbol) is None:
        return data
    rest = data[data.index(b"{") + 1 :]
    return b'{"symbol":%s%s%s' % (msgspec.json.encode(symbol), b"," if members else b"", rest)


def _failed_event(sentence: str) -> bytes:
    return encode(msgspec.json.encode({"error": sentence}), "failed")


def _sequence_of(message: Message) -> str | None:
    """Return the sequence of a message as text, or None if it has none."""
    for name in _UTA_SEQUENCES.get((message.topic or "").partition(".")[0], _SEQUENCES):
        for source in (message.data, message):
            value = source.get(name) if isinstance(source, Mapping) else None
            if _SEQUENCE.fullmatch(str(value)):
                return str(value)
    return None
