"""What a user may have meant, for `did you mean …?`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..exceptions import KucoinSyncError, RestError, SubscriptionRejected
from ..topics import TABLE
from ..topics.symbols import suggest

__all__ = ["did_you_mean", "hint_for"]

_NEAR = 0.6


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a question that names the word most like `word`; "" if there is none."""
    near = difflib.get_close_matches(word, sorted({*words}), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]}?" if near else ""


def hint_for(error: KucoinSyncError, symbols: Iterable[str]) -> str:
    """Return what may have been meant by a topic that KuCoin refused, or by the symbols of a refused request."""
    if isinstance(error, SubscriptionRejected):
        prefix, colon, argument = error.topic.partition(":")
        prefixes = {row.prefix for row in TABLE}
        if prefix not in prefixes:
            question = did_you_mean(prefix, prefixes)
            return f"{question.removesuffix('?')}{colon}{argument}?" if question else ""
        symbols = [argument.partition("_")[0]]
    elif not isinstance(error, RestError):
        return ""
    meant = [guess for symbol in symbols if (guess := suggest(symbol))]
    return f"did you mean {' '.join(meant)}?" if meant else ""
