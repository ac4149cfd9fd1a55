"""What a book is compared with; that differences are found is tested in `test_judge`."""

from __future__ import annotations

from kucoin_sync.verify.books import BookLog

from .venue import BOOKS, frames_of, message_of, snapshots_of

LEVEL2, UTA_BOOK = "/market/level2:BTC-USDT", "/uta/obu.SPOT:BTC-USDT_increment@10ms"


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
