"""What a book is compared with; that differences are found is tested in `test_judge`."""

from __future__ import annotations

from kucoin_sync.protocol.message import Arrival, Message, Origin
from kucoin_sync.verify.books import BookLog

from .venue import BOOKS, frames_of, message_of, snapshots_of

LEVEL2, UTA_BOOK = "/market/level2:BTC-USDT", "/uta/obu.SPOT:BTC-USDT_increment@10ms"


def with_a_cut(topic: str) -> list[Message]:
    """Return the messages of a topic without some of the last third; those after it come over another connection."""
    messages = [message_of(frame) for frame in frames_of(topic)]
    cut = len(messages) * 2 // 3
    for place, message in enumerate(messages):
        message.origin = Origin(Arrival(1 + (place > cut)))
    return messages[:cut] + messages[cut + 5 :]


def test_it_has_caught_up_once_the_updates_reach_the_snapshot() -> None:
    log = BookLog(BOOKS[LEVEL2])
    assert log.caught_up, "no update came, and none may come"
    first, later = snapshots_of(LEVEL2)
    frames = [message_of(frame) for frame in frames_of(LEVEL2)]
    log.add_snapshot(first)
    log.add_snapshot(later)
    for message in frames[:-1]:
        log.add(message)
    assert not log.caught_up
    assert log.seen().problem.startswith("not compared: no update came up to ")
    log.add(frames[-1])
    assert log.caught_up
    assert log.seen().compared == 1


def test_what_comes_after_the_later_snapshot_proves_nothing() -> None:
    log = BookLog(BOOKS[LEVEL2])
    frames = frames_of(LEVEL2)
    frames.append(frames[-1] | {"data": {**frames[-1]["data"], "sequenceStart": 10**12, "sequenceEnd": 10**12}})
    for frame in frames:
        log.add(message_of(frame))
    for data in snapshots_of(LEVEL2):
        log.add_snapshot(data)
    assert not log.seen().differing and log.seen().compared == 1


def test_a_snapshot_that_can_not_be_read_is_a_difference() -> None:
    log = BookLog(BOOKS[LEVEL2])
    log.add_snapshot({"bids": [], "asks": []})
    [text] = log.seen().differing
    assert text.startswith("a snapshot can't be read: ")


def test_why_there_is_no_snapshot_is_told() -> None:
    log = BookLog(BOOKS[LEVEL2])
    log.add_problem("no snapshot came: 403")
    assert log.seen().problem == "not compared: no snapshot came: 403"
    assert BookLog(BOOKS[UTA_BOOK]).seen().problem == "not compared: the first snapshot has not come yet"


def test_a_cut_is_no_difference_of_the_venue() -> None:
    log = BookLog(BOOKS[LEVEL2])
    first, later = snapshots_of(LEVEL2)
    log.add_snapshot(first)
    for message in with_a_cut(LEVEL2):
        log.add(message)
    log.add_snapshot(later)
    seen = log.seen()
    assert (seen.problem, seen.differing) == ("not compared: the connection was lost", [])

    log = BookLog(BOOKS[UTA_BOOK])
    messages = with_a_cut(UTA_BOOK)
    for frame in (frame for topic in log.topics if topic != UTA_BOOK for frame in frames_of(topic)):
        log.add(message_of(frame))
    for message in messages:
        log.add(message)
    seen = log.seen()
    assert seen.compared and not seen.differing

    log = BookLog(BOOKS[UTA_BOOK])
    for message in messages:
        message.origin = Origin(Arrival(1))
        log.add(message)
    [text] = log.seen().differing
    assert "are missing" in text, "without a cut, it is one"
