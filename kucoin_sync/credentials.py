"""API keys and request signatures. Secrets never appear in repr, pickles, logs or tracebacks.

Signature: PROTOCOL of KuCoin's REST API, "Authentication": `KC-API-SIGN` is the base64 of
HMAC-SHA256(secret, timestamp + METHOD + path-with-query + body), and with key version 2 and later the
passphrase is sent as base64 of HMAC-SHA256(secret, passphrase).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any, NoReturn

from .exceptions import AuthenticationError

__all__ = ["Credentials"]


class Credentials:
    """An API key, its secret and its passphrase.

    Surrounding white space is removed, such as the line break at the end of a file.

    Args:
        key, secret: as KuCoin shows them when the key is made.
        passphrase: the one chosen then.
        key_version: `KC-API-KEY-VERSION`, "2" or "3" (same algorithm).

    Raises:
        AuthenticationError: a part is empty or not text.
    """

    __slots__ = ("_key", "_passphrase", "_secret", "key_version")

    def __init__(self, key: str, secret: str, passphrase: str, *, key_version: str = "3") -> None:
        values = [_stripped(value) for value in (key, secret, passphrase)]
        for name, value in zip(("key", "secret", "passphrase"), values, strict=True):
            if not value:
                raise AuthenticationError(
                    f"the API {name} is empty or not text; Credentials() needs key, secret and passphrase"
                )
            if not value.isascii() or not value.isprintable():
                named = ", such as a line break" if len(value.splitlines()) > 1 else ""
                raise AuthenticationError(
                    f"the API {name} contains characters that can't be sent in an HTTP header{named}; copy it again"
                )
        if key_version not in ("2", "3"):
            raise AuthenticationError(f"key_version is {key_version!r}; KuCoin knows '2' and '3'")
        self._key = values[0]
        self._secret = values[1].encode()
        self._passphrase = self.sign(values[2])
        self.key_version = key_version

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Credentials | None:
        """Read KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE; return None if none of them is set.

        Raises:
            AuthenticationError: only some of the three are set; the text names the missing ones.
        """
        environ = os.environ if environ is None else environ
        names = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE")
        values = [_stripped(environ.get(name)) for name in names]
        if not any(values):
            return None
        missing = [name for name, value in zip(names, values, strict=True) if not value]
        if missing:
            raise AuthenticationError(f"{' and '.join(missing)} not set; all three of {', '.join(names)} are needed")
        return cls(*values)

    def headers(self, timestamp_ms: int, method: str, path: str, body: str = "") -> dict[str, str]:
        """Return the five KC-API headers for one request; `path` includes the query."""
        return _Unshown(
            {
                "KC-API-KEY": self._key,
                "KC-API-SIGN": self.sign(f"{timestamp_ms}{method}{path}{body}"),
                "KC-API-TIMESTAMP": str(timestamp_ms),
                "KC-API-PASSPHRASE": self._passphrase,
                "KC-API-KEY-VERSION": self.key_version,
            }
        )

    def sign(self, text: str) -> str:
        """Return base64(HMAC-SHA256(secret, text))."""
        return base64.b64encode(hmac.new(self._secret, text.encode(), hashlib.sha256).digest()).decode()

    def __repr__(self) -> str:
        return "Credentials(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        mine, theirs = (self._key, self._passphrase), (other._key, other._passphrase)
        return mine == theirs and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Credentials can't be pickled: read them from the environment in the other process instead")


def _stripped(value: object) -> str:
    """Return a text without surrounding white space and byte order marks; "" if it is not a text."""
    return value.strip().strip("\ufeff").strip() if isinstance(value, str) else ""


class _Unshown(dict[str, str]):
    """Headers with a `repr` that hides them from tools that report errors with the values of variables."""

    def __repr__(self) -> str:
        return "{***}"
