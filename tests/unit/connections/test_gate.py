"""Recovered messages of a relay or a recording reach the subscriptions that recover, and no others."""

from __future__ import annotations

import pytest

from kucoin_sync import InvalidTopic, topics
from kucoin_sync.connections import gate as gate_module
from kucoin_sync.connections.gate import SourceGate, TopicRecovery
from kucoin_sync.protocol.classic import EnvelopePrefixes
from kucoin_sync.protocol.envelopes import FrameBatch, Pushes
from kucoin_sync.protocol.message import Arrival, RawPush

TOPIC = topics.match("BTC-USDT")
FRAME = b'{"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":{}}'


class Rig:
    def __init__(self) -> None:
        self.routed: list[tuple[int, bool]] = []
        self.epochs: list[int] = []  # of what the others got
        self.reader = EnvelopePrefixes()
        gate = TopicRecovery().gate("spot", self.route)
        assert isinstance(gate, SourceGate)
        self.gate = gate

    def route(self, pushes: Pushes, recovering: bool) -> None:
        self.routed.append((len(pushes), recovering))
        if not recovering:
            self.epochs += (push.arrival.epoch if isinstance(push, RawPush) else push.epoch for push in pushes)

    def pushes(self, *recovered: bool) -> Pushes:
        return [self.reader.push(FRAME, Arrival(1, 1, recovered=each)) for each in recovered]


@pytest.fixture
def source_rig() -> Rig:
    return Rig()


def test_what_is_not_recovered_passes(source_rig: Rig) -> None:
    pushes = source_rig.pushes(False, False)
    assert source_rig.gate.admit(pushes) is pushes
    assert not source_rig.routed


def test_recovered_pushes_are_for_some_and_the_others_beside_them_for_all_in_order(source_rig: Rig) -> None:
    assert source_rig.gate.admit(source_rig.pushes(True, False)) == ()
    assert source_rig.routed == [(1, True), (1, True), (1, False)]
    assert source_rig.gate.recovered == 1


@pytest.mark.parametrize("recovered", [False, True])
def test_batches_pass_or_are_for_some(source_rig: Rig, recovered: bool) -> None:
    source_rig.pushes(False)
    batch = source_rig.reader.recognise(
        [FRAME, FRAME], Arrival(1, 1, recovered=recovered)
    ) or source_rig.reader.recognise([FRAME, FRAME], Arrival(1, 1, recovered=recovered))
    assert isinstance(batch, FrameBatch)
    passed = source_rig.gate.admit(batch)
    assert (len(passed), source_rig.routed) == ((0, [(1, True)] * 2) if recovered else (2, []))
    assert source_rig.gate.recovered == 2 * recovered


def test_for_the_others_the_epoch_rises_at_each_hole_of_a_topic(source_rig: Rig) -> None:
    source_rig.gate.admit(source_rig.pushes(True, True, False, False, True, False))
    assert source_rig.epochs == [2, 2, 3]
    assert source_rig.gate.admit(source_rig.pushes(False)) == ()
    batch = source_rig.reader.recognise([FRAME, FRAME], Arrival(1, 1))
    assert isinstance(batch, FrameBatch)
    assert source_rig.gate.admit(batch) == ()
    assert source_rig.epochs == [2, 2, 3, 3, 3, 3]
    other = [source_rig.reader.push(FRAME.replace(b"BTC", b"ETH"), Arrival(1, 1))]
    source_rig.gate.admit(other)
    assert source_rig.epochs[-1] == 1, "another topic has no hole"


def test_the_topics_with_holes_that_are_remembered_are_bounded(
    source_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "_MAX_TOPICS", 2)
    for number in range(5):
        source_rig.gate.admit(
            [source_rig.reader.push(FRAME.replace(b"BTC", b"A%d" % number), Arrival(1, 1, recovered=True))]
        )
    assert [len(kept) for kept in vars(source_rig.gate).values() if isinstance(kept, dict | set)] == [2]


def test_the_source_recovers_by_itself(source_rig: Rig) -> None:
    source_rig.gate.add(TOPIC)
    source_rig.gate.remove(TOPIC)
    recovery = TopicRecovery()
    recovery.check(TOPIC)
    recovery.carried([])
    recovery.lost([])
    recovery.after_fork()
    assert recovery.close() == []


def test_a_topic_that_rest_does_not_tell_is_an_error_that_names_those_that_it_does() -> None:
    TopicRecovery().check(TOPIC)
    with pytest.raises(InvalidTopic, match=r"/market/ticker:A-B can't be recovered.*/market/match, .*/contractMarket"):
        TopicRecovery().check("/market/ticker:A-B")
