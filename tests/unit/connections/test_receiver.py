"""The receive loop: what it notes in a session, with a transport that returns what a test puts in."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kucoin_sync.connections import receiver as receiver_module
from kucoin_sync.connections.receiver import ReceivingSource
from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.message import Arrival, Message
from kucoin_sync.protocol.session import Session

PUSH = b'{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"price":"70.5"}}'
OTHER = PUSH.replace(b"BTC", b"ETH")


class Transport:
    """Returns frames once."""

    woken = False
    skipped = controls = 0

    def __init__(self, *frames: bytes) -> None:
        self.frames = list(frames)

    def receive(self, _: float, __: float) -> list[bytes]:
        frames, self.frames = self.frames, []
        return frames


class Owner:
    """Gets no message of which the payload is unusual."""

    def payload_mismatch(self, _: Message) -> None:
        raise AssertionError("no payload is read")


class Source(ReceivingSource):
    """A source that knows all of its frames."""

    def _process(self, *_: object) -> Any:
        raise AssertionError("all these frames are known")


@pytest.mark.parametrize("frames", [[PUSH], [PUSH, PUSH], [PUSH, OTHER]])
@pytest.mark.parametrize("lent", [False, True], ids=["read by the I/O thread", "read by the consumer"])
def test_a_push_that_is_known_by_its_prefix_counts_as_life(
    frames: list[bytes], lent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(CLASSIC, ids=itertools.count(1), ping_interval=18.0, ping_timeout=10.0, now=0.0)
    session.receive([b'{"type":"welcome"}'], Arrival(), 0.0)
    for _ in range(2):
        session.receive(frames, Arrival(), 0.0)
    session.eventful = False
    session.handle_deadline(9.0)
    monkeypatch.setattr(receiver_module.time, "monotonic", lambda: 18.9)
    source = Source(1, "spot", False, Owner(), lambda *_: None)  # type: ignore[arg-type]
    if lent:
        pushes = source._recognise(session, frames, 18.9)
        assert pushes is not None and len(pushes) == len(frames)
    else:
        assert source._receive(session, Transport(*frames), 0.0, 0.0) == 18.9
        assert source.counts.messages == len(frames)
    session.handle_deadline(19.0)
    assert session.lost is None
    session.handle_deadline(29.0)
    assert session.lost is not None


@pytest.mark.parametrize("first_left", [0, 1, 2])
def test_copies_are_counted_and_not_delivered(first_left: int) -> None:
    session = Session(CLASSIC, ids=itertools.count(1), ping_interval=18.0, ping_timeout=10.0, now=0.0)
    session.receive([b'{"type":"welcome"}', PUSH], Arrival(), 0.0)
    session.eventful = False
    frames, got = [PUSH, PUSH], list[bytes]()

    def deliver(_: object, pushes: Any) -> None:
        got.extend(push.frame for push in pushes)

    source = Source(1, "spot", False, Owner(), deliver)  # type: ignore[arg-type]
    source.drop_copies = lambda read: read[first_left:] if first_left else read
    source._receive(session, Transport(*frames), 0.0, 0.0)  # type: ignore[arg-type]
    assert got == frames[first_left:]
    assert (source.counts.messages, source.counts.bytes) == (2, 2 * len(PUSH))
    assert session.heartbeat.last_frame > 0.0
