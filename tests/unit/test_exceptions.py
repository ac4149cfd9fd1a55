"""The error tree: its shape, its sentences, and what a program may read from an error."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from kucoin_sync import exceptions
from kucoin_sync.exceptions import (
    AccountNotReady,
    AckTimeout,
    AuthenticationError,
    BookNotReady,
    ConnectionFailed,
    InvalidTopic,
    KucoinSyncError,
    ProtocolError,
    RestError,
    SlowConsumer,
    StreamClosed,
    SubscriptionRejected,
    TokenError,
)

RETRIABLE = {AccountNotReady, AckTimeout, BookNotReady, ConnectionFailed, ProtocolError, TokenError}

EXAMPLES: list[KucoinSyncError] = [
    KucoinSyncError("something"),
    ConnectionFailed("no route", retriable=False, retry_after=2.5),
    AuthenticationError("bad key", code="400003"),
    TokenError("no token"),
    RestError("429000", "too many", where="GET /x", retriable=True, retry_after=1.0),
    SubscriptionRejected("/market/ticker:NO-SUCH", 404, "topic is not found"),
    AckTimeout("no answer in 10 s"),
    SlowConsumer("fell behind", dropped=7),
    StreamClosed("closed"),
    ProtocolError("bad frame"),
    BookNotReady("no snapshot yet"),
    AccountNotReady("not reconciled yet"),
    InvalidTopic("no topic"),
]


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawing = exceptions.__doc__ or ""
    drawn = set(re.findall(r"── (\w+)", drawing))
    assert drawn == {cls.__name__ for cls in KucoinSyncError.__subclasses__() if cls.__module__ == exceptions.__name__}
    assert drawn | {"KucoinSyncError"} == set(exceptions.__all__)
    for name in re.findall(r"── (\w+) .*\(also \w+\)", drawing):
        assert len(getattr(exceptions, name).__bases__) == 2


def test_there_is_an_example_of_every_error() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(exceptions.__all__)


def test_an_ack_timeout_is_a_timeout_and_an_invalid_topic_is_a_value_error() -> None:
    with pytest.raises(TimeoutError):
        raise AckTimeout("no answer")
    with pytest.raises(ValueError, match="no topic"):
        raise InvalidTopic("no topic")


@pytest.mark.parametrize("name", exceptions.__all__)
def test_retriable_tells_by_the_class_whether_trying_again_can_help(name: str) -> None:
    cls = getattr(exceptions, name)
    assert cls.retriable is (cls in RETRIABLE)


def test_a_failed_connection_is_retriable_unless_it_says_otherwise() -> None:
    assert ConnectionFailed("x").retriable is True
    assert ConnectionFailed("x", retriable=False).retriable is False
    assert ConnectionFailed("x").retry_after is None
    assert ConnectionFailed("x", retry_after=3.0).retry_after == 3.0


def test_an_authentication_error_has_the_code_of_kucoin_where_a_request_was_made() -> None:
    assert AuthenticationError("no key").code is None
    assert AuthenticationError("wrong key", code="400003").code == "400003"


def test_a_rest_error_says_what_was_asked_and_what_kucoin_answered() -> None:
    error = RestError("400100", "symbol missing", where="GET /api/v1/symbols")
    assert str(error) == "KuCoin answered GET /api/v1/symbols with code 400100: symbol missing"
    assert (error.code, error.message, error.retriable, error.retry_after) == ("400100", "symbol missing", False, None)


def test_a_rest_error_without_a_place_speaks_of_the_request() -> None:
    error = RestError("500000", "internal", retriable=True, retry_after=0.25)
    assert str(error) == "KuCoin answered the request with code 500000: internal"
    assert (error.retriable, error.retry_after) == (True, 0.25)


def test_a_rejected_subscription_names_topic_code_reason_and_what_to_do() -> None:
    error = SubscriptionRejected("/market/ticker:NO-SUCH", 404, "topic is not found")
    assert (error.topic, error.code, error.reason) == ("/market/ticker:NO-SUCH", 404, "topic is not found")
    text = str(error)
    assert "'/market/ticker:NO-SUCH'" in text
    assert "code 404: topic is not found" in text
    assert "Check the spelling" in text
    assert "permissions of the key" in text


def test_a_slow_consumer_knows_how_many_messages_were_dropped() -> None:
    assert SlowConsumer("behind").dropped == 0
    assert SlowConsumer("behind", dropped=12).dropped == 12


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_comes_through_pickle_and_copy_as_it_was(error: KucoinSyncError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
        assert twin.retriable is error.retriable
