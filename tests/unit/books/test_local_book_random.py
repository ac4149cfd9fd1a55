"""A book under random faults of network, KuCoin and program: it equals the exchange's book, or a read raises.

Updates take the way that they take in a program, from the queue of the book's subscription to the user's read. The test
chooses which updates arrive, which are lost, when the books' thread runs, and when and how REST answers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from kucoin_sync import BookNotReady, BookReady, BookResyncing
from kucoin_sync.exceptions import ConnectionFailed

from ...support.books import contents
from ...support.followers import FollowedBook
from ...support.history import CONTRACT, SPOT, LossyFeed, history_of
from ...support.selection import examples

STEPS = 150
ROOM = 30
"""Updates that may wait for the books' thread; more are dropped."""


class RandomFeed(LossyFeed):
    """One book, and random events of its connection, its thread and its REST service."""

    options: dict[str, Any] = {}

    @initialize()
    def begin(self) -> None:
        self.followed = FollowedBook(maxsize=ROOM, **self.options)
        self.follower = self.followed.follower
        self.history = history_of(self.followed.source.topic, STEPS)
        self.connected = False
        self.on_their_way: list[tuple[int, Any]] = []  # answers of REST, with the attempts that they belong to
        self.needed_before = 0
        self.changes: Any = iter(self.followed.book)
        self.mirror: dict[str, dict[Decimal, Decimal]] | None = None
        self.mirrored = -1, 0  # resyncs and sequence of the mirror

    # The exchange and the connection

    def put(self, at: int) -> None:
        if self.connected:
            self.followed.put(*self.history.updates[at])

    @precondition(
        lambda self: self.connected and self.left() and self.followed.source.topic.startswith("/market/level2")
    )
    @rule(back=st.integers(0, 8), ahead=st.integers(0, 4))
    def deliver_several_in_one(self, back: int, ahead: int) -> None:
        first, last = max(self.next - back, 0), min(self.next + ahead, len(self.history.updates) - 1)
        self.followed.put(self.history.merged(first, last), self.history.updates[first][1])
        self.next = last + 1

    @precondition(lambda self: self.connected)
    @rule(nonsense=st.sampled_from([b'{"sequence":1}', b"null", b"[]", b'{"sequenceStart":1,"sequenceEnd":"x"}']))
    def deliver_nonsense(self, nonsense: bytes) -> None:
        self.followed.put(nonsense)

    @rule()
    def connect(self) -> None:
        self.connected = True
        self.follower.on_subscribed()

    @rule(unsent=st.integers(0, 9))
    def cut(self, unsent: int) -> None:
        """Lose the connection; messages received before are still in the message queue."""
        self.connected = False
        self.follower.on_connection_lost("the connection was lost")
        assert not self.followed.book.ready
        self.drop(unsent)

    # The books' thread

    @rule(most=st.integers(1, 40))
    def take(self, most: int) -> None:
        self.followed.take(most)

    # REST

    @rule(back=st.integers(0, 12))
    def ask(self, back: int) -> None:
        """Request a snapshot, which will be current or old."""
        attempt = self.follower.snapshot_attempt()
        if attempt is not None:
            self.on_their_way.append((attempt, self.snapshot(back, self.followed.source.depth)))

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        attempt, snapshot = self.on_their_way.pop(data.draw(st.integers(0, len(self.on_their_way) - 1)))
        needed = self.follower.apply_snapshot(snapshot, attempt)
        assert needed == (self.follower.snapshot_attempt() is not None)

    @precondition(lambda self: self.on_their_way)
    @rule()
    def answer_nonsense(self) -> None:
        attempt, _ = self.on_their_way.pop()
        live = self.followed.book.ready
        self.follower.apply_snapshot({"sequence": "7", "bids": [["1", "x"]], "asks": []}, attempt)
        assert self.followed.book.ready == live

    @precondition(lambda self: self.on_their_way)
    @rule()
    def fail(self) -> None:
        self.on_their_way.pop()
        self.follower.snapshot_delayed(1.0, ConnectionFailed("REST is down"))

    # Invariants

    @invariant()
    def a_book_equals_the_truth_or_a_read_raises(self) -> None:
        book = self.followed.book
        if not book.ready:
            for read in (lambda: book.best_bid, book.bids, book.snapshot):
                with pytest.raises(BookNotReady, match=r"can't be read until a new snapshot has come, because \w"):
                    read()
            return
        assert self.connected
        truth = self.history.truths[book.sequence]
        if not book.partial:
            assert contents(book) == truth
            return
        for known, true in ((book.bids(), truth[1]), (book.asks(), truth[2])):
            assert known[: known.reliable_count] == true[: known.reliable_count]
            assert set(known) <= set(true)
            assert known.reliable_count or not true

    @invariant()
    def who_needs_a_snapshot_has_said_so(self) -> None:
        needs = self.follower.snapshot_attempt() is not None
        assert needs == (self.connected and not self.followed.book.ready)
        assert not needs or self.followed.owner.requested > self.needed_before
        if not needs:
            self.needed_before = self.followed.owner.requested

    @invariant()
    def each_resync_and_each_recovery_is_told(self) -> None:
        events = self.followed.owner.events
        resyncs = sum(isinstance(event, BookResyncing) for event in events)
        assert resyncs <= self.followed.book.resyncs
        assert sum(isinstance(event, BookReady) for event in events) - resyncs == self.followed.book.ready

    @invariant()
    def changes_add_up_to_the_book(self) -> None:
        """A snapshot with all later changes applied equals the book."""
        while self.changes.pending:
            change = self.changes.get(timeout=0)
            resyncs, sequence = self.mirrored
            if change.resyncs != resyncs or self.followed.source.level == 3 or self.mirror is None:
                continue
            assert change.sequence_start <= sequence + 1 <= change.sequence_end
            for name in ("bids", "asks"):
                for price, size, number in getattr(change, name):
                    assert number > sequence
                    self.mirror[name][price] = size
            self.mirrored = resyncs, change.sequence_end
        book = self.followed.book
        if not book.ready or self.followed.source.level == 3:
            return
        snapshot = book.snapshot()
        if self.mirror is not None and self.mirrored[0] == book.resyncs:
            assert self.mirrored[1] == snapshot.sequence
            for name, levels in (("bids", snapshot.bids), ("asks", snapshot.asks)):
                assert {price: size for price, size in self.mirror[name].items() if size} == dict(levels)
        self.mirror = {"bids": dict(snapshot.bids), "asks": dict(snapshot.asks)}
        self.mirrored = book.resyncs, snapshot.sequence

    def teardown(self) -> None:
        """Lose nothing from here on: then one snapshot is enough, until a partial book is exhausted."""
        if not hasattr(self, "followed"):
            return
        self.cut(0)
        self.connect()
        had = self.follower.calibration.min_sequence  # an older snapshot is refused
        made = [
            (first, make(self.followed.source.depth)) for first, make in self.history.snapshots if first > self.next
        ]
        fitting = [(first, snapshot) for first, snapshot in made if int(snapshot["sequence"]) >= had]
        if not fitting:
            return
        snapshots = 0
        while self.left():
            self.deliver(1)
            self.take(1000)
            later = [snapshot for first, snapshot in fitting if first >= self.next]
            if later and not self.followed.book.ready:
                assert not self.followed.fetch(later[0])
                snapshots += 1
            self.a_book_equals_the_truth_or_a_read_raises()
        if self.followed.source.depth is None:
            assert snapshots == 1
        elif not self.followed.book.ready:
            return  # the partial book was exhausted at the last update
        assert self.followed.book.sequence == max(self.history.truths)
        assert self.followed.book.ready
        self.changes_add_up_to_the_book()


def random_on(**options: Any) -> Any:
    case = type("RandomFeed", (RandomFeed,), {"options": options}).TestCase
    case.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)
    return case


TestLevel2 = random_on(symbol=SPOT)
TestPartialLevel2 = random_on(symbol=SPOT, depth=2)
TestFutures = random_on(symbol=CONTRACT)
TestLevel3 = random_on(symbol=SPOT, level=3, generation=1)
TestNewLevel3 = random_on(symbol=SPOT, level=3)
