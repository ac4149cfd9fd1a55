"""The assignment of topics in multiplex tunnels (legacy): the topics of a tunnel share one connection."""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import InvalidTopic
from ..protocol.session_events import TopicKey
from .topic_assignment import TopicAssignment

__all__ = ["TUNNELS_PER_CONNECTION", "TunnelAssignment"]

TUNNELS_PER_CONNECTION = 5
"""KuCoin's documentation of 2019 to 2023, "Multiplex"."""


class TunnelAssignment(TopicAssignment):
    """Assigns topics, also those in tunnels, to numbered connections."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._pins: dict[str, int] = {}  # the connection of each tunnel

    def place(self, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Do as the base class.

        Raises:
            InvalidTopic: the connection of a tunnel is full; nothing has changed.
        """
        fresh = [key for key in keys if key not in self]
        pins, first_new = dict(self._pins), self._next
        try:
            return super().place(fresh)
        except InvalidTopic:
            self.remove(fresh)
            for number in range(first_new, self._next):
                self.drop(number)
            self._pins = pins
            raise

    def drop_if_empty(self, number: int) -> bool:
        """Do as the base class for a connection without tunnels."""
        return number not in self._pins.values() and super().drop_if_empty(number)

    def drop(self, number: int) -> tuple[TopicKey, ...]:
        """Forget a connection, its keys and its tunnels; return the keys."""
        keys = super().drop(number)
        self._pins = {tunnel: home for tunnel, home in self._pins.items() if home != number}
        return keys

    def pin(self, tunnel: str, room: int = 1) -> int:
        """Assign a tunnel to a connection with `room` free places; return the connection number."""
        if tunnel not in self._pins:
            tunnels = list(self._pins.values())
            fitting = (
                number
                for number, held in self._keys.items()
                if len(held) + room <= self._capacity[number] and tunnels.count(number) < TUNNELS_PER_CONNECTION
            )
            self._pins[tunnel] = next(fitting, 0) or self._open()
        return self._pins[tunnel]

    def home_of_tunnel(self, tunnel: str) -> int | None:
        """Return the connection number of a tunnel; None before its first topic."""
        return self._pins.get(tunnel)

    def unpin(self, tunnel: str) -> tuple[int, tuple[TopicKey, ...]]:
        """Forget a tunnel; return its connection number and the keys that were in it."""
        number = self._pins.pop(tunnel)
        keys = tuple(key for key in self.keys(number) if key.tunnel == tunnel)
        self.remove(keys)
        return number, keys

    def _room_for(self, key: TopicKey) -> int:
        if key.tunnel is None:
            return super()._room_for(key)
        number = self.pin(key.tunnel)
        if len(self._keys[number]) >= self._capacity[number]:
            raise InvalidTopic(
                f"the connection of tunnel {key.tunnel!r} is full with {self._capacity[number]} topics; "
                f"subscribe {key.topic} in another tunnel or outside"
            )
        return number
