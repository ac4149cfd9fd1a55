"""Connect to Redis and translate its errors; no other module does either.

The password is in the URL and in redis-py's connections. No text of this package contains it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from ..exceptions import ConnectionFailed

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
    from redis.retry import Retry
except ImportError:
    raise ImportError("the relay needs redis-py: pip install 'kucoin-sync[redis]'") from None

__all__ = ["BROKEN", "RedisServer"]

_CONNECT_TIMEOUT = 2.0
_SOCKET_TIMEOUT = 5.0
_SCHEMES = ("redis://", "rediss://", "unix://")

#: The exceptions of a call to Redis. The last two occur if another thread closes the connection meanwhile.
BROKEN = (RedisError, OSError, AttributeError, ValueError)


class RedisServer:
    """The address of a Redis server, with its user and password if it needs them.

    Args:
        url: redis://, rediss:// (TLS) or unix://, such as "rediss://user:password@host:6379/0".
        ca_certs: path of the authorities' certificates, for TLS with a private authority.

    Raises:
        ConnectionFailed: the URL is malformed.
    """

    def __init__(self, url: str, ca_certs: str | None = None) -> None:
        self._url = url
        self._ca_certs = ca_certs
        problem = "" if url.startswith(_SCHEMES) else f"begins with none of {', '.join(_SCHEMES)}"
        try:
            options = self._pool().connection_kwargs
        except (ValueError, TypeError, AttributeError, RedisError):
            problem = problem or "is not of the form redis://user:password@host:port/number (rediss:// for TLS)"
        if problem:
            raise ConnectionFailed(f"the URL of Redis {problem}", retriable=False)
        verifying = options.get("ssl_cert_reqs", "required") in ("required", ssl.CERT_REQUIRED)
        if url.startswith("rediss://") and not (verifying and options["ssl_check_hostname"]):
            raise ConnectionFailed(
                "the URL of Redis switches the verification of certificates off, which is refused; name the private "
                "authority's certificates instead (ca_certs=, or ?ssl_ca_certs= in the URL)",
                retriable=False,
            )
        #: Host and port, or the socket's path. Texts show only this, never the URL.
        self.name: str = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"

    def __repr__(self) -> str:
        return f"<RedisServer {self.name}>"

    def client(self, closed: Callable[[], bool] = lambda: False, *, timeout: float = _SOCKET_TIMEOUT) -> redis.Redis:
        """Return a client whose calls time out after `timeout` seconds.

        `connection_pool.disconnect()` interrupts its calls from any thread. It opens no connection while `closed`
        returns True.
        """
        pool = self._pool()

        def on_connect_unless_closed(connection: Any) -> None:
            if closed():
                raise redis.ConnectionError("the connection is closed")
            connection.on_connect()

        pool.connection_kwargs.update(socket_timeout=timeout, redis_connect_func=on_connect_unless_closed)
        return redis.Redis(connection_pool=pool)

    def failure(self, error: BaseException) -> ConnectionFailed:
        """Translate an error of redis-py; the result does not refer to that error."""
        text = str(error).split("\n", 1)[0].rstrip(".")[:300] or type(error).__name__
        if isinstance(error, AuthenticationError):
            return ConnectionFailed(
                f"Redis at {self.name} refused the user name or password of its URL: {text}", retriable=False
            )
        if isinstance(error, NoPermissionError) or "can't run this command" in text:
            return ConnectionFailed(
                f"Redis at {self.name} does not let this user do what the relay needs: {text}; see its ACL",
                retriable=False,
            )
        if _is_certificate(error):
            return ConnectionFailed(
                f"the certificate of Redis at {self.name} does not verify: {text}; name the private authority's "
                "certificates (ca_certs=)",
                retriable=False,
            )
        if isinstance(error, ResponseError):
            return ConnectionFailed(f"Redis at {self.name} answered with an error: {text}")
        return ConnectionFailed(f"Redis at {self.name} does not answer: {text}; check that it runs, and its URL")

    def _pool(self) -> redis.ConnectionPool:
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT_TIMEOUT,
            "protocol": 2,  # the scripts expect replies of this version
            "retry": Retry(NoBackoff(), 0),  # the callers retry, with `internal.backoff`
        }
        if self._url.startswith("rediss://"):
            options["ssl_check_hostname"] = True
            if self._ca_certs is not None:
                options["ssl_ca_certs"] = self._ca_certs
        pool = redis.ConnectionPool.from_url(self._url, **options)
        pool.connection_kwargs.update(protocol=2, decode_responses=False)  # overrides options in the URL
        return pool


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
