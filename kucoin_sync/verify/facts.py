"""What this package believes of KuCoin's feeds, as far as a run of `kucoin-sync verify` can see it.

Each finding names one of these facts. The shapes of payloads are not here: the topic table and the structs of the
payloads have them, and the local KuCoin sends them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FACTS", "Fact"]

_DOCUMENTED = "KuCoin's documentation"
_OBSERVED = "observed"
_OURS = "the topic table and the structs of this package"


class Fact(NamedTuple):
    """A statement about KuCoin, and where it comes from."""

    text: str
    source: str


FACTS: dict[str, Fact] = {
    "reach": Fact("The service takes connections at the address that the token, or the option, names.", _DOCUMENTED),
    "token": Fact(
        "A connect token comes with at least one server; each has endpoint, encrypt, protocol, pingInterval and "
        "pingTimeout.",
        _DOCUMENTED,
    ),
    "intervals": Fact("pingInterval is 18000 and pingTimeout 10000 milliseconds.", _OBSERVED),
    "clock": Fact("KuCoin refuses signatures whose time is more than 5 s from its own clock.", _DOCUMENTED),
    "welcome": Fact(
        "A welcome is the first frame of a connection; in the classic feed its id is the connectId.", _DOCUMENTED
    ),
    "pong": Fact("A ping is answered by a pong with its id, within pingTimeout.", _DOCUMENTED),
    "pong time": Fact(
        "A pong has the time: `timestamp` in microseconds, in the UTA feed `ts` in nanoseconds.", _OBSERVED
    ),
    "ack": Fact("A command is confirmed with its id as text: type ack, in the UTA feed result true.", _DOCUMENTED),
    "twice": Fact("A topic that is subscribed twice is confirmed twice.", _OBSERVED),
    "unknown symbol": Fact("A symbol that does not exist is confirmed, and stays silent.", _OBSERVED),
    "unknown topic": Fact("A topic that does not exist is refused: code 404, in the UTA feed result false.", _OBSERVED),
    "login": Fact("A private topic is refused on a public connection; in the classic feed with code 403.", _DOCUMENTED),
    "topics in a command": Fact("More than 100 topics in one command are refused with code 509.", _DOCUMENTED),
    "not JSON": Fact("A frame that is not JSON draws an error with code 400; in the UTA feed no answer.", _OBSERVED),
    "silence": Fact("The classic feed cuts a client that sends nothing for 60 s.", _OBSERVED),
    "close": Fact("A close frame is answered by a close frame.", "RFC 6455"),
    "stays open": Fact("A connection that is pinged stays open.", _DOCUMENTED),
    "notices": Fact("An error names the command that it answers.", _DOCUMENTED),
    "frames": Fact("Each frame is JSON of a known type, and each push belongs to a subscribed topic.", _DOCUMENTED),
    "offered": Fact("Each topic of the topic table is confirmed, unless the table calls it withdrawn.", _DOCUMENTED),
    "pushes": Fact(
        "A topic whose row names an interval brings messages, for a symbol that is much traded.", _DOCUMENTED
    ),
    "known members": Fact("The data of a push has no members that its struct does not have.", _OURS),
    "required members": Fact("The data of a push has the members that its struct needs.", _OURS),
    "usual members": Fact("The data of a push has the members that the local KuCoin always sends.", _OURS),
    "kinds": Fact(
        "Each member is text, number, list or object as in the struct and as the local KuCoin sends it.", _OURS
    ),
    "values": Fact("Each value can be read as its struct says.", _OURS),
    "subjects": Fact("The subject of a push is one that the local KuCoin sends.", _OURS),
    "order": Fact("The sequences of a topic do not fall.", _DOCUMENTED),
    "book order": Fact(
        "Each update of a book starts at or before the sequence that follows the last one, and ends at or after it.",
        _DOCUMENTED,
    ),
    "book": Fact(
        "A snapshot with the updates after it is the book that KuCoin gives at the later sequence.", _DOCUMENTED
    ),
    "book snapshot": Fact("A book that is pushed begins with a snapshot, within 10 s of its confirmation.", _OBSERVED),
}
