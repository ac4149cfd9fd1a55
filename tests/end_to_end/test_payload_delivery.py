"""Payloads from the server to the user: every shape field by field, and anything else without an exception."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_sync import Stream, payloads
from kucoin_sync.testing import KucoinServer
from kucoin_sync.topics import TABLE, grammar
from kucoin_sync.topics.table import Topic

from ..support.selection import examples
from ..test_reference import EXAMPLES, helper
from ..unit.payloads.test_payloads import SHAPES

PUSHES: list[tuple[Topic, str, str]] = [
    (row, row.prefix.removeprefix("/uta/") if row.dialect == "uta" else "any" if subject == "*" else subject, text)
    for row in TABLE
    for subject, cls in row.payloads.items()
    for shape, text, _ in SHAPES
    if shape is cls
]
#: Reads a payload of every kind and prints by which threads decoders were built.
BUILDERS = """
import threading

import msgspec

from kucoin_sync import Stream
from kucoin_sync.testing import KucoinServer
from tests.support.streams import FAST
from tests.end_to_end.test_payload_delivery import PUSHES, topic_of

make, builders = msgspec.json.Decoder, []


def noted(*arguments, **options):
    builders.append(threading.current_thread())
    return make(*arguments, **options)


msgspec.json.Decoder = noted
with KucoinServer() as server, Stream(**{**server.stream_options, "limits": FAST}) as stream:
    for row, subject, text in PUSHES:
        with stream.subscribe(topic_of(row)) as subscription:
            user = server.USER if row.private else None
            symbol, _, interval = topic_of(row).partition(":")[2].partition("_")
            if row.dialect == "uta" and symbol:  # such a push has its topic in its data
                text = msgspec.json.encode({**msgspec.json.decode(text), "s": symbol, "i": interval}).decode()
            server.publish(topic_of(row), msgspec.Raw(text.encode()), subject=subject, user=user)
            subscription.get(timeout=5).payload
print(len(builders), threading.main_thread() in builders)
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
NAMES = sorted(
    {field.encode_name for row in TABLE for cls in row.payloads.values() for field in msgspec.structs.fields(cls)}
)


def topic_of(row: Topic) -> str:
    """Return an example of a row of the topic table."""
    topic: str = grammar.split(helper(row)(*EXAMPLES[row.argument]))[0]  # type: ignore[operator]
    return topic


@pytest.mark.parametrize(
    ("row", "subject", "text"),
    [each for each in PUSHES if each[0].dialect == "classic"],
    ids=lambda value: getattr(value, "pattern", None),
)
def test_a_payload_arrives_field_by_field_and_reads_back_as_kucoins_json(
    server: KucoinServer, stream: Stream, row: Topic, subject: str, text: str
) -> None:
    topic = topic_of(row)
    subscription = stream.subscribe(topic)
    user = server.USER if row.private else None
    assert server.publish(topic, msgspec.Raw(text.encode()), subject=subject, user=user, sn=7) == 1
    message = subscription.get(timeout=5)
    cls = row.payloads.get(subject) or row.payloads["*"]
    assert message.payload == payloads.decoder_for(cls)(text.encode())
    assert message["data"] == message.data == json.loads(text)
    assert (message["type"], message["topic"], message["subject"], message["sn"]) == ("message", topic, subject, 7)
    assert message.to_dict() == json.loads(message.raw)
    assert stream.stats()["misfits"] == 0


def test_a_payload_with_something_odd_stays_typed_and_is_counted(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe("/market/ticker:BTC-USDT")
    server.publish("/market/ticker:BTC-USDT", {"sequence": "1", "price": "much"}, subject="trade.ticker")
    message = subscription.get(timeout=5)
    assert (message.payload.sequence, message.payload.price) == (1, None)
    assert message.data == {"sequence": "1", "price": "much"}
    assert stream.stats()["misfits"] == 1


def test_any_data_is_delivered_and_never_raises(server: KucoinServer, stream: Stream) -> None:
    topics = [
        "/market/ticker:BTC-USDT",
        "/market/level2:BTC-USDT",
        "/market/snapshot:USDS",
        "/contract/announcement:XBTUSDTM",
    ]
    subscriptions = {topic: stream.subscribe(topic) for topic in topics}

    @settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        topic=st.sampled_from(topics[:3]),
        data=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), JSON, max_size=8) | JSON,
    )
    def deliver(topic: str, data: Any) -> None:
        server.publish(topic, data, subject="any")
        message = subscriptions[topic].get(timeout=5)
        assert message.data == data
        assert message["data"] == data
        payload = message.payload
        assert payload == data or isinstance(payload, payloads.Payload)
        assert message.get("subject") == "any"

    deliver()
    stats = stream.stats()
    assert (stats["unreadable"], stats["disconnects"], stats["unrouted"]) == (0, 0, 0)


def test_no_decoder_is_built_on_the_main_thread_where_msgspec_could_lose_a_ctrl_c_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", BUILDERS], capture_output=True, text=True, timeout=55, check=False)
    assert done.stderr == ""
    built, by_main = done.stdout.split()
    assert (int(built) > 0, by_main) == (True, "False")
