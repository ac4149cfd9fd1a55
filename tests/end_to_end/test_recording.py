"""A stream is recorded and played again: byte for byte, in the order in which it came, with the same books."""

from __future__ import annotations

import datetime as dt
import errno
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import (
    Connected,
    Credentials,
    Disconnected,
    LocalBook,
    Message,
    Resubscribed,
    Rotated,
    Stream,
    StreamClosed,
    SubscriptionRejected,
)
from kucoin_sync.protocol import message as messages
from kucoin_sync.protocol.envelopes import FrameBatch
from kucoin_sync.recording import (
    FramesMissing,
    Recorder,
    RecordingEnded,
    RecordingError,
    RecordingFailed,
    RecordingResumed,
    ReplayStream,
)
from kucoin_sync.recording.format import Batch, Dropped, Lost, Subscribed
from kucoin_sync.recording.index import RecordingIndex
from kucoin_sync.recording.player import Clock
from kucoin_sync.recording.rotating_files import File, open_new
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.books import contents
from ..support.children import script
from ..support.messages import prefix_of
from ..support.recordings import SECOND, START, StepClock, WatchedClock, numbers, push, recorded, write
from ..support.selection import first
from ..support.streams import Events
from ..support.threads import LIMIT, Task, until

TOPIC = "/market/match:BTC-USDT"
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
every_suffix = pytest.mark.parametrize("suffix", SUFFIXES)
SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"


def publish(server: KucoinServer, first: int, count: int, topic: str = TOPIC) -> None:
    for number in range(first, first + count):
        server.publish(topic, {"number": number}, subject="trade")


# Messages


