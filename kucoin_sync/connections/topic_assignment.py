"""The assignment of topics to numbered connections, within the topic limit of each connection.

One object serves one market, public or private. The topics of a multiplex tunnel share one connection. The object only
keeps the tables: its owner opens and closes connections according to the results of `place` and `remove`. Not
thread-safe: the owner calls it under its lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import InvalidTopic
from ..protocol.session_events import TopicKey

__all__ = ["TUNNELS_PER_CONNECTION", "TopicAssignment"]

TUNNELS_PER_CONNECTION = 5
"""KuCoin's documentation of 2019 to 2023, "Multiplex"."""


class TopicAssignment:
    """Assigns topics to numbered connections of `capacity` topics each."""

    def __init__(self, capacity: int) -> None:
        self._default_capacity = capacity
        self._capacity: dict[int, int] = {}
        self._keys: dict[int, dict[TopicKey, None]] = {}  # by connection, in the order of placement
        self._home: dict[TopicKey, int] = {}
        self._pins: dict[str, int] = {}  # the connection of each tunnel
        self._next = 1

    def __repr__(self) -> str:
        return f"TopicAssignment({ {number: len(keys) for number, keys in self._keys.items()} })"

    def __len__(self) -> int:
        return len(self._home)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the connections in use."""
        return tuple(self._keys)

    def home(self, key: TopicKey) -> int | None:
        """Return the connection number of a key; None before it is placed."""
        return self._home.get(key)

    def keys(self, number: int) -> tuple[TopicKey, ...]:
        """Return the keys of a connection, in the order of placement."""
        return tuple(self._keys.get(number, ()))

    def place(self, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Assign each new key to a connection; return the new keys by connection number. Numbers may be new.

        Raises:
            InvalidTopic: the connection of a tunnel is full; nothing has changed.
        """
        fresh = [key for key in dict.fromkeys(keys) if key not in self._home]
        placed: dict[int, list[TopicKey]] = {}
        pins, first_new = dict(self._pins), self._next
        try:
            for key in fresh:
                number = self._room_for(key)
                self._put(key, number)
                placed.setdefault(number, []).append(key)
        except InvalidTopic:
            self.remove(fresh)
            for number in range(first_new, self._next):
                self.drop(number)
            self._pins = pins
            raise
        return placed

    def remove(self, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Remove keys; return the removed ones by connection number. A connection stays until `drop_if_empty`."""
        removed: dict[int, list[TopicKey]] = {}
        for key in keys:
            number = self._home.get(key)
            if number is not None:
                removed.setdefault(number, []).append(key)
                placed = self._keys[number]
                del placed[key], self._home[key]  # no signal handler runs in between
        return removed

    def drop_if_empty(self, number: int) -> bool:
        """Forget a connection without topics and tunnels; return whether it was forgotten."""
        if self._keys.get(number) or number in self._pins.values():
            return False
        self.drop(number)
        return True

    def drop(self, number: int) -> None:
        """Forget a connection, its keys and its tunnels."""
        for key in self._keys.pop(number, ()):
            del self._home[key]
        self._capacity.pop(number, None)
        self._pins = {tunnel: home for tunnel, home in self._pins.items() if home != number}

    def full(self, number: int, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Move keys that a full connection has refused; return them by their new connection numbers."""
        moving = [key for key in dict.fromkeys(keys) if self._home.get(key) == number]
        self.remove(moving)
        self._capacity[number] = len(self._keys[number])
        return self.place(moving)

    def put_back(self, number: int, keys: Iterable[TopicKey]) -> None:
        """Undo `full`: assign keys to their old connection again. It still counts as full."""
        keys = tuple(keys)
        self.remove(keys)
        for key in keys:
            self._put(key, number)

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

    def unpin(self, tunnel: str) -> tuple[TopicKey, ...]:
        """Forget a tunnel; return the keys that were in it."""
        keys = tuple(key for key in self.keys(self._pins[tunnel]) if key.tunnel == tunnel)
        self.remove(keys)
        del self._pins[tunnel]
        return keys

    def _put(self, key: TopicKey, number: int) -> None:
        self._keys[number][key] = None
        self._home[key] = number

    def _room_for(self, key: TopicKey) -> int:
        if key.tunnel is None:
            free = (number for number, held in self._keys.items() if len(held) < self._capacity[number])
            return next(free, 0) or self._open()
        number = self.pin(key.tunnel)
        if len(self._keys[number]) >= self._capacity[number]:
            raise InvalidTopic(
                f"the connection of tunnel {key.tunnel!r} is full with {self._capacity[number]} topics; "
                f"subscribe {key.topic} in another tunnel or outside"
            )
        return number

    def _open(self) -> int:
        number = self._next
        self._next += 1
        self._keys[number] = {}
        self._capacity[number] = self._default_capacity
        return number
