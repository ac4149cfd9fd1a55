"""Connect tokens: who may open a connection to which of the two services, and until when."""

from __future__ import annotations

import base64
import os
from typing import NamedTuple

from .refusals import Refused

__all__ = ["Grant", "Tokens"]


class Grant(NamedTuple):
    """What a token stands for. `user` is None for a public one; `expires` is an instant of the server's clock."""

    market: str
    user: str | None
    expires: float


class Tokens:
    """The tokens that a server gave out. Not thread-safe; the server's lock covers it."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._grants: dict[str, Grant] = {}

    def issue(self, market: str, user: str | None, now: float) -> str:
        """Return a new token."""
        # In the alphabet of KuCoin's own, "=" included: a client has to encode it for the URL.
        token = "2neAiuYvAU7" + base64.urlsafe_b64encode(os.urandom(49)).decode()
        self._grants[token] = Grant(market, user, now + self._lifetime)
        return token

    def check(self, token: str, market: str, now: float) -> Grant:
        """Return what a token grants.

        Raises:
            Refused: with 401; nobody gave it out, it is for the other service, or its time is over.
        """
        grant = self._grants.get(token)
        if grant is None or grant.market != market:
            raise Refused(401, "token is invalid")
        if now >= grant.expires:
            raise Refused(401, "token is expired")
        return grant

    def expire(self) -> None:
        """End the time of every token given out so far."""
        self._grants = {token: grant._replace(expires=float("-inf")) for token, grant in self._grants.items()}

    def clear(self) -> None:
        """Forget every token."""
        self._grants.clear()