@every_suffix
def test_a_replay_gives_each_message_byte_for_byte_with_its_time_and_its_connection(
    server: KucoinServer, stream: Stream, events: Events, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"day{suffix}"
    with Recorder(stream, path) as recorder:
        subscription = stream.subscribe(TOPIC, "/market/ticker:ETH-USDT")
        publish(server, 0, 200)
        server.publish("/market/ticker:ETH-USDT", {"text": 'ü\n"\\\u2028 💥', "price": "1.10"})
        server.send_raw(f'{{"type":"message",\n "topic":"{TOPIC}",\r\n"subject":"s","data":{{"number" : 1.50}}}}')
        live = [subscription.get(timeout=LIMIT) for _ in range(202)]
        server.drop_connections()
        events.wait(Resubscribed)
        publish(server, 200, 50)
        live += [subscription.get(timeout=LIMIT) for _ in range(50)]
    assert (recorder.stats()["messages"], recorder.dropped) == (252, 0)
    told = Events()
    with ReplayStream(path, None, on_event=told) as replay:
        played = list(replay.subscribe(TOPIC, "/market/ticker:ETH-USDT"))
        assert replay.wait(LIMIT)
        told.wait(Connected, 2)
        told.wait(Disconnected)
        assert replay.stats()["reconnects"] == 1
    assert [(each.raw, each.received_ns, each.epoch) for each in played] == [
        (each.raw, each.received_ns, each.epoch) for each in live
    ]
    assert {each.epoch for each in played} == {1, 2}
    assert played[200].data == {"text": 'ü\n"\\\u2028 💥', "price": "1.10"}


def test_what_two_subscriptions_share_is_recorded_once_and_a_handover_doubles_nothing(
    server: KucoinServer, make_stream: Callable[..., Stream], events: Events, tmp_path: Path
) -> None:
    stream = make_stream(rotate_after=0.3)
    path = tmp_path / "day.jsonl"
    with Recorder(stream, path):
        first, second = stream.subscribe(TOPIC), stream.subscribe(TOPIC, maxsize=10**6)
        count = 0
        while len([event for event in events.all if isinstance(event, Rotated)]) < 3:
            publish(server, count, 10)
            count += 10
            for _ in range(10):
                first.get(timeout=LIMIT)
        live = [second.get(timeout=LIMIT) for _ in range(count)]
    assert recorded(path) == [message.raw for message in live]


def test_a_recorder_that_comes_late_knows_the_topics_and_one_that_is_closed_records_no_more(
    server: KucoinServer, stream: Stream, tmp_path: Path
) -> None:
    subscription = stream.subscribe(TOPIC)
    publish(server, 0, 1)
    subscription.get(timeout=LIMIT)
    path = tmp_path / "day.jsonl"
    recorder = Recorder(stream, path)
    publish(server, 1, 1)
    subscription.get(timeout=LIMIT)
    recorder.close()
    recorder.close()
    assert stream._subscription_manager._observers == ()
    publish(server, 2, 1)
    subscription.get(timeout=LIMIT)
    with ReplayStream(path, None) as replay:
        assert replay.recorded == (TOPIC,)
        assert numbers(list(replay.subscribe(TOPIC))) == [1]


def test_tunnels_and_private_topics_are_replayed_without_a_key(
    market: KucoinServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "day.jsonl"
    with Stream(**market.stream_options) as stream, Recorder(stream, path), stream.tunnel("bt1") as tunnel:
        inside = tunnel.subscribe("/market/ticker:BTC-USDT")
        account = stream.subscribe("/account/balance", private=True)
        live = inside.get(timeout=LIMIT).raw, account.get(timeout=LIMIT).raw
    text = path.read_bytes()
    credentials = market.stream_options["credentials"]
    assert isinstance(credentials, Credentials)
    headers = credentials.headers(0, "GET", "/")
    for secret in (b"token", *(value.encode() for value in vars_of(credentials)), *map(str.encode, headers.values())):
        assert len(secret) < 4 or secret not in text
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        monkeypatch.delenv(f"KUCOIN_API_{name}", raising=False)
    with ReplayStream(path, None) as replay:
        account = replay.subscribe("/account/balance")
        with replay.tunnel("bt1") as tunnel:
            inside = tunnel.subscribe("/market/ticker:BTC-USDT")
            replay.start()
            assert (inside.get(timeout=LIMIT).raw, account.get(timeout=LIMIT).raw) == live


def vars_of(credentials: Credentials) -> list[str]:
    slots = [name for cls in type(credentials).__mro__ for name in getattr(cls, "__slots__", ())]
    values = [getattr(credentials, name, None) for name in (*slots, *getattr(credentials, "__dict__", ()))]
    found = [value for value in values if isinstance(value, str)]
    assert found
    return found


# Books


@pytest.mark.parametrize("options", [{"symbol": SPOT}, {"symbol": SPOT, "level": 3}, {"symbol": CONTRACT}], ids=str)
def test_at_each_sequence_a_replayed_book_is_the_live_one_through_cuts(
    tmp_path: Path, events: Events, options: dict[str, Any]
) -> None:
    path = tmp_path / "day.jsonl.gz"
    exchange = Exchange((SPOT, CONTRACT), seed=5, levels=20)
    stops: list[tuple[int, Any]] = []
    with (
        KucoinServer(exchange=exchange) as server,
        Stream(**server.stream_options, on_event=events) as stream,
        Recorder(stream, path),
    ):
        book = stream.book(**options).wait_ready(timeout=LIMIT)
        for number in range(60):
            if number % 20 == 10:
                server.drop_connections()
                events.wait(Disconnected, number // 20 + 1)
                book.wait_ready(timeout=LIMIT)
            server.step_exchange(2)
            with server.trading():
                reached = exchange.level2(options["symbol"]).sequence
            until(lambda: book.ready and book.sequence >= reached, "the book is not at the exchange's sequence")  # noqa: B023
            stops.append((time.time_ns(), contents(book)))
        assert book.resyncs == 3
    clock = StepClock()
    with ReplayStream(path, 1.0, clock=clock) as replay:
        again: LocalBook = replay.book(**options)
        replay.start()
        for at_ns, live in stops:
            clock.move_to((at_ns - replay.began.timestamp() * 1e9) / 1e9)
            until(lambda: again.ready and again.sequence == live[0], f"the replayed book is not at {live[0]}")  # noqa: B023
            assert contents(again) == live
        assert again.resyncs == 3
        clock.move_to(1e9)
        assert replay.wait(LIMIT)
        assert contents(again) == stops[-1][1]


def test_the_changes_of_a_book_all_come_and_end_and_the_book_stays(market: KucoinServer, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl.zst"
    with Stream(**market.stream_options) as stream, Recorder(stream, path):
        book = stream.book(SPOT).wait_ready(timeout=LIMIT)
        first = book.sequence
        until(lambda: book.sequence > first + 300, "the book has not moved")
        last = book.sequence
    with ReplayStream(path, None) as replay:
        again = replay.book(SPOT, maxsize=100)
        sequence = 0
        for change in again:
            assert not sequence or change.sequence_start <= sequence + 1
            sequence = change.sequence_end
        assert replay.wait(LIMIT)
        assert again.sequence == sequence >= last
        assert again.best_bid is not None


def test_a_book_without_a_snapshot_says_so(server: KucoinServer, stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Recorder(stream, path):
        stream.subscribe(f"/market/level2:{SPOT}")
    with ReplayStream(path, None) as replay:
        book = replay.book(SPOT)
        with pytest.raises(RecordingError, match=r"has no snapshot of it"):
            book.wait_ready(timeout=LIMIT)
        with pytest.raises(
            SubscriptionRejected, match=r"ETH-USDT is not in day\.jsonl, which has /market/level2:BTC-USDT"
        ):
            replay.subscribe("/market/level2:ETH-USDT")


def test_a_book_is_ready_at_the_time_that_the_replay_is_moved_to(market: KucoinServer, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Stream(**market.stream_options) as stream, Recorder(stream, path, flush_every=0.05):
        book = stream.book(SPOT).wait_ready(timeout=LIMIT)
        raw = stream.subscribe(f"/market/level2:{SPOT}")
        for _ in range(300):
            message = raw.get(timeout=LIMIT)
        moved = message.received_ns
        until(lambda: book.sequence > message.data["sequenceEnd"] + 50, "the book has not moved on")
        last = contents(book)[0]
    for begin in ("before", "after"):
        clock = StepClock()
        with ReplayStream(path, 1.0, clock=clock) as replay:
            if begin == "after":
                raw = replay.subscribe(f"/market/level2:{SPOT}")
                replay.start()
                clock.move_to(0.1)
            again = replay.book(SPOT)
            replay.seek((moved - replay.began.timestamp() * 1e9) / 1e9)
            again.wait_ready(timeout=LIMIT)
            until(lambda: again.sequence >= message.data["sequenceEnd"] - 20, "the book is not at the time")  # noqa: B023
            assert replay.position == pytest.approx((moved - replay.began.timestamp() * 1e9) / 1e9, abs=0.05)
            until(lambda: clock.waiting, "the replay does not wait for its next message")  # noqa: B023
            clock.move_to(1e9)  # before that wait, the replay would take this time for that of the move
            assert replay.wait(LIMIT)
            assert again.sequence >= last


# Time


def test_a_replay_keeps_the_recorded_pace_or_a_multiple_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *([push(number)] for number in range(10)))
    for speed in (1.0, 4.0):
        clock = WatchedClock()
        with ReplayStream(path, speed, clock=clock) as replay:
            assert numbers(list(replay.subscribe(TOPIC))) == list(range(10))
            assert replay.wait(LIMIT)
            assert replay.duration == replay.position == 11.0
        assert sum(clock.waits) == pytest.approx(11.0 / speed)
    clock = WatchedClock()
    with ReplayStream(path, None, clock=clock) as replay:
        assert numbers(list(replay.subscribe(TOPIC))) == list(range(10))
    assert clock.waits == []
    for wrong in (0.0, -1.0):
        with pytest.raises(ValueError, match="positive"):
            ReplayStream(path, wrong)


def test_a_replay_can_be_moved_to_a_time_before_it_starts_while_it_runs_and_after_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", *([push(number)] for number in range(20)))
    with ReplayStream(path, None) as replay:
        replay.seek(15.5)
        assert numbers(list(replay.subscribe(TOPIC))) == [15, 16, 17, 18, 19]
        assert replay.wait(LIMIT)
        replay.seek(replay.began + dt.timedelta(seconds=18))
        subscription = replay.subscribe(TOPIC)
        assert numbers(list(subscription)) == [17, 18, 19]
        with pytest.raises(ValueError, match="no time zone"):
            replay.seek(dt.datetime(2026, 1, 1))
    clock = StepClock()
    with ReplayStream(path, 1.0, clock=clock) as replay:
        subscription = replay.subscribe(TOPIC)
        replay.start()
        clock.move_to(3.5)
        assert numbers([subscription.get(timeout=LIMIT) for _ in range(3)]) == [0, 1, 2]
        replay.seek(10)
        assert numbers([subscription.get(timeout=LIMIT)]) == [9]
        assert replay.position == pytest.approx(10, abs=1)
        replay.seek(0)
        clock.move_to(5)
        assert numbers([subscription.get(timeout=LIMIT)]) == [0]


def test_nothing_is_played_before_somebody_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)])
    seen: list[Message] = []
    with ReplayStream(path, None) as replay:
        replay.subscribe(TOPIC, callback=seen.append)
        second = replay.subscribe(TOPIC)
        assert (seen, second.pending, replay.stats()["messages"]) == ([], 0, 0)
        assert numbers(list(second)) == [1]
        assert replay.wait(LIMIT)
        assert numbers(seen) == [1]
        late = replay.subscribe(TOPIC)
        assert list(late) == []


def test_as_fast_as_possible_nothing_is_dropped_however_slow_the_consumers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(number) for number in range(3_000)])
    seen: list[Message] = []

    def slow(message: Message) -> None:
        if len(seen) % 500 == 0:
            threading.Event().wait(0.01)
        seen.append(message)

    with ReplayStream(path, None) as replay:
        callback = replay.subscribe(TOPIC, callback=slow, maxsize=3)
        subscription = replay.subscribe(TOPIC, maxsize=10)
        assert numbers(list(subscription)) == list(range(3_000))
        assert replay.wait(LIMIT)
        assert numbers(seen) == list(range(3_000))
        assert (callback.dropped, subscription.dropped, replay.stats()["dropped"]) == (0, 0, 0)


