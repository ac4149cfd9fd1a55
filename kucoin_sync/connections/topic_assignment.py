"""The assignment of topics to numbered connections, within the topic limit of each connection.

One object serves one market, public or private. It only keeps the tables: its owner opens and closes connections
according to the results of `place` and `remove`. Not thread-safe: the owner calls it under its lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.session_events import TopicKey

__all__ = ["TopicAssignment"]


class TopicAssignment:
    """Assigns topics to numbered connections of `capacity` topics each."""

    def __init__(self, capacity: int) -> None:
        self._default_capacity = capacity
        self._capacity: dict[int, int] = {}
        self._keys: dict[int, dict[TopicKey, None]] = {}  # by connection, in the order of placement
        self._home: dict[TopicKey, int] = {}
        self._next = 1

    def __repr__(self) -> str:
        return f"TopicAssignment({ {number: len(keys) for number, keys in self._keys.items()} })"

    def __contains__(self, key: TopicKey) -> bool:
        return key in self._home

    def __len__(self) -> int:
        return len(self._home)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the connections in use."""
        return tuple(self._keys)

    def home(self, key: TopicKey) -> int:
        """Return the connection number of a placed key."""
        return self._home[key]

    def keys(self, number: int) -> tuple[TopicKey, ...]:
        """Return the keys of a connection, in the order of placement."""
        return tuple(self._keys.get(number, ()))

    def place(self, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Assign each new key to a connection; return the new keys by connection number. Numbers may be new."""
        placed: dict[int, list[TopicKey]] = {}
        for key in keys:
            if key not in self._home:
                number = self._room_for(key)
                self._keys[number][key] = None
                self._home[key] = number
                placed.setdefault(number, []).append(key)
        return placed

    def remove(self, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Remove keys; return the removed ones by connection number. A connection stays until `drop_if_empty`."""
        removed: dict[int, list[TopicKey]] = {}
        for key in keys:
            number = self._home.pop(key, None)
            if number is not None:
                del self._keys[number][key]
                removed.setdefault(number, []).append(key)
        return removed

    def drop_if_empty(self, number: int) -> bool:
        """Forget a connection without topics; return whether it was forgotten."""
        if self._keys.get(number):
            return False
        self._keys.pop(number, None)
        self._capacity.pop(number, None)
        return True

    def drop(self, number: int) -> tuple[TopicKey, ...]:
        """Forget a connection and its keys; return the keys."""
        keys = tuple(self._keys.pop(number, ()))
        self._capacity.pop(number, None)
        for key in keys:
            del self._home[key]
        return keys

    def full(self, number: int, keys: Iterable[TopicKey]) -> dict[int, list[TopicKey]]:
        """Move keys that a full connection has refused; return them by their new connection numbers."""
        moving = [key for key in dict.fromkeys(keys) if self.is_at(key, number)]
        for key in moving:
            del self._keys[number][key]
            del self._home[key]
        self._capacity[number] = len(self._keys[number])
        return self.place(moving)

    def is_at(self, key: TopicKey, number: int) -> bool:
        """Return whether a key is assigned to a connection."""
        return self._home.get(key) == number

    def put_back(self, number: int, keys: Iterable[TopicKey]) -> None:
        """Undo `full`: assign keys to their old connection again. It still counts as full."""
        keys = tuple(keys)
        self.remove(keys)
        for key in keys:
            self._keys[number][key] = None
            self._home[key] = number

    def _room_for(self, key: TopicKey) -> int:  # noqa: ARG002 - for the subclass
        for number, held in self._keys.items():
            if len(held) < self._capacity[number]:
                return number
        return self._open()

    def _open(self) -> int:
        number = self._next
        self._next += 1
        self._keys[number] = {}
        self._capacity[number] = self._default_capacity
        return number
