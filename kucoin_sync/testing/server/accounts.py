"""The API keys that the server knows, and the check of a request's signature.

Source: KuCoin's REST documentation, "Authentication".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ...credentials import Credentials
from .refusals import RestRefused

__all__ = ["Accounts", "Keys"]

Keys = Credentials | Sequence[str] | Mapping[str, Sequence[str]]
"""One account as `Credentials` or (key, secret, passphrase), or several as {key: (secret, passphrase)}.

A mapping's value may have a third item, the id of the user; otherwise the key is the user's id.
"""

_NEEDED = ("kc-api-key", "kc-api-sign", "kc-api-timestamp", "kc-api-passphrase")
_TOLERANCE_MS = 5_000


class Accounts:
    """The accounts by API key. `user` is the id of the only user where `keys` is a single account."""

    def __init__(self, keys: Keys, user: str) -> None:
        if isinstance(keys, Mapping):
            rows = [
                (Credentials(key, *values[:2]), values[2] if len(values) > 2 else key) for key, values in keys.items()
            ]
        elif isinstance(keys, Credentials):
            rows = [(keys, user)]
        else:
            rows = [(Credentials(*keys), user)]
        self._by_key = {_header(row[0], "KC-API-KEY"): row for row in rows}

    def first(self) -> Credentials:
        """Return the credentials of the first account."""
        return next(iter(self._by_key.values()))[0]

    def user_of(self, headers: Mapping[str, str], method: str, target: str, body: str, now_ms: float) -> str:
        """Check a request's signature and return its user; the names in `headers` are in lower case.

        Raises:
            RestRefused: the signature is not valid; the error has KuCoin's code for the reason.
        """
        if not all(headers.get(name) for name in _NEEDED):
            raise RestRefused("400001")
        key, sign, timestamp, passphrase = (headers[name] for name in _NEEDED)
        if not timestamp.isdecimal() or abs(int(timestamp) - now_ms) > _TOLERANCE_MS:
            raise RestRefused("400002")
        if key not in self._by_key:
            raise RestRefused("400003")
        credentials, user = self._by_key[key]
        version = headers.get("kc-api-key-version", "1")
        if version not in ("1", "2", "3"):
            raise RestRefused("400009")
        # KuCoin accepts a signature over the query as sent and over the decoded query.
        signed = [credentials.sign(f"{timestamp}{method}{path}{body}") for path in (target, unquote(target))]
        if not any(_same(sign, right) for right in signed):
            raise RestRefused("400005")
        # A key of version 1 sends the passphrase in plain text.
        digest = credentials.sign(passphrase) if version == "1" else passphrase
        if not _same(digest, _header(credentials, "KC-API-PASSPHRASE")):
            raise RestRefused("400004")
        return user


def _header(credentials: Credentials, name: str) -> str:
    return credentials.headers(0, "GET", "/")[name]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
