"""The conversation of `kucoin-sync verify` with services that do not answer as they should, and what it notes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from kucoin_sync.net.connect_pace import connect_pace
from kucoin_sync.net.endpoints import Endpoints
from kucoin_sync.net.rest import Rest, default_context
from kucoin_sync.net.waker import Waker
from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.uta import Hosts, Uta
from kucoin_sync.testing import KucoinServer
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.probe import Probe
from kucoin_sync.verify.questions import questions
from kucoin_sync.verify.report import dump
from kucoin_sync.verify.seen import Seen, SessionSeen

from ..support.threads import LIMIT

SHORT = 1.5


@contextmanager
def probing(server: KucoinServer, market: str = "spot", timeout: float = LIMIT) -> Iterator[Probe]:
    with ExitStack() as stack:
        waker = Waker()
        stack.callback(waker.close)
        endpoints = Endpoints.chosen(server.rest_url, server.futures_rest_url)
        rest = Rest(endpoints, waker=waker, context=default_context, proxy="", timeout=LIMIT)
        stack.callback(rest.close)
        uta = Uta(Hosts(server.endpoint("uta-spot"), server.endpoint("uta-futures"), server.endpoint("uta")))
        probe = Probe(uta if market.startswith("uta") else CLASSIC, market, endpoints, rest, waker, timeout)
        stack.callback(probe.close)
        yield probe


def facts_of(seen: SessionSeen) -> list[str]:
    return [finding.fact for finding in judge(Seen(60.0, [seen]))]


def test_what_it_notes_has_no_secret(server: KucoinServer) -> None:
    for number, market in enumerate(("spot", "uta-spot"), 1):
        with probing(server, market) as probe:
            probe.talk()
            probe.close()
            seen = probe.seen()
        assert facts_of(seen) == []
        assert len(seen.answers) == len(questions(CLASSIC if market == "spot" else Uta(), market)) + 1
        assert seen.code == 1000
        written = dump(Seen(60.0, [seen]), "1").decode()
        for secret in server.handshakes[-1].query.values():
            assert secret not in written
        ended = server.wait_for(lambda server, number=number: server.ended[number - 1 :])
        assert ended[0].id not in written


@pytest.mark.parametrize(
    ("mute", "asked", "facts"),
    [
        ({"pong": True}, 10, ["pong"]),
        ({"pong": False, "ack": True}, 5, ["ack", "twice", "unknown symbol"]),
    ],
    ids=["pong", "ack"],
)
def test_answers_that_do_not_come_are_named(
    server: KucoinServer, mute: dict[str, Any], asked: int, facts: list[str]
) -> None:
    server.mute(**mute)
    with probing(server, timeout=SHORT) as probe:
        probe.talk()
        seen = probe.seen()
    assert len(seen.answers) == asked
    assert facts_of(seen) == facts


def test_its_connections_count_among_those_of_the_process(server: KucoinServer) -> None:
    with probing(server) as probe:
        probe.talk()
    for _ in range(24):
        assert not connect_pace.delay(f"classic {server.rest_url}", 25, time.monotonic())
    assert connect_pace.delay(f"classic {server.rest_url}", 25, time.monotonic()) > 0, "the 26th in a minute"


def test_without_a_welcome_nothing_is_asked(server: KucoinServer) -> None:
    server.no_welcome()
    with probing(server, timeout=SHORT) as probe:
        probe.talk()
        seen = probe.seen()
    assert facts_of(seen) == ["welcome"]
    assert server.received == []


def test_a_service_that_can_not_be_reached_is_noted(server: KucoinServer) -> None:
    server.refuse_handshake(503)
    with probing(server) as probe:
        probe.talk()
        probe.watch()
        seen = probe.seen()
    assert "503" in seen.error
    assert facts_of(seen) == ["reach"]


def test_a_cut_during_the_conversation_is_noted(server: KucoinServer) -> None:
    server.refuse_token()
    with probing(server) as probe:
        probe.talk()
        assert "400003" in probe.seen().error
    server.expire_tokens()
    server.instance_servers = [{"endpoint": server.endpoint() + "?token=old"}]
    with probing(server) as probe:
        probe.talk()
        seen = probe.seen()
    assert facts_of(seen)[0] == "welcome"


def test_how_long_a_silent_client_is_kept_is_noted() -> None:
    with KucoinServer(idle_timeout=0.5) as server, probing(server) as probe:
        probe.talk()
        probe.close(LIMIT)
        seen = probe.seen()
        assert seen.silent is not None and seen.code in (1000, 1006)
        assert facts_of(seen) == ["silence"]
        assert "already" in judge(Seen(60.0, [seen]))[0].text


def test_a_cut_is_seen_while_others_are_listened_to(server: KucoinServer) -> None:
    with probing(server) as probe:
        probe.talk()
        probe.watch()
        assert probe.seen().silent is None
        server.close_connections(1001, "later")
        server.wait_for(lambda server: server.ended)
        while probe.seen().silent is None:
            probe.watch()
        assert probe.seen().code == 1001
