"""Multiplex tunnels: separate, named groups of subscriptions over one connection.

Legacy, unverified live: documented by KuCoin from 2019 to 2023 ("Multiplex"), absent from its current documentation.
"""

from __future__ import annotations

import re

from .connections.manager import SubscriptionManager
from .connections.subscriber import Subscriber
from .connections.subscribing import Subscribing
from .exceptions import InvalidTopic, StreamClosed
from .internal.signals import holds_no_lock, run_or_defer

__all__ = ["Tunnel"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tunnel(Subscribing):
    """A tunnel of a stream, made by `Stream.tunnel`; closing it ends its subscriptions.

    The first topic subscribed in it chooses the connection. All topics of the tunnel stay on that connection.
    """

    def __init__(
        self,
        name: str,
        names: dict[str, object],
        subscriber: Subscriber,
        subscription_manager: SubscriptionManager,
        stream: object = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidTopic(f"{name!r} is not a name of a tunnel; it has 1 to 64 letters, digits, - or _")
        super().__init__(subscriber, subscription_manager, tunnel=name)
        self.name = name
        self._closed = False
        self._stream = stream  # the tunnel keeps its stream alive
        self._names = names  # those of the open tunnels of the stream; changed in single steps, without a lock
        if subscription_manager.closed:
            raise StreamClosed("the stream is closed; make a new one to open a tunnel")
        self._ours = ours = object()
        try:
            if names.setdefault(name, ours) is not ours:
                raise InvalidTopic(f"a tunnel {name!r} is open already; choose another name")
        except BaseException:
            if names.get(name) is ours:  # a signal handler has raised
                del names[name]
            raise

    @property
    def closed(self) -> bool:
        """Whether the tunnel was closed."""
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosed(f"the tunnel {self.name!r} is closed; open it again with stream.tunnel({self.name!r})")

    def close(self) -> None:
        """Close the tunnel and end its subscriptions. Closing twice is allowed."""
        self._closed = True
        if self._names.get(self.name) is not self._ours:
            return  # it was closed before, and another tunnel may have taken the name
        run_or_defer(lambda: self._subscription_manager.close_tunnel(self.name))
        # Last: a new tunnel of this name must not be closed by the line above.
        self._names.pop(self.name, None)

    def __enter__(self) -> Tunnel:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tunnel {self.name!r}: {'closed' if self._closed else 'open'}>"
