"""`WebFeed`: each process makes its client at first use, and its size is bounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import AuthenticationError, Client, ConnectionFailed, StreamClosed
from kucoin_sync.contrib.options import InvalidSetting, Options
from kucoin_sync.contrib.web import Refused, WebFeed
from kucoin_sync.testing import KucoinServer

from ..support.forks import child
from ..support.threads import LIMIT, Task

TICKER = "/market/ticker:BTC-USDT"
OTHER = "/market/ticker:ETH-USDT"
MakeFeed = Callable[..., WebFeed]


def refused(call: Callable[..., Any], *args: Any, **options: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        call(*args, **options)
    return raised.value


def test_the_client_is_made_once_and_dials_nothing(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed()
    clients = [task.result() for task in [Task(lambda: feed.client) for _ in range(8)]]
    assert {id(client) for client in clients} == {id(feed.client)}
    assert server.requests == []


def test_a_finaliser_may_ask_for_the_client_while_it_is_made(
    make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = make_feed()
    made: list[Client] = []
    inner: list[Client] = []
    open_client = Options.open_client

    def interrupted(options: Options) -> Client:
        if not made:
            made.append(open_client(options))
            inner.append(feed.client)  # as a finaliser that the garbage collector runs here
            return made[0]
        made.append(open_client(options))
        return made[-1]

    monkeypatch.setattr(Options, "open_client", interrupted)
    client = Task(lambda: feed.client).result()
    assert client is inner[0] is feed.client
    assert [each.closed for each in made] == [True, False]


def test_closing_ends_everything_and_the_next_use_begins_again(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER])
    feed.close()  # of nothing
    waiting = Task(list, feed.events(TICKER))
    feed.close()
    assert waiting.result()[-1].startswith(b"retry: ")
    events = feed.events(TICKER)
    assert next(events).startswith(b"retry: ")
    events.close()


@pytest.mark.parametrize(
    ("topics", "status", "sentence"),
    [
        ((), 400, "0 topics were asked for; name 1 to 100"),
        ((TICKER, "nonsense"), 400, "'nonsense' is not a topic"),
        ((TICKER, OTHER), 403, f"{OTHER} is not among this site's TOPICS and ALLOWED_TOPICS"),
        (("/account/balance",), 403, "/account/balance is not among"),
    ],
)
def test_a_request_beyond_the_limits_is_refused_without_a_connection(
    server: KucoinServer, make_feed: MakeFeed, topics: tuple[str, ...], status: int, sentence: str
) -> None:
    feed = make_feed(TOPICS=[TICKER])
    error = refused(feed.events, *topics)
    assert (error.status, sentence in str(error)) == (status, True)
    if len(topics) == 1:
        assert refused(feed.last, *topics).status == status
    assert server.requests == []


def test_a_last_value_is_of_one_topic(make_feed: MakeFeed) -> None:
    error = refused(make_feed(TOPICS=[TICKER, OTHER]).last, "/market/ticker:BTC-USDT,ETH-USDT")
    assert (error.status, str(error)) == (400, "2 topics were asked for; name 1 to 1")


def test_a_topic_that_kucoin_refuses_is_answered_with_404(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER])
    for call in (feed.events, feed.last):
        server.reject_next(404, "no such topic")
        assert refused(call, TICKER).status == 404
    assert feed.client.stats()["subscriptions"] == 0


def test_a_topic_that_kucoin_does_not_confirm_is_answered_with_504(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER, OTHER])
    feed.events(OTHER).close()
    server.withhold_acks(2)
    assert refused(feed.events, TICKER, timeout=0.05).status == 504
    assert refused(feed.last, TICKER, timeout=0.05).status == 504


@pytest.mark.parametrize("error", [ConnectionFailed("10.0.0.7 is away"), AuthenticationError("key"), StreamClosed("x")])
def test_internal_details_are_only_logged(
    make_feed: MakeFeed, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = make_feed(TOPICS=[TICKER], MAX_STREAMS=1)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Client, "subscribe", fail)
    monkeypatch.setattr(Client, "closed", True)
    for call in (feed.events, feed.last):
        told = refused(call, TICKER)
        assert (told.status, str(error) in str(told)) == (503, False)
        assert told.__cause__ is error
        assert f"a browser could not be served: {error}" in caplog.text


def test_an_invalid_argument_takes_no_slot(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER], MAX_STREAMS=1)
    with pytest.raises(ValueError, match="overflow is 'nonsense'"):
        feed.events(TICKER, overflow="nonsense")
    feed.events(TICKER).close()


def test_the_number_of_responses_is_limited(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER], MAX_STREAMS=1)
    events = feed.events(TICKER)
    assert refused(feed.events, TICKER).status == 503
    events.close()
    events.close()  # makes room once
    events = feed.events(TICKER)
    assert refused(feed.events, TICKER).status == 503
    events.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_serves_its_own_browsers(server: KucoinServer, make_feed: MakeFeed) -> None:
    feed = make_feed(TOPICS=[TICKER, OTHER], MAX_STREAMS=1, KEEP_ALIVE=LIMIT)
    events = feed.events(TICKER)
    reading = Task(feed.last, OTHER, timeout=LIMIT)
    server.wait_subscribed(OTHER, timeout=LIMIT)

    def serve(say: Callable[[Any], None]) -> None:
        mine = feed.events(TICKER)  # though the parent has no room
        next(mine)
        say("subscribed")
        say(next(mine).decode())
        say(feed.last(OTHER, timeout=LIMIT).data)

    with child(serve) as forked:
        assert forked.hear() == "subscribed"
        server.wait_subscribed(TICKER, 2, timeout=LIMIT)
        server.publish(TICKER, {"n": 1})
        assert 'data: {"symbol":"BTC-USDT","n":1}' in forked.hear()
        heard = Task(forked.hear)
        while not heard.done.wait(0.02):
            server.publish(OTHER, {"n": 2})  # whose reader in the parent was waiting when it forked
        assert heard.result() == reading.result().data == {"n": 2}
    assert refused(feed.events, TICKER).status == 503
    events.close()


def test_the_account_is_there_behind_its_setting_only(make_feed: MakeFeed) -> None:
    with pytest.raises(InvalidSetting, match="needs the setting ACCOUNT"):
        _ = make_feed().account
    with pytest.raises(InvalidSetting, match="needs a connection to KuCoin of this process"):
        _ = make_feed(ACCOUNT=True, REDIS_URL="redis://127.0.0.1:1").account
    key = {"API_KEY": KucoinServer.KEY, "API_SECRET": KucoinServer.SECRET, "API_PASSPHRASE": KucoinServer.PASSPHRASE}
    feed = make_feed(ACCOUNT=True, **key)
    account = feed.account
    assert account is feed.account and not account.closed
    account.close()
    assert feed.account is not account
    feed.close()
    assert account.closed and refused(feed.last, "/account/balance").status == 403, "browsers get nothing of it"
