"""The errors of this package. Each text says what happened, to what, and what to do.

    KucoinSyncError
    ├── ConnectionFailed          the network, TLS, a proxy or the peer; retriable
    ├── AuthenticationError       key, secret, passphrase, clock or permission; fatal
    ├── TokenError                the connect token was refused or is malformed
    ├── RestError                 KuCoin answered a REST call with an error code
    ├── SubscriptionRejected      KuCoin refused a topic
    ├── AckTimeout                KuCoin did not confirm a command in time (also TimeoutError)
    ├── SlowConsumer              a subscription's queue was full, messages were dropped
    ├── StreamClosed              the stream or the subscription is closed
    ├── ProtocolError             the peer broke the WebSocket or the KuCoin protocol
    ├── BookNotReady              a local order book cannot be read now
    ├── AccountNotReady           a local account cannot be read now
    └── InvalidTopic              a topic, symbol or argument cannot exist (also ValueError)

`retriable` tells a program whether a second attempt can succeed. The package itself uses `is_fatal`: a connection that
was live once is given up only if KuCoin itself says so.
"""

from __future__ import annotations

import copyreg
from typing import Any, NamedTuple

__all__ = [
    "AccountNotReady", "AckTimeout", "AuthenticationError", "BookNotReady", "ConnectionFailed", "InvalidTopic",
    "KucoinSyncError", "ProtocolError", "RestError", "SlowConsumer", "StreamClosed", "SubscriptionRejected",
    "TokenError",
]  # fmt: skip


#: KuCoin's code for a time in a signature that is too far from its own.
CLOCK_REFUSED = "400002"


class KeyRemedy(NamedTuple):
    """What to do when KuCoin refuses an API key: in a few words after the error, and in full."""

    short: str
    full: str


#: By KuCoin's codes about the key itself, its signature, its permissions or its account.
KEY_REMEDIES = {
    "400001": KeyRemedy(
        "a KC-API header is missing; check that key, secret and passphrase are complete",
        "Set KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE, all three of the same key.",
    ),
    "400002": KeyRemedy("the timestamp is off; set this machine's clock", "Set this machine's clock."),
    "400003": KeyRemedy(
        "the key does not exist; check KUCOIN_API_KEY, and that it was made for this site",
        "Copy the key's id from KuCoin's API management into KUCOIN_API_KEY. A key of another site does not work here: "
        "--rest-url has to be that site's.",
    ),
    "400004": KeyRemedy(
        "the passphrase is wrong; check KUCOIN_API_PASSPHRASE",
        "Set KUCOIN_API_PASSPHRASE to the one that was chosen when the key was made. It can't be looked up: if it is "
        "forgotten, make a new key.",
    ),
    "400005": KeyRemedy(
        "the signature is wrong; check KUCOIN_API_SECRET",
        "Copy the secret of this key into KUCOIN_API_SECRET again, all of it. It can't be looked up: if it is lost, "
        "make a new key.",
    ),
    "400006": KeyRemedy(
        "this machine's IP address is not on the key's list; add it in KuCoin's API management",
        "Add this machine's address to the key's list of addresses in KuCoin's API management.",
    ),
    "400007": KeyRemedy(
        "the key lacks the permission; grant it in KuCoin's API management",
        'Give the key the permission "General" in KuCoin\'s API management.',
    ),
    "411100": KeyRemedy("the account is frozen; ask KuCoin's support", "Ask KuCoin's support."),
}
#: What to do where there is no key.
KEY_NEEDED = (
    "pass Credentials(key, secret, passphrase) to Stream, or set KUCOIN_API_KEY, KUCOIN_API_SECRET and "
    "KUCOIN_API_PASSPHRASE"
)