def test_what_nobody_wants_is_passed_over(tmp_path: Path) -> None:
    other = "/market/match:ETH-USDT"
    path = write(tmp_path / "a.jsonl", [push(1), push(2, other), push(3), push(4, other)], topics=[TOPIC, other])
    with ReplayStream(path, None) as replay:
        assert numbers(list(replay.subscribe(TOPIC))) == [1, 3]
        assert (replay.stats()["messages"], replay.stats()["unrouted"]) == (2, 0)


def test_the_end_has_come_when_the_callbacks_have_been_called(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1), push(2)])
    gate = threading.Event()
    with ReplayStream(path, None) as replay:
        subscription = replay.subscribe(TOPIC, callback=lambda _: gate.wait(LIMIT))
        replay.start()
        until(lambda: subscription.closed, "the last message was not brought")
        assert not replay.wait(0.1)
        gate.set()
        assert replay.wait(LIMIT)


def test_a_replay_is_moved_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *([push(number)] for number in range(20)))
    seen = []

    def jump(message: Message) -> None:
        seen.append(message.data["number"])
        if seen[-1] == 3:
            replay.seek(18)

    with ReplayStream(path, None) as replay:
        replay.subscribe(TOPIC, callback=jump, inline=True)
        assert replay.wait(LIMIT)
    assert seen == [0, 1, 2, 3, 17, 18, 19]


