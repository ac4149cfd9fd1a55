"""A client of KuCoin's REST API, for connect tokens, snapshots and the time. The only module that imports requests.

requests does HTTP over connections that `dial` makes. So a request can be cancelled, has one deadline for all its
steps, and verifies certificates as the feed does. Redirects are never followed. The settings of requests in netrc and
in the environment are not used. Errors do not contain any part of a request but its method, path and host.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..internal.foreign import file_at_fault, other_module

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
except OSError as error:  # some versions of requests read certifi's file when they are imported
    raise ImportError(
        f"requests can't be imported, because a file can't be read ({error}); reinstall certifi, or, in a frozen "
        "program, pack its file cacert.pem"
    ) from error
except ImportError as error:
    if (error.name or "").startswith("requests."):  # the module requests is not a package
        raise ImportError(other_module("requests", "requests")) from error
    raise
except (Exception, SystemExit) as error:  # of a module that has the name of one that requests imports
    raise ImportError(
        f"requests can't be imported, because {file_at_fault(error)} raises {type(error).__name__}: rename it where it "
        "is your own file; else reinstall the package that has it"
    ) from error

from ..credentials import Credentials
from ..exceptions import KEY_NEEDED, AuthenticationError, ConnectionFailed, RestError
from ..internal.guard import log
from ..internal.resources import shortage_error
from ..protocol.dialect import Dialect, Server
from .dial import dial, proxy_for
from .endpoints import Endpoints
from .rest_response import RestResponse
from .socket import CancellableSocket
from .waker import Waker

__all__ = ["Rest", "default_context"]

_CHECK = "check the REST URL, firewall and proxy"
_BODY_BYTES = 32 * 1024 * 1024


class Rest:
    """A REST client. One thread owns it; other threads cancel its requests through `waker`.

    Args:
        context: returns the TLS context; called for each new https connection.
        timeout: seconds for a whole request.
        clock: returns the wall clock's time, in seconds since 1970.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        waker: Waker,
        credentials: Credentials | None = None,
        context: Callable[[], ssl.SSLContext],
        proxy: str | None = None,
        timeout: float = 10.0,
        user_agent: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoints = endpoints
        self._waker = waker
        self._credentials = credentials
        self._context = context
        self._proxy = proxy
        self._timeout = timeout
        self._clock = clock
        self._clock_offset = 0.0  # server time minus our time, in seconds; measured when a timestamp was refused
        self.deadline = 0.0  # of the current request, in monotonic seconds
        self._waiting_for = ""  # the `Step.missing` of the current request, once it is connected
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = user_agent or requests.utils.default_user_agent()
        self._session.mount("http://", _Adapter(self))
        self._session.mount("https://", _Adapter(self))

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def servers(self, dialect: Dialect, market: str, *, private: bool) -> tuple[Server, ...]:
        """Return the servers for a connection of "spot" or "futures"; fetch a fresh connect token if one is needed.

        Raises:
            AuthenticationError, RestError, TokenError (no connect token came), ConnectionFailed, Cancelled.
        """
        path = dialect.token_path(private=private)
        if path is None:
            return tuple(dialect.servers(market, private=private))
        # The answer has a secret in it, which the variables of a traceback must not show.
        servers = dialect.servers(market, private=private, token=self.call(market, "POST", path, signed=private))
        checked = self._endpoints.checked_endpoint
        return tuple(server._replace(endpoint=checked(market, server.endpoint)) for server in servers)

    def server_time(self, market: str = "spot") -> float:
        """Return the time of KuCoin's clock, in seconds since 1970 (GET /api/v1/timestamp)."""
        milliseconds = self.call(market, "GET", "/api/v1/timestamp")
        if not isinstance(milliseconds, int):
            raise RestError("200000", f"an invalid timestamp: {milliseconds!r:.80}", where="/api/v1/timestamp")
        return milliseconds / 1000

    def correct_clock(self, market: str) -> None:
        """Measure how far this machine's clock is from KuCoin's; sign by KuCoin's clock from now on."""
        self._clock_offset = self.server_time(market) - self._clock()

    def clock_ms(self) -> int:
        """Return the time to sign with, in milliseconds since 1970."""
        return int((self._clock() + self._clock_offset) * 1000)

    def call(
        self, market: str, method: str, path: str, query: dict[str, str] | None = None, *, signed: bool = False
    ) -> Any:
        """Send a request; return the `data` of KuCoin's response.

        If the timestamp of a signed request is refused, the request is sent once more, signed by the server's clock.

        Raises:
            AuthenticationError, RestError, ConnectionFailed, Cancelled.
        """
        resource = f"{path}?{urlencode(query)}" if query else path
        if not signed:
            return self._request(market, method, resource)
        if self._credentials is None:
            raise AuthenticationError(f"{path} needs an API key; {KEY_NEEDED}")
        try:
            return self._request(market, method, resource, self._credentials)
        except AuthenticationError as error:
            if error.code != "400002":
                raise
        self.correct_clock(market)
        try:
            return self._request(market, method, resource, self._credentials)
        except AuthenticationError as error:
            if error.code != "400002":
                raise
            raise AuthenticationError(
                f"KuCoin refuses the timestamp of {path}, also by its own clock, from which this machine's differs "
                f"by {-self._clock_offset:+.1f} s: set this machine's clock (code 400002)",
                code="400002",
            ) from None

    def _request(self, market: str, method: str, resource: str, credentials: Credentials | None = None) -> Any:
        """Send a request, signed if there are credentials; return the `data` of KuCoin's response."""
        headers = {} if credentials is None else credentials.headers(self.clock_ms(), method, resource)
        self.deadline = time.monotonic() + self._timeout
        url = self._endpoints.of(market) + resource
        where = f"{method} {resource.partition('?')[0]}"
        kind = "the token request" if "/bullet-" in resource else "the request"
        self._waiting_for = f"{kind} {where} was not answered by {urlsplit(url).netloc}"
        self._waker.begin(self._waiting_for, _CHECK)
        try:
            with self._session.request(method, url, headers=headers, allow_redirects=False, stream=True) as response:
                answer = RestResponse(response.status_code, response.headers, _body(response, where))
                return answer.data(where, self._clock())
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            missing, reason = shortage_error(error, where), _first_reason(error)
        finally:
            self._waker.step = None
        # Raised outside of `except`: its cause would hold the request with its signature.
        raise missing or ConnectionFailed(
            f"{where} at {urlsplit(url).hostname} failed ({reason}); check the network and the URL"
        )

    def connect(self, host: str, port: int, *, secure: bool) -> CancellableSocket:
        """Return a connection for the current request."""
        context = self._context() if secure else None
        proxy = proxy_for(host, secure=secure, proxy=self._proxy)
        made = dial(host, port, context=context, proxy=proxy, waker=self._waker, deadline=self.deadline)
        self._waker.begin(self._waiting_for, _CHECK)
        return made


