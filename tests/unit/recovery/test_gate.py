"""The gate: what passes, what is held, in which order it is delivered, and with which epoch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from kucoin_sync import topics
from kucoin_sync.events import Event, RecoveryIncomplete
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.envelopes import FrameBatch, Pushes, opened
from kucoin_sync.protocol.message import Arrival, Message
from kucoin_sync.recovery.gate import RecoveringTopic, RecoveryGate
from kucoin_sync.recovery.rows import TradeRows, trade_rows_for
from kucoin_sync.recovery.trades import Mark, Row

TOPIC, OTHER = str(topics.match("BTC-USDT")), str(topics.match("ETH-USDT"))


def frame(sequence: int | None, topic: str = TOPIC, **more: str) -> bytes:
    data = {"sequence": str(sequence), "time": str(sequence), "price": "1", "size": "1", "side": "buy"}
    envelope = {"topic": topic, "type": "message", "subject": "trade.l3match", **more}
    return msgspec.json.encode({**envelope, "data": data if sequence else {}})


def rows(*sequences: int) -> list[Row]:
    return [Row(Mark(each, each), frame(each)) for each in sequences]


def source_of(topic: str) -> TradeRows:
    source = trade_rows_for(topic)
    assert source is not None
    return source


class Rig:
    """A gate, what it delivered to whom, and the pushes of a connection."""

    def __init__(self) -> None:
        self.recovering: list[tuple[int, int, bool]] = []  # sequence, epoch, recovered
        self.others: list[tuple[int, int, bool]] = []
        self.events: list[Event] = []
        self.changes = 0
        self.reader = DIALECTS["classic"].reader()
        self.epochs: Iterator[int] = itertools.count(10)
        self.gate = RecoveryGate("spot", self.route, self.told, self.epochs, source_of, self.changed)
        self.gate.add(TOPIC)

    def told(self, event: Event) -> None:
        self.events.append(event)

    def changed(self) -> None:
        self.changes += 1

    def route(self, pushes: Pushes, recovering: bool) -> None:
        (self.recovering if recovering else self.others).extend(map(self.short, opened(pushes)))

    @staticmethod
    def short(message: Message) -> tuple[int, int, bool]:
        return int(message.data.get("sequence", 0)), message.epoch, message.recovered

    def push(self, *sequences: int | None, epoch: int = 1, topic: str = TOPIC) -> list[tuple[int, int, bool]]:
        """Bring pushes of one read; return those that pass."""
        arrival = Arrival(epoch, 5)
        pushes: Pushes = [self.reader.push(frame(each, topic), arrival) for each in sequences]
        return [self.short(message) for message in opened(self.gate.admit(pushes))]

    def answer(self, *sequences: int) -> None:
        self.gate.step(TOPIC, lambda join: join.answered(rows(*sequences), 1.0, 1.0))


@pytest.fixture
def gate_rig() -> Rig:
    return Rig()


def test_pushes_of_a_live_topic_pass(gate_rig: Rig) -> None:
    assert gate_rig.push(1, 2) == [(1, 1, False), (2, 1, False)]
    assert gate_rig.push(3, topic=OTHER) == [(3, 1, False)]
    assert not gate_rig.recovering


def test_batches_pass_whole(gate_rig: Rig) -> None:
    gate_rig.push(1)
    gate_rig.push(2)
    batch = gate_rig.reader.recognise([frame(3), frame(4)], Arrival(1, 5))
    assert isinstance(batch, FrameBatch)
    assert gate_rig.gate.admit(batch) is batch
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.answer(4, 5)
    assert gate_rig.recovering == [(5, 1, True)]


def test_batches_of_other_topics_pass_whole_while_a_gap_is_open(gate_rig: Rig) -> None:
    gate_rig.push(1)
    gate_rig.push(1, topic=OTHER)
    gate_rig.push(2, topic=OTHER)
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    batch = gate_rig.reader.recognise([frame(3, OTHER), frame(4, OTHER)], Arrival(2, 5))
    assert isinstance(batch, FrameBatch)
    assert gate_rig.gate.admit(batch) is batch
    mixed = gate_rig.reader.recognise([frame(5, OTHER), frame(7), frame(6, OTHER), frame(8)], Arrival(2, 5))
    assert isinstance(mixed, FrameBatch)
    assert [gate_rig.short(message)[0] for message in opened(gate_rig.gate.admit(mixed))] == [5, 6]
    gate_rig.answer(2, 7)
    assert [each[0] for each in gate_rig.recovering] == [7, 8]


def test_the_last_push_of_a_mixed_batch_is_where_a_gap_begins(gate_rig: Rig) -> None:
    for sequence in (1, 2):
        gate_rig.push(sequence)
        gate_rig.push(sequence, topic=OTHER)
    batch = gate_rig.reader.recognise([frame(3), frame(4), frame(9, OTHER)], Arrival(1, 5))
    assert isinstance(batch, FrameBatch)
    gate_rig.gate.admit(batch)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.answer(4, 5)
    assert gate_rig.recovering == [(5, 1, True)]


def test_a_gap_is_filled_and_the_epoch_stays(gate_rig: Rig) -> None:
    gate_rig.push(1, 2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.gate.carried(TOPIC, 1.0)
    assert gate_rig.push(7, epoch=2) == []
    assert gate_rig.others == [(7, 2, False)]
    assert gate_rig.push(8, topic=OTHER, epoch=2) == [(8, 2, False)]
    gate_rig.answer(2, 3, 7)
    assert gate_rig.recovering == [(3, 1, True), (7, 1, False)]
    assert gate_rig.push(8, epoch=2) == []
    assert gate_rig.recovering[-1] == (8, 1, False)
    assert gate_rig.others == [(7, 2, False), (8, 2, False)]
    assert not gate_rig.events
    assert (gate_rig.gate.recovered, gate_rig.gate.incomplete) == (1, 0)
    assert gate_rig.changes > 0


def test_after_a_gap_that_is_told_pushes_pass_with_the_epoch_of_their_connection(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.push(7, epoch=2)
    gate_rig.gate.step(TOPIC, lambda join: join.give_up("REST is down"))
    assert gate_rig.recovering == [(7, 2, False)]
    assert gate_rig.events == [RecoveryIncomplete(TOPIC, 2, 2, 7, 7, "REST is down")]
    assert (gate_rig.gate.recovered, gate_rig.gate.incomplete) == (0, 1)
    assert gate_rig.push(8, epoch=2) == [(8, 2, False)]


def test_rows_after_a_gap_have_an_epoch_of_their_own_that_later_pushes_keep(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.answer(5, 6)
    assert gate_rig.recovering == [(5, 10, True), (6, 10, True)]
    gate_rig.push(6, 7, epoch=2)
    assert gate_rig.recovering[2:] == [(7, 10, False)]


def test_decoded_messages_get_the_epoch_of_the_topic_too(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    message = opened([gate_rig.reader.push(frame(3), Arrival(2, 5))])
    gate_rig.gate.admit(message)
    gate_rig.answer(2, 3)
    assert gate_rig.recovering == [(3, 1, False)]
    assert message[0].epoch == 2, "it is the message of the other subscriptions"


def test_a_topic_without_a_message_so_far_has_nothing_to_prove(gate_rig: Rig) -> None:
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.gate.carried(TOPIC, 0.1)
    assert gate_rig.push(7, epoch=2) == [(7, 2, False)]


def test_a_last_message_without_a_place_is_told(gate_rig: Rig) -> None:
    gate_rig.push(None)
    gate_rig.gate.lost(TOPIC, 0.0)
    [event] = gate_rig.events
    assert isinstance(event, RecoveryIncomplete)
    assert (event.last_sequence, event.first_sequence) == (None, None)
    assert gate_rig.push(7, epoch=2) == [(7, 2, False)]
    gate_rig.gate.lost(TOPIC, 1.0)
    gate_rig.answer(7, 8)
    assert gate_rig.recovering == [(8, 2, True)]


def test_a_second_cut_goes_on_where_the_first_was(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.push(7, epoch=2)
    gate_rig.gate.lost(TOPIC, 1.0)
    gate_rig.push(9, epoch=3)
    gate_rig.answer(2, 5, 7, 8, 9)
    assert [each[0] for each in gate_rig.recovering] == [5, 7, 8, 9]
    gate_rig.gate.lost(TOPIC, 2.0)
    gate_rig.push(12, epoch=4)
    gate_rig.answer(9, 12)
    assert gate_rig.recovering[-1] == (12, 1, False)


def test_a_cut_right_after_a_join_has_ended_begins_another_one(gate_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.push(7, epoch=2)
    with monkeypatch.context() as patch:
        patch.setattr(gate_rig.gate, "flush", lambda topic: None)
        gate_rig.answer(2, 7)
    gate_rig.gate.lost(TOPIC, 2.0)
    assert [join.done for _, join in gate_rig.gate.joins()] == [False]
    gate_rig.push(9, epoch=3)
    gate_rig.answer(7, 8, 9)
    assert gate_rig.recovering == [(7, 1, False), (8, 1, True), (9, 1, False)]


def test_pushes_of_a_tunnel_pass_and_close_no_gap(gate_rig: Rig) -> None:
    def push_through_tunnel(sequence: int) -> list[tuple[int, int, bool]]:
        push = gate_rig.reader.push(frame(sequence, tunnelId="one"), Arrival(4, 5))
        return [gate_rig.short(message) for message in opened(gate_rig.gate.admit([push]))]

    gate_rig.push(2)
    assert push_through_tunnel(3) == [(3, 4, False)]
    gate_rig.gate.lost(TOPIC, 0.0)
    assert push_through_tunnel(5) == [(5, 4, False)]
    gate_rig.push(5, epoch=5)
    gate_rig.answer(2, 3, 4, 5)
    assert gate_rig.recovering == [(3, 1, True), (4, 1, True), (5, 1, False)]


def test_one_topic_that_is_removed_takes_what_it_holds_with_it(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.gate.add(TOPIC)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.push(7, epoch=2)
    gate_rig.gate.remove(TOPIC)
    gate_rig.answer(2, 7)
    gate_rig.gate.flush(TOPIC)
    gate_rig.gate.lost(TOPIC, 0.0)
    assert not gate_rig.recovering
    assert gate_rig.push(8, epoch=2) == [(8, 2, False)]
    gate_rig.gate.remove(TOPIC)


def test_a_push_that_comes_while_another_thread_delivers_waits_its_turn() -> None:
    rig = Rig()
    entered, leave = threading.Event(), threading.Event()
    deliver = rig.route

    def slow(pushes: Pushes, recovering: bool) -> None:
        if recovering and not entered.is_set():
            entered.set()
            assert leave.wait(30)
        deliver(pushes, recovering)

    rig.gate._route = slow
    rig.push(2)
    rig.gate.lost(TOPIC, 0.0)
    thread = threading.Thread(target=rig.answer, args=(2, 3))
    thread.start()
    assert entered.wait(30)
    rig.push(3, 4, epoch=2)
    assert not rig.recovering
    leave.set()
    thread.join()
    assert rig.recovering == [(3, 1, True), (4, 1, False)]


def test_an_error_of_a_route_stops_nothing_and_what_it_costs_is_told(gate_rig: Rig) -> None:
    deliver, gate_rig.gate._route = gate_rig.gate._route, lambda pushes, recovering: 1 / 0 if recovering else None
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    with pytest.raises(ZeroDivisionError):
        gate_rig.answer(2, 3)
    gate_rig.gate._route = deliver
    [event] = gate_rig.events
    assert isinstance(event, RecoveryIncomplete) and "unexpected error" in event.reason
    gate_rig.answer(3, 4)
    assert gate_rig.recovering == [(4, 10, True)]
    assert gate_rig.gate.incomplete == 1


def test_an_event_that_could_not_be_told_is_told_again(gate_rig: Rig) -> None:
    errors = [MemoryError()]

    def fail_once(event: Event) -> None:
        if errors:
            raise errors.pop()
        gate_rig.told(event)

    gate_rig.gate._emit = fail_once
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    gate_rig.push(7, epoch=2)
    with pytest.raises(MemoryError):
        gate_rig.gate.step(TOPIC, lambda join: join.give_up("REST is down"))
    assert gate_rig.events == [RecoveryIncomplete(TOPIC, 2, 2, 7, 7, "REST is down")]
    assert gate_rig.recovering == [(7, 2, False)]
    assert gate_rig.gate.incomplete == 1


def test_pushes_that_passed_and_were_not_delivered_are_told(gate_rig: Rig) -> None:
    gate_rig.push(2)
    gate_rig.push(3)
    gate_rig.push(9, topic=OTHER)
    gate_rig.gate.undelivered([gate_rig.reader.push(frame(3), Arrival(1, 5))])
    [event] = gate_rig.events
    assert isinstance(event, RecoveryIncomplete) and event.topic == TOPIC
    gate_rig.gate.lost(TOPIC, 0.0)
    assert gate_rig.push(7, epoch=1) == []
    assert gate_rig.recovering == [(7, 10, False)], "the epoch is another one, also on the same connection"


@pytest.mark.parametrize("step", ["put", "_settle_epoch", "settle", "keep_epoch"])
def test_a_step_of_a_cut_that_fails_is_told_and_the_pushes_go_on(
    gate_rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(RecoveringTopic, step)
    errors = [MemoryError()]

    def fail_once(self: RecoveringTopic, *args: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(self, *args)

    gate_rig.push(2)
    monkeypatch.setattr(RecoveringTopic, step, fail_once)
    for act in (
        lambda: gate_rig.gate.lost(TOPIC, 0.0),
        lambda: gate_rig.answer(2, 3, 4),
        lambda: gate_rig.push(5, 6, epoch=2),
    ):
        with suppress(MemoryError):
            act()
    assert not errors
    assert len(gate_rig.events) == 1
    assert gate_rig.push(7, epoch=2) == [(7, 2, False)], "its epoch is that of its connection again"
    assert gate_rig.recovering[-2:] == [(5, 2, False), (6, 2, False)]


def test_a_join_that_fails_at_a_push_is_over_and_that_is_told(gate_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gate_rig.push(2)
    gate_rig.gate.lost(TOPIC, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(TradeRows, "mark_of", Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            gate_rig.push(7, epoch=2)
    assert len(gate_rig.events) == 1
    assert not gate_rig.gate.joins()
    gate_rig.push(8, epoch=2)
    assert gate_rig.push(9, epoch=2) == [(9, 2, False)]
    assert gate_rig.recovering == [(8, 2, False)]
