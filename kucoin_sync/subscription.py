"""What a user holds of a subscription: an iterator, `get`, and the numbers that tell how it fares."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Generic, NoReturn

from .exceptions import StreamClosed
from .forking import OfOneProcess, marks, notice
from .guard import Thread
from .inbox import Inbox, uncalled
from .interruption import holds_nothing, interrupting, now_or_later
from .messages import UNREAD, UNREADABLE, Message, Sealed
from .runs import Waiting
from .sealed import END
from .topics.name import P_co
from .topics.routing import Router

__all__ = ["Subscription"]

_LONGEST_CALL = 0.05
"""Seconds for which `close` waits for the call of a callback that is under way on another thread."""

_SHORT_WAIT = 0.5
"""Seconds that a call without a timeout waits where a finaliser or handler makes it that has interrupted us."""


class Subscription(OfOneProcess, Generic[P_co]):
    """Messages of one or more topics, for one consumer; several threads may share it, each message goes to one.

    Made by `Stream.subscribe`. Iterating waits for messages; it ends when the subscription or the stream is
    closed, after what was already received, and raises `SlowConsumer` where messages were dropped under the
    policy "raise", `SubscriptionRejected` where the server refuses a topic later on, and any fatal error.
    After SlowConsumer and SubscriptionRejected iterating can go on.
    """

    def __init__(
        self,
        topics: tuple[str, ...],
        inbox: Inbox,
        *,
        close: Callable[[Subscription[Any]], None],
        callback: Callable[[Message], object] | None = None,
        tunnel: str | None = None,
        private: bool | None = None,
    ) -> None:
        self.inbox = inbox
        self.put = inbox.put
        self.put_many = inbox.put_many
        self.callback = callback
        self.tunnel = tunnel
        self.private = private
        self._topics = topics
        self._close = close
        self.keeper: object = None  # who has to exist as long as a callback is called
        if callback is not None:
            inbox.callback = callback

    def held_by_user(self, holder: object) -> Subscription[P_co]:
        """Return the same subscription for a user, which keeps `holder` alive; the stream holds this one.

        So a stream ends when its user holds nothing of it any more, though it holds all of its subscriptions.
        """
        held: _Held[P_co] = _Held.__new__(_Held)
        held.__dict__ = self.__dict__
        held.inner, held.holder = self, holder
        return held

    @property
    def topics(self) -> tuple[str, ...]:
        """The single topics that it still carries."""
        return self._topics

    @property
    def pending(self) -> int:
        """Messages received and not yet taken by the consumer."""
        self.inbox.use()
        return len(self.inbox)

    @property
    def dropped(self) -> int:
        """Messages that were dropped because the consumer was slow (or superseded, under "latest")."""
        notice()
        return self.inbox.dropped

    @property
    def closed(self) -> bool:
        """Whether nothing more will be received; `pending` messages can still be taken."""
        return self.inbox.finished

    @holds_nothing
    def get(self, timeout: float | None = None) -> Message[P_co]:
        """Return the next message, waiting up to `timeout` seconds, for ever with None.

        Without a timeout, a finaliser or handler that has interrupted this package waits for half a second.

        Raises:
            TimeoutError: nothing came in time.
            StreamClosed: the subscription has ended and all its messages were taken.
            SlowConsumer, SubscriptionRejected, AuthenticationError: as when iterating.
        """
        notice()
        deadline = None if timeout is None else time.monotonic() + timeout
        inbox = self.inbox
        first, singles = inbox.first, inbox.singles
        push: Any = None  # taken and not delivered
        try:
            while True:
                try:
                    for push in inbox.source if type(first[0]) is Waiting else singles:  # noqa: B007
                        break
                except IndexError:
                    remaining = None if deadline is None else deadline - time.monotonic()
                else:
                    if type(push) is Waiting:  # another consumer took what was before it, just now
                        inbox.put_back(push)
                        push = None
                        continue
                    message = inbox.opener.open(push)
                    push = None
                    if message is not None:
                        return message
                    continue
                if not self._wait(remaining):
                    raise TimeoutError(f"no message came on {self._named()} within {timeout:g} s")
        except BaseException:
            inbox.leave(push)
            raise

    @holds_nothing
    def __iter__(self) -> Iterator[Message[P_co]]:
        # The consumer's share of the message path: frames are opened here, and how the messages are read is looked
        # at only now and then.
        inbox, opener = self.inbox, self.inbox.opener
        message: Message[P_co] | None = None  # the last that was opened here
        push: Any = None  # taken and not delivered
        first, singles = inbox.first, inbox.singles
        try:
            while True:
                notice()
                way = opener.way(message)
                run = inbox.run()
                if run is not None:
                    yield from opener.each_frame(run.frames, run.origin, inbox.put_back)
                    continue
                for here in marks():
                    if not here:
                        break  # this is a forked child
                    try:
                        if type(first[0]) is Waiting:
                            break
                        for push in singles:  # noqa: B007
                            break
                    except IndexError:
                        try:
                            self._wait(None)
                        except StreamClosed:
                            if inbox.error is None:
                                return
                            raise
                        continue
                    if type(push) is Sealed:
                        head, frame = push.head, push.frame
                        make, decode = head.ways[way]
                        try:
                            data = decode(frame[head.inside] if frame[-1] == END else b"")
                            message = make(head.kind[0], 0, frame, push, UNREAD, UNREAD, None, data)
                        except UNREADABLE:
                            message = opener.open_undecoded(frame, push)
                            if message is None:
                                push = None
                                continue
                        push = None
                        yield message
                    elif type(push) is Waiting:  # another consumer took what was before it, just now
                        inbox.put_back(push)
                        push = None
                        break
                    else:
                        other, push = push, None
                        yield other
        except GeneratorExit:
            raise  # the loop was left between two messages
        except BaseException:
            inbox.leave(push)
            raise

    @holds_nothing
    def __next__(self) -> Message[P_co]:
        try:
            [message] = map(self.get, (None,))  # in one step, as `Inbox.source`
        except StreamClosed:
            if self.inbox.error is None:
                raise StopIteration from None
            raise
        return message

    @holds_nothing
    def _wait(self, timeout: float | None) -> bool:
        """Wait where nothing is queued; False where nothing came in time. Raises what a consumer must be told then."""
        inbox = self.inbox
        ended = inbox.finished  # looked at first: what was put before the end is still taken
        if inbox.size():
            return True
        if inbox.alert:
            self._raise_notice()
        if ended:
            self._raise_end()
        if timeout is None:
            if inbox.wait(_SHORT_WAIT):
                return True
            if interrupting():  # a look at the stack would cost too much before every wait
                raise TimeoutError(
                    f"no message came on {self._named()} within {_SHORT_WAIT:g} s, and a call from inside another one "
                    "does not wait for ever; pass a timeout, or wait on another thread"
                )
        return inbox.wait(timeout)  # which without a timeout ends with something

    def close(self) -> None:
        """Unsubscribe. Closing twice is allowed.

        Iterating and `get` end after what was already received. A callback is not called again: on another thread a
        call may be under way, for which this waits 50 ms at most.
        """
        self.withhold(self._topics)
        if now_or_later(partial(self._close, self)):
            self.wait_for_call()
        else:
            self.inbox.finish(None)

    def finish(self) -> None:
        """End after what was already received, callbacks, too; for the stream's use."""
        self._close(self)

    def withhold(self, gone: Collection[str]) -> None:
        """Call the callback no more for these topics, whatever of theirs waits; for the stream's use."""
        if self.callback is None:
            return
        kept = [topic for topic in self._topics if topic not in gone]
        self.inbox.callback = _without(gone, kept, self.inbox.callback) if kept else uncalled

    def wait_for_call(self) -> None:
        """Wait for the callback's call under way, but not for long, and not on a thread that makes such calls."""
        if self.callback is None or not self.inbox.calling or isinstance(threading.current_thread(), Thread):
            return
        self.inbox.wait_for_call(_LONGEST_CALL)

    def drop_topics(self, gone: set[str]) -> None:
        """Take topics away that are unsubscribed or refused; for the stream's use."""
        self._topics = tuple(topic for topic in self._topics if topic not in gone)

    def __enter__(self) -> Subscription[P_co]:
        return self

    @holds_nothing
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Subscription to {self._named()}: {state}, {len(self.inbox)} pending, {self.dropped} dropped>"

    def _named(self) -> str:
        topics = self._topics
        return ", ".join(topics[:3]) + (f" and {len(topics) - 3} more" if len(topics) > 3 else "")

    def _raise_notice(self) -> None:
        notice = self.inbox.notice()
        if notice is not None:
            raise notice

    def _raise_end(self) -> NoReturn:
        if self.inbox.error is not None:
            raise self.inbox.error
        raise StreamClosed(f"the subscription to {self._named() or 'its topics'} is closed")


class _Held(Subscription[P_co]):
    """A subscription as its user holds it: all its attributes are those of the stream's own."""

    __slots__ = ("holder", "inner")

    inner: Subscription[P_co]
    holder: object

    def close(self) -> None:
        self.inner.close()


_Held.__name__ = _Held.__qualname__ = Subscription.__name__


def _without(
    gone: Iterable[str], kept: Iterable[str], callback: Callable[[Message], object]
) -> Callable[[Message], object]:
    """Return what calls a callback with all messages but those that only the topics in `gone` bring."""
    gone_routes, kept_routes = _router(gone), _router(kept)

    @holds_nothing
    def call(message: Message) -> object:
        return callback(message) if _brings(kept_routes, message) or not _brings(gone_routes, message) else None

    return call


def _router(topics: Iterable[str]) -> Router[str]:
    router: Router[str] = Router()
    for topic in topics:
        router.add(topic, topic)
    return router


def _brings(router: Router[str], message: Message) -> bool:
    """Whether a message belongs to a router's topics."""
    return any(test is None or test(message) for _, test in router.find(message.topic or ""))
