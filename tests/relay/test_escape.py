"""Unexpected errors on the threads of relays and readers: both continue, report it, and lose no message silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import Event, UnexpectedError
from kucoin_sync.relay import RelayDelayed
from kucoin_sync.testing import KucoinServer

from ..reliability.test_escape import ERRORS, Raising, armed
from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT, until

TOPIC, OTHER = "/market/match:ONE-USDT", "/market/match:TWO-USDT"
K = "kucoin_sync.relay."

#: Where the error is raised, and the events that the relay emits for it.
SEAMS: dict[str, tuple[type[Event], ...]] = {
    "relay.Relay._step": (RelayDelayed,),
    "relay.Relay._serve": (RelayDelayed,),
    "relay.Relay._update_topics": (RelayDelayed,),
    "leadership.Leadership.refused": (RelayDelayed,),
    "leadership.Leadership._write_until_done": (UnexpectedError,),
    "leadership.Leadership._put": (UnexpectedError,),
    "buffer.EntryBuilder.flush": (UnexpectedError,),
    "source.RelaySource._set_holder": (),
    "source.RelaySource._request_topics": (),
    "source.RelaySource._handle_entries": (),
}
#: Where the records can still be written by another attempt.
WRITING = ("leadership.Leadership._put", "buffer.EntryBuilder.flush")


@pytest.mark.parametrize(
    ("at", "error"),
    [
        pytest.param(at, error, marks=() if number % len(ERRORS) == turn else pytest.mark.long)
        for number, at in enumerate(SEAMS)
        for turn, error in enumerate(ERRORS)
    ],
)
def test_what_escapes_from_a_relay_or_a_reader_is_told_and_both_go_on(
    server: KucoinServer,
    make_relay: MakeRelay,
    make_reader: MakeReader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    at: str,
    error: type[BaseException],
) -> None:
    told = Events()
    relay = make_relay(lease_seconds=1, topics=[TOPIC, OTHER], on_event=told)
    subscriptions = [make_reader().subscribe(topic, timeout=LIMIT) for topic in (TOPIC, OTHER)]
    got: list[list[Any]] = [[], []]
    sent = 0

    def all_got(since: int) -> bool:
        nonlocal sent
        sent += 1
        for topic in (TOPIC, OTHER):
            server.publish(topic, {"n": sent}, "trade.l3match")
        for messages, subscription in zip(got, subscriptions, strict=True):
            while subscription.pending:
                messages.append(subscription.get(timeout=0))
        return all(messages and messages[-1]["data"]["n"] > since for messages in got)

    goes_on: Callable[[int], bool] = lambda since: until(lambda: all_got(since), "a reader gets nothing any more")  # noqa: E731
    goes_on(0)
    raising = Raising()
    raising.error = error
    armed(monkeypatch, K + at, raising)
    raising.at = K + at
    until(lambda: raising.raised.is_set() or (all_got(sent) and raising.raised.is_set()), "nothing was raised")
    goes_on(sent)
    until(lambda: "escaped" in caplog.text, "nobody was told")
    assert "nothing in it has caught" not in caplog.text, "a thread has ended"
    for kind in SEAMS[at]:
        assert "escaped" in str(told.wait(kind).error)
    assert relay.holds_lease
    for messages in got:
        numbers = [message["data"]["n"] for message in messages]
        assert numbers == sorted(set(numbers)), "a message came twice or out of order"
        missing = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
        assert not missing or at not in WRITING, "what could be written later is lost"
        said = sum(message.lost for message in messages)
        assert len(missing) <= said or messages[-1].epoch > messages[0].epoch, "a gap is not told"
