"""A reader of a relay in a forked child reads with a connection of its own."""

from __future__ import annotations

from kucoin_sync import Connected, Disconnected, Message
from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import KucoinServer

from ..support.forks import child
from ..support.streams import Events
from .test_reading import LIMIT, TOPIC, numbers, send


def test_a_child_reads_by_itself_and_its_parent_goes_on_undisturbed(
    server: KucoinServer, reader: RelayStream, events: Events
) -> None:
    subscription = reader.subscribe(TOPIC)
    send(server, 1)
    assert numbers([subscription.get(timeout=LIMIT)]) == [1]

    def in_child(say: object) -> None:
        message: Message = subscription.get(timeout=LIMIT)
        say(message.data["n"])  # type: ignore[operator]
        reader.close()

    with child(in_child) as forked:
        assert forked.hear() == 1, "the last message that the relay has"
    send(server, 2)
    assert numbers([subscription.get(timeout=LIMIT)]) == [2]
    assert [type(each) for each in events.all if isinstance(each, (Connected, Disconnected))] == [Connected]
