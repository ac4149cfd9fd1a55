"""Everything that can hang or fail before the first message: each step ends in time, and `close` ends it at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import AuthenticationError, ConnectionFailed, Limits, Retrying, Stream
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.certificates import client_context, server_context
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import until
from .feed import ETH, UTA, Feed, at_best, numbers, on_both, publish, seconds_of

TOKENS = "/api/v1/bullet-*"
STEP = 0.3

# What holds an attempt up, which words the error has, and whether the server speaks TLS.
HOLDS: dict[str, tuple[Callable[[KucoinServer, FaultProxy], object], str, bool]] = {
    "token request unanswered": (
        lambda server, proxy: server.fail_rest(TOKENS, hang=True, times=None),
        "did not answer in time",
        False,
    ),
    "handshake in a black hole": (lambda server, proxy: proxy.to_client.hold(), "did not answer in time", False),
    "handshake request in a black hole": (
        lambda server, proxy: proxy.to_server.hold(),
        "did not answer in time",
        False,
    ),
    "answer to the handshake drips": (
        lambda server, proxy: proxy.to_client.slice(1, pause=0.05),
        "did not answer in time",
        False,
    ),
    "no welcome": (lambda server, proxy: server.no_welcome(), "no welcome within", False),
    "TLS never finishes": (lambda server, proxy: proxy.to_client.hold_after(100), "did not answer in time", True),
}


UTA_HOLDS = [how for how in HOLDS if "token" not in how]


@pytest.fixture
def held(make_server: MakeServer, make_proxy: Callable[[KucoinServer], FaultProxy], how: str) -> Any:
    """A server and a proxy that hold attempts up, and what a stream to them needs."""
    hold, _, secure = HOLDS[how]
    server = make_server(tls=server_context()) if secure else make_server()
    proxy = make_proxy(server)
    hold(server, proxy)
    return server, proxy, {"ssl_context": client_context()} if secure else {}


@on_both("how", HOLDS, UTA_HOLDS)
def test_each_step_of_connecting_ends_after_10_seconds_and_is_tried_again(
    held: Any, make_stream: MakeStream, events: Events, how: str, feed: Feed
) -> None:
    assert Limits().step_timeout == 10.0
    server, proxy, options = held
    stream = make_stream(server, limits=Limits(step_timeout=STEP), **options)
    subscription = stream.subscribe(feed.eth, timeout=0)
    began = time.monotonic()
    events.wait(Retrying)
    assert time.monotonic() - began >= STEP / 2, "it was given a chance"

    def errors() -> list[Exception]:
        return [event.error for event in events.all if isinstance(event, Retrying)]

    # A machine that stalls may let an earlier step of the first attempts end.
    until(lambda: any(HOLDS[how][1] in str(error) for error in errors()), "the step is not named")
    assert all(isinstance(error, ConnectionFailed) for error in errors())
    proxy.heal()
    server.reset_script()
    server.announce(*proxy.address)
    server.wait_subscribed(feed.eth, timeout=10)
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]


@on_both("how", HOLDS, UTA_HOLDS)
def test_close_cancels_each_step_of_connecting_within_half_a_second(
    held: Any, make_stream: MakeStream, how: str, feed: Feed
) -> None:
    server, proxy, options = held

    def seconds() -> float:
        requests, accepted = len(server.requests), proxy.accepted
        stream = make_stream(server, **options)
        stream.subscribe(feed.eth, timeout=0)
        if not feed.is_uta:
            server.wait_for(lambda s: len(s.requests) > requests)
        if "token" not in how:
            proxy.wait_for(lambda proxy: proxy.accepted > accepted)
        taken = seconds_of(stream.close)
        assert not [thread for thread in stream._subscription_manager._made if not thread.over]
        return taken

    assert at_best(0.5, seconds) <= 0.5


# How a token request goes wrong, the words of the error, and the seconds that the server asks to wait.
REFUSALS: dict[str, tuple[dict[str, Any], str, float]] = {
    "429 with Retry-After": ({"status": 429, "headers": {"Retry-After": "7"}}, "429000", 7.0),
    "429 with the time of the quota": (
        {"status": 429, "headers": {"gw-ratelimit-reset": "6500", "gw-ratelimit-remaining": "0"}},
        "429000",
        6.5,
    ),
    "429 without": ({"status": 429}, "429000", 0.0),
    "503 with Retry-After": ({"status": 503, "code": "503000", "headers": {"Retry-After": "4"}}, "503000", 4.0),
    "500": ({"status": 500, "code": "500000"}, "500000", 0.0),
    "connection cut": ({"drop": True}, "bullet-public", 0.0),
    "HTML": (
        {"status": 403, "body": "<html>Access denied</html>", "headers": {"Content-Type": "text/html"}},
        "not KuCoin's JSON but text/html",
        0.0,
    ),
    "truncated JSON": ({"status": 200, "body": '{"code":"200000","data":{"tok'}, "not KuCoin's JSON", 0.0),
    "deeply nested JSON": ({"status": 200, "body": "[" * 200_000}, "not KuCoin's JSON", 0.0),
    "JSON of another shape": ({"status": 200, "body": "[1, 2]"}, "not KuCoin's JSON", 0.0),
    "JSON with a code that is none": ({"status": 200, "body": '{"code":null}'}, "not KuCoin's JSON", 0.0),
    "no data": ({"status": 200, "body": '{"code":"200000"}'}, "is not a connect token", 0.0),
    "wrong types": (
        {"status": 200, "body": '{"code":"200000","data":{"token":7,"instanceServers":{}}}'},
        "is not a connect token",
        0.0,
    ),
    "no server": (
        {"status": 200, "body": '{"code":"200000","data":{"token":"t","instanceServers":[]}}'},
        "no server",
        0.0,
    ),
    "ping values of nonsense": (
        {
            "status": 200,
            "body": '{"code":"200000","data":{"token":"t","instanceServers":'
            '[{"endpoint":"ws://127.0.0.1:1/","pingInterval":-5,"pingTimeout":1e300}]}}',
        },
        "pingInterval",
        0.0,
    ),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_token_request_that_fails_is_repeated_after_a_pause_and_the_wait_that_was_asked_for(
    server: KucoinServer, stream: Stream, events: Events, how: str
) -> None:
    answer, words, wait = REFUSALS[how]
    server.fail_rest(TOKENS, **answer)
    subscription = stream.subscribe(ETH, timeout=0)
    event = events.wait(Retrying)
    assert words in str(event.error)
    assert event.retry_in == wait if wait else 0.25 <= event.retry_in <= 0.5
    if wait:
        assert seconds_of(stream.close) < wait / 2, "close does not wait for it"
        assert len(server.requests) == 1
    else:
        server.wait_subscribed(ETH, timeout=10)
        publish(server, [1])
        assert numbers(subscription, 1) == [1]


@pytest.mark.parametrize("code", ["400001", "400002", "400003", "400004", "400005", "400006", "400007", "411100"])
def test_a_refusal_of_the_key_is_fatal_and_named_and_not_repeated(
    server: KucoinServer, stream: Stream, code: str
) -> None:
    public = stream.subscribe(ETH)
    asked = len(server.requests)
    server.refuse_token(code, times=None)
    with pytest.raises(AuthenticationError, match=code) as caught:
        stream.subscribe("/account/balance", timeout=30)
    assert caught.value.code == code
    assert not caught.value.retriable
    tokens = [request for request in server.requests[asked:] if "bullet" in request.path]
    assert len(tokens) == (2 if code == "400002" else 1), "once more by the server's clock, where that was the reason"
    assert not public.closed


def test_a_login_that_is_not_answered_ends_after_10_seconds_and_is_tried_again(
    server: KucoinServer, make_stream: MakeStream, events: Events
) -> None:
    stream = make_stream(limits=Limits(step_timeout=STEP))
    server.refuse_auth(None)
    subscription = stream.subscribe(UTA.private, timeout=0)
    assert f"answered no login within {STEP:g} s" in str(events.wait(Retrying).error)
    server.wait_subscribed(UTA.private, timeout=10)
    server.publish(UTA.private, {"n": "1"}, user=server.USER)
    assert numbers(subscription, 1) == [1]


UTA_REFUSALS = {
    "message": ("kc-api-key is not valid", "message"),
    "reason": ("kc-api-sign is not valid", "reason"),
    "msg": ("", "msg"),
}


@pytest.mark.parametrize("how", UTA_REFUSALS)
def test_a_refusal_of_the_login_is_fatal_and_named_and_not_repeated(
    server: KucoinServer, stream: Stream, how: str
) -> None:
    public = stream.subscribe(UTA.eth)
    text, member = UTA_REFUSALS[how]
    server.refuse_auth(text, member=member, times=None)
    with pytest.raises(AuthenticationError, match=f"KuCoin refused the login: {text}") as caught:
        stream.subscribe(UTA.private, timeout=30)
    assert not caught.value.retriable
    assert len(UTA.commands(server, "auth")) == 1
    assert not public.closed
