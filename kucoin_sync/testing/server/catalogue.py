"""The topics that the server has, and the parsing of the topics that clients send.

Like KuCoin, this is less strict than the client's grammar: any spelling of a symbol is accepted, and an unknown symbol
gets no messages. With a set of `symbols`, others are refused, as KuCoin did in 2019.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ...topics.grammar import argument_of, row_of
from ...topics.table import TABLE, Argument
from .refusals import Refused

__all__ = ["Catalogue"]

_SHAPE = re.compile(r"((?:/[A-Za-z][A-Za-z0-9]*){2,4})(?::([^:]+))?")
_NAME_SYMBOLS = (
    Argument.SYMBOLS, Argument.SYMBOL, Argument.CONTRACT, Argument.CANDLES, Argument.CONTRACT_CANDLES,
)  # fmt: skip


class _Family:
    """The topics of one prefix."""

    def __init__(self, market: str, private: bool, *, known: bool = True) -> None:
        self.market = market
        self.private = private
        self.known = known  # whether the prefix is in the topic table
        self.plain = not known  # whether the argument may be omitted
        self.argument = not known  # whether an argument is allowed


class Catalogue:
    """The topics of a server. Other threads may read it during a change, which replaces the mapping whole."""

    def __init__(self, symbols: Collection[str] | None = None) -> None:
        self._symbols = None if symbols is None else frozenset(symbols)
        self._families: dict[str, _Family] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the topics that were added."""
        families: dict[str, _Family] = {}
        for row in TABLE:
            if row.dialect != "classic":
                continue
            market = "futures" if row.market == "futures" else "spot"
            family = families.setdefault(row.prefix, _Family(market, row.private))
            if row.argument is Argument.NONE:
                family.plain = True
            else:
                family.argument = True
        self._families = families

    def allow(self, prefix: str, *, private: bool) -> None:
        """Add the topics of a prefix, with and without an argument."""
        market = "futures" if prefix.startswith("/contract") else "spot"
        self._families = {**self._families, prefix: _Family(market, private, known=False)}

    def singles(self, topic: object, market: str) -> tuple[str, ...]:
        """Return the single topics of a client's topic.

        Raises:
            Refused: the topic does not exist, or not on this service.
        """
        if topic is None or topic == "":
            raise Refused(406, "topic is required")
        if not isinstance(topic, str):
            raise Refused(400, "topic is invalid")
        shape = _SHAPE.fullmatch(topic)
        if shape is None:
            raise Refused(400, f"topic {topic} is invalid")
        prefix, arguments = shape.groups()
        family = self._families.get(prefix)
        if family is None:
            raise Refused(404, "topic does not exist")
        if family.market != market:
            raise Refused(404, f"topic {topic} is not found")
        if arguments is None:
            if not family.plain:
                raise Refused(400, f"topic {topic} is invalid")
            return (prefix,)
        names = arguments.split(",")
        if not family.argument or not all(names):
            raise Refused(400, f"topic {topic} is invalid")
        singles = tuple(dict.fromkeys(f"{prefix}:{name}" for name in names))
        if family.known and self._symbols is not None:
            for single in singles:
                if not self._is_traded(single, self._symbols):
                    raise Refused(404, f"topic {single} is not found")
        return singles

    @property
    def symbols(self) -> frozenset[str] | None:
        """The known symbols; None for any."""
        return self._symbols

    def is_private(self, topic: str) -> bool:
        """Return whether a topic, subscribed or pushed, is for authorised connections only."""
        family = self._families.get(topic.partition(":")[0])
        return family is not None and family.private

    @staticmethod
    def _is_traded(single: str, symbols: frozenset[str]) -> bool:
        row = row_of(single)
        if row is not None and row.argument not in _NAME_SYMBOLS:
            return True
        name = argument_of(single)
        if row is not None and row.argument in (Argument.CANDLES, Argument.CONTRACT_CANDLES):
            name = name.rpartition("_")[0]
        return name in symbols
