"""What a user can get wrong: each is a named exception whose sentence says what to do, and nothing hangs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from kucoin_sync import (
    AuthenticationError,
    ConnectionFailed,
    Credentials,
    InvalidTopic,
    Rejected,
    Retrying,
    Stream,
    StreamClosed,
    SubscriptionRejected,
)
from kucoin_sync.testing import KucoinServer

from ..support.streams import FAST, Events

ETH = "/market/ticker:ETH-USDT"


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("market/ticker:ETH-USDT", "begins with a path"),
        ("", "begins with a path"),
        ("/market/ticker", "needs something after a colon"),
        ("/market/ticker:eth-usdt", "did you mean ETH-USDT?"),
        ("/market/candles:BTC-USDT_1h", "1hour"),
        ("/account/balance:BTC", "what follows the colon is nothing"),
        ("/contractMarket/ticker:BTC-USDT", "a futures symbol such as XBTUSDTM"),
    ],
)
def test_an_invalid_topic(stream: Stream, topic: str, hint: str) -> None:
    with pytest.raises(InvalidTopic, match=hint.replace("?", r"\?")) as caught:
        stream.subscribe(topic)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"overflow": "drop"}, "raise, drop_oldest, drop_newest, latest"),
        *(({"maxsize": value}, f"maxsize is {value}; a subscription holds at least 1") for value in (0, None)),
        ({"inline": True}, "needs a callback"),
        ({"stale_after": 0}, "positive number of seconds"),
    ],
)
def test_terms_that_make_no_sense(stream: Stream, options: dict[str, object], hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        stream.subscribe(ETH, **options)  # type: ignore[arg-type]


def test_a_callback_that_can_not_be_called(stream: Stream) -> None:
    with pytest.raises(TypeError, match="callback must be callable, not str"):
        stream.subscribe(ETH, callback="print")  # type: ignore[arg-type]


def test_credentials_that_are_none() -> None:
    with pytest.raises(AuthenticationError, match=r"must be Credentials\(key, secret, passphrase\)") as caught:
        Stream(("my key", "my secret", "my passphrase"))  # type: ignore[arg-type]
    assert "my" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        *(({"rotate_after": value}, ValueError, "rotate_after is ") for value in (None, "3600", True, 0, -5, math.nan)),
        ({"redundancy": 3}, ValueError, "redundancy is 3"),
        ({"proxy": {"https": "http://proxy:3128"}}, TypeError, "proxy is one URL as text, or None, not dict"),
        ({"ssl_context": False}, TypeError, "ssl_context is an ssl.SSLContext, or None, not False"),
        ({"limits": 5}, TypeError, r"limits is Limits\(...\), or None, not 5"),
        ({"on_event": "print"}, TypeError, "on_event must be callable, not str"),
    ],
)
def test_an_option_of_a_stream_that_can_not_be(options: dict[str, object], error: type[Exception], hint: str) -> None:
    with pytest.raises(error, match=hint):
        Stream(**options)  # type: ignore[arg-type]


def test_a_rejected_topic_names_itself_and_leaves_the_others_alone(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    good = stream.subscribe(ETH)
    server.reject_next(404, topic="/market/ticker:NO-SUCH")
    with pytest.raises(SubscriptionRejected, match="/market/ticker:NO-SUCH") as caught:
        stream.subscribe("/market/ticker:NO-SUCH")
    assert (caught.value.topic, caught.value.code) == ("/market/ticker:NO-SUCH", 404)
    assert events.wait(Rejected).topic == "/market/ticker:NO-SUCH"
    server.publish(ETH, {"n": 1})
    assert good.get(5).data == {"n": 1}


def test_one_bad_topic_of_a_hundred_is_found_and_named(events: Events) -> None:
    symbols = {f"A{number}-USDT" for number in range(99)}
    with (
        KucoinServer(symbols=symbols) as server,
        Stream(**server.stream_options, limits=FAST, on_event=events) as stream,
    ):
        wanted = ",".join([*sorted(symbols)[:40], "BAD-USDT", *sorted(symbols)[40:]])
        with pytest.raises(SubscriptionRejected, match="/market/ticker:BAD-USDT"):
            stream.subscribe(f"/market/ticker:{wanted}")


def test_a_private_topic_without_a_key(server: KucoinServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    with Stream(rest_url=server.rest_url) as stream:
        with pytest.raises(AuthenticationError, match="is a private topic and needs an API key: pass Credentials"):
            stream.subscribe("/account/balance")
        with pytest.raises(AuthenticationError, match="was asked for with private=True"):
            stream.subscribe(ETH, private=True)
        with pytest.raises(InvalidTopic, match="is a private topic; leave private= away"):
            stream.subscribe("/account/balance", private=False)


def test_a_key_of_the_environment_is_used(server: KucoinServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUCOIN_API_KEY", server.KEY)
    monkeypatch.setenv("KUCOIN_API_SECRET", server.SECRET)
    with Stream(rest_url=server.rest_url) as stream:
        with pytest.raises(AuthenticationError, match="KUCOIN_API_PASSPHRASE not set"):
            stream.subscribe("/account/balance")
        monkeypatch.setenv("KUCOIN_API_PASSPHRASE", server.PASSPHRASE)
        assert stream.subscribe("/account/balance").topics == ("/account/balance",)


@pytest.mark.parametrize(
    ("credentials", "code", "remedy"),
    [
        (("wrong", KucoinServer.SECRET, KucoinServer.PASSPHRASE), "400003", "check KUCOIN_API_KEY"),
        ((KucoinServer.KEY, "wrong", KucoinServer.PASSPHRASE), "400005", "check KUCOIN_API_SECRET"),
        ((KucoinServer.KEY, KucoinServer.SECRET, "wrong"), "400004", "check KUCOIN_API_PASSPHRASE"),
    ],
)
def test_a_wrong_key_ends_at_once_with_the_remedy(
    make_stream: Callable[..., Stream], credentials: tuple[str, str, str], code: str, remedy: str
) -> None:
    stream = make_stream(credentials=Credentials(*credentials))
    public = stream.subscribe(ETH)
    with pytest.raises(AuthenticationError, match=remedy) as caught:
        stream.subscribe("/account/balance", timeout=30)
    assert caught.value.code == code
    assert not public.closed


def test_a_key_that_is_revoked_later_ends_the_private_subscriptions_with_that_error(
    server: KucoinServer, stream: Stream
) -> None:
    balances, public = stream.subscribe("/account/balance"), stream.subscribe(ETH)
    server.publish("/account/balance", {"n": 1}, user=server.USER)
    server.fail_rest("/api/v1/bullet-private", 401, "400003", "KC-API-KEY not exists", times=None)
    [private] = [connection for connection in server.connections if connection.private]
    private.drop()
    assert balances.get(5).data == {"n": 1}, "what was received comes first"
    with pytest.raises(AuthenticationError, match="400003"):
        list(balances)
    server.publish(ETH, {"n": 2})
    assert public.get(5).data == {"n": 2}


def test_a_clock_that_nothing_corrects_is_named(make_stream: Callable[..., Stream], server: KucoinServer) -> None:
    server.fail_rest("/api/v1/bullet-private", 400, "400002", "KC-API-TIMESTAMP invalid", times=None)
    with pytest.raises(AuthenticationError, match="set this machine's clock") as caught:
        make_stream().subscribe("/account/balance")
    assert caught.value.code == "400002"


@pytest.mark.parametrize(
    "url", ["api.kucoin.com", "ftp://api.kucoin.com", "https://", "https://user:secret@api.kucoin.com", "https://x:y"]
)
def test_a_malformed_url(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="is not a URL of the form https://host") as caught:
        Stream(rest_url=url)
    assert "secret" not in str(caught.value)
    assert not caught.value.retriable


def test_an_unreachable_host(events: Events) -> None:
    with Stream(rest_url="http://127.0.0.1:9", on_event=events) as stream:
        stream.subscribe(ETH, timeout=0)
        events.wait(Retrying)
        with pytest.raises(ConnectionFailed, match=r"could not be subscribed within 0.1 s: .*127.0.0.1:9"):
            stream.subscribe(ETH, timeout=0.1)


def test_nothing_can_be_subscribed_after_the_end(stream: Stream) -> None:
    stream.close()
    with pytest.raises(StreamClosed):
        stream.subscribe(ETH)
    with pytest.raises(StreamClosed):
        stream.book("ETH-USDT")


def test_a_key_of_the_environment_is_found_after_a_public_subscription(
    server: KucoinServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUCOIN_API_KEY", server.KEY)
    monkeypatch.setenv("KUCOIN_API_SECRET", server.SECRET)
    monkeypatch.setenv("KUCOIN_API_PASSPHRASE", server.PASSPHRASE)
    with Stream(rest_url=server.rest_url) as stream:
        stream.subscribe(ETH)
        assert stream.subscribe("/account/balance").topics == ("/account/balance",)
