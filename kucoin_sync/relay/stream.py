"""`RelayStream`: what readers hold. It is a `Stream` in all but where its messages come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..client import Client
from ..connections.source import Deliver, MessageSource, SourceListener
from ..credentials import Credentials
from ..delivery.callbacks import Callbacks
from ..events import Event
from ..exceptions import InvalidTopic
from ..limits import Limits
from .codec import decode_lease
from .keys import Keys
from .server import BROKEN, RedisServer
from .snapshots import RelaySnapshotFetcher
from .source import RelaySource

__all__ = ["NAMESPACE", "RelayStream"]

NAMESPACE = "kucoin-sync"

_UNLIMITED = 1_000_000_000
_KEYS_OF_THE_RELAY = Credentials("of-the-relay", "of-the-relay", "of-the-relay")
"""Stands for the relay's API key, which a reader need not have: it signs nothing."""


class RelayStream(Client):
    """KuCoin's feeds as a relay passes them on: any number of processes and hosts share its connection.

    `subscribe`, `on`, `book`, `stats` and `close` are those of `Stream`. What differs:

    - The first subscription to a topic begins with the last message that the relay has of it, however old: see its
      `received_ns`, which is the relay's. Order is kept within a topic, not between topics.
    - Where messages are missing that the relay had, such as those that were trimmed before they were read, the next
      one's `lost` says how many, and its `epoch` rises. Where nobody knows how many, as when another relay took over,
      the epoch alone rises.
    - There are no tunnels and no `private=True` for public topics. Private topics need no key here, and come only from
      a relay that was told to pass them on.

    Args:
        url: where Redis is, such as "redis://user:password@host:6379/0"; rediss:// for TLS.
        namespace: that of the relay.
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
            _UNLIMITED,
            Callbacks(on_event),
            _KEYS_OF_THE_RELAY,
            lambda waker, _: RelaySnapshotFetcher(server, keys, waker),
            Limits().snapshots_per_30s,
            with_key=lambda: _relay_signs(server, keys),
        )

    def tunnel(self, name: str) -> NoReturn:
        """Raise InvalidTopic: tunnels do not go through a relay."""
        raise InvalidTopic(f"the tunnel {name!r} can't be opened through a relay; subscribe the topics without one")


def _relay_signs(server: RedisServer, keys: Keys) -> bool:
    """Whether the relay that holds the lease can fetch whole spot books; without an answer, assume that it can't."""
    client = server.client()
    try:
        lease: Any = client.get(keys.lease)
        found = decode_lease(lease)
    except BROKEN:
        return False
    finally:
        client.connection_pool.disconnect()
    return found is not None and found.signing
