"""The errors of this package, each a sentence that says what happened, to what, and what to do.

    KucoinSyncError
    ├── ConnectionFailed          the network, TLS, a proxy or the peer; retriable
    ├── AuthenticationError       key, secret, passphrase, clock or permission; fatal
    ├── TokenError                the connect token was refused or made no sense
    ├── RestError                 KuCoin answered a REST call with an error code
    ├── SubscriptionRejected      KuCoin refused a topic
    ├── AckTimeout                KuCoin did not confirm a command in time (also TimeoutError)
    ├── SlowConsumer              a subscription's queue was full, messages were dropped
    ├── StreamClosed              the stream or the subscription is closed
    ├── ProtocolError             the peer broke the WebSocket or the KuCoin protocol
    ├── BookNotReady              a local order book can't be read now
    └── InvalidTopic              a topic, symbol or argument that can't exist (also ValueError)

`retriable` tells a program whether trying the same thing again can help. The package itself asks `is_fatal`, which
judges an error by what it is: what was ever live is given up only for KuCoin's own word.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AckTimeout",
    "AuthenticationError",
    "BookNotReady",
    "ConnectionFailed",
    "InvalidTopic",
    "KucoinSyncError",
    "ProtocolError",
    "RestError",
    "SlowConsumer",
    "StreamClosed",
    "SubscriptionRejected",
    "TokenError",
]

#: KuCoin's codes that say something of the key itself, its signature, its permissions or its account. 400002, which
#: complains of the time in a signature, is not among them: a slow request is refused with it, too.
_KEY_CODES = frozenset({"400001", "400003", "400004", "400005", "400006", "400007", "411100"})


class KucoinSyncError(Exception):
    """Base of every error that this package raises on purpose."""

    retriable = False

    def __reduce__(self) -> Any:
        # The arguments that Exception would pass on are not those of the constructors here.
        return _revive, (type(self), self.args, self.__dict__)


class ConnectionFailed(KucoinSyncError):
    """The connection could not be made or was lost.

    `retriable` is False on the instance where trying again can't help: a certificate that does not verify,
    a URL that is refused for safety.
    """

    retriable = True

    def __init__(self, message: str, *, retriable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retriable = retriable
        #: Seconds that the peer asked to wait before the next attempt, or None.
        self.retry_after = retry_after


class AuthenticationError(KucoinSyncError):
    """KuCoin refused the credentials, or a private topic was asked for without any.

    `code` is KuCoin's (400001 to 400007, 411100), None where the request was never made.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class TokenError(KucoinSyncError):
    """The connect token was refused, has expired, or its answer has not the documented shape."""

    retriable = True


class RestError(KucoinSyncError):
    """KuCoin answered a REST call with an error.

    `code` is KuCoin's code (such as "429000") or, where the answer is not KuCoin's envelope, the HTTP
    status as text; `message` is its text; `retry_after` the seconds that it asked to wait, or None.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str = "",
        retriable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"KuCoin answered {where or 'the request'} with code {code}: {message}")
        self.code = code
        self.message = message
        self.retriable = retriable
        self.retry_after = retry_after


class SubscriptionRejected(KucoinSyncError):
    """KuCoin refused to subscribe `topic` (`code` and `reason` are its own)."""

    def __init__(self, topic: str, code: int, reason: str) -> None:
        super().__init__(
            f"KuCoin rejected the topic {topic!r} with code {code}: {reason}. Check the spelling of the topic and "
            "its symbol, and for a private topic the permissions of the key."
        )
        self.topic = topic
        self.code = code
        self.reason = reason


class AckTimeout(KucoinSyncError, TimeoutError):
    """KuCoin did not confirm a command within the timeout."""

    retriable = True


class SlowConsumer(KucoinSyncError):
    """The consumer of a subscription fell behind by more than its `maxsize` and messages were dropped.

    Raised once per episode, in the place where messages are missing. The subscription stays open: iterate
    again to go on; `message.lost` of the next message says how many are missing before it.
    """

    def __init__(self, message: str, *, dropped: int = 0) -> None:
        super().__init__(message)
        self.dropped = dropped


class StreamClosed(KucoinSyncError):
    """The stream or the subscription is closed, nothing more will come."""


class ProtocolError(KucoinSyncError):
    """The peer sent what the WebSocket or the KuCoin protocol does not allow."""

    retriable = True


class BookNotReady(KucoinSyncError):
    """A local order book has no consistent state to read now; the text says why."""

    retriable = True


class InvalidTopic(KucoinSyncError, ValueError):
    """A topic, symbol or topic argument that can't exist; the text names the allowed ones."""


def is_fatal(error: KucoinSyncError, *, was_live: bool, needs_key: bool) -> bool:
    """Whether an error ends what it concerns; otherwise the same thing is tried again.

    What was live before ends with KuCoin's word on the topic, or on the key where it `needs_key`: whatever else was
    answered, by whoever stands in between, another answer is possible. What never was live ends with any error that
    is not retriable, so that a wrong URL or certificate is told at once.
    """
    if was_live and isinstance(error, AuthenticationError):
        return needs_key and error.code in _KEY_CODES
    if was_live and isinstance(error, ConnectionFailed | RestError):
        return False
    return not error.retriable


def _revive(cls: type[KucoinSyncError], args: tuple[Any, ...], attributes: dict[str, Any]) -> KucoinSyncError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error
