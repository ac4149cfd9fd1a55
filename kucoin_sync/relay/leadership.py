"""One holding of the lease: the topics that are passed on, what was received of them, and the thread that writes it.

All of it dies with the lease. The writing thread never decides that the lease is lost: where Redis says that a newer
token exists, it waits for the relay to find out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from .. import Message, Stream, Subscription
from ..events import Event, UnexpectedError
from ..exceptions import InvalidTopic, KucoinSyncError, SubscriptionRejected, is_fatal
from ..internal import backoff
from ..internal.guard import guarded, log
from ..internal.resources import start_thread
from ..protocol.session_events import TopicKey
from ..topics import grammar
from ..topics.routing import Router
from .buffer import Buffer, Feed, Item, Runs, Writer
from .codec import News
from .keys import Keys
from .scripts import HolderScripts, Keep
from .server import BROKEN, RedisServer

__all__ = ["Leadership", "objection"]

_MOST = 2000
_CONFIRMATION = 10.0
_ATTEMPTS = 5
"""How often records are tried that can't be written because of what nothing should have raised."""


class Leadership:
    """What a relay does while it holds the lease.

    Args:
        token: its fencing token.
        sequences: the number of the last record of topics, by whichever holder.
        keep: how much a stream keeps.
        limit: records that may wait while Redis does not answer.
        emit: takes events, without waiting.

    Attributes:
        doubted: set when Redis says that there is a newer token.
        published: records that were written.
    """

    def __init__(
        self,
        token: int,
        sequences: dict[str, int],
        stream: Stream,
        server: RedisServer,
        keys: Keys,
        *,
        keep: Keep,
        limit: int,
        emit: Callable[[Event], object] = lambda event: None,
    ) -> None:
        self.token = token
        self.doubted = threading.Event()
        self.published = 0
        self.buffer = Buffer(limit)
        self.feeds: dict[str, Feed] = {}
        self._sequences = sequences
        self._taken_up: dict[str, int] = {}
        self._runs = Runs()
        self._stream = stream
        self._groups: dict[Subscription, set[str]] = {}  # with the topics that each stands for still
        self._errors: dict[str, SubscriptionRejected] = {}  # told and not passed on yet
        self._keep = keep
        self._emit = emit
        self._over = threading.Event()
        self._client = server.client(self._over.is_set)
        self._scripts = HolderScripts(self._client, keys)
        self._writer = Writer(keys)
        self._thread = start_thread(self._write, name="kucoin-relay-writer")

    # Topics; on the relay's thread

    def subscribe(self, topics: list[str]) -> None:
        """Pass public topics on from now on; what becomes of them is told in news."""
        self._subscribe(topics, timeout=0)

    def subscribe_private(self, topic: str) -> None:
        """Pass a private topic on; wait until KuCoin has confirmed it. On any thread."""
        try:
            self._subscribe([topic], timeout=_CONFIRMATION)
        except KucoinSyncError as error:
            self._failed(topic, error)
        else:
            self.carried([TopicKey(topic)])

    def _subscribe(self, topics: list[str], timeout: float) -> None:
        router: Router[Feed] = Router(deduplicate=True)
        for topic in topics:
            again = self._taken_up[topic] = self._taken_up.get(topic, 0) + 1
            feed = Feed(topic, self._sequences.get(topic, 0), self._runs.of(again), self.buffer.put)
            self.feeds[topic] = feed
            router.add(topic, feed)
        try:
            group = self._stream.subscribe(*topics, callback=partial(_took, router), inline=True, timeout=timeout)
        except BaseException:
            for topic in topics:
                self._forget(topic)  # to be taken up again as long as it is wanted
            raise
        self._groups[group] = set(topics)

    def drop(self, topics: Iterable[str]) -> None:
        """Pass topics on no longer."""
        for topic in topics:
            self._forget(topic)
            self._stream.unsubscribe(topic)
            self.buffer.put(News("dropped", topic, 0, "no reader wanted it any more"))

    def refuse(self, topic: str, code: int, reason: str) -> None:
        """Tell readers that a topic can't be had."""
        self.buffer.put(News("refused", topic, code, reason))

    def refused(self) -> list[str]:
        """Return the topics that KuCoin has refused since the last call; their readers are told.

        What else has ended topics is told as a loss: they are taken up again as long as they are wanted.
        """
        found: list[str] = []
        for group, topics in list(self._groups.items()):
            gone = topics.difference(group.topics) if len(group.topics) < len(topics) else ()
            if gone and (error := self._last_error(group)) is not None:
                found += [topic for topic in gone if self._failed(topic, self._errors.pop(topic, error))]
            if not topics:
                del self._groups[group]
        return found

    def _last_error(self, group: Subscription) -> Exception | None:
        """Return why a subscription has lost topics, as far as it has been told; note what belongs to a topic."""
        inbox = group.inbox
        last = inbox.error
        while inbox.alert and (notice := inbox.notice()) is not None:
            last = last or notice
            if isinstance(notice, SubscriptionRejected):
                self._errors[notice.topic] = notice
        return last

    def _failed(self, topic: str, error: Exception) -> bool:
        """Tell readers that a topic is not there; return whether it never will be.

        Readers may have had it from another holder of the lease, or from this one before: records tell of that.
        """
        was_live = any(self._sequences.values()) or any(feed.sequence for feed in tuple(self.feeds.values()))
        if isinstance(error, KucoinSyncError) and not is_fatal(
            error, was_live=was_live, needs_key=grammar.is_private(topic)
        ):
            self._forget(topic)
            self.lost([TopicKey(topic)], error)
            return False
        self._refuse(topic, error)
        return True

    def _refuse(self, topic: str, error: Exception) -> None:
        self._forget(topic)
        if isinstance(error, SubscriptionRejected):
            self.refuse(topic, error.code, error.reason)
        else:
            self.refuse(topic, 400, str(error))

    def _forget(self, topic: str) -> None:
        feed = self.feeds.pop(topic, None)
        if feed is not None:
            self._sequences[topic] = feed.sequence
        for topics in self._groups.values():
            topics.discard(topic)

    # What the stream says; on its threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """KuCoin sends these from now on."""
        for key in keys:
            self.buffer.put(News("carried", key.topic))

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """KuCoin sends these no longer, or could not be asked to."""
        for key in keys:
            self.buffer.put(News("lost", key.topic, 0, str(error)))

    # Its end

    def end(self) -> None:
        """Write nothing any more, and let go of all topics; return when the thread has ended."""
        self._over.set()
        self.buffer.wanted.set()
        self._client.connection_pool.disconnect()
        for group in list(self._groups):
            with guarded("topics of the relay could not be left"):
                group.close()
        self._thread.join()

    # The writing thread

    def _write(self) -> None:
        wanted, over = self.buffer.wanted, self._over
        try:
            while not over.is_set():
                try:
                    wanted.wait()
                    items = self.buffer.take(_MOST)
                    if items and not over.is_set():
                        self._persist(items)
                except BaseException as error:
                    self._tell_defect(error)
                    over.wait(1.0)
        finally:
            self._client.connection_pool.disconnect()

    def _persist(self, items: list[Item]) -> None:
        """Try until it is written: twice does no harm, readers know the numbers and all the tokens that they had."""
        delays = backoff.retry_delays(0.05, 1.0)
        tried: set[int] = set()
        attempts = 0
        while not self._over.is_set():
            token = self.token
            try:
                if self._put(token, items, tried - {token}):
                    return
                self.doubted.set()
            except BROKEN:
                tried.add(token)
                self._client.connection_pool.disconnect()  # the relay's thread tells of it
            except BaseException as error:
                tried.add(token)
                attempts += 1
                if attempts == 1:
                    self._tell_defect(error)
                if attempts >= _ATTEMPTS:  # readers see the gap
                    self.buffer.dropped += sum(isinstance(item, tuple) for item in items)
                    return
            self._over.wait(next(delays))

    def _tell_defect(self, error: BaseException) -> None:
        log(logging.ERROR, "a defect where the relay writes to Redis, which goes on", error=error)
        self._emit(UnexpectedError("the relay's writing to Redis", error))

    def _put(self, token: int, items: list[Item], tried: set[int]) -> bool:
        flush = self._writer.flush(token, items, tried)
        done = self._scripts.publish(token, self._keep, flush.entries, flush.last, flush.states)
        if done:
            self.published += sum(isinstance(item, tuple) for item in items)
        return done


def _took(router: Router[Feed], message: Message) -> None:
    """Pass a message on, under each topic that it came for."""
    topic = message.topic or ""
    for feed, test in router.exact.get(topic) or router.find(topic):
        if test is None or test(message):
            feed.took(message.raw, message.epoch, message.received_ns)


def objection(topic: str, *, private: bool) -> str:
    """Return why a relay can't pass a topic on, "" where it can."""
    try:
        singles = grammar.split(topic)
    except InvalidTopic as error:
        return str(error)
    if singles != (topic,):
        return "readers ask for one symbol at a time"
    if grammar.is_private(topic) and not private:
        return "it is a private topic, and this relay was not told to pass private topics on"
    return ""
