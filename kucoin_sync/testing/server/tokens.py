"""Connect tokens: each allows connections of one user to one service until it expires."""

from __future__ import annotations

import base64
import os
from typing import NamedTuple

from .refusals import Refused

__all__ = ["Grant", "Tokens"]


class Grant(NamedTuple):
    """The rights of a token. `user` is None for a public token; `expires` is an instant on the server's clock."""

    market: str
    user: str | None
    expires: float


class Tokens:
    """The issued tokens of a server. Not thread-safe; the server's lock guards it."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._grants: dict[str, Grant] = {}

    def issue(self, market: str, user: str | None, now: float) -> str:
        """Return a new token."""
        # KuCoin's alphabet includes "=", so that a client must encode the token for the URL.
        token = "2neAiuYvAU7" + base64.urlsafe_b64encode(os.urandom(49)).decode()
        self._grants[token] = Grant(market, user, now + self._lifetime)
        return token

    def check(self, token: str, market: str, now: float) -> Grant:
        """Return what a token grants.

        Raises:
            Refused: with 401; the token is unknown, for the other service, or expired.
        """
        grant = self._grants.get(token)
        if grant is None or grant.market != market:
            raise Refused(401, "token is invalid")
        if now >= grant.expires:
            raise Refused(401, "token is expired")
        return grant

    def expire(self) -> None:
        """Let every token issued so far expire."""
        self._grants = {token: grant._replace(expires=float("-inf")) for token, grant in self._grants.items()}

    def clear(self) -> None:
        """Forget every token."""
        self._grants.clear()
