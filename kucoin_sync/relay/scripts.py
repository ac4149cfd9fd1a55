"""The Lua scripts of the relay, which Redis runs atomically.

Every script that writes for a relay first checks that the relay has the newest fencing token. So a relay that was
suspended can write nothing after another one has taken over.

A new token is never below Redis's clock in milliseconds, so that tokens rise even if Redis has lost its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .codec import FIELD, Lease, encode
from .keys import Keys

if TYPE_CHECKING:
    import redis

__all__ = ["HolderScripts", "ReaderScripts", "Retention"]

# Keys: token, lease. Arguments: lifetime of the lease in milliseconds; its text, with the token 0. Returns the new
# token and the one before, or nothing if the lease is held.
_ACQUIRE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local before = redis.call('GET', KEYS[1])
local now = redis.call('TIME')
local token = math.max(tonumber(before or 0) + 1, now[1] * 1000 + math.floor(now[2] / 1000))
local text = string.format('%.0f', token)
redis.call('SET', KEYS[1], text)
redis.call('SET', KEYS[2], (string.gsub(ARGV[2], '"token":0', '"token":' .. text, 1)), 'PX', ARGV[1])
return {text, before or ''}
"""

# Keys: token, lease, wanted. Arguments: token, lifetime of the lease in milliseconds, its text. Returns the wanted
# topics.
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', redis.call('TIME')[1])
return redis.call('ZRANGE', KEYS[3], 0, -1)
"""

# Keys: token, lease. Arguments: token.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""

# Keys: token, last, states, streams. Arguments: token; entries and milliseconds that a stream keeps; number of streams;
# one entry for each stream; number of last records; topic and text of each record; topic and text of each state, where
# "" deletes the state.
_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
local oldest = string.format('%%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[3])
local at = 4
for number = 1, tonumber(ARGV[4]) do
    at = at + 1
    redis.call('XADD', KEYS[3 + number], 'MAXLEN', '~', ARGV[2], '*', '%s', ARGV[at])
    redis.call('XTRIM', KEYS[3 + number], 'MINID', '~', oldest)
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
    redis.call('HSET', KEYS[2], ARGV[at + 1], ARGV[at + 2])
    at = at + 2
end
while at < #ARGV do
    if ARGV[at + 2] == '' then redis.call('HDEL', KEYS[3], ARGV[at + 1])
    else redis.call('HSET', KEYS[3], ARGV[at + 1], ARGV[at + 2]) end
    at = at + 2
end
return 1
""" % FIELD.decode()  # noqa: UP031 - braces are Lua's

# Keys: token, snapshot. Arguments: token, the answer, seconds to keep it.
_ANSWER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', '%s', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
""" % FIELD.decode()  # noqa: UP031

# Keys: lease, wanted, asks, states, last, streams. Arguments: seconds for which the topics are wanted; 1 to notify the
# relay; 1 to return last records; topics. Returns the lease, states, last records, and the last id of each stream.
_WANT = """
local until_ = redis.call('TIME')[1] + ARGV[1]
local topics, states, lasts, ends = {}, {}, {}, {}
for number = 4, #ARGV do
    redis.call('ZADD', KEYS[2], until_, ARGV[number])
    states[#states + 1] = redis.call('HGET', KEYS[4], ARGV[number])
    if ARGV[3] == '1' then lasts[#lasts + 1] = redis.call('HGET', KEYS[5], ARGV[number]) end
end
if ARGV[2] == '1' then redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'kind', 'wanted') end
for number = 6, #KEYS do
    local found = '0-0'
    if redis.call('EXISTS', KEYS[number]) == 1 then
        local about = redis.call('XINFO', 'STREAM', KEYS[number])
        for place = 1, #about, 2 do
            if about[place] == 'last-generated-id' then found = about[place + 1] end
        end
    end
    ends[#ends + 1] = found
end
return {redis.call('GET', KEYS[1]), states, lasts, ends}
"""

# Keys: asked, asks, snapshot. Arguments: the book. Returns the number of requests, and the last id of its stream.
_ASK = """
local asked = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 3600)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'kind', 'snapshot', 'book', ARGV[1])
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
return {asked, newest[1] and newest[1][1] or '0-0'}
"""


class Retention(NamedTuple):
    """The retention of a Redis stream, approximately: a number of entries and an age in milliseconds."""

    entries: int
    milliseconds: int


class HolderScripts:
    """The scripts that relays run."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._keys = keys
        self._acquire, self._renew, self._release, self._publish, self._answer = (
            client.register_script(text) for text in (_ACQUIRE, _RENEW, _RELEASE, _PUBLISH, _ANSWER)
        )

    def acquire(self, milliseconds: int, lease: Lease) -> tuple[int, int | None] | None:
        """Take the lease; return the new token and the one before (None if Redis had none).

        Return None if the lease is held. The token of `lease` is 0; the script replaces it.
        """
        found: Any = self._acquire([self._keys.token, self._keys.lease], [milliseconds, encode(lease)])
        return (int(found[0]), int(found[1]) if found[1] else None) if found else None

    def renew(self, milliseconds: int, lease: Lease) -> set[str] | None:
        """Renew the lease; return the topics that readers want, or None if Redis does not have this token any more."""
        keys = self._keys
        found: Any = self._renew([keys.token, keys.lease, keys.wanted], [lease.token, milliseconds, encode(lease)])
        return None if found is None else {topic.decode(errors="replace") for topic in found}

    def release(self, token: int) -> None:
        """Release the lease if this token still holds it."""
        self._release([self._keys.token, self._keys.lease], [token])

    def publish(
        self,
        token: int,
        retention: Retention,
        entries: list[tuple[str, bytes]],
        last: dict[str, bytes],
        states: dict[str, bytes],
    ) -> bool:
        """Append entries, and store last records and states; write nothing and return False if the token is old."""
        keys = self._keys
        arguments: list[Any] = [token, *retention, len(entries), *(text for _, text in entries), len(last)]
        for pairs in (last, states):
            for pair in pairs.items():
                arguments += pair
        done: Any = self._publish([keys.token, keys.last, keys.states, *(stream for stream, _ in entries)], arguments)
        return bool(done)

    def answer(self, token: int, book: str, text: bytes, seconds: int) -> bool:
        """Write a snapshot to its Redis stream; write nothing and return False if the token is old."""
        return bool(self._answer([self._keys.token, self._keys.snapshot(book)], [token, text, seconds]))


class ReaderScripts:
    """The scripts that readers run."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._keys = keys
        self._want, self._ask = client.register_script(_WANT), client.register_script(_ASK)

    def want(
        self, topics: list[str], streams: list[str], *, seconds: int, notify: bool, last: bool
    ) -> tuple[bytes | None, list[bytes | None], list[bytes | None], list[bytes]]:
        """Request topics for some seconds; return the lease, states, last records, and the last id of each stream."""
        keys = self._keys
        found: Any = self._want(
            [keys.lease, keys.wanted, keys.asks, keys.states, keys.last, *streams],
            [seconds, int(notify), int(last), *topics],
        )
        lease, states, lasts, ends = found
        return lease, states, lasts, ends

    def ask(self, book: str) -> tuple[int, bytes]:
        """Request a snapshot of a book; return the number of the request, and the id after which its answer comes."""
        keys = self._keys
        found: Any = self._ask([keys.asked(book), keys.asks, keys.snapshot(book)], [book])
        return int(found[0]), found[1]
