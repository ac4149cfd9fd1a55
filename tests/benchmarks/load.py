"""What is sent and read in one run, as both processes need to know it."""

from __future__ import annotations

import json
import ssl
from dataclasses import asdict, dataclass, field

__all__ = ["Job", "Load"]

_PREFIXES = {
    "ticker": "/market/ticker",
    "level2": "/market/level2",
    "uta ticker": "/uta/ticker.SPOT",
    "uta futures ticker": "/uta/ticker.FUTURES",
}


@dataclass(frozen=True)
class Load:
    """What the blaster sends.

    Attributes:
        feed: "ticker" or "level2" of the classic feed, "uta ticker" or "uta futures ticker" of the UTA feed.
        topics: over how many topics the messages are spread, in turn.
        count, warmup: messages to measure, and messages before them.
        pace: sends per second; 0 sends as fast as the socket takes it.
        burst: messages in one send, where there is a pace.
        stamped: whether each message carries the instant at which it was sent.
        tls: whether the feed is encrypted.
        connections: how many connections the client makes; each is sent all messages, and all begin together.
        distinct: messages after which the same ones come again, with the same sequences; a multiple of the topics.
    """

    feed: str = "ticker"
    topics: int = 1
    count: int = 1_000_000
    warmup: int = 20_000
    pace: float = 0.0
    burst: int = 1
    stamped: bool = False
    tls: bool = False
    connections: int = 1
    distinct: int = 1_200

    @property
    def total(self) -> int:
        """All messages, the warm-up included."""
        return self.warmup + self.count

    def topic_names(self) -> list[str]:
        """Return the single topics."""
        prefix = _PREFIXES[self.feed]
        first, more = ("XBTUSDTM", "COIN{}USDTM") if self.feed == "uta futures ticker" else ("BTC-USDT", "COIN{}-USDT")
        return [f"{prefix}:{name}" for name in [first, *(more.format(number) for number in range(1, self.topics))]]


@dataclass(frozen=True)
class Job:
    """What a client is told.

    Attributes:
        rest_url: where connect tokens come from; the blaster also takes its own commands there.
        feed_url: the WebSocket's URL, for clients that know nothing of tokens.
        authority: path of the certificate authority's PEM file, "" without TLS.
        options: what only some clients know.
    """

    load: Load
    rest_url: str
    feed_url: str
    authority: str = ""
    options: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as one line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "load": Load(**fields["load"])})

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context that trusts the blaster, None without TLS."""
        return ssl.create_default_context(cafile=self.authority) if self.load.tls else None

    def subscribe_command(self) -> str:
        """Return the command that subscribes all topics, for clients without one of their own."""
        names = self.load.topic_names()
        prefix = names[0].partition(":")[0]
        symbols = ",".join(name.partition(":")[2] for name in names)
        return json.dumps({"id": "1", "type": "subscribe", "topic": f"{prefix}:{symbols}", "response": True})
