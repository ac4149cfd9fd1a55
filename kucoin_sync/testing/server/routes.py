"""What a table of REST routes consists of: one row for each path of a service.

`rest` serves the tables of several modules: `history_routes` answers from the exchange what happened in the past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .state import Request

if TYPE_CHECKING:
    from ..exchange import Exchange

__all__ = ["ExchangeRoute", "ExchangeRoutes", "View"]


class View(NamedTuple):
    """The exchange, and the instant of its clock up to which an answer shows it.

    The instant is earlier than the exchange's own time where REST lags; see `Scripting.lag_rest`.
    """

    exchange: Exchange
    as_of_ns: int


class ExchangeRoute(NamedTuple):
    """How one path is answered from the exchange.

    Attributes:
        market: the service that has it, "spot" or "futures".
        signed: whether it needs a signature.
        pool, weight: the quota that a request uses, and how much of it.
        answer: returns the `data`, from the view, the request and the user who signed it. It raises RestRefused. It
            runs under the exchange's lock.
    """

    market: str
    signed: bool
    pool: str
    weight: int
    answer: Callable[[View, Request, str | None], Any]


#: By method and path.
ExchangeRoutes: TypeAlias = Mapping[tuple[str, str], ExchangeRoute]
