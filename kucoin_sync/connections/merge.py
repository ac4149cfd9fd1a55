"""Merge connections that carry the same topics: deliver each push once, when it first comes, and in order.

Two connections do that for a while when a fresh one replaces an old one (a rotation), and for good when each topic is
subscribed on two of them (`Stream(redundancy=2)`). `merged_topic` has the rules for one topic. This module knows which
connections there are, what they have proved, and how what is accepted is delivered:
1. A proof is a pong: it shows that a connection has delivered everything that was sent to it before the ping.
2. A key that a connection has just subscribed is unproven there, until another connection on which the key is proven
   has sent a proof that was asked for afterwards. From then on the connection has all that was not delivered yet, so
   any other one may be lost. If the key is proven nowhere, all other connections have to send such a proof.
3. The loss of a connection leaves a gap if one of its keys is proven on no other live connection. Then the epoch rises,
   else it stays.
4. No lock is held during delivery. If several connections receive at once, one thread delivers the pushes of all, in
   the order in which they were accepted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from ..protocol.envelopes import Push, Pushes, RawPush, channel_of, tunnel_of
from ..protocol.sameness import comparison_of
from ..protocol.session_events import TopicKey
from .in_step import ACCEPTED, COPY, HELD, InStep, Side
from .members import Carrier, MergeMember, Wait, redundant
from .merged_topic import MergedTopic
from .ordered_delivery import OrderedDelivery

__all__ = ["Merge"]

_MAX_TOPICS = 20_000  # topics and subjects
_MAX_PREFIXES = 4096  # envelope prefixes of one connection whose topic is cached
_MAX_LATE = 100_000  # pushes of the last connection after which the merge ends

_Channel: TypeAlias = "tuple[str | None, str | None, str | None]"  # topic, subject, tunnel


class Merge:
    """Merges the pushes of connections; called on the I/O threads of all.

    The methods that change what there is to deliver or to ask need a call of `flush` afterwards, without any lock.

    Args:
        deliver: takes pushes; called by one thread at a time, without a lock held.
        epochs: yields rising epoch numbers.
        lasting: whether the merge goes on when only one connection is left.

    Attributes:
        over: the last connection may bypass this merge from now on.
    """

    def __init__(self, deliver: Callable[[Pushes], object], epochs: Iterator[int], *, lasting: bool = False) -> None:
        self.over = False
        self._epochs = epochs
        self._lasting = lasting
        self._lock = threading.Lock()  # guards all of the following; not held during any call out
        self._in_step = InStep(self._lock)
        self._members: dict[Carrier, MergeMember] = {}
        self._topics: dict[_Channel, MergedTopic] = {}
        self._alone = False  # only one connection is left, in a merge that does not last
        self._late = 0  # pushes since then
        self._asks_due = False  # whether a proof may have to be asked for
        self._output = OrderedDelivery(deliver, self._lock, self._raise_epoch)

    # What happens to connections

    def add(self, source: Carrier, keys: Iterable[TopicKey] = (), *, live: bool = False) -> None:
        """Add a connection. One that is live has `keys`, and has begun before all others."""
        with self._lock:
            self._members[source] = member = MergeMember(source, live, set(keys) if live else set())
            source.drop_copies = partial(self._in_step.drop_copies, member)
            self._alone = False
            for topic in self._topics.values():
                topic.add(member, live=live, placed=live)

    def join(self, source: Carrier, keys: Iterable[TopicKey]) -> None:
        """Note that a connection was made, which wants `keys`; set its epoch."""
        with self._lock:
            member = self._members.get(source)
            if member is None:
                return
            others = self._others(member)
            member.live, member.acked = True, set()
            member.unproven = set(keys) if others else set()
            for other in others:
                self._begin_later(other, set(keys) - other.acked)
            for topic in self._topics.values():
                topic.add(member, live=True, placed=not others)
            member.known.clear()
            if not self._lasting:
                source.epoch = next(self._epochs)
                return
            if not others:
                self._output.epoch = next(self._epochs)
            source.epoch = self._output.epoch

    def expect(self, keys: Iterable[TopicKey]) -> None:
        """Note that further keys are about to be subscribed."""
        keys = set(keys)
        with self._lock:
            for member in self._members.values():
                if self._others(member):
                    member.unproven |= keys

    def acked(self, source: Carrier, keys: tuple[TopicKey, ...]) -> tuple[TopicKey, ...]:
        """Note that the server has confirmed keys. Return these, in a lasting merge without those that others have."""
        with self._accepting() as fresh:
            member = self._members.get(source)
            if member is None or not member.live:
                return keys
            others = self._others(member) if self._lasting else []
            untold = tuple(key for key in keys if not any(key in other.acked for other in others))
            member.acked.update(keys)
            self._wait(Wait(member, set(self._others(member)), keys), fresh)
            return untold

    def interrupted(self, source: Carrier, keys: Iterable[TopicKey]) -> None:
        """Note that keys were unsubscribed on one connection, and are about to be subscribed again."""
        keys = set(keys)
        with self._lock:
            if (member := self._members.get(source)) is not None:
                member.acked -= keys
                self._begin_later(member, keys)

    def begin_again(self, topic: str) -> None:
        """Deliver the next snapshot of a topic whatever its position, because it was asked for."""
        with self._lock:
            for each in self._topics_of({TopicKey(topic)}):
                each.begin_again()

    def forget(self, keys: Iterable[TopicKey]) -> None:
        """Forget keys that are not wanted any more."""
        keys = set(keys)
        with self._lock:
            for member in self._members.values():
                member.forget(keys)
            self._remove_topics(keys)

    def gap_without(self, source: Carrier) -> list[TopicKey]:
        """Return the keys of a connection that no other connection has without a gap, if it were lost now."""
        with self._lock:
            return self._gap(self._members[source]) if source in self._members else []

    def lose(self, source: Carrier) -> list[TopicKey]:
        """Note that a connection was lost; return its keys that no other connection has without a gap."""
        with self._accepting() as fresh:
            member = self._members.get(source)
            return [] if member is None or not member.live else self._lose(member, fresh)

    def leave(self, source: Carrier) -> None:
        """Note that a connection has ended for good."""
        with self._accepting() as fresh:
            member = self._members.pop(source, None)
            if member is None:
                return
            source.drop_copies = None
            if member.live:
                self._lose(member, fresh)
            for topic in set(self._topics.values()):
                topic.remove(member)
            self._alone = len(self._members) == 1 and not self._lasting
            if self._alone:
                (last,) = self._members.values()
                last.known.clear()  # it names topics that end one by one from now on
                self._late = 0
                self._topics = {key: each for key, each in self._topics.items() if not each.is_caught_up(last)}

    def proved(self, source: Carrier, *, answered: bool = True) -> None:
        """Note that a connection has delivered everything sent before it was asked, or that its answer is overdue."""
        with self._accepting() as fresh:
            member = self._members.get(source)
            if member is None:
                return
            waits, member.asked = member.asked, []
            for wait in waits:
                if answered or wait.topic is not None:
                    wait.pending.discard(member)
                    if answered and wait.one_is_enough:
                        wait.pending.clear()
                    self._end_if_proved(wait, fresh, answered=answered)
                else:
                    member.unasked.append(wait)

    @property
    def copies(self) -> int:
        """How many pushes were not delivered, because another connection has brought them."""
        return self._in_step.copies

    @property
    def redundant(self) -> set[TopicKey]:
        """The keys that at least two live connections have, proven. Takes no lock."""
        return redundant(list(self._members.values()))

    # Pushes

    def bring(self, source: Carrier, pushes: Pushes) -> None:
        """Take pushes of one connection, and deliver what is accepted."""
        with self._accepting() as fresh:
            member = self._members.get(source)
            if member is None:
                return
            if self._alone:
                self._catch_up(member, pushes, fresh)
            elif self._take(member, pushes, fresh) == len(pushes):
                # Nothing was left out, and nothing that was held is among it: pass on the batch as it came.
                self._output.put_batch(pushes)
                fresh.clear()
        with self._lock:
            ready = self._output.take_turn()
            flush = self._asks_due or self._alone
        if ready is not None:
            self._output.deliver(ready)
        else:
            self._output.wait_if_behind()
        if flush:
            self.flush()

    def flush(self) -> None:
        """Ask for proofs that are needed, and deliver what was accepted."""
        with self._lock:
            self._asks_due = False
            asking = [each for each in self._members.values() if each.live and each.unasked and not each.asked]
            for member in asking:
                member.asked, member.unasked = member.unasked, []
            ready = self._output.take_turn()
        for member in asking:
            member.source.prove()
        self._output.deliver(ready)
        if self._alone:
            with self._lock:
                self.over = self._alone and not self._topics and self._output.is_empty

    @contextmanager
    def _accepting(self) -> Iterator[list[Push]]:
        """Hold the lock, and queue what is appended to the list. If that raises, the epoch tells of a loss."""
        fresh: list[Push] = []
        with self._lock:
            try:
                yield fresh
            except BaseException:  # such as MemoryError
                self._raise_epoch()  # a push may count as delivered, and not be among `fresh`
                raise
            finally:
                self._output.put(fresh)

    # Under the lock

    def _others(self, member: MergeMember) -> list[MergeMember]:
        """Return the other live connections."""
        return [other for other in self._members.values() if other.live and other is not member]

    def _begin_later(self, member: MergeMember, keys: set[TopicKey]) -> None:
        """Note that a connection may begin to carry keys later than another one."""
        member.begin_later(keys, self._others(member))
        for topic in self._topics_of(keys) if keys else ():
            topic.begin_later(member)

    def _take(self, member: MergeMember, pushes: Pushes, fresh: list[Push]) -> int:
        """Take pushes; return how many were accepted; or 0 if `fresh` has pushes that were held. It may stay empty."""
        accepted, rest = self._in_step.take(member, pushes, fresh)
        if accepted == len(pushes):
            return accepted
        for push in rest:
            found = member.known.get(push.prefix) if type(push) is RawPush else None
            topic, side = found or self._find(member, push, fresh)
            result = topic.take(side, push, fresh)
            if result == ACCEPTED:
                accepted += 1
            elif result == HELD and not side.waits:
                side.waits = True
                self._wait(Wait(member, set(self._others(member)), topic=topic, side=side), fresh)
        return accepted if accepted == len(fresh) else 0

    def _find(self, member: MergeMember, push: Push, fresh: list[Push]) -> tuple[MergedTopic, Side]:
        """Return the topic and subject of a push, and the side of a connection."""
        (name, subject), tunnel = channel_of(push), tunnel_of(push)
        if (topic := self._topics.get((name, subject, tunnel))) is None:
            if len(self._topics) >= _MAX_TOPICS:
                self._remove_older_half(fresh)
            comparison = comparison_of(name)
            shared = name, "" if comparison.joint else subject, tunnel
            if (topic := self._topics.get(shared)) is None:
                topic = MergedTopic(comparison, self._in_step)
                for each in self._members.values():
                    topic.add(each, live=each.live, placed=not each.unproven or not self._others(each))
                self._topics[shared] = topic
            self._topics[name, subject, tunnel] = topic
        side = topic.sides[member]
        if isinstance(push, RawPush):
            if len(member.known) >= _MAX_PREFIXES:
                member.known.clear()
            member.known[push.prefix] = topic, side
        return topic, side

    def _catch_up(self, member: MergeMember, pushes: Pushes, fresh: list[Push]) -> None:
        """Take pushes of the last connection: what it owes is left out, and each topic ends when it owes nothing."""
        self._late += len(pushes)
        if self._late >= _MAX_LATE:
            self._topics.clear()
        for push in pushes:
            topic = self._topics.get(channel := (*channel_of(push), tunnel_of(push)))
            if topic is None:
                fresh.append(push)
                continue
            result = topic.take(topic.sides[member], push, fresh)
            if result != COPY or topic.is_caught_up(member):
                del self._topics[channel]

    def _topics_of(self, keys: set[TopicKey]) -> list[MergedTopic]:
        return [topic for (name, _, tunnel), topic in self._topics.items() if (name, tunnel) in keys]

    def _remove_topics(self, keys: set[TopicKey]) -> None:
        for topic in self._topics_of(keys):
            for side in topic.sides.values():
                side.held = []  # a wait for it may still end
        self._topics = {channel: topic for channel, topic in self._topics.items() if channel[::2] not in keys}
        self._in_step.frames.clear()  # a frame of a removed topic is no copy in a later one of that name
        for member in self._members.values():
            member.known.clear()

    def _remove_older_half(self, fresh: list[Push]) -> None:
        """Bound the memory. Copies of what was delivered in the removed topics are delivered, too."""
        keys = {TopicKey(name, tunnel) for name, _, tunnel in list(self._topics)[: len(self._topics) // 2] if name}
        for topic in self._topics_of(keys):
            for side in topic.sides.values():
                topic.place(side, fresh)
        self._remove_topics(keys)

    def _gap(self, member: MergeMember) -> list[TopicKey]:
        return list(member.acked.difference(*(each.acked - each.unproven for each in self._others(member))))

    def _lose(self, member: MergeMember, fresh: list[Push]) -> list[TopicKey]:
        others, gap = self._others(member), self._gap(member)
        waits = member.asked + member.unasked
        member.live, member.acked, member.unproven, member.asked, member.unasked = False, set(), set(), [], []
        member.known.clear()
        for other in others:
            other.asked = [wait for wait in other.asked if wait.member is not member]
            other.unasked = [wait for wait in other.unasked if wait.member is not member]
        for topic in set(self._topics.values()):
            topic.lose(member, fresh)
        self._output.put(fresh.copy())  # what the lost connection brought comes before the gap
        fresh.clear()
        for wait in waits:
            wait.pending.discard(member)
            if not wait.pending and (rest := self._others(wait.member)):  # a loss is no proof
                wait.pending, wait.one_is_enough = set(rest), False
                self._wait(wait, fresh)
            else:
                self._end_if_proved(wait, fresh, answered=False)
        if gap and self._lasting:
            for topic in self._topics_of(set(gap)):
                topic.begin_again()  # whoever keeps a book needs a snapshot
            self._raise_epoch()
            for other in others:
                other.unproven.difference_update(gap)
        if not others and self._lasting:
            self._topics.clear()
        return gap

    def _raise_epoch(self) -> None:
        """Have all that comes from now on show that something may be missing before it."""
        self._output.epoch = next(self._epochs)
        for member in self._members.values():
            if member.live:
                member.source.epoch = self._output.epoch

    def _wait(self, wait: Wait, fresh: list[Push]) -> None:
        """Have something wait for proofs."""
        wait.narrow()
        self._asks_due = True
        wait.ask()
        self._end_if_proved(wait, fresh)

    def _end_if_proved(self, wait: Wait, fresh: list[Push], *, answered: bool = True) -> None:
        """End a wait if no proof is missing: accept what was held for it."""
        if wait.pending:
            return
        member = wait.member
        if wait.topic is not None and wait.side is not None:
            if answered and wait.topic.begin_with(member):
                # What was asked before does not prove that this connection has brought what was dropped.
                member.unasked, member.asked = member.asked + member.unasked, []
                self._asks_due = True
            wait.topic.place(wait.side, fresh)
            return
        keys = set(wait.keys)
        topics = list(self._topics.values()) if member.unproven <= keys else self._topics_of(keys)
        wait.pending = {other for topic in topics for other in topic.undecided(member)}
        if wait.pending:  # their own waits end first: what they hold may be older than all that this connection brings
            self._asks_due = True
            wait.ask()
            return
        member.unproven.difference_update(wait.keys)
        for topic in topics:
            topic.place(topic.sides[member], fresh)
