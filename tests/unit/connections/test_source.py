"""What message sources have in common."""

from __future__ import annotations

import gc
import weakref

from kucoin_sync.connections.source import weak_callback
from kucoin_sync.protocol.message import Message


class Owner:
    """Notes the mismatches that it is told of."""

    def __init__(self) -> None:
        self.seen: list[Message] = []

    def payload_mismatch(self, message: Message) -> None:
        self.seen.append(message)


def test_a_message_can_tell_its_owner_something_and_does_not_keep_it_alive() -> None:
    owner, message = Owner(), Message("/a:b")
    tell = weak_callback(owner.payload_mismatch)
    tell(message)
    assert len(owner.seen) == 1
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    tell(message)
