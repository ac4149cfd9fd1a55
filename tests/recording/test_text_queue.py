"""What waits for the disk: when it has to be written, and what has no room."""

from __future__ import annotations

import pytest

from kucoin_sync.recording.text_queue import BLOCK_BYTES, TextQueue

SLOW = "the disk was too slow"


def write_all(waiting: TextQueue) -> None:
    waiting.take()
    while waiting.being_written:
        waiting.done(waiting.being_written[0], written=True)


@pytest.mark.parametrize("most", [100, 10 * BLOCK_BYTES])
def test_it_is_written_at_once_before_it_is_full(most: int) -> None:
    waiting = TextQueue(most)
    enough = min(BLOCK_BYTES, most // 2)
    waiting.put(b"x" * (enough - 1), 1)
    assert not waiting.write_now.is_set()
    waiting.put(b"x", 1)
    assert waiting.write_now.is_set()


def test_the_first_drop_is_news_and_the_next_ones_until_the_disk_keeps_up() -> None:
    waiting = TextQueue(100)
    assert waiting.put(b"x" * 100, 1) is None
    assert waiting.put(b"line", 0) == SLOW, "a line without frames counts as one"
    assert [waiting.put(b"x", 1) for _ in range(3)] == [None, None, None]
    write_all(waiting)
    waiting.put(b"x", 1)
    assert waiting.put(b"x" * 100, 1) is None, "drops go on"
    write_all(waiting)
    assert waiting.dropping
    waiting.put(b"x", 1)
    write_all(waiting)
    assert not waiting.dropping, "the disk has kept up"
    waiting.put(b"x", 1)
    assert (waiting.put(b"x" * 100, 1), waiting.dropped) == (SLOW, 6)