def default_context() -> ssl.SSLContext:
    """Return a TLS context that verifies certificates.

    It trusts the authorities of the system (OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR), of certifi, and of
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE. Unreadable files are left out. The error for a certificate that does not
    verify names them.

    Raises:
        ConnectionFailed: no authority can be loaded.
    """
    context = ssl.create_default_context()
    loaded = False
    named = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    for path in filter(None, (requests.utils.DEFAULT_CA_BUNDLE_PATH, *named)):
        try:
            folder = os.path.isdir(path)
            context.load_verify_locations(capath=path) if folder else context.load_verify_locations(cafile=path)
            loaded = True
        except OSError as error:
            log(logging.WARNING, "the certificate authorities in %s can't be read: %s", path, error)
    if not loaded and not context.cert_store_stats()["x509_ca"] and not _has_folder_of_authorities():
        raise ConnectionFailed(
            "no certificate authority is known, so that no TLS certificate can be verified: the system has none, and "
            f"certifi's file {requests.utils.DEFAULT_CA_BUNDLE_PATH} can't be read; reinstall certifi, set "
            "SSL_CERT_FILE to a file of authorities, or pass ssl_context=",
            retriable=False,
        )
    return context


def _has_folder_of_authorities() -> bool:
    """Return whether OpenSSL has a folder of authorities; it loads them from there when needed."""
    folder = ssl.get_default_verify_paths().capath
    try:
        return folder is not None and bool(os.listdir(folder))
    except OSError:
        return False


class _Adapter(HTTPAdapter):
    """A requests adapter whose connections are made by `Rest.connect` and wait until `Rest.deadline`."""

    poolmanager: urllib3.PoolManager

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        super().__init__(max_retries=0)

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Do nothing: `dial` verifies certificates."""

    def close(self) -> None:
        # urllib3 leaves closing sockets to the garbage collector. A kept traceback can delay that for long.
        for key in list(self.poolmanager.pools.keys()):
            self.poolmanager.pools[key].close()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool_class(urllib3.HTTPConnectionPool, self._rest),
            "https": _pool_class(urllib3.HTTPSConnectionPool, self._rest),
        }


def _pool_class(base: Any, rest: Rest) -> Any:
    """Return a class of connection pools like `base`, whose connections `rest` makes."""
    secure = base.scheme == "https"

    class RestConnection(base.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            self.sock = rest.connect(self.host, self.port, secure=secure)
            self.is_verified = secure

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                self.sock.deadline = rest.deadline
            super().request(*args, **kwargs)

    class Pool(base):  # type: ignore[misc]
        ConnectionCls = RestConnection

    return Pool


def _body(response: requests.Response, where: str) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(65536):
        body += chunk
        if len(body) > _BODY_BYTES:
            raise RestError(str(response.status_code), f"an answer of more than {_BODY_BYTES} bytes", where=where)
    return bytes(body)


def _first_reason(error: BaseException) -> str:
    """Return the class and system text of the innermost error; they contain no part of the request."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    strerror = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {strerror}" if strerror else type(error).__name__