def test_a_replay_that_waits_for_a_consumer_can_be_closed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(number) for number in range(100)])
    with ReplayStream(path, None) as replay:
        subscription = replay.subscribe(TOPIC, maxsize=5)
        replay.start()
        until(lambda: subscription.pending == 5, "the queue is not full")
        waiting = Task(replay.wait, 0.05)
        assert not waiting.result()
    assert len(list(subscription)) == 5


def test_a_replay_that_waits_for_long_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kucoin_sync.recording.playback._STALLED", 0.0)
    path = write(tmp_path / "a.jsonl", [push(number) for number in range(20)])
    with ReplayStream(path, None) as replay:
        subscription = replay.subscribe(TOPIC, maxsize=5)
        replay.start()
        until(lambda: "the replay waits for subscriptions to take messages" in caplog.text, "nothing is said")
        assert numbers(list(subscription)) == list(range(20))
    assert caplog.text.count("waits for subscriptions") <= 4, "once for each wait"


def test_the_clock_of_a_replay_waits_and_is_interrupted() -> None:
    clock, interruption = Clock(), threading.Event()
    began = clock.now()
    assert not clock.wait(interruption, 0.01)
    assert clock.now() > began
    interruption.set()
    assert clock.wait(interruption, 1e12)


def test_private_topics_and_several_books_are_moved_together(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    exchange = Exchange((SPOT, CONTRACT), seed=5, levels=20)
    with (
        KucoinServer(exchange=exchange) as server,
        Stream(**server.stream_options) as stream,
        Recorder(stream, path),
    ):
        books = [stream.book(symbol).wait_ready(LIMIT) for symbol in (SPOT, CONTRACT)]
        balances = stream.subscribe("/account/balance")
        server.publish("/account/balance", {"total": "1"}, user=KucoinServer.USER)
        balances.get(timeout=LIMIT)
        for _ in range(10):
            server.step_exchange(20)
        reached = [exchange.level2(book.symbol).sequence for book in books]
        until(lambda: [book.sequence for book in books] == reached, "the books are late")
        live = [contents(book) for book in books]
    with ReplayStream(path, None) as replay:
        again = [replay.book(symbol) for symbol in (SPOT, CONTRACT)]
        balances = replay.subscribe("/account/balance")
        replay.seek(replay.duration)
        assert list(balances) == []
        assert replay.wait(LIMIT)
        assert [contents(book) for book in again] == live


# What goes wrong


@pytest.mark.parametrize("whole", [True, False])
def test_the_end_is_told_of_and_whether_the_recorder_had_come_to_its_own(tmp_path: Path, whole: bool) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], whole=whole)
    told = Events()
    with ReplayStream(path, None, on_event=told) as replay:
        assert numbers(list(replay.subscribe(TOPIC))) == [1]
        ended = told.wait(RecordingEnded)
    assert (ended.path, ended.whole, ended.level) == (str(path), whole, 20 if whole else 30)
    assert str(ended).startswith(f"the replay of {path} has ended")
    assert ("is lost" in str(ended)) != whole


