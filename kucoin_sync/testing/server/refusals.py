"""The server's refusals as data: KuCoin's codes and texts.

Source: KuCoin's documentation ("WebSocket error codes", "Gateway error code") and observed frames. If they
differ, the observed text is sent. KuCoin documents no texts for errors of tunnels; those here are made up.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TOO_FAST", "Refused", "RestRefused", "default_text", "status_of"]


class Refused(Exception):
    """The server answers a WebSocket command, or a connection, with an error frame.

    `member` is the member with the text in an answer of the UTA feed, which has no codes.
    """

    def __init__(self, code: int, text: str, member: str = "message") -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.member = member


class RestRefused(Exception):
    """The server answers a REST request with an error envelope, and further `headers`."""

    def __init__(
        self, code: str, text: str = "", status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.headers = dict(headers or {})
        self.code = code
        self.text = text or _REST_TEXTS.get(code, "error")
        self.status = status_of(code) if status is None else status
        super().__init__(f"{code} {self.text}")


TOO_FAST = Refused(509, "exceed max permits per second")

_TEXTS = {
    400: "topic {topic} is invalid",
    401: "token is invalid",
    403: "login is required",
    404: "topic {topic} is not found",
    406: "topic is required",
    415: "type is not supported",
    500: "system error",
    509: TOO_FAST.text,
}
_REST_TEXTS = {
    "400001": "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, "
    "KC-API-PASSPHRASE",
    "400002": "Invalid KC-API-TIMESTAMP",
    "400003": "KC-API-KEY not exists",
    "400004": "Invalid KC-API-PASSPHRASE",
    "400005": "Invalid KC-API-SIGN",
    "400006": "Invalid request ip, the current clientIp is: 127.0.0.1",
    "400007": "Access denied, require more permission",
    "400009": "Invalid KC-API-KEY-VERSION",
    "400100": "Parameter Error",
    "404": "Not Found",
    "411100": "User is frozen, please contact support center.",
    "429000": "Too many requests in a short period of time, please retry later",
    "500000": "Internal Server Error",
    "900001": "symbol not exists",
}


def default_text(code: int, topic: str) -> str:
    """Return KuCoin's text for the code of an error frame about `topic`."""
    return _TEXTS.get(code, "system error").format(topic=topic)


def status_of(code: str) -> int:
    """Return the HTTP status of a REST error code."""
    if code in ("404", "429000", "500000"):
        return int(code[:3])
    return 401 if code.startswith("4000") else 400
