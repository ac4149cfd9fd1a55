"""Answer REST requests: connect tokens, the time, snapshots of books, and the tables of routes of other modules.

A table of routes lists the paths of each service and whether they need a signature. Other paths get 404, in KuCoin's
envelope. Source: KuCoin's REST documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from .account_routes import ACCOUNT_ROUTES, order_by_id
from .accounts import Accounts
from .history_routes import HISTORY_ROUTES
from .limits import Clock, Quota, ServerLimits
from .refusals import RestRefused
from .routes import ExchangeRoute, View
from .scripting import Scripting
from .state import Request, State
from .tokens import Tokens

__all__ = ["Answer", "Books", "Rest", "refusal"]

_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """An HTTP answer with a JSON body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Books(NamedTuple):
    """The exchange behind the answers that are not scripted. Snapshots raise ValueError for an unknown symbol."""

    level2: Callable[[str, int | None], Mapping[str, Any]]
    level3: Callable[[str], Mapping[str, Any]]
    view: Callable[[float], AbstractContextManager[View]]


class _Route(NamedTuple):
    market: str  # "" for both
    signed: bool
    answer: Callable[[Rest, Request, str | None], Any]
    pool: str = ""
    weight: int = 0


class Rest:
    """The REST side of one server."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        limits: ServerLimits,
        accounts: Accounts,
        tokens: Tokens,
        script: Scripting,
        books: Books | None,
        instance_server: Callable[[str], dict[str, Any]],
    ) -> None:
        self._state = state
        self._clock = clock
        self._limits = limits
        self._accounts = accounts
        self._tokens = tokens
        self._script = script
        self._books = books
        self._instance_server = instance_server
        self._quotas: dict[tuple[str, str], Quota] = {}  # by pool and user; guarded by the state's lock

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request."""
        headers: dict[str, str] = {}
        try:
            headers = self._use_quota(("", ""), 1, self._limits.requests_per_30s)
            data = self._data(request, headers)
        except RestRefused as error:
            return refusal(error, headers | error.headers)
        return Answer(200, _encode({"code": "200000", "data": data}), headers)

    def reset_quota(self) -> None:
        """Forget the requests so far."""
        with self._state.lock:
            self._quotas.clear()

    def _data(self, request: Request, headers: dict[str, str]) -> Any:
        route = _ROUTES.get((request.method, request.path)) or _order_route(request)
        if route is None or route.market not in ("", request.market):
            raise RestRefused("404")
        user = None
        if route.signed:
            now_ms = self._clock.wall() * 1000
            user = self._accounts.user_of(request.headers, request.method, request.target, request.body, now_ms)
        if route.pool:
            limit = self._limits.weights_per_30s.get(route.pool)
            owner = "" if route.pool == "public" else user or ""
            headers |= self._use_quota((route.pool, owner), route.weight, limit)
        return route.answer(self, request, user)

    def _use_quota(self, pool: tuple[str, str], weight: int, limit: int | None) -> dict[str, str]:
        """Count a request; return the headers of the quota. Raise RestRefused, with them, if it is used up."""
        if limit is None:
            return {}
        with self._state.lock:
            quota = self._quotas.setdefault(pool, Quota(limit))
            headers, granted = quota.use(weight, self._clock.now())
        if not granted:
            raise RestRefused("429000", headers=headers)
        return headers

    def _from_exchange(self, route: ExchangeRoute, request: Request, user: str | None) -> Any:
        if self._books is None:
            raise RestRefused("900001")
        with self._books.view(self._script.rest_lag) as view:
            return route.answer(view, request, user)

    def _token(self, request: Request, user: str | None) -> dict[str, Any]:
        with self._state.lock:
            token = self._tokens.issue(request.market, user, self._clock.now())
        usual = self._instance_server(request.market)
        override = self._script.instance_servers
        servers = [usual] if override is None else [{**usual, **server} for server in override]
        return {"token": token, "instanceServers": servers}

    def _book(self, request: Request, depth: int | None, *, level3: bool = False) -> Any:
        symbol = request.query.get("symbol", "")
        if not symbol:
            raise RestRefused("400100", "symbol can not be empty")
        scripted = self._script.snapshot(request.path, symbol)
        if scripted is not None:
            return scripted
        if self._books is None:
            raise RestRefused("900001")
        try:
            return self._books.level3(symbol) if level3 else self._books.level2(symbol, depth)
        except ValueError:
            raise RestRefused("900001") from None


def refusal(error: RestRefused, headers: Mapping[str, str]) -> Answer:
    """Return the response of an error."""
    return Answer(error.status, _encode({"code": error.code, "msg": error.text}), headers)


def _level2(market: str, depth: int | None, *, signed: bool = False) -> _Route:
    return _Route(market, signed, lambda rest, request, user: rest._book(request, depth))


def _of_exchange(route: ExchangeRoute) -> _Route:
    def answer(rest: Rest, request: Request, user: str | None) -> Any:
        return rest._from_exchange(route, request, user)

    return _Route(route.market, route.signed, answer, route.pool, route.weight)


def _order_route(request: Request) -> _Route | None:
    """Return the route of a path that names an order, None for any other path."""
    route = order_by_id(request.market, request.path) if request.method == "GET" else None
    return None if route is None else _of_exchange(route)


_ROUTES = {
    ("POST", "/api/v1/bullet-public"): _Route("", False, Rest._token),
    ("POST", "/api/v1/bullet-private"): _Route("", True, Rest._token),
    ("GET", "/api/v1/timestamp"): _Route("", False, lambda rest, request, user: int(rest._clock.wall() * 1000)),
    ("GET", "/api/v3/market/orderbook/level2"): _level2("spot", None, signed=True),
    ("GET", "/api/v1/market/orderbook/level2_20"): _level2("spot", 20),
    ("GET", "/api/v1/market/orderbook/level2_100"): _level2("spot", 100),
    ("GET", "/api/v2/market/orderbook/level3"): _Route(
        "spot", False, lambda rest, request, user: rest._book(request, None, level3=True)
    ),
    ("GET", "/api/v1/level2/snapshot"): _level2("futures", None),
    ("GET", "/api/v1/level2/depth20"): _level2("futures", 20),
    ("GET", "/api/v1/level2/depth100"): _level2("futures", 100),
}
for _key, _row in {**HISTORY_ROUTES, **ACCOUNT_ROUTES}.items():
    _ROUTES[_key] = _of_exchange(_row)
