"""The checked URLs of the UTA feed's servers: those of the arguments, of the environment, or KuCoin's."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from ..exceptions import ConnectionFailed
from ..protocol.uta import Hosts
from .rest import LOOPBACK, check_url

__all__ = ["chosen_hosts"]


def chosen_hosts(spot: str | None, futures: str | None, private: str | None) -> Hosts:
    """Return the URLs of the feed's servers; None means the URL of the environment, or else KuCoin's.

    A URL with `ws://` is accepted, because no other source than the user names it. The private one must then be of this
    machine: the login would be readable on the way.

    Raises:
        ConnectionFailed: a URL is malformed, or the private one is unencrypted.
    """
    given = {"uta_spot_url": spot, "uta_futures_url": futures, "uta_private_url": private}
    chosen = {name: url or os.environ.get(f"KUCOIN_SYNC_{name.upper()}") for name, url in given.items()}
    hosts = Hosts(*(url or usual for url, usual in zip(chosen.values(), Hosts(), strict=True)))
    for name, url in zip(given, hosts, strict=True):
        check_url(name, url, ("wss", "ws"))
    parts = urlsplit(hosts.private)
    if parts.scheme == "ws" and (parts.hostname or "").lower() not in LOOPBACK:
        raise ConnectionFailed(
            f"uta_private_url names an unencrypted endpoint on {parts.hostname}, which is refused: the login would be "
            "readable on the way",
            retriable=False,
        )
    return hosts
