"""Check topics, split them into single topics, join these into commands, and look up their rows of the table.

A *single topic* has at most one symbol ("/market/ticker:BTC-USDT"). It is the unit of limits, acknowledgements and
routing. Users may write lists ("/market/ticker:BTC-USDT,ETH-USDT") of any length.

A topic of the classic feed that has the right form and is not in the table is accepted: KuCoin adds topics without
notice, and its answer reveals a spelling mistake. A topic of the UTA feed (`/uta/…`) must be in the table, because the
members of its command depend on it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..exceptions import InvalidTopic
from ..payloads import Payload
from .name import TopicName
from .table import CANDLE_TYPES, FUTURES_CANDLE_TYPES, TABLE, UTA_DEPTHS, Argument, Topic

__all__ = [
    "argument_of",
    "build",
    "candles_of",
    "dialect_of",
    "is_private",
    "join",
    "market_of",
    "payload_class",
    "payloads_of",
    "row_of",
    "split",
    "symbol_of",
]

_PREFIX = re.compile(r"(/[A-Za-z][A-Za-z0-9]*){2,4}")
_UTA = "/uta/"
_SYMBOL = re.compile(r"[A-Z0-9._$]{1,20}-[A-Z0-9._$]{1,20}")
_CONTRACT = re.compile(r"\.?[A-Z0-9]{3,32}")
_CURRENCY = re.compile(r"[A-Z0-9._$]{1,20}")
_MARKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._&+/()'-]{0,31}")
#: Quote currencies. A name that ends with one of these is a symbol. Other names with a hyphen may be markets, such as
#: BRC-20 and NFT-ETF.
QUOTE_CURRENCIES = frozenset(
    (
        "AED", "AUD", "BRL", "BTC", "DAI", "ETH", "EUR", "GBP", "JPY", "KCS", "TRX", "TRY", "TUSD", "USD", "USD1",
        "USDC", "USDE", "USDG", "USDT",
    )
)  # fmt: skip
_ANYTHING = re.compile(r"[!-+\--~]{1,64}")

_BY_PREFIX: dict[str, tuple[Topic, ...]] = {
    prefix: tuple(row for row in TABLE if row.prefix == prefix) for prefix in {row.prefix for row in TABLE}
}
_WITH_SUFFIX = {Argument.CANDLES, Argument.CONTRACT_CANDLES, Argument.DEPTH, Argument.CONTRACT_DEPTH}
_WITH_SYMBOL = {
    *_WITH_SUFFIX, Argument.SYMBOL, Argument.SYMBOLS, Argument.CONTRACT, Argument.CONTRACTS, Argument.ANY_SYMBOL,
}  # fmt: skip
_PAYLOADS: dict[str, dict[str, type[Payload]]] = {}
for _row in TABLE:
    _PAYLOADS.setdefault(_row.prefix, {}).update(_row.payloads)
#: The dialect of each market.
_DIALECTS = {row.market: row.dialect for row in TABLE}
_EXAMPLES = {
    Argument.SYMBOLS: "a symbol such as BTC-USDT, or several separated by commas",
    Argument.SYMBOL: "a symbol such as BTC-USDT",
    Argument.ALL: "the word all",
    Argument.MARKET: "a market such as BTC",
    Argument.CURRENCIES: "a currency such as BTC, or several separated by commas",
    Argument.CURRENCY: "a currency such as BTC",
    Argument.CANDLES: f"a symbol and a candle type such as BTC-USDT_1hour (types: {', '.join(CANDLE_TYPES)})",
    Argument.CONTRACT: "a futures symbol such as XBTUSDTM",
    Argument.CONTRACT_CANDLES: (
        f"a futures symbol and a candle type such as XBTUSDTM_1min (types: {', '.join(FUTURES_CANDLE_TYPES)})"
    ),
    Argument.CONTRACTS: "a futures symbol such as XBTUSDTM, or several separated by commas",
    Argument.DEPTH: f"a symbol and a depth such as BTC-USDT_5 (depths: {', '.join(UTA_DEPTHS)})",
    Argument.CONTRACT_DEPTH: f"a futures symbol and a depth such as XBTUSDTM_5 (depths: {', '.join(UTA_DEPTHS)})",
    Argument.ANY_SYMBOL: "a symbol such as BTC-USDT or XBTUSDTM",
    Argument.NONE: "nothing",
}


def split(topic: str) -> tuple[str, ...]:
    """Check a topic and return its single topics in order, without duplicates.

    Raises:
        InvalidTopic: it does not have the form of a topic, or the topic does not take its argument.
    """
    if not isinstance(topic, str):
        raise InvalidTopic(f"a topic is text such as '/market/ticker:BTC-USDT', not {type(topic).__name__}")
    prefix, colon, arguments = str(topic).partition(":")  # converts a `TopicName` to plain text
    if prefix.startswith(_UTA):
        _check_channel(prefix)
    elif not _PREFIX.fullmatch(prefix):
        raise InvalidTopic(
            f"{topic[:200]!r} is not a topic: one begins with a path such as /market/ticker, and what it is about "
            "follows a colon, as in '/market/ticker:BTC-USDT'"
        )
    if not colon:
        _check(prefix, None)
        return (prefix,)
    singles = dict.fromkeys(f"{prefix}:{part}" for part in map(str.strip, arguments.split(",")) if _check(prefix, part))
    return tuple(singles)


def build(row: Topic, *arguments: str) -> TopicName[Any]:
    """Check the arguments and return the topic of `row` for them.

    Raises:
        InvalidTopic: an argument is missing or has the wrong form.
    """
    if row.argument is Argument.NONE:
        return TopicName(row.prefix)
    if row.argument is Argument.ALL:
        return TopicName(row.pattern)
    if not arguments:
        raise InvalidTopic(f"{row.prefix} needs {_EXAMPLES[row.argument]}")
    for argument in arguments:
        if not isinstance(argument, str) or not _fits(row, argument):
            raise InvalidTopic(_error_text(row.prefix, argument, (row,)))
    return TopicName(f"{row.prefix}:{','.join(dict.fromkeys(arguments))}")


def candles_of(symbol: str, more: tuple[str, ...], type: str | None) -> tuple[str, ...]:
    """Return the arguments of a topic of candles, such as "BTC-USDT_1hour": one for each symbol.

    Args:
        more: further symbols, and the type as the last one if `type` is None.

    Raises:
        TypeError: there is no type.
    """
    if type is None:
        if not more:
            raise TypeError(f'candles of {symbol} need a type, as in candles("{symbol}", "1hour")')
        *more, type = more  # type: ignore[assignment]
    return tuple(f"{each}_{type}" for each in (symbol, *more))


def join(singles: Iterable[str], limit: int = 100) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (topic of a command, its single topics) with at most `limit` single topics each.

    A command has several topics only if KuCoin documents a list of symbols for them.
    """
    joint: dict[str, list[str]] = {}
    for single in singles:
        row = row_of(single)
        if row is None or not row.argument.joins:
            yield single, (single,)
        else:
            joint.setdefault(row.prefix, []).append(single)
    for prefix, group in joint.items():
        for start in range(0, len(group), limit):
            batch = tuple(group[start : start + limit])
            yield f"{prefix}:{','.join(argument_of(single) for single in batch)}", batch


