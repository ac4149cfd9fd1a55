"""What carriers have in common."""

from __future__ import annotations

import gc
import weakref

from kucoin_sync.carrier import weakly
from kucoin_sync.messages import Message


class Owner:
    """Notes the misfits that it is told of."""

    def __init__(self) -> None:
        self.seen: list[Message] = []

    def misfit(self, message: Message) -> None:
        self.seen.append(message)


def test_a_message_can_tell_its_owner_something_and_does_not_keep_it_alive() -> None:
    owner, message = Owner(), Message("/a:b")
    tell = weakly(owner.misfit)
    tell(message)
    assert len(owner.seen) == 1
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    tell(message)
