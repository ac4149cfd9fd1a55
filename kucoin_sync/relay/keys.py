"""The names of what a relay keeps in Redis.

All of them begin with the namespace in braces, so that a Redis Cluster keeps them on one node, where scripts need them.
Topics share a bounded number of Redis Streams, their shards: so a reader of hundreds of topics waits for a few keys,
and what comes together, of whichever topics, is one entry. Pure.
"""

from __future__ import annotations

import zlib

__all__ = ["SHARDS", "Keys", "shard_of"]

SHARDS = 16
"""Part of the format: relays and readers have to agree on it."""


def shard_of(topic: str) -> int:
    """Return the number of the stream that carries a topic, the same on every machine."""
    return zlib.crc32(topic.encode()) % SHARDS


class Keys:
    """The keys of one namespace: relays and readers of the same one belong together.

    Attributes:
        token: the newest fencing token; it only rises.
        lease: what the holder tells of itself; expires unless it is renewed.
        wanted: a sorted set of the topics that readers want, by the second at which they cease to.
        asks: a stream that tells the relay of new needs.
        states: a hash of what the holder carries.
        last: a hash of the last record of each topic.
        shards: the streams with the messages.
    """

    def __init__(self, namespace: str) -> None:
        if not namespace or not namespace.isprintable() or set("{}") & set(namespace):
            raise ValueError(f"namespace is {namespace!r}; it is a word that begins the names of keys in Redis")
        self._root = root = f"{{{namespace}}}:1"  # 1 is the version of the format
        self.token = f"{root}:token"
        self.lease = f"{root}:lease"
        self.wanted = f"{root}:wanted"
        self.asks = f"{root}:asks"
        self.states = f"{root}:states"
        self.last = f"{root}:last"
        self.shards = tuple(f"{root}:stream:{number}" for number in range(SHARDS))

    def shard(self, topic: str) -> str:
        """Return the stream that carries a topic."""
        return self.shards[shard_of(topic)]

    def asked(self, book: str) -> str:
        """Return the key that counts how often a snapshot of a book was asked for."""
        return f"{self._root}:asked:{book}"

    def snapshot(self, book: str) -> str:
        """Return the stream whose one entry is the last snapshot of a book."""
        return f"{self._root}:snapshot:{book}"