def row_of(single: str) -> Topic | None:
    """Return the table's row for a single topic, None if the table has none.

    A name that may be a market is treated as one, because that route includes the pushes of a symbol's topic.
    """
    prefix, colon, argument = single.partition(":")
    fitting = [row for row in _BY_PREFIX.get(prefix, ()) if _fits(row, argument if colon else None)]
    return next((row for row in fitting if row.argument is Argument.MARKET), fitting[0] if fitting else None)


def argument_of(topic: str) -> str:
    """Return the part after the colon, "" without a colon."""
    return topic.partition(":")[2]


@lru_cache(maxsize=256)  # bounded, so that unsubscribed topics do not fill it
def symbol_of(single: str) -> str | None:
    """Return the symbol in a single topic, None if it names none, or if the table does not have the topic."""
    row = row_of(single)
    if row is None or row.argument not in _WITH_SYMBOL:
        return None
    argument = argument_of(single)
    return argument.rpartition("_")[0] if row.argument in _WITH_SUFFIX else argument


def payloads_of(topic: str) -> dict[str, type[Payload]]:
    """Return the structs of a topic by subject, "*" for any other subject; empty if the table has none."""
    return _PAYLOADS.get(topic.partition(":")[0], {})


def payload_class(topic: str | None, subject: str | None) -> type[Payload] | None:
    """Return the struct for a topic and subject, or None if the table has none."""
    if topic is None:
        return None
    found = payloads_of(topic)
    return found.get(subject or "*") or found.get("*")


def market_of(single: str) -> str:
    """Return the market whose service sends the topic.

    It is "spot" (also for margin) or "futures" in the classic feed, and "uta-spot", "uta-futures" or "uta" (private) in
    the UTA feed.
    """
    rows = _BY_PREFIX.get(single.partition(":")[0])
    if rows:
        return "spot" if rows[0].market == "margin" else rows[0].market
    return "futures" if single.startswith("/contract") else "spot"


