"""Answer REST requests: connect tokens, the time, and snapshots of books.

The table of routes lists the paths of each service and whether they need a signature. Other paths get 404, in KuCoin's
envelope. Source: KuCoin's REST documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from .accounts import Accounts
from .limits import Clock, ServerLimits
from .refusals import RestRefused
from .scripting import Scripting
from .state import Request, State
from .tokens import Tokens

__all__ = ["Answer", "Books", "Rest", "refusal"]

_QUOTA_PERIOD = 30.0
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """An HTTP answer with a JSON body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Books(NamedTuple):
    """The source of snapshots that are not scripted; both functions raise ValueError for an unknown symbol."""

    level2: Callable[[str, int | None], Mapping[str, Any]]
    level3: Callable[[str], Mapping[str, Any]]


class _Route(NamedTuple):
    market: str  # "" for both
    signed: bool
    answer: Callable[[Rest, Request, str | None], Any]


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
        self._limit = limits.requests_per_30s
        self._accounts = accounts
        self._tokens = tokens
        self._script = script
        self._books = books
        self._instance_server = instance_server
        self._quota_ends = float("-inf")  # guarded by the state's lock, as is `_used`
        self._used = 0

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request."""
        headers, granted = self._use_quota()
        try:
            if not granted:
                raise RestRefused("429000")
            data = self._data(request)
        except RestRefused as error:
            return refusal(error, headers)
        return Answer(200, _encode({"code": "200000", "data": data}), headers)

    def reset_quota(self) -> None:
        """Forget the requests so far."""
        with self._state.lock:
            self._quota_ends = float("-inf")

    def _data(self, request: Request) -> Any:
        route = _ROUTES.get((request.method, request.path))
        if route is None or route.market not in ("", request.market):
            raise RestRefused("404")
        user = None
        if route.signed:
            now_ms = self._clock.wall() * 1000
            user = self._accounts.user_of(request.headers, request.method, request.target, request.body, now_ms)
        return route.answer(self, request, user)

    def _use_quota(self) -> tuple[dict[str, str], bool]:
        """Count a request; return the headers of the quota, and whether the request is within it."""
        if self._limit is None:
            return {}, True
        with self._state.lock:
            now = self._clock.now()
            if now >= self._quota_ends:
                self._quota_ends = now + _QUOTA_PERIOD
                self._used = 0
            self._used += 1
            headers = {
                "gw-ratelimit-limit": str(self._limit),
                "gw-ratelimit-remaining": str(max(0, self._limit - self._used)),
                "gw-ratelimit-reset": str(int((self._quota_ends - now) * 1000)),
            }
            return headers, self._used <= self._limit

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
