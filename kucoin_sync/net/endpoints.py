"""The checked URLs of KuCoin's servers: those of the arguments, of the environment, or KuCoin's own."""

from __future__ import annotations

import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..exceptions import ConnectionFailed
from ..protocol.uta import Hosts

__all__ = ["Endpoints", "chosen_hosts"]

_SPOT = "https://api.kucoin.com"
_FUTURES = "https://api-futures.kucoin.com"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # the names of this machine


class Endpoints(NamedTuple):
    """The base URLs of REST for spot and futures, and further hosts to which a connect token may be sent."""

    spot: str
    futures: str
    allowed_hosts: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, spot: str | None, futures: str | None, allowed_hosts: tuple[str, ...] = ()) -> Endpoints:
        """Return endpoints; None means the URL of the environment, or else the one of KuCoin's global site.

        Raises:
            ConnectionFailed: a URL is not of the form https://host.
        """
        spot = _chosen("rest_url", spot, _SPOT, "https", "http")
        futures = _chosen("futures_rest_url", futures, _FUTURES, "https", "http")
        return cls(spot.rstrip("/"), futures.rstrip("/"), tuple(host.strip().lower() for host in allowed_hosts))

    def of(self, market: str) -> str:
        """Return the base URL of "spot" or "futures"."""
        return self.futures if market == "futures" else self.spot

    def checked_endpoint(self, market: str, endpoint: str) -> str:
        """Return a WebSocket URL in its usual spelling. Raise ConnectionFailed unless a token may be sent to it."""
        base = urlsplit(self.of(market))
        parts = _parts("the endpoint", endpoint, "wss", "ws")
        host, home = (parts.hostname or "").lower(), (base.hostname or "").lower()
        if parts.scheme == "ws" and base.scheme != "http":
            raise ConnectionFailed(
                f"KuCoin's answer names an unencrypted endpoint on {host}, which is refused", retriable=False
            )
        if host not in (home, *self.allowed_hosts) and not _share_domain(host, home):
            raise ConnectionFailed(
                f"KuCoin's answer names an endpoint on {host}, outside the domain of {home}, which is refused; "
                "if it is right, pass allowed_hosts=[...] to Stream",
                retriable=False,
            )
        return str(parts.geturl())


def chosen_hosts(spot: str | None, futures: str | None, private: str | None) -> Hosts:
    """Return the URLs of the UTA feed's servers; None means the URL of the environment, or else KuCoin's.

    A URL with `ws://` is accepted, because no other source than the user names it. The private one must then be of this
    machine: the login would be readable on the way.

    Raises:
        ConnectionFailed: a URL is malformed, or the private one is unencrypted.
    """
    given = zip(Hosts._fields, (spot, futures, private), Hosts(), strict=True)
    hosts = Hosts(*(_chosen(f"uta_{name}_url", url, usual, "wss", "ws") for name, url, usual in given))
    parts = urlsplit(hosts.private)
    if parts.scheme == "ws" and (parts.hostname or "").lower() not in _LOOPBACK:
        raise ConnectionFailed(
            f"uta_private_url names an unencrypted endpoint on {parts.hostname}, which is refused: the login would be "
            "readable on the way",
            retriable=False,
        )
    return hosts


def _chosen(name: str, given: str | None, usual: str, *schemes: str) -> str:
    """Return the given URL, that of the environment, or the usual one; raise ConnectionFailed if it is unusable."""
    url = _stripped(given) or _stripped(os.environ.get(f"KUCOIN_SYNC_{name.upper()}")) or usual
    _parts(name, url, *schemes)
    return url


def _stripped(url: Any) -> Any:
    """Return a URL without the white space at its ends, such as the line break of a file that it was read from."""
    return url.strip() if isinstance(url, str) else url


def _parts(name: str, url: object, *schemes: str) -> Any:
    """Return the parts of a URL. Raise ConnectionFailed, which shows at most its host, if it is unusable."""
    shown = "not shown" if "@" in repr(url) else repr(url)[:80]
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.scheme in schemes and parts.hostname and "@" not in parts.netloc and parts.port != 0:
            return parts
        if parts.hostname:
            shown = f"{parts.scheme}://{parts.hostname}"
    except ValueError:
        pass  # a part of it is malformed
    raise ConnectionFailed(
        f"{name} ({shown}) is not a URL of the form {schemes[0]}://host without user name and password", retriable=False
    )


def _share_domain(host: str, home: str) -> bool:
    """Return whether two hosts share a domain: both are below the parent domain of `home`, or both are this machine."""
    if home in _LOOPBACK:
        return host in _LOOPBACK
    labels = home.split(".")
    if all(label.isdigit() for label in labels) or ":" in home:
        return False  # an IP address has no domain
    return host.endswith("." + ".".join(labels[1:] if len(labels) > 2 else labels))
