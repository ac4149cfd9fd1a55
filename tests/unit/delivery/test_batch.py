"""The queue in which what came together stays together: what only other consumers' doings at the same time show."""

from __future__ import annotations

from collections import deque
from typing import Any

from kucoin_sync.delivery.batch import RunQueue, Waiting

from kucoin_sync.delivery.queue import Inbox
from kucoin_sync.protocol.envelopes import RawPush, Run
from kucoin_sync.protocol.message import Batch, Origin

from ...support.messages import message, prefix_of

HEAD = prefix_of(b"", "/a:B")


def run(*frames: bytes) -> Run:
    return Run.of(HEAD, Batch(1), list(frames))


class Contested(deque[Any]):
    """Another consumer takes an item at the instant at which we look at it."""

    contested = False

    def __getitem__(self, place: Any) -> Any:
        item = super().__getitem__(place)
        if self.contested:
            self.contested = False
            self.popleft()
        return item


def frame_of(push: object) -> bytes:
    assert isinstance(push, RawPush)
    return push.frame


def take(queue: RunQueue, items: deque[Any]) -> Any:
    """Take the next push as a consumer does who shares the queue with others."""
    inbox = Inbox(10, lambda dropped: None, runs=True)
    inbox.items, inbox.runs = items, queue
    return inbox.take()


def test_a_run_behind_what_another_consumer_takes_stays_a_run() -> None:
    items = Contested()
    queue = RunQueue(items)
    items.append(message(0))
    queue.append(run(b"1", b"2"))
    items.contested = True
    assert [frame_of(take(queue, items)) for _ in range(2)] == [b"1", b"2"]
    assert len(queue) == 0


def test_a_run_whose_last_frame_another_consumer_takes_is_passed_by() -> None:
    class Gone:
        """Says that there is one more, which is gone when it is asked for."""

        said = False

        def __iter__(self) -> Gone:
            return self

        def __next__(self) -> bytes:
            raise StopIteration

        def __length_hint__(self) -> int:
            said, self.said = self.said, True
            return 0 if said else 1

    items: deque[Any] = deque()
    queue = RunQueue(items)
    queue.append(run(b"1"))
    gone = Waiting(Origin(Batch(1), HEAD), Gone())
    items[0] = queue._runs[0] = gone
    queue.append(run(b"2"))
    assert frame_of(take(queue, items)) == b"2"


def test_the_oldest_is_behind_a_run_of_which_all_is_gone() -> None:
    items: deque[Any] = deque()
    queue = RunQueue(items)
    assert queue.oldest() is None
    queue.append(run(b"1"))
    queue.append(run(b"2", b"3"))
    assert frame_of(queue.oldest()) == b"1"
    assert next(items[0].frames) == b"1"
    assert frame_of(queue.oldest()) == b"2"
    assert list(items[1].frames) == [b"2", b"3"]
    assert queue.oldest() is None
    assert len(queue) == 0
    items.append(message(4))
    assert len(queue) == 1
    assert queue.first() is None
    assert queue.oldest() == message(4)
