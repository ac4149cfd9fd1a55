"""Whatever comes from outside: no exception escapes the parsers, and nothing unknown changes a state."""

from __future__ import annotations

import itertools
import json
import ssl
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_sync import InvalidTopic, KucoinSyncError
from kucoin_sync.net.endpoints import Endpoints
from kucoin_sync.net.rest import Rest
from kucoin_sync.net.rest_response import RestResponse
from kucoin_sync.net.waker import Waker
from kucoin_sync.payloads import Payload
from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.dialect import Server
from kucoin_sync.protocol.envelopes import opened
from kucoin_sync.protocol.message import Arrival
from kucoin_sync.protocol.session import Session
from kucoin_sync.protocol.session_events import ServerError, TopicKey
from kucoin_sync.protocol.uta import UTA
from kucoin_sync.topics import grammar

from ..support.selection import examples, first
from . import feed as feeds

BOUNDED = settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))

TOPIC = "/market/ticker:ETH-USDT"
NAMES = (
    st.sampled_from(("id", "type", "topic", "subject", "data", "code", "tunnelId"))
    | st.sampled_from(("userId", "sn", "token", "instanceServers", "endpoint", "pingInterval", "pingTimeout"))
    | st.sampled_from(("T", "P", "d", "dp", "t", "s", "i", "result", "op", "action", "message", "reason"))
)
TEXTS = (
    st.text(max_size=8)
    | st.sampled_from(
        [
            "message",
            "welcome",
            "ack",
            "pong",
            "error",
            "notice",
            TOPIC,
            "token is expired",
            "ws://127.0.0.1/",
            "1",
            "-1",
        ]
    )
    | st.sampled_from(["ticker.SPOT", "obu.SPOT", "kline.SPOT", "ETH-USDT", "snapshot", "true", "5"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=6),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return JSON text with some bytes changed, put in, or left out."""
    text = bytearray(json.dumps(draw(OBJECTS)).encode())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(text) - 1)))
        text[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(text)


IDS = st.integers() | TEXTS  # what the client looks into further
ANSWERS = st.fixed_dictionaries(
    {"type": st.sampled_from(("ack", "pong", "welcome", "error", "message"))},
    optional={"id": IDS | JSON, "code": IDS | JSON, "data": JSON, "topic": JSON, "subject": JSON},
)
UTA_ANSWERS = st.fixed_dictionaries(
    {},
    optional={"id": IDS | JSON, "result": JSON, "message": JSON, "type": TEXTS, "op": TEXTS, "T": TEXTS, "d": JSON},
)
FRAMES = st.binary(max_size=60) | damaged() | (ANSWERS | UTA_ANSWERS).map(lambda answer: json.dumps(answer).encode())


@pytest.mark.parametrize("feed", first(feeds.CLASSIC, feeds.UTA), ids=str)
@BOUNDED
@given(frames=st.lists(FRAMES, max_size=8))
def test_no_frame_raises_and_none_that_answers_nothing_changes_what_is_subscribed(
    frames: list[bytes], feed: feeds.Feed
) -> None:
    session = Session(
        UTA if feed.is_uta else CLASSIC, ids=itertools.count(10**9), ping_interval=18.0, ping_timeout=10.0, now=0.0
    )
    session.receive([b'{"type":"welcome"}'], Arrival(), 0.0)
    wanted, late = TopicKey(feed.eth), TopicKey(feed.match)
    session.subscribe([wanted])
    [subscribe] = session.frames_to_send(0.0)
    session.receive([feed.ack(json.loads(subscribe)["id"]).encode()], Arrival(), 0.0)
    session.events()
    pushes = session.receive(frames, Arrival(), 0.0)
    for message in opened(pushes):
        assert (
            message.payload is message.data or isinstance(message.payload, Payload) or message.payload == message.data
        )
        assert isinstance(message.to_dict(), dict)
    assert session.is_active(wanted)
    assert not session.is_active(late)
    assert all(isinstance(event, ServerError) for event in session.events())
    if session.lost is None:
        assert session.settled


WAITS = st.text(max_size=12) | st.sampled_from(
    ["7", "-1", "1e9", "Fri, 31 Dec 9999 23:59:59 GMT", "1 Jan 99999 00:00", "9" * 400]
)


@BOUNDED
@given(
    body=FRAMES | JSON.map(lambda value: json.dumps(value).encode()),
    status=st.integers(100, 599),
    headers=st.fixed_dictionaries(
        {"Retry-After": WAITS}, optional={"Content-Type": WAITS, "Date": WAITS, "gw-ratelimit-reset": WAITS}
    ),
)
def test_any_answer_of_rest_is_data_or_an_error_of_this_package(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    try:
        RestResponse(status, headers, body).data("GET /api/v1/any", now=0.0)
    except KucoinSyncError as error:
        wait = getattr(error, "retry_after", None)
        assert wait is None or 0 <= wait <= 3600


class _Answering(Rest):
    """A client that is answered without a network."""

    answer: Any = None

    def call(self, *_: object, **__: object) -> Any:
        return self.answer


NUMBERS = st.integers() | st.floats() | JSON
SERVERS = st.fixed_dictionaries(
    {"endpoint": TEXTS, "pingInterval": NUMBERS, "pingTimeout": NUMBERS}, optional={"protocol": JSON}
)


@BOUNDED
@given(
    answer=JSON
    | st.fixed_dictionaries({"token": st.just("t"), "instanceServers": st.lists(SERVERS, min_size=1, max_size=2)})
    | st.fixed_dictionaries({"token": JSON, "instanceServers": st.lists(OBJECTS, max_size=3) | JSON})
)
def test_any_token_is_a_token_to_a_server_that_may_have_it_or_an_error_of_this_package(answer: object) -> None:
    waker = Waker()
    client = _Answering(
        Endpoints("http://127.0.0.1", "http://127.0.0.1"), waker=waker, context=ssl.create_default_context
    )
    client.answer = answer
    try:
        servers = client.servers(CLASSIC, "spot", private=False)
    except KucoinSyncError:
        pass
    else:
        assert servers
        for server in servers:
            assert isinstance(server, Server)
            assert server.token
            assert server.endpoint.startswith(("ws://127.0.0.1", "wss://127.0.0.1"))
            assert 0 < server.ping_interval <= 86400
            assert 0 < server.ping_timeout <= 86400
    finally:
        client.close()
        waker.close()


@BOUNDED
@given(
    topic=st.text(max_size=30)
    | st.builds(
        "{}:{}".format,
        st.sampled_from(
            [
                "/market/ticker",
                "/market/candles",
                "/contract/position",
                "/account/balance",
                "/uta/ticker.SPOT",
                "/uta/",
                "/",
                "",
            ]
        ),
        st.text("ABC-_,:1 all", max_size=20),
    )
)
def test_any_topic_is_split_into_topics_that_stay_as_they_are_or_is_an_invalid_topic(topic: str) -> None:
    try:
        singles = grammar.split(topic)
    except InvalidTopic:
        return
    assert singles
    for single in singles:
        assert grammar.split(single) == (single,)
        assert single.startswith("/") and single.isascii() and single.isprintable() and "," not in single
        assert grammar.market_of(single) in ("spot", "futures", "uta-spot", "uta-futures", "uta")