def test_a_frame_that_is_no_push_is_counted_and_passed_by(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1), b'{"topic":', push(2)])
    with ReplayStream(path, None) as replay:
        assert numbers(list(replay.subscribe(TOPIC))) == [1, 2]
        assert replay.stats()["unreadable"] == 1


def test_frames_that_the_recorder_dropped_are_told_of_in_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1), Dropped(START + SECOND, 5, "the disk was too slow"), push(2)])
    told = Events()
    with ReplayStream(path, None, on_event=told) as replay:
        assert replay.missing == 5
        assert numbers(list(replay.subscribe(TOPIC))) == [1, 2]
    assert told.wait(FramesMissing).dropped == 5


class SlowDisk:
    """A disk that writes when a test says so, and that may be full."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.full = False
        self.room = math.inf  # bytes that can be written at a time

    def open(self, path: Path) -> File:
        disk, file = self, open_new(path)

        class Slow:
            def write(self, data: memoryview) -> int:
                if file.tell() and not disk.go.wait(LIMIT):
                    raise AssertionError("the test has forgotten the disk")
                if (disk.full or len(data) > disk.room) and file.tell():
                    raise OSError(errno.ENOSPC, "No space left on device")
                return file.write(data)

            truncate, seek, close = file.truncate, file.seek, file.close

        return Slow()


def test_what_a_slow_disk_does_not_take_is_told_and_counted_and_noted_in_its_place(
    server: KucoinServer, stream: Stream, events: Events, tmp_path: Path
) -> None:
    path, disk = tmp_path / "a.jsonl", SlowDisk()
    subscription = stream.subscribe(TOPIC)
    recorder = Recorder(stream, path, flush_every=0.001, most_waiting=2_000, open_file=disk.open)
    publish(server, 0, 100)
    live = [subscription.get(timeout=LIMIT) for _ in range(100)]
    assert recorder.dropped > 50
    assert str(events.wait(RecordingFailed)).endswith("can't be written (the disk was too slow; messages are dropped)")
    disk.go.set()
    until(lambda: recorder.stats()["waiting"] == 0, "the disk has not taken what waited")
    publish(server, 100, 1)
    live.append(subscription.get(timeout=LIMIT))
    until(lambda: recorder.stats()["waiting"] == 0, "the disk has not taken the last message")
    assert events.wait(RecordingResumed).dropped == recorder.dropped
    with pytest.raises(RecordingError, match=rf"{recorder.dropped} messages are missing in .*a\.jsonl"):
        recorder.close()
    place = 0
    for record in RecordingIndex(path).read():
        if isinstance(record, Dropped):
            place += record.count
        elif isinstance(record, Batch):
            for frame in record.frames:
                assert frame == live[place].raw
                place += 1
    assert place == len(live)
    assert len(recorded(path)) == len(live) - recorder.dropped
    assert recorded(path)[-1] == live[-1].raw


def test_a_full_disk_is_told_of_and_the_stream_and_then_the_recording_go_on(
    server: KucoinServer, stream: Stream, events: Events, tmp_path: Path
) -> None:
    path, disk = tmp_path / "a.jsonl.gz", SlowDisk()
    disk.go.set()
    with Recorder(stream, path, flush_every=0.001, open_file=disk.open) as recorder:
        subscription = stream.subscribe(TOPIC)
        publish(server, 0, 10)
        subscription.get(timeout=LIMIT)
        disk.full = True
        publish(server, 10, 10)
        failed = events.wait(RecordingFailed)
        assert "No space left on device" in str(failed)
        assert isinstance(recorder.error, OSError)
        live = [subscription.get(timeout=LIMIT) for _ in range(19)]
        disk.full = False
        assert events.wait(RecordingResumed).dropped == 0
    assert recorded(path)[1:] == [message.raw for message in live]


@pytest.mark.parametrize("spread", [False, True], ids=["one line each", "several lines"])
@pytest.mark.parametrize("known", [False, True], ids=["by itself", "with its text"])
@pytest.mark.parametrize("heads", [1, 3])
def test_what_came_together_is_recorded_frame_by_frame(
    stream: Stream, tmp_path: Path, spread: bool, known: bool, heads: int
) -> None:
    path = tmp_path / "a.jsonl"
    data = b'{\n"number": %d}' if spread else b'{"number": %d}'
    starts = [b'{"topic":"/a:%d","data":' % n for n in range(heads)]
    of = [prefix_of(start, f"/a:{n}") for n, start in enumerate(starts)]
    frames = [starts[n % heads] + data % n + b"}" for n in range(500)]
    text = b"".join(frames) if known else b""
    arrival = messages.Arrival(1, SECOND)
    if heads == 1:
        pushes = FrameBatch(frames, arrival, prefix=of[0], text=text)
    else:
        pushes = FrameBatch(frames, arrival, [of[n % 3] for n in range(500)], text=text)
    with Recorder(stream, path) as recorder:
        recorder.on_messages("spot", False, pushes)
    assert recorded(path) == frames


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_compression_yields_to_receiving(stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with Recorder(stream, tmp_path / "a.jsonl.zst") as recorder:
        thread = recorder._thread.native_id
        assert thread is not None
        until(lambda: os.getpriority(os.PRIO_PROCESS, thread) == min(own + 10, 19), "it is as urgent as before")
        assert os.getpriority(os.PRIO_PROCESS, 0) == own

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    with Recorder(stream, tmp_path / "b.jsonl.zst"):
        pass
    assert recorded(tmp_path / "b.jsonl.zst") == []


def test_a_disk_that_stays_full_is_an_error_at_the_end(
    server: KucoinServer, stream: Stream, events: Events, tmp_path: Path
) -> None:
    path, disk = tmp_path / "a.jsonl", SlowDisk()
    disk.go.set()
    disk.full = True
    subscription = stream.subscribe(TOPIC)
    recorder = Recorder(stream, path, flush_every=0.001, open_file=disk.open)
    publish(server, 0, 3)
    for _ in range(3):
        subscription.get(timeout=LIMIT)
    events.wait(RecordingFailed)
    with pytest.raises(RecordingError, match=r"No space left on device\); 3 messages are missing"):
        recorder.close()
    assert recorded(path) == []


def test_an_end_that_a_disk_holds_up_is_an_error_and_nothing_more_is_taken(
    server: KucoinServer, stream: Stream, tmp_path: Path
) -> None:
    path, disk = tmp_path / "a.jsonl", SlowDisk()
    subscription = stream.subscribe(TOPIC)
    recorder = Recorder(stream, path, flush_every=0.001, open_file=disk.open)
    publish(server, 0, 1)
    live = subscription.get(timeout=LIMIT)
    until(lambda: not recorder._queue._blocks, "nothing is being written")
    assert repr(recorder) == f"<Recorder of {path}: recording, 0 messages, 0 dropped>"
    with pytest.raises(RecordingError, match=r"could not be completed within 0\.05 s"):
        recorder.close(timeout=0.05)
    recorder.on_messages("spot", False, [live])
    disk.go.set()
    recorder.close()
    assert recorded(path) == [live.raw]
    assert repr(recorder) == f"<Recorder of {path}: closed, 1 messages, 0 dropped>"


@pytest.mark.parametrize(("own", "expected"), [(ZeroDivisionError(), ZeroDivisionError), (None, RecordingError)])
def test_an_error_of_the_programs_own_is_not_hidden_by_that_of_its_recording(
    stream: Stream, tmp_path: Path, own: Exception | None, expected: type[Exception]
) -> None:
    disk = SlowDisk()
    disk.go.set()
    disk.full = True

    def record() -> None:
        with Recorder(stream, tmp_path / "a.jsonl", open_file=disk.open):
            if own is not None:
                raise own

    with pytest.raises(expected):
        record()


@pytest.mark.parametrize("room", [math.inf, 1500, 500], ids=["slow", "almost full", "full"])
def test_what_a_disk_had_no_room_for_at_the_end_is_noted_in_its_place(
    server: KucoinServer, stream: Stream, tmp_path: Path, room: float
) -> None:
    path, disk = tmp_path / "a.jsonl", SlowDisk()
    disk.room = room
    subscription = stream.subscribe(TOPIC)
    recorder = Recorder(stream, path, flush_every=0.001, most_waiting=2_000, open_file=disk.open)
    publish(server, 0, 100)
    live = [subscription.get(timeout=LIMIT).raw for _ in range(100)]
    disk.go.set()
    with pytest.raises(RecordingError, match="messages are missing"):
        recorder.close()
    place = 0
    for record in RecordingIndex(path).read():
        if isinstance(record, Dropped):
            place += record.count
        elif isinstance(record, Batch):
            assert [*record.frames] == live[place : place + len(record.frames)]
            place += len(record.frames)
    assert place == 100
    assert len(recorded(path)) + recorder.dropped == 100
    assert recorder.dropped > 0


@pytest.mark.parametrize("name", ["rotate_size", "rotate_time", "flush_every"])
def test_a_number_that_makes_no_sense_is_named(stream: Stream, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; it is a positive number"):
        Recorder(stream, tmp_path / "a.jsonl", **{name: 0})
    assert list(tmp_path.iterdir()) == []


def test_a_closed_stream_is_not_recorded(stream: Stream, tmp_path: Path) -> None:
    stream.close()
    with pytest.raises(StreamClosed, match=r"the stream is closed; make a new one to record it in .*day\.jsonl"):
        Recorder(stream, tmp_path / "day.jsonl")
    assert [*tmp_path.iterdir()] == []


def test_a_cut_is_recorded(server: KucoinServer, stream: Stream, events: Events, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Recorder(stream, path):
        stream.subscribe(TOPIC)
        server.drop_connections()
        events.wait(Resubscribed)
    kinds = [type(record) for record in RecordingIndex(path).read()]
    assert kinds.count(Lost) == 1
    assert kinds.index(Subscribed) < kinds.index(Lost) < len(kinds) - kinds[::-1].index(Subscribed)


CHILD = """
import sys
from kucoin_sync import Stream
from kucoin_sync.testing import KucoinServer
from kucoin_sync.recording import Recorder

path, topic = sys.argv[1:]
with KucoinServer() as server, Stream(**server.stream_options) as stream:
    Recorder(stream, path, flush_every=0.002)
    stream.subscribe(topic, callback=lambda message: None, inline=True)
    print("go", flush=True)
    number = 0
    while True:
        server.publish(topic, {"number": number}, subject="trade")
        number += 1
"""


@pytest.mark.parametrize("suffix", first(*SUFFIXES))
def test_a_recorder_that_is_killed_leaves_a_file_that_replays_to_its_last_whole_frame(
    tmp_path: Path, suffix: str
) -> None:
    draw = random.Random()
    for attempt in range(3):
        path = tmp_path / f"{attempt}{suffix}"
        with script(CHILD, str(path), TOPIC) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "go\n"
            size = draw.randrange(500, 20_000)
            until(lambda: path.stat().st_size > size, "the child has not written")  # noqa: B023
            child.kill()
            child.wait(LIMIT)
        with ReplayStream(path, None) as replay:
            assert replay.torn == (str(path),)
            played = numbers(list(replay.subscribe(TOPIC)))
        assert played == list(range(len(played)))
        assert len(played) > 1