def dialect_of(market: str) -> str:
    """Return the name of the dialect that the service of a market speaks."""
    return _DIALECTS[market]


def is_private(single: str) -> bool:
    """Return whether the topic needs an authorised connection."""
    rows = _BY_PREFIX.get(single.partition(":")[0], ())
    return bool(rows) and rows[0].private


def _check_channel(prefix: str) -> None:
    """Raise InvalidTopic unless a topic of the UTA feed is in the table."""
    if prefix in _BY_PREFIX:
        return
    known = {each.lower(): each for each in _BY_PREFIX if each.startswith(_UTA)}
    near = difflib.get_close_matches(prefix.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean {known[near[0]]}?" if near else f"there are {', '.join(sorted(known.values()))}"
    raise InvalidTopic(f"{prefix[:64]!r} is not a topic of the UTA feed; {hint}")


def _check(prefix: str, argument: str | None) -> bool:
    """Raise InvalidTopic unless `argument` may follow `prefix`; return True."""
    rows = _BY_PREFIX.get(prefix)
    if rows is None:
        if argument is not None and not _ANYTHING.fullmatch(argument):
            raise InvalidTopic(f"{prefix}:{argument[:64]} has an empty, overlong or unprintable part after the colon")
    elif not any(_fits(row, argument) for row in rows):
        raise InvalidTopic(_error_text(prefix, argument, rows))
    return True


def _error_text(prefix: str, argument: object, rows: tuple[Topic, ...]) -> str:
    takes = " or ".join(_EXAMPLES[row.argument] for row in rows)
    if argument is None:
        return f"{prefix} needs something after a colon: {takes}"
    hint = ""
    upper = argument.upper().replace("_INCREMENT@10MS", "_increment@10ms") if isinstance(argument, str) else argument
    if isinstance(upper, str) and argument != upper and any(_fits(row, upper) for row in rows):
        hint = f"; did you mean {upper}? KuCoin's names are in upper case; others get no messages"
    elif isinstance(argument, str) and any("{type}" in row.argument.value for row in rows):
        symbol, _, candle = argument.partition("_")
        close = (f"{symbol.upper()}_{type}" for type in difflib.get_close_matches(candle, CANDLE_TYPES))
        guess = next((guess for guess in close if any(_fits(row, guess) for row in rows)), None)
        hint = f"; did you mean {guess}?" if guess else ""
    other = _other_market(prefix)
    if not hint and isinstance(argument, str) and any(_fits(row, argument) for row in _BY_PREFIX.get(other, ())):
        hint = f"; did you mean {other}:{argument}?"
    shown = repr(argument)[:80]
    return f"{prefix} does not take {shown}: what follows the colon is {takes}{hint}"


def _other_market(prefix: str) -> str:
    """Return the prefix that a topic of the UTA feed has in the other market, "" in the classic feed."""
    name, _, market = prefix.rpartition(".")
    return f"{name}.{'FUTURES' if market == 'SPOT' else 'SPOT'}" if prefix.startswith(_UTA) else ""


def _fits(row: Topic, argument: str | None) -> bool:
    kind = row.argument
    if argument is None or kind is Argument.NONE:
        return argument is None and kind is Argument.NONE
    if kind is Argument.ALL:
        return argument == "all"
    if kind in (Argument.CANDLES, Argument.CONTRACT_CANDLES):
        symbol, _, candle = argument.rpartition("_")
        spot = kind is Argument.CANDLES
        return candle in (CANDLE_TYPES if spot else FUTURES_CANDLE_TYPES) and bool(
            (_SYMBOL if spot else _CONTRACT).fullmatch(symbol)
        )
    if kind in (Argument.DEPTH, Argument.CONTRACT_DEPTH):
        symbol, _, depth = argument.rpartition("_")
        return depth in UTA_DEPTHS and bool((_SYMBOL if kind is Argument.DEPTH else _CONTRACT).fullmatch(symbol))
    if kind is Argument.ANY_SYMBOL:
        return bool(_SYMBOL.fullmatch(argument) or _CONTRACT.fullmatch(argument))
    if kind is Argument.MARKET and argument.upper().rpartition("-")[2] in QUOTE_CURRENCIES and "-" in argument:
        return False
    return bool(_SHAPES[kind].fullmatch(argument))


_SHAPES = {
    Argument.SYMBOLS: _SYMBOL,
    Argument.SYMBOL: _SYMBOL,
    Argument.MARKET: _MARKET,
    Argument.CURRENCIES: _CURRENCY,
    Argument.CURRENCY: _CURRENCY,
    Argument.CONTRACT: _CONTRACT,
    Argument.CONTRACTS: _CONTRACT,
}
