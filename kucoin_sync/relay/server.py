"""Where Redis is and how to get in: the one module that makes connections to it, and maps its errors.

The password stands in the URL and in the connections that are made with it, never in a text of ours.
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

_CONNECT = 2.0
_PATIENCE = 5.0
_SCHEMES = ("redis://", "rediss://", "unix://")

#: What a call to Redis may raise; the last two where another thread has closed the connection meanwhile.
BROKEN = (RedisError, OSError, AttributeError, ValueError)


class RedisServer:
    """A Redis as its URL names it: redis://, rediss:// (TLS) or unix://, with user and password where it needs them.

    Args:
        url: such as "rediss://user:password@host:6379/0".
        ca_certs: path of the authorities' certificates, for TLS with a private authority.

    Raises:
        ConnectionFailed: the URL is malformed.
    """

    def __init__(self, url: str, ca_certs: str | None = None) -> None:
        self._url = url
        self._ca_certs = ca_certs
        complaint = "" if url.startswith(_SCHEMES) else f"begins with none of {', '.join(_SCHEMES)}"
        try:
            options = self._pool().connection_kwargs
        except (ValueError, TypeError, AttributeError, RedisError):
            complaint = complaint or "is not of the form redis://user:password@host:port/number (rediss:// for TLS)"
        if complaint:
            raise ConnectionFailed(f"the URL of Redis {complaint}", retriable=False)
        verifying = options.get("ssl_cert_reqs", "required") in ("required", ssl.CERT_REQUIRED)
        if url.startswith("rediss://") and not (verifying and options["ssl_check_hostname"]):
            raise ConnectionFailed(
                "the URL of Redis switches the verification of certificates off, which is refused; name the private "
                "authority's certificates instead (ca_certs=, or ?ssl_ca_certs= in the URL)",
                retriable=False,
            )
        #: Host and port, or the socket's path: all that is ever shown.
        self.name: str = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"

    def __repr__(self) -> str:
        return f"<RedisServer {self.name}>"

    def client(self, closed: Callable[[], bool] = lambda: False, *, patience: float = _PATIENCE) -> redis.Redis:
        """Return a client that gives up on its own after `patience` seconds.

        From any thread `connection_pool.disconnect()` ends what it waits in; once `closed` says so it connects no more.
        """
        pool = self._pool()

        def connected(connection: Any) -> None:
            if closed():
                raise redis.ConnectionError("the connection is closed")
            connection.on_connect()

        pool.connection_kwargs.update(socket_timeout=patience, redis_connect_func=connected)
        return redis.Redis(connection_pool=pool)

    def failure(self, error: BaseException) -> ConnectionFailed:
        """Return what an error of redis-py means, without holding on to it."""
        told = str(error).split("\n", 1)[0].rstrip(".")[:300] or type(error).__name__
        if isinstance(error, AuthenticationError):
            return ConnectionFailed(
                f"Redis at {self.name} refused the user name or password of its URL: {told}", retriable=False
            )
        if isinstance(error, NoPermissionError) or "can't run this command" in told:
            return ConnectionFailed(
                f"Redis at {self.name} does not let this user do what the relay needs: {told}; see its ACL",
                retriable=False,
            )
        if _is_certificate(error):
            return ConnectionFailed(
                f"the certificate of Redis at {self.name} does not verify: {told}; name the private authority's "
                "certificates (ca_certs=)",
                retriable=False,
            )
        if isinstance(error, ResponseError):
            return ConnectionFailed(f"Redis at {self.name} answered with an error: {told}")
        return ConnectionFailed(f"Redis at {self.name} does not answer: {told}; check that it runs, and its URL")

    def _pool(self) -> redis.ConnectionPool:
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT,
            "protocol": 2,  # whose replies the scripts expect
            "retry": Retry(NoBackoff(), 0),  # who waits, and for how long, is decided in `backoff`
        }
        if self._url.startswith("rediss://"):
            options["ssl_check_hostname"] = True
            if self._ca_certs is not None:
                options["ssl_ca_certs"] = self._ca_certs
        pool = redis.ConnectionPool.from_url(self._url, **options)
        pool.connection_kwargs.update(protocol=2, decode_responses=False)  # whatever the URL says
        return pool


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
