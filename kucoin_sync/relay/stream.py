"""`RelayStream`: reads the feed of a relay with the interface of `Stream`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from ..client import Client
from ..connections.gate import TopicRecovery
from ..connections.source import Deliver, MessageSource, SourceListener
from ..credentials import Credentials
from ..delivery.callbacks import Callbacks, held_by
from ..events import Event
from ..exceptions import InvalidTopic
from ..limits import Limits
from .codec import decode_lease
from .keys import Keys
from .server import BROKEN, RedisServer
from .snapshots import RelaySnapshotFetcher, ask_for_push
from .source import RelaySource

__all__ = ["NAMESPACE", "RelayStream"]

NAMESPACE = "kucoin-sync"

_UNLIMITED = 1_000_000_000
_KEYS_OF_THE_RELAY = Credentials("of-the-relay", "of-the-relay", "of-the-relay")
"""A placeholder for the relay's API key, which readers do not need; it signs nothing."""


class RelayStream(Client):
    """A stream that reads from a relay, so that any number of processes and hosts share its connections to KuCoin.

    `subscribe`, `on`, `book`, `stats` and `close` work as those of `Stream`, with these differences:

    - The first subscription to a topic begins with the relay's last message of it, however old. `received_ns` is the
      time at which the relay received it. Order is kept within a topic, not between topics.
    - If a known number of messages is missing (for example, Redis trimmed them before they were read), the next
      message's `lost` is that number, and its `epoch` rises. If the number is unknown (for example, another relay took
      over), only the epoch rises.
    - A book of the UTA feed may need 10 seconds more: KuCoin pushes its snapshot only when the relay asks for it, again
      for all readers of the topic.
    - There are no tunnels and no `private=True` for public topics. Private topics need no key here; only a relay with
      `private=True` passes them on.

    Args:
        url: the URL of Redis, such as "redis://user:password@host:6379/0"; rediss:// for TLS.
        namespace: the namespace of the relay.
        ca_certs: path of the authorities' certificates, for TLS with a private authority.
        on_event: called with each `Event` on the stream's callback thread; all are logged, too.

    Raises:
        ConnectionFailed: the URL is malformed.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = NAMESPACE,
        ca_certs: str | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        server, keys = RedisServer(url, ca_certs), Keys(namespace)

        def read(number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver) -> MessageSource:
            return RelaySource(number, market, private, server, keys, owner, deliver)

        super().__init__(
            server.name,
            read,
            lambda *_: _UNLIMITED,
            Callbacks(held_by(self, on_event)),
            _KEYS_OF_THE_RELAY,
            lambda waker, _: RelaySnapshotFetcher(server, keys, waker),
            Limits().snapshots_per_30s,
            with_key=lambda: _relay_signs(server, keys),
        )
        self._subscription_manager.recover_by(TopicRecovery())
        self.resubscribe = partial(ask_for_push, server, keys)

    def tunnel(self, name: str) -> NoReturn:
        """Raise InvalidTopic, because a relay has no tunnels."""
        raise InvalidTopic(f"the tunnel {name!r} can't be opened through a relay; subscribe the topics without one")


def _relay_signs(server: RedisServer, keys: Keys) -> bool:
    """Whether the lease holder has an API key, which full spot books need; False if Redis does not answer."""
    client = server.client()
    try:
        lease: Any = client.get(keys.lease)
        found = decode_lease(lease)
    except BROKEN:
        return False
    finally:
        client.connection_pool.disconnect()
    return found is not None and found.signing
