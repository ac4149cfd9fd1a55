"""The topics that the commands of UTA clients name, and the refusal of commands that name none.

A topic has the client's form, such as "/uta/obu.SPOT:BTC-USDT_5". Sources: KuCoin's documentation; the texts of
refusals are observed, except those of the private service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ...topics.table import CANDLE_TYPES
from .refusals import Refused

__all__ = ["FUTURES", "INCREMENT", "INVALID", "PRIVATE", "SPOT", "singles_of"]

SPOT, FUTURES, PRIVATE = "uta-spot", "uta-futures", "uta"
INCREMENT = "increment@10ms"
_DEPTHS = ("1", "5", "50", "increment", INCREMENT)

INVALID = Refused(400, "invalid request data")
_TRADE_TYPES = {SPOT: ("SPOT",), FUTURES: ("FUTURES",), PRIVATE: ("UNIFIED",)}
_ACCOUNTS = ("UNIFIED", "SPOT", "ISOLATED", "CROSS", "FUTURES")

Message = Mapping[str, Any]


class _Channel(NamedTuple):
    """One channel. `detail` returns what follows the symbol in the topic."""

    markets: tuple[str, ...]
    symbols: str = "one"  # "one", "many" or "none"
    typed: bool = True  # whether the command has a `tradeType`
    types: tuple[str, ...] = ()  # trade types other than those of the service
    detail: Callable[[Message], str] = lambda message: ""


def _interval(message: Message) -> str:
    interval = message.get("interval")
    if interval not in CANDLE_TYPES:
        raise INVALID
    return f"_{interval}"


def _depth(message: Message) -> str:
    depth = message.get("depth")
    if str(depth) not in _DEPTHS or message.get("rpiFilter") not in (None, 0, "0"):
        raise INVALID  # this server has no orders outside of the usual book, which rpiFilter 1 asks for
    return f"_{depth}"


_BOTH = (SPOT, FUTURES)
_CHANNELS = {
    "ticker": _Channel(_BOTH, "many"),
    "trade": _Channel(_BOTH),
    "kline": _Channel(_BOTH, detail=_interval),
    "obu": _Channel(_BOTH, detail=_depth),
    "mark-price": _Channel((FUTURES,), typed=False),
    "funding-fee": _Channel((FUTURES,), "many", typed=False),
    "funding-fee-all-symbols": _Channel((FUTURES,), "none", typed=False),
    "callAuctionInfo": _Channel((SPOT,), typed=False),
    "orderAll": _Channel((PRIVATE,), "none"),
    "order": _Channel((PRIVATE,)),
    "execution": _Channel((PRIVATE,), "none"),
    "execution.lite": _Channel((PRIVATE,), "none", types=_ACCOUNTS),
    "balance": _Channel((PRIVATE,), "none", types=("UNIFIED", "FUNDING", "ISOLATED")),
    "positionAll": _Channel((PRIVATE,), "none", types=("UNIFIED", "FUTURES")),
    "position": _Channel((PRIVATE,), types=("UNIFIED", "FUTURES")),
    "leverage": _Channel((PRIVATE,), "none"),
    "lw": _Channel((PRIVATE,), "none"),
}  # fmt: skip


def singles_of(message: Message, market: str, traded: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the single topics of a subscribe or unsubscribe command.

    Args:
        traded: the known symbols; None for any, as KuCoin does.

    Raises:
        Refused: the command names no topic, or one of another service.
    """
    name = message.get("channel")
    channel = _CHANNELS.get(name) if isinstance(name, str) else None
    if channel is None or not isinstance(name, str):
        raise INVALID
    kind = _kind(name, channel, message, market)
    prefix = f"/uta/{name}.{kind}" if kind else f"/uta/{name}"
    if channel.symbols == "none":
        return (prefix,)
    symbols = _symbols(name, channel, message)
    if traded is not None and any(symbol not in traded for symbol in symbols):
        raise INVALID
    detail = channel.detail(message)
    return tuple(dict.fromkeys(f"{prefix}:{symbol}{detail}" for symbol in symbols))


def _kind(name: str, channel: _Channel, message: Message, market: str) -> str:
    """Return the part of the topic between channel and symbol; check that the service has the channel."""
    if not channel.typed:
        if market not in channel.markets:
            raise _misplaced(name, "spot" if SPOT in channel.markets else "futures")
        return ""
    kind = message.get("accountType" if name == "balance" else "tradeType")
    if not isinstance(kind, str):
        raise INVALID
    if market in channel.markets and kind in (channel.types or _TRADE_TYPES[market]):
        return kind
    if PRIVATE in channel.markets and market == PRIVATE:
        raise INVALID
    raise _misplaced(name, "private" if PRIVATE in channel.markets else kind)


def _misplaced(name: str, kind: str) -> Refused:
    shown = name[0].upper() + name[1:]
    scope = "private" if kind == "private" else f"public_{kind.lower()}"
    return Refused(400, f'topic {shown} type = "{scope}" not allowed in current environment', "reason")


def _symbols(name: str, channel: _Channel, message: Message) -> tuple[str, ...]:
    several = message.get("symbols")
    if several is None:
        symbol = message.get("symbol")
        if not isinstance(symbol, str) or not symbol:
            raise INVALID
        return (symbol,)
    if channel.symbols != "many":
        raise Refused(400, f"symbols are not supported for topic {name}", "reason")
    if not isinstance(several, list) or not several or not all(isinstance(one, str) and one for one in several):
        raise INVALID
    return tuple(several)
