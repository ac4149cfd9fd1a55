"""What a user may have meant, for `did you mean …?`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..exceptions import InvalidTopic, KucoinSyncError, RestError, SubscriptionRejected
from ..topics import TABLE
from ..topics.symbols import suggest

__all__ = ["did_you_mean", "hint_for", "topic_meant"]

_NEAR = 0.6
_TOPIC_NEAR = 0.75


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a question that names the word most like `word`; "" if there is none."""
    near = difflib.get_close_matches(word, sorted({*words}), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]}?" if near else ""


def hint_for(error: KucoinSyncError, symbols: Iterable[str], topics: Iterable[str]) -> str:
    """Return a question about the symbols or topics of a command that has failed; "" if they are not the reason."""
    meant: list[str | None] = []
    if isinstance(error, SubscriptionRejected):
        meant = [topic_meant(error.topic)]
    elif isinstance(error, RestError):
        meant = [*map(suggest, symbols)]
    elif isinstance(error, InvalidTopic) and "did you mean" not in str(error):
        meant = [*map(topic_meant, topics)]
    return f"did you mean {' '.join(filter(None, meant))}?" if any(meant) else ""


def topic_meant(topic: str) -> str | None:
    """Return the topic that was probably meant by one that may be misspelled; None for one of the table."""
    prefix, colon, argument = topic.partition(":")
    known = {row.prefix.lower(): row.prefix for row in TABLE}
    if prefix in known.values():
        guess = suggest(argument.partition("_")[0])
        return f"{prefix}:{guess}" if guess else None
    known |= {row.prefix.rpartition("/")[2].lower(): row.prefix for row in reversed(TABLE)}
    near = difflib.get_close_matches(prefix.lower(), known, n=1, cutoff=_TOPIC_NEAR)
    return f"{known[near[0]]}{colon}{argument}" if near else None