class KucoinSyncError(Exception):
    """Base class of the errors that this package raises deliberately."""

    retriable = False

    def __reduce__(self) -> Any:
        # `Exception` would call the constructor with `args`, which are not the arguments of the constructors here.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConnectionFailed(KucoinSyncError):
    """The connection could not be made or was lost.

    `retriable` is False on an instance if a second attempt cannot succeed: a certificate that does not verify, a URL
    that is refused for safety.
    """

    retriable = True

    def __init__(self, message: str, *, retriable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retriable = retriable
        #: Seconds that the peer asked to wait before the next attempt, or None.
        self.retry_after = retry_after


class AuthenticationError(KucoinSyncError):
    """KuCoin refused the credentials, or a private topic was asked for without any.

    `code` is KuCoin's (400001 to 400007, 411100); None if no request was made.
    """

    def __init__(self, message: str, *, code: str | None = None, login: bool = False) -> None:
        super().__init__(message)
        self.code = code
        #: Whether KuCoin refused the login of a connection.
        self.login = login


class TokenError(KucoinSyncError):
    """The connect token was refused or has expired, or the response does not have the documented form."""

    retriable = True


class RestError(KucoinSyncError):
    """KuCoin answered a REST call with an error.

    `code` is KuCoin's code (such as "429000"), or the HTTP status as text if the response is not KuCoin's envelope.
    `message` is KuCoin's text. `retry_after` is the number of seconds that KuCoin asked to wait, or None.
    """

    def __init__(
        self, code: str, message: str, *, where: str = "", retriable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(f"KuCoin answered {where or 'the request'} with code {code}: {message}")
        self.code = code
        self.message = message
        self.retriable = retriable
        self.retry_after = retry_after


class SubscriptionRejected(KucoinSyncError):
    """KuCoin refused to subscribe `topic` (`code` and `reason` are its own; `code` is 0 if it sends none)."""

    def __init__(self, topic: str, code: int, reason: str) -> None:
        coded = f" with code {code}" if code else ""
        super().__init__(
            f"KuCoin rejected the topic {topic!r}{coded}: {reason}. Check the spelling of the topic and "
            "its symbol, and for a private topic the permissions of the key."
        )
        self.topic = topic
        self.code = code
        self.reason = reason


class AckTimeout(KucoinSyncError, TimeoutError):
    """KuCoin did not confirm a command within the timeout."""

    retriable = True


class SlowConsumer(KucoinSyncError):
    """Messages were dropped because more than `maxsize` waited for the consumer of a subscription.

    Raised once per episode, at the place of the missing messages. The subscription stays open: iterate again to go on.
    `message.lost` of the next message is the number of messages missing before it.
    """

    def __init__(self, message: str, *, dropped: int = 0) -> None:
        super().__init__(message)
        self.dropped = dropped


class StreamClosed(KucoinSyncError):
    """The stream or the subscription is closed; no more messages will come."""


class ProtocolError(KucoinSyncError):
    """The peer violated the WebSocket or the KuCoin protocol."""

    retriable = True


class BookNotReady(KucoinSyncError):
    """A local order book has no consistent state to read now; the text says why."""

    retriable = True


class AccountNotReady(KucoinSyncError):
    """A local account is not in step with the exchange now; the text says why."""

    retriable = True


class InvalidTopic(KucoinSyncError, ValueError):
    """A topic, symbol or topic argument cannot exist; the text names the allowed ones."""


def is_fatal(error: KucoinSyncError, *, was_live: bool, needs_key: bool) -> bool:
    """Return whether to give up a connection after an error, instead of trying again.

    A connection that was live before is given up only if KuCoin rejects the topic, or the key if it `needs_key`. Any
    other response may come from a proxy or a passing fault. A connection that was never live is given up after any
    error that is not retriable, so that a wrong URL or certificate is reported at once.
    """
    if was_live and isinstance(error, AuthenticationError):
        # 400002 is about the time in a signature; KuCoin refuses slow requests with it, too.
        return needs_key and (error.login or error.code in KEY_REMEDIES) and error.code != CLOCK_REFUSED
    if was_live and isinstance(error, ConnectionFailed | RestError):
        return False
    return not error.retriable
