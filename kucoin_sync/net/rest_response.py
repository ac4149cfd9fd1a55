"""Read REST responses: their data, or an error that says whether and when to ask again.

A response is KuCoin's if it is a JSON object with a code, whatever its HTTP status. All other responses come from
something in between, such as a proxy or a content delivery network.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Any

import msgspec

from ..exceptions import KEY_REMEDIES, AuthenticationError, RestError

__all__ = ["RATE_CODES", "RestResponse"]

_MAX_RETRY_AFTER = 3600.0  # seconds
#: Codes of a `RestError` that ask to slow down: KuCoin's codes, and HTTP statuses of other responses.
RATE_CODES = ("429000", "200002", "1015", "429")


class RestResponse:
    """One REST response. Its repr shows no content, because that may be a connect token.

    Args:
        status: the HTTP status.
        headers: the HTTP headers; looked up by their usual spelling.
        body: the body, without transfer encodings.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._status = status
        self._headers = headers
        self._code: str | None = None  # KuCoin's code, None if the response is not KuCoin's
        try:
            envelope = msgspec.json.decode(body)
            self._code = str(msgspec.convert(envelope["code"], str | int))
        except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, KeyError):
            self._beginning = body[:100].partition(b"token")[0]
        else:
            self._message = str(envelope.get("msg", ""))[:300]
            self._data = envelope.get("data")

    def data(self, where: str, now: float) -> Any:
        """Return the data, None if there is none.

        Args:
            where: method and path, for errors.
            now: seconds since 1970; used if the response says until when to wait, and not what time it is.

        Raises:
            AuthenticationError, RestError.
        """
        code, status = self._code, self._status
        if 300 <= status < 400:
            raise RestError(str(status), "a redirect, which is refused; correct the REST URL", where=where)
        if code == "200000":
            return self._data
        if code in KEY_REMEDIES:
            text = f"KuCoin refused {where} with code {code} ({self._message}): {KEY_REMEDIES[code].short}"
            raise AuthenticationError(text, code=code)
        limited = status == 429 or code in RATE_CODES
        if code is None:
            code, passing = str(status), status in (200, 403, 408, 425)
            kind = self._headers.get("Content-Type", "no content type")
            beginning = f"not KuCoin's JSON but {kind}: {self._beginning!r}"
            text = f"{beginning}; something between here and KuCoin may have answered"
        else:
            text, passing = self._message, code.startswith("5")
        retriable, retry_after = limited or passing or status >= 500, self._retry_after(now, limited=limited)
        raise RestError(code, text, where=where, retriable=retriable, retry_after=retry_after)

    def _retry_after(self, now: float, *, limited: bool) -> float | None:
        """Return the seconds to wait before the next request, None if the response does not say.

        Source: the header Retry-After, or, if the own quota is used up, gw-ratelimit-reset (milliseconds).
        """
        text, reset = self._headers.get("Retry-After", ""), self._headers.get("gw-ratelimit-reset", "")
        if text.isdecimal():
            seconds = float(text)
        elif (until := _instant(text)) is not None:
            since = _instant(self._headers.get("Date", ""))  # the server's clock, if it says what time it is
            seconds = max(0.0, until - (now if since is None else since))
        elif limited and reset.isdecimal():
            seconds = float(reset) / 1000
        else:
            return None
        return min(seconds, _MAX_RETRY_AFTER)


def _instant(date: str) -> float | None:
    """Return an HTTP date as seconds since 1970, None if it is malformed."""
    try:
        parts = email.utils.parsedate_tz(date)
        return None if parts is None else float(email.utils.mktime_tz(parts))
    except (ValueError, OverflowError):
        return None  # such as a year that does not exist
