"""The Redis keys of a relay.

All keys begin with the namespace in braces, so that a Redis Cluster keeps them on one node: scripts need that. Topics
share a fixed number of Redis Streams, the shards. So a reader of hundreds of topics waits for a few keys, and messages
of several topics that arrive together are one entry. Pure.
"""

from __future__ import annotations

import zlib

__all__ = ["SHARDS", "Keys", "shard_of"]

SHARDS = 16
"""The number of shards. It is part of the format: relays and readers must use the same."""


def shard_of(topic: str) -> int:
    """Return the number of the Redis stream for a topic, the same on every machine."""
    return zlib.crc32(topic.encode()) % SHARDS


class Keys:
    """The keys of one namespace, which relays and their readers share.

    Attributes:
        token: the newest fencing token; it only rises.
        lease: the `codec.Lease` of the holder; it expires unless it is renewed.
        wanted: a sorted set of the topics that readers want; the score is the expiry, in seconds since 1970.
        asks: a Redis stream of readers' requests to the relay.
        states: a hash of the last news of each topic.
        last: a hash of the last record of each topic.
        shards: the Redis streams with the messages.
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
        """Return the Redis stream for a topic."""
        return self.shards[shard_of(topic)]

    def asked(self, book: str) -> str:
        """Return the key that counts the requests for a book's snapshot."""
        return f"{self._root}:asked:{book}"

    def snapshot(self, book: str) -> str:
        """Return the Redis stream whose only entry is the last snapshot of a book."""
        return f"{self._root}:snapshot:{book}"
