"""The leadership of a relay: what it does while it holds the lease.

A leadership owns the passed-on topics, the buffer of received messages, and the thread that writes them to Redis. All
of it ends with the lease. The writing thread never decides that the lease is lost: if Redis has a newer fencing token,
it waits for the relay's thread to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from .. import Message, Stream, Subscription
from ..connections.source import TopicInterrupted
from ..events import Event, UnexpectedError
from ..exceptions import InvalidTopic, KucoinSyncError, SubscriptionRejected, is_fatal
from ..internal import backoff
from ..internal.flag import Flag
from ..internal.guard import guarded, log
from ..internal.resources import start_thread
from ..protocol.session_events import TopicKey
from ..topics import grammar
from ..topics.routing import Router
from .buffer import Buffer, EntryBuilder, Item, RelayedTopic, RunNumbers
from .codec import News
from .keys import Keys
from .scripts import HolderScripts, Retention
from .server import BROKEN, RedisServer

__all__ = ["Leadership", "refusal_reason"]

_MAX_ITEMS = 2000
_CONFIRM_SECONDS = 10.0
_MAX_DEFECTS = 5
"""How often a write is tried that fails with an unexpected error."""


class Leadership:
    """Passes topics on while the relay holds the lease.

    Args:
        token: its fencing token.
        sequences: the number of the last record of each topic, from earlier leaderships.
        retention: how much each Redis stream keeps.
        limit: the largest number of records that wait while Redis does not answer.
        emit: is called with events; it must not wait.

    Attributes:
        superseded: set when Redis reports a newer fencing token.
        published: the number of records written.
    """

    def __init__(
        self,
        token: int,
        sequences: dict[str, int],
        stream: Stream,
        server: RedisServer,
        keys: Keys,
        *,
        retention: Retention,
        limit: int,
        emit: Callable[[Event], object] = lambda event: None,
    ) -> None:
        self.token = token
        self.superseded = Flag()
        self.published = 0
        self.buffer = Buffer(limit)
        self.feeds: dict[str, RelayedTopic] = {}
        self._sequences = sequences
        self._subscription_counts: dict[str, int] = {}
        self._runs = RunNumbers()
        self._stream = stream
        self._groups: dict[Subscription, set[str]] = {}  # the topics that each still has
        self._refusals: dict[str, SubscriptionRejected] = {}  # refusals by topic that are not passed on yet
        self._retention = retention
        self._emit = emit
        self._ended = Flag()
        self._client = server.client(self._ended.is_set)
        self._scripts = HolderScripts(self._client, keys)
        self._writer = EntryBuilder(keys)
        self._thread = start_thread(self._write, name="kucoin-relay-writer")

    # Topics; on the relay's thread

    def subscribe(self, topics: list[str]) -> None:
        """Pass public topics on from now on; news report whether KuCoin confirms them."""
        self._subscribe(topics, timeout=0)

    def subscribe_private(self, topic: str) -> None:
        """Pass a private topic on; wait until KuCoin has confirmed it. May be called on any thread."""
        try:
            self._subscribe([topic], timeout=_CONFIRM_SECONDS)
        except KucoinSyncError as error:
            self._failed(topic, error)
        else:
            self.carried([TopicKey(topic)])

    def _subscribe(self, topics: list[str], timeout: float) -> None:
        """Subscribe topics; what is missed of them during a cut is recovered where that is possible."""
        recovering = [topic for topic in topics if self._stream.recovers(topic)]
        for part, recover in ((recovering, True), ([each for each in topics if each not in recovering], False)):
            if part:
                self._subscribe_alike(part, timeout, recover)

    def _subscribe_alike(self, topics: list[str], timeout: float, recover: bool) -> None:
        router: Router[RelayedTopic] = Router(deduplicate=True)
        for topic in topics:
            count = self._subscription_counts[topic] = self._subscription_counts.get(topic, 0) + 1
            feed = RelayedTopic(topic, self._sequences.get(topic, 0), self._runs.of(count), self.buffer.put)
            self.feeds[topic] = feed
            router.add(topic, feed)
        try:
            group = self._stream.subscribe(
                *topics, callback=partial(_forward_message, router), inline=True, timeout=timeout, recover=recover
            )
        except BaseException:
            for topic in topics:
                self._remove(topic)  # the relay subscribes it again while it is wanted
            raise
        self._groups[group] = set(topics)

    def drop(self, topics: Iterable[str]) -> None:
        """Stop passing topics on."""
        for topic in topics:
            self._remove(topic)
            self._stream.unsubscribe(topic)
            self.buffer.put(News("dropped", topic, 0, "no reader wanted it any more"))

    def refuse(self, topic: str, code: int, reason: str) -> None:
        """Tell readers that a topic can't be passed on."""
        self.buffer.put(News("refused", topic, code, reason))

    def refused(self) -> list[str]:
        """Return the topics that KuCoin has refused since the last call, and tell their readers.

        Topics that ended for other reasons are reported as lost. The relay subscribes them again while they are wanted.
        """
        found: list[str] = []
        for group, topics in list(self._groups.items()):
            gone = topics.difference(group.topics) if len(group.topics) < len(topics) else ()
            if gone and (error := self._last_error(group)) is not None:
                found += [topic for topic in gone if self._failed(topic, self._refusals.pop(topic, error))]
            if not topics:
                del self._groups[group]
        return found

    def _last_error(self, group: Subscription) -> Exception | None:
        """Return the error with which a subscription lost topics, or None; remember the errors of single topics."""
        message_queue = group.message_queue
        last = message_queue.error
        while message_queue.alert and (notice := message_queue.notice()) is not None:
            last = last or notice
            if isinstance(notice, SubscriptionRejected):
                self._refusals[notice.topic] = notice
        return last

    def _failed(self, topic: str, error: Exception) -> bool:
        """Tell readers that a topic is not available; return whether that is permanent.

        Records from before, of this leadership or an earlier one, show that the feed has worked.
        """
        was_live = any(self._sequences.values()) or any(feed.sequence for feed in tuple(self.feeds.values()))
        if isinstance(error, KucoinSyncError) and not is_fatal(
            error, was_live=was_live, needs_key=grammar.is_private(topic)
        ):
            self._remove(topic)
            self.lost([TopicKey(topic)], error)
            return False
        self._refuse(topic, error)
        return True

    def _refuse(self, topic: str, error: Exception) -> None:
        self._remove(topic)
        if isinstance(error, SubscriptionRejected):
            self.refuse(topic, error.code, error.reason)
        else:
            self.refuse(topic, 400, str(error))

    def _remove(self, topic: str) -> None:
        feed = self.feeds.pop(topic, None)
        if feed is not None:
            self._sequences[topic] = feed.sequence
        for topics in self._groups.values():
            topics.discard(topic)

    # Notifications from the stream; on its threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """Tell readers that KuCoin sends these topics from now on."""
        for key in keys:
            self.buffer.put(News("carried", key.topic))

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Tell readers that KuCoin does not send these topics now."""
        interrupted = isinstance(error, TopicInterrupted)
        for key in keys:
            self.buffer.put(News("interrupted" if interrupted else "lost", key.topic, 0, str(error)))

    # The end

    def end(self) -> None:
        """Stop writing, unsubscribe all topics, and wait for the end of the thread."""
        self._ended.set()
        self.buffer.has_items.set()
        self._client.connection_pool.disconnect()
        for group in list(self._groups):
            with guarded("topics of the relay could not be unsubscribed"):
                group.close()
        self._thread.join()

    # The writing thread

    def _write(self) -> None:
        wanted, ended = self.buffer.has_items, self._ended
        try:
            while not ended.is_set():
                try:
                    wanted.wait()
                    items = self.buffer.take(_MAX_ITEMS)
                    if items and not ended.is_set():
                        self._write_until_done(items)
                except BaseException as error:
                    self._report_defect(error)
                    ended.wait(1.0)
        finally:
            self._client.connection_pool.disconnect()

    def _write_until_done(self, items: list[Item]) -> None:
        """Retry until the items are written. A second write is harmless: readers skip it by token and sequence."""
        delays = backoff.retry_delays(0.05, 1.0)
        tried: set[int] = set()
        attempts = 0
        while not self._ended.is_set():
            token = self.token
            try:
                if self._put(token, items, tried - {token}):
                    return
                self.superseded.set()
            except BROKEN:
                tried.add(token)
                self._client.connection_pool.disconnect()  # the relay's thread reports it
            except BaseException as error:
                tried.add(token)
                attempts += 1
                if attempts == 1:
                    self._report_defect(error)
                if attempts >= _MAX_DEFECTS:  # readers see the gap
                    self.buffer.dropped += sum(isinstance(item, tuple) for item in items)
                    return
            self._ended.wait(next(delays))

    def _report_defect(self, error: BaseException) -> None:
        log(logging.ERROR, "a defect where the relay writes to Redis, which goes on", error=error)
        self._emit(UnexpectedError("the relay's writing to Redis", error))

    def _put(self, token: int, items: list[Item], tried: set[int]) -> bool:
        flush = self._writer.flush(token, items, tried)
        done = self._scripts.publish(token, self._retention, flush.entries, flush.last, flush.states)
        if done:
            self.published += sum(isinstance(item, tuple) for item in items)
        return done


def _forward_message(router: Router[RelayedTopic], message: Message) -> None:
    """Pass a message on under each subscribed topic that it matches."""
    topic = message.topic or ""
    for feed, test in router.exact.get(topic) or router.find(topic):
        if test is None or test(message):
            feed.forward(message.raw, message.epoch, message.received_ns, recovered=message.recovered)


def refusal_reason(topic: str, *, private: bool) -> str:
    """Return why a relay can't pass a topic on, or "" if it can."""
    try:
        singles = grammar.split(topic)
    except InvalidTopic as error:
        return str(error)
    if singles != (topic,):
        return "readers ask for one symbol at a time"
    if grammar.is_private(topic) and not private:
        return "it is a private topic, and this relay does not pass private topics on"
    return ""
