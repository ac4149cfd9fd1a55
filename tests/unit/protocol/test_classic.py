"""The classic dialect: tokens, commands, answers, and what its errors mean."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kucoin_sync import Credentials, Limits, TokenError
from kucoin_sync.protocol.classic import CLASSIC, EnvelopePrefixes, _Token, classify_error
from kucoin_sync.protocol.dialect import Server
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.message import UNREADABLE

from ...support.tickers import START, learned, prefix_in, prefix_of, symbols, ticker

SERVER = {"endpoint": "wss://ws-api-spot.kucoin.com/", "encrypt": True, "pingInterval": 18000, "pingTimeout": 10000}


# Connecting


def test_it_is_the_dialect_of_the_topics_that_name_no_other() -> None:
    assert DIALECTS["classic"] is CLASSIC
    assert not CLASSIC.binary


def test_it_has_the_limits_of_the_stream_and_no_login_of_its_own() -> None:
    limits = Limits(topics_per_command=7)
    assert CLASSIC.limits(limits, private=True) is limits
    assert CLASSIC.login(Credentials("k", "s", "p"), lambda: 0) is None


def test_the_servers_of_a_token_have_their_ping_values_in_seconds() -> None:
    second = {"endpoint": "wss://ws2.kucoin.com/e", "pingInterval": 500.5, "pingTimeout": 1, "new": None}
    data = {"token": "s3cret-token", "instanceServers": [SERVER, second], "new": 1}
    servers = CLASSIC.servers("spot", private=False, token=data)
    assert servers == [
        Server("wss://ws-api-spot.kucoin.com/", 18.0, 10.0, "s3cret-token"),
        Server("wss://ws2.kucoin.com/e", 0.5005, 0.001, "s3cret-token"),
    ]
    assert "s3cret" not in repr(servers)


@pytest.mark.parametrize("name", ["pingInterval", "pingTimeout"])
@pytest.mark.parametrize("value", [0, -1, "18000", None, True, 86_400_001, 1e300])
def test_a_ping_value_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    data = {"token": "s3cret-token", "instanceServers": [{**SERVER, name: value}]}
    with pytest.raises(TokenError, match=name) as failure:
        CLASSIC.servers("spot", private=False, token=data)
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    "data", [None, {"token": "", "instanceServers": [SERVER]}, {"token": "t", "instanceServers": []}]
)
def test_what_is_no_token_is_refused_with_the_path_that_gave_it(data: object, private: bool) -> None:
    path = "/api/v1/bullet-private" if private else "/api/v1/bullet-public"
    assert CLASSIC.token_path(private=private) == path
    with pytest.raises(TokenError, match=f"KuCoin's answer to {path} "):
        CLASSIC.servers("spot", private=private, token=data)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("wss://a.example/", "wss://a.example/?token=a%2Fb%3D&connectId=7"),
        ("wss://a.example/e?x=1", "wss://a.example/e?x=1&token=a%2Fb%3D&connectId=7"),
    ],
)
def test_the_url_has_the_token_and_the_id_of_the_connection(endpoint: str, url: str) -> None:
    assert CLASSIC.url(Server(endpoint, 18.0, 10.0, "a/b="), "7") == url


def test_the_answer_with_a_token_does_not_show_it() -> None:
    shown = repr(msgspec.convert({"token": "s3cret-token", "instanceServers": [SERVER]}, _Token))
    assert "s3cret" not in shown
    assert SERVER["endpoint"] in shown


# Commands


@pytest.mark.parametrize("private", [False, True])
def test_a_command_is_a_json_object_with_id_type_and_its_fields(private: bool) -> None:
    topics = ["/market/ticker:BTC-USDT", "/market/ticker:ETH-USDT"]
    assert json.loads(CLASSIC.command("subscribe", "7", topics, private=private)) == {
        "id": "7",
        "type": "subscribe",
        "topic": "/market/ticker:BTC-USDT,ETH-USDT",
        "privateChannel": private,
        "response": True,
    }
    assert CLASSIC.ping("8") == b'{"id":"8","type":"ping"}'


@pytest.mark.parametrize(
    ("kind", "name"), [("openTunnel", "newTunnelId"), ("closeTunnel", "tunnelId"), ("subscribe", "tunnelId")]
)
def test_a_command_names_its_tunnel(kind: str, name: str) -> None:
    command = json.loads(CLASSIC.command(kind, "7", tunnel="bt1"))
    assert command == {"id": "7", "type": kind, name: "bt1", "response": True}


# Answers


@pytest.mark.parametrize(
    ("frame", "type", "command_id"),
    [
        (b'{"id":"7","type":"welcome"}', "welcome", "7"),
        (b'{"id":7,"type":"ack"}', "ack", "7"),
        (b'{"type":"pong","id":null,"timestamp":1712000000123456}', "pong", ""),
        (b'{"type":"pong"}', "pong", ""),
        (b"{}", "", ""),
    ],
)
def test_a_control_frame_has_its_type_and_the_id_as_text(frame: bytes, type: str, command_id: str) -> None:
    answer = CLASSIC.answer(frame)
    assert (answer.kind, answer.command_id) == (type, command_id)


@pytest.mark.parametrize(
    ("code", "status"),
    [("404", 404), ('"509"', 509), ("null", 0), ('""', 0), ('"none"', 0), ("0", 0), ('"' + "9" * 5000 + '"', 0)],
)
def test_the_status_of_an_error_is_a_number(code: str, status: int) -> None:
    assert CLASSIC.answer(f'{{"type":"error","code":{code}}}'.encode()).code == status


def test_an_error_without_a_code_has_the_status_0() -> None:
    assert CLASSIC.answer(b'{"type":"error"}').code == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('"topic is invalid"', "topic is invalid"),
        ('"quote \\" and é"', 'quote " and é'),
        ("null", "null"),
        ('{"why":[1,2]}', '{"why":[1,2]}'),
        ("7", "7"),
        ("1e999", "1e999"),
        ('"' + "x" * 600 + '"', "x" * 500),
        ("[" + "1," * 600 + "1]", ("[" + "1," * 600)[:500]),
    ],
)
def test_the_reason_of_an_error_is_its_text_or_json_and_never_long(data: str, reason: str) -> None:
    assert CLASSIC.answer(f'{{"type":"error","data":{data}}}'.encode()).reason == reason


def test_an_error_without_data_has_an_empty_reason() -> None:
    assert CLASSIC.answer(b'{"type":"error"}').reason == ""


@pytest.mark.parametrize("frame", [b"", b"[]", b"{", b'{"id":1.5}', b'{"id":{}}', b'{"code":[]}', b'{"type":7}'])
def test_what_is_no_control_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(UNREADABLE):
        CLASSIC.answer(frame)


def test_a_malformed_push_is_no_answer() -> None:
    with pytest.raises(UNREADABLE):
        CLASSIC.answer(b'{"type":"message","topic":7}')


# What errors mean

# Every documented or observed answer: (code, text, meaning).
ANSWERS = [
    (400, "topic is invalid", "refused"),
    (400, "topic /market/ticker:all:all is invalid", "refused"),
    (403, "login is required", "refused"),
    (404, "topic /market/nothing:BTC-USDT is not found", "refused"),
    (404, "topic does not exist", "refused"),
    (406, "topic is required", "refused"),
    (509, "exceed max subscription count limitation of 100 per time", "split"),
    (509, "exceed max subscription count limitation of 300 per session", "full"),
    (400, "exceed max subscription count limitation of 400 per session", "full"),
    (401, "token is invalid", "token"),
    (401, "token is expired", "token"),
    (509, "exceed max session count limitation of 50", "busy"),
    (509, "service busy, please retry later", "busy"),
    (400, "ping timeout", "idle"),
    (400, "Unexpected character ('h' (code 104)): was expecting double-quote to start field name", "refused"),
    (400, "data format is invalid", "refused"),
    (415, "type is not supported", "refused"),
    (415, "command type is invalid", "refused"),
    (500, "system error", "busy"),
    (509, "exceed max permits per second", "pace"),
    (0, "Too Many Requests", "pace"),
    (0, "Request Timeout", "busy"),
    (0, "Bad Gateway", "busy"),
    (0, "Service Unavailable", "busy"),
    (0, "Gateway Time-out", "busy"),
    (0, "the request timed out", "busy"),
    (0, "Internal Server Error", "busy"),
]


@pytest.mark.parametrize(("code", "text", "means"), ANSWERS)
def test_every_known_answer_is_told_by_its_text(code: int, text: str, means: str) -> None:
    assert classify_error(code, text) == means
    assert classify_error(code, text.upper()) == means


def test_code_509_alone_has_five_meanings() -> None:
    texts = [text for code, text, _ in ANSWERS if code == 509]
    assert len(texts) == 5
    assert {classify_error(509, text) for text in texts} == {"split", "full", "busy", "pace"}


@pytest.mark.parametrize(
    ("code", "means"),
    [
        *((401, "token"), (429, "pace"), (509, "pace")),
        *((code, "busy") for code in (408, 425, 500, 502, 503, 504, 599)),
        *((code, "refused") for code in (0, 400, 403, 404, 406, 415, 418, 600)),
    ],
)
def test_an_unknown_text_is_judged_by_its_code(code: int, means: str) -> None:
    assert classify_error(code, "something new") == means


def test_the_text_counts_more_than_the_code() -> None:
    assert classify_error(404, "token is expired") == "token"
    assert classify_error(509, "ping timeout") == "idle"


def test_the_first_meaning_that_matches_counts() -> None:
    assert classify_error(509, "exceed max limitation of 300 per session, please retry later") == "full"


# Envelope prefixes


def test_a_frame_that_begins_like_one_before_it_has_its_head() -> None:
    prefixes = EnvelopePrefixes()
    assert prefix_in(prefixes, ticker(1)) is None
    prefixes.learn(ticker(1))
    prefix = prefix_in(prefixes, ticker(2))
    assert prefix is not None
    assert (prefix.start, prefix.channel) == (START + b'"data":', ("/market/ticker:BTC-USDT", "trade.ticker"))
    assert prefix_in(prefixes, ticker(2).replace(b"BTC", b"ETH")) is None


@pytest.mark.parametrize(
    "beginning",
    [
        b'{"topic":"/a:B","type":"message","data":',
        b'{"type":"message","topic":"/a:B","subject":"s","data":',
        b'{"subject":null,"type":"message","topic":"/a:B","data":',
    ],
)
def test_the_order_of_the_keys_is_free(beginning: bytes) -> None:
    prefix = prefix_of(beginning + b"{}}")
    assert prefix is not None
    assert prefix.channel[0] == "/a:B"


@pytest.mark.parametrize(
    "beginning",
    [
        b'{"topic":"/a:B","type":"message","sn":5,"data":',
        b'{"topic":"/a:B","type":"message","id":"5","data":',
        b'{"topic":"/a:B","type":"message","tunnelId":"bt1","data":',
        b'{"topic":"/a:B","type":"message","userId":"u","channelType":"private","data":',
        b'{"topic":"/a:B","data":',  # the type may follow, and be another
        b'{"type":"message","data":',
        b'{"topic":"/a:B","type":"error","data":',
        b'{"topic":"/a:B","type":"message","nested":{"data":',
        b'{"topic":"/a:B","type":"message"',
        b"\xff",
    ],
)
def test_what_says_more_or_less_than_topic_subject_and_type_is_not_learned(beginning: bytes) -> None:
    assert prefix_of(beginning + b"{}}") is None


@pytest.mark.parametrize(
    "end", [b',"tunnelId":"t"}', b',"topic":"/a:C"}', b',"subject":"s"}', b',"sn":5}', b"}\n", b" } ", b',"data":{}}']
)
def test_what_has_more_behind_its_data_is_not_learned(end: bytes) -> None:
    assert prefix_of(b'{"topic":"/a:B","type":"message","data":{}}') is not None
    assert prefix_of(b'{"topic":"/a:B","type":"message","data":{} }') is not None
    assert prefix_of(b'{"topic":"/a:B","type":"message","data":{}' + end) is None


def test_what_can_not_be_learned_is_tried_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def decode(text: bytes) -> None:
        tried.append(text)
        raise ValueError

    monkeypatch.setattr("kucoin_sync.protocol.classic._decode_envelope", decode)
    prefixes = EnvelopePrefixes()
    for _ in range(10_000):
        prefixes.learn(ticker(0))
    assert 10 <= len(tried) <= 20


def test_a_head_is_learned_after_others_were_tried_in_vain() -> None:
    prefixes = EnvelopePrefixes()
    for _ in range(5000):
        prefixes.learn(b'{"sn":1,"data":0}')
    for _ in range(1001):
        prefixes.learn(ticker(0))
    assert prefix_in(prefixes, ticker(1)) is not None


def test_the_heads_that_are_kept_are_bounded() -> None:
    prefixes = EnvelopePrefixes()
    for n in range(10_000):
        prefixes.learn(ticker(0).replace(b"BTC", b"C%d" % n))
    assert len(prefixes.known) <= 4096
    assert prefix_in(prefixes, ticker(0).replace(b"BTC", b"C9999")) is not None


@pytest.mark.parametrize(
    "frames",
    [
        symbols("BTC"),
        symbols("BTC", "ETH", "A", "ABC"),
        symbols("A" * 40 + "1", "A" * 40 + "2", "B"),  # alike for longer than a glimpse
        [ticker(0), ticker(0).replace(b"ticker:", b"match:"), b'{"topic":"/a","type":"message","data":2}'],
        [b'{"topic":"/a","type":"message","data":2}', b'{"topic":"/a","type":"message","subject":"s","data":2}'],
    ],
    ids=["one", "four", "hard to tell apart", "other topics", "with a subject and without"],
)
def test_the_heads_of_frames_that_came_together_are_found_at_once(frames: list[bytes]) -> None:
    prefixes = learned(frames)
    for _ in range(2):
        assert prefixes.find(frames * 3) == [prefix_in(prefixes, frame) for frame in frames] * 3
    assert prefixes.find([*frames, ticker(0).replace(b"BTC", b"NEW")]) is None
    assert prefixes.find([*frames, b""]) is None
    assert prefixes.find([*frames, frames[0].replace(b'"type"', b'"TYPE"')]) is None
    new = ticker(1).replace(b"BTC", b"NEW")
    prefixes.learn(new)
    assert prefixes.find([*frames, new]) == [
        *(prefix_in(prefixes, frame) for frame in frames),
        prefix_in(prefixes, new),
    ]


def test_what_is_known_can_be_told_apart_or_not_but_is_found_all_the_same() -> None:
    frames = symbols("A" * 50 + "1", "A" * 50 + "2", "B", "C")
    prefixes = learned(frames)
    assert len(prefixes._by_key) < len(prefixes.known)
    assert prefixes.find(frames) == [prefix_in(prefixes, frame) for frame in frames]
    assert len(prefixes._by_key) == 3


def test_prefixes_are_forgotten_once_most_may_be_of_unsubscribed_topics() -> None:
    prefixes = learned(symbols("BTC", "ETH"))
    prefixes.forget(256)
    assert len(prefixes.known) == 2
    prefixes.forget(1)
    assert prefixes.known == {}
    assert prefixes.find(symbols("BTC")) is None
    prefixes.learn(ticker(0))
    prefixes.forget(256)
    assert len(prefixes.known) == 1, "the count begins anew"
