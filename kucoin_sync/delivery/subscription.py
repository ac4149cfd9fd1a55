"""`Subscription`: the object from which users take messages, by iterating or `get`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Generic

from ..exceptions import StreamClosed
from ..internal.fork import NotPicklable, detect_fork
from ..internal.guard import Thread
from ..internal.signals import holds_no_lock, is_reentrant, run_or_defer
from ..protocol.envelopes import FrameBatch, Push, Pushes
from ..protocol.message import Message
from ..topics.name import P_co
from ..topics.routing import Router
from .callback_slot import uncalled
from .queue import MessageQueue

__all__ = ["SHORT_WAIT", "Subscription"]

_LONGEST_CALL = 0.05
"""Seconds for which `close` waits for a call of the callback that is running on another thread."""

SHORT_WAIT = 0.5
"""Seconds that `get` without a timeout waits if its caller has interrupted this package on the same thread, or is the
thread that brings the messages."""

_FOR_USERS = {"close", "closed", "dropped", "get", "pending", "topics"}
"""Names that `dir` and tab completion show; the others without an underscore are for the stream's use."""


class Subscription(NotPicklable, Generic[P_co]):
    """Messages of one or more topics. Several threads may share it; each message goes to one of them.

    Made by `Stream.subscribe`. Iterating waits for messages. It ends when the subscription or the stream is closed,
    after the messages received until then. It raises `SlowConsumer` if messages were dropped under the policy "raise",
    `SubscriptionRejected` if the server refuses a topic later, and any fatal error. Iterating can go on after
    SlowConsumer and SubscriptionRejected.
    """

    def __init__(
        self,
        topics: tuple[str, ...],
        message_queue: MessageQueue,
        *,
        close: Callable[[Subscription[Any]], None],
        callback: Callable[[Message], object] | None = None,
        tunnel: str | None = None,
        private: bool | None = None,
        recover: bool = False,
    ) -> None:
        self.message_queue = message_queue
        self.put: Callable[[Push], bool] = message_queue.put
        self.put_many: Callable[[Pushes], bool] = message_queue.put_many
        self.callback = callback
        self.tunnel = tunnel
        self.private = private
        self.recover = recover
        self._topics = topics
        self._close = close
        self.keep_alive: object = None  # kept alive as long as the callback may be called
        #: Returns whether the current thread is the one that brings the messages.
        self.waits_for_itself: Callable[[], bool] | None = None
        if callback is not None:
            message_queue.callback = callback

    def held_by_user(self, holder: object) -> Subscription[P_co]:
        """Return a second object for this subscription, for the user; it keeps `holder` alive.

        The stream itself holds only this object. So a stream is freed, and ends, when the user holds neither it nor a
        subscription of it.
        """
        held: _UserSubscription[P_co] = _UserSubscription.__new__(_UserSubscription)
        held.__dict__ = self.__dict__
        held.inner, held.holder = self, holder
        return held

    @property
    def topics(self) -> tuple[str, ...]:
        """The single topics of the subscription that were not unsubscribed or refused."""
        return self._topics

    @property
    def pending(self) -> int:
        """The number of messages received and not yet taken."""
        self.message_queue.first_use()
        return len(self.message_queue)

    @property
    def dropped(self) -> int:
        """The number of messages dropped because the consumer was slow, or superseded under "latest"."""
        detect_fork()
        return self.message_queue.dropped

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended; `pending` messages can still be taken."""
        return self.message_queue.finished

    @holds_no_lock
    def get(self, timeout: float | None = None) -> Message[P_co]:
        """Return the next message. Wait for it up to `timeout` seconds; None waits without limit.

        A finaliser or signal handler that has interrupted this package waits for half a second instead. So does an
        inline callback, for messages that its own I/O thread brings.

        Raises:
            TimeoutError: no message came in time.
            StreamClosed: the subscription has ended and all its messages were taken.
            SlowConsumer, SubscriptionRejected, AuthenticationError: as when iterating.
        """
        detect_fork()
        deadline = None if timeout is None else time.monotonic() + timeout
        message_queue = self.message_queue
        push: Any = None  # taken and not yet returned
        try:
            while True:
                if not message_queue.items and not self._wait(
                    None if deadline is None else deadline - time.monotonic()
                ):
                    raise TimeoutError(f"no message came on {self._named()} within {timeout:g} s")
                try:
                    for push in message_queue.source():  # noqa: B007
                        break
                except IndexError:
                    continue  # another consumer was faster
                if type(push) is FrameBatch:  # it was queued just now
                    message_queue.put_back(push)
                    push = None
                    continue
                message = message_queue.decoder.decode(push)
                push = None
                if message is not None:
                    return message
        except BaseException:
            message_queue.leave(push)
            raise

    @holds_no_lock
    def __iter__(self) -> Iterator[Message[P_co]]:
        message_queue = self.message_queue
        try:
            while True:
                if message_queue.items:
                    detect_fork()
                    batch = message_queue.first_batch()
                    if batch is not None:
                        yield from message_queue.decoder.decode_batch(batch, message_queue.put_back)
                        continue
                try:
                    [message] = map(self.get, (None,))  # in one step, as `MessageQueue.source`
                except StreamClosed:
                    if message_queue.error is None:
                        return
                    raise
                yield message
        except GeneratorExit:
            raise  # the loop was left between two messages
        except BaseException:
            message_queue.leave(None)
            raise

    @holds_no_lock
    def __next__(self) -> Message[P_co]:
        try:
            [message] = map(self.get, (None,))  # in one step, as `MessageQueue.source`
        except StreamClosed:
            if self.message_queue.error is None:
                raise StopIteration from None
            raise
        return message

    @holds_no_lock
    def _wait(self, timeout: float | None) -> bool:
        """Wait if the queue is empty; return False after `timeout`. Raise notices and the end of the subscription."""
        message_queue = self.message_queue
        ended = message_queue.finished  # read first: messages put before the end are still taken
        if message_queue.has_messages():
            return True
        if message_queue.alert and (notice := message_queue.notice()) is not None:
            raise notice
        if ended:
            raise message_queue.error or StreamClosed(f"the subscription to {self._named() or 'its topics'} is closed")
        if timeout is None:
            if message_queue.wait(SHORT_WAIT):
                return True
            if is_reentrant():  # only now: to inspect the stack before every wait would cost too much
                raise TimeoutError(
                    f"no message came on {self._named()} within {SHORT_WAIT:g} s, and a call from inside another one "
                    "does not wait for ever; pass a timeout, or wait on another thread"
                )
            if self.waits_for_itself is not None and self.waits_for_itself():
                raise TimeoutError(
                    f"no message came on {self._named()} within {SHORT_WAIT:g} s, and none can come while this I/O "
                    "thread waits for it in an inline callback; wait on another thread"
                )
        return message_queue.wait(timeout)  # returns True if it has no timeout

    def close(self) -> None:
        """Unsubscribe. Closing twice is allowed.

        Iterating and `get` end after the messages already received. The callback is not called again. If a call is
        running on another thread, wait for it, at most 50 ms.
        """
        self.withhold(self._topics)
        if run_or_defer(partial(self._close, self)):
            self.wait_for_call()
        else:
            self.message_queue.finish(None)

    def finish(self) -> None:
        """Unsubscribe; the callback still gets the messages already received. For use by the stream."""
        self._close(self)

    def withhold(self, gone: Collection[str]) -> None:
        """Stop calling the callback for these topics, also with queued messages. For use by the stream."""
        if self.callback is None:
            return
        kept = [topic for topic in self._topics if topic not in gone]
        self.message_queue.callback = _without(gone, kept, self.message_queue.callback) if kept else uncalled

    def notify(self, on_messages: Callable[[], object]) -> None:
        """Call `on_messages` before messages are queued; a subscription without it spends no time on that."""
        queue_one, queue_many = self.put, self.put_many

        def put(push: Push) -> bool:
            on_messages()
            return queue_one(push)

        def put_many(pushes: Pushes) -> bool:
            on_messages()
            return queue_many(pushes)

        self.put, self.put_many = put, put_many

    def forget(self) -> None:
        """Hold no messages any more, as nobody can take them. For the end of the user's object, on any thread.

        The topics stay subscribed: observers such as recorders, and `stale_after`, go on.
        """
        if self.callback is None and self.put == self.message_queue.put:
            self.put = self.put_many = _hold_nothing
            self.message_queue.clear()

    def wait_for_call(self) -> None:
        """Wait briefly until a running call of the callback has ended; not on a thread of this package."""
        if self.callback is None or not self.message_queue.calling or isinstance(threading.current_thread(), Thread):
            return
        self.message_queue.wait_for_call(_LONGEST_CALL)

    def drop_topics(self, gone: set[str]) -> None:
        """Remove topics that are unsubscribed or refused. For use by the stream."""
        self._topics = tuple(topic for topic in self._topics if topic not in gone)

    def __enter__(self) -> Subscription[P_co]:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if name in _FOR_USERS or name.startswith("_"))

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Subscription to {self._named()}: {state}, {len(self.message_queue)} pending, {self.dropped} dropped>"

    def _named(self) -> str:
        topics = self._topics
        return ", ".join(topics[:3]) + (f" and {len(topics) - 3} more" if len(topics) > 3 else "")


class _UserSubscription(Subscription[P_co]):
    """The object that a user holds. It shares its attributes with the stream's object, `inner`."""

    __slots__ = ("holder", "inner")

    inner: Subscription[P_co]
    holder: object

    def close(self) -> None:
        self.inner.close()

    def __del__(self) -> None:
        if (inner := getattr(self, "inner", None)) is not None:  # an interrupt may have come first
            inner.forget()


def _hold_nothing(_: object) -> bool:
    """Drop pushes; return that no consumer waited for them."""
    return False


_UserSubscription.__name__ = _UserSubscription.__qualname__ = Subscription.__name__


def _without(
    gone: Iterable[str], kept: Iterable[str], callback: Callable[[Message], object]
) -> Callable[[Message], object]:
    """Wrap a callback: ignore messages that match a topic in `gone` and none in `kept`."""
    gone_routes, kept_routes = _router(gone), _router(kept)

    @holds_no_lock
    def call(message: Message) -> object:
        return callback(message) if _matches(kept_routes, message) or not _matches(gone_routes, message) else None

    return call


def _router(topics: Iterable[str]) -> Router[str]:
    router: Router[str] = Router()
    for topic in topics:
        router.add(topic, topic)
    return router


def _matches(router: Router[str], message: Message) -> bool:
    """Return whether a message matches a topic of a router."""
    return any(test is None or test(message) for _, test in router.find(message.topic or ""))
