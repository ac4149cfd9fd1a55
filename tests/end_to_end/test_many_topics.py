"""Thousands of topics under KuCoin's limits, and what happens at those limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync import Limits, Progress, Resubscribed, Stream, Subscription, SubscriptionRejected, topics
from kucoin_sync.testing import KucoinServer, ServerLimits

from ..reliability.clock import Clock
from ..support.streams import FAST, Events
from ..support.threads import until

SYMBOLS = [f"S{number}-USDT" for number in range(2000)]


def subscribes(server: KucoinServer) -> list[str]:
    return [command.message["topic"] for command in server.received if command.message["type"] == "subscribe"]


def test_two_thousand_symbols_twice_in_two_calls_and_all_back_after_a_cut(events: Events) -> None:
    with (
        KucoinServer(limits=ServerLimits(connections_per_minute=100)) as server,
        Stream(**server.stream_options, limits=FAST, on_event=events) as stream,
    ):
        tickers = stream.subscribe(topics.ticker(*SYMBOLS), timeout=60)
        level2 = stream.subscribe(topics.level2(*SYMBOLS), timeout=60)
        assert events.wait(Progress, 1).total == 2000
        assert len(server.connections) == 14
        assert max(len(connection.topics) for connection in server.connections) == 300
        assert [topic.count(",") + 1 for topic in subscribes(server)].count(100) >= 36
        check_delivery(server, tickers, level2, epoch_at_least=1)
        server.drop_connections()
        events.wait(Resubscribed, 14, timeout=40)
        assert sum(len(connection.topics) for connection in server.connections) == 4000
        check_delivery(server, tickers, level2, epoch_at_least=15)
        refused = [connection.end for connection in server.ended if "dropped" not in str(connection.end)]
        assert not refused, "the server saw no limit exceeded"
        assert stream.stats()["disconnects"] == 14


def check_delivery(server: KucoinServer, tickers, level2, epoch_at_least: int) -> None:  # type: ignore[no-untyped-def]
    for symbol in SYMBOLS:
        assert server.publish(f"/market/ticker:{symbol}", {"of": symbol}) == 1
        assert server.publish(f"/market/level2:{symbol}", {"of": symbol}) == 1
    for subscription in (tickers, level2):
        got = [subscription.get(timeout=10) for _ in SYMBOLS]
        assert {message.data["of"] for message in got} == set(SYMBOLS)
        assert all(message["topic"].endswith(":" + message.data["of"]) for message in got)
        assert min(message.epoch for message in got) >= epoch_at_least
        assert subscription.pending == 0


def test_two_thousand_symbols_of_the_uta_feed_in_one_call_and_all_back_after_a_cut(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a command for each symbol. KuCoin's limits for it are not changed here, and the server checks them."""
    clock = Clock(monkeypatch, by_hand=True)
    limits = ServerLimits(uta_topics=400, uta_messages_per_10s=270, connections_per_minute=25)
    with (
        KucoinServer(limits=limits, monotonic=clock.monotonic) as server,
        Stream(**server.stream_options, on_event=events) as stream,
    ):
        trades = stream.subscribe(topics.uta.trades(*SYMBOLS), timeout=0)
        for cuts in (0, 1):
            # Of the 270, five are kept for pings.
            until(lambda: carried(server) == [265] * 5, "the first commands of each connection did not come")
            wake(server, trades)  # ... and with these messages, the confirmations before them
            clock.seconds += 10
            server.advance(0)
            wake(server, trades)
            until(lambda: carried(server) == [400] * 5, "the commands after ten seconds did not come")
            assert sum(command.message.get("action") == "SUBSCRIBE" for command in server.received) == 2000 * (cuts + 1)
            for symbol in SYMBOLS:
                assert server.publish(f"/uta/trade.SPOT:{symbol}", {"s": symbol}) == 1
            got = [trades.get(timeout=10) for _ in SYMBOLS]
            assert {message.topic for message in got} == set(trades.topics)
            assert min(message.epoch for message in got) > 5 * cuts
            if not cuts:
                assert not any(isinstance(event, Resubscribed) for event in events.all)
                server.drop_connections()
        events.wait(Resubscribed, 5)
        assert trades.pending == 0
        assert stream.stats()["disconnects"] == 5, "the server saw no limit exceeded"


def carried(server: KucoinServer) -> list[int]:
    """Return the numbers of topics of the server's connections."""
    return [len(connection.topics) for connection in server.connections]


def wake(server: KucoinServer, subscription: Subscription) -> None:
    """Send a message over each connection, and wait until it is there."""
    for connection in server.connections:
        topic = next(iter(connection.topics))
        assert server.publish(topic, {"s": topic.partition(":")[2]}) == 1
    for _ in server.connections:
        subscription.get(timeout=10)


def test_three_hundred_topics_come_back_with_three_commands(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    stream.subscribe(topics.ticker(*SYMBOLS[:300]))
    before = len(subscribes(server))
    server.drop_connections()
    events.wait(Resubscribed)
    assert [topic.count(",") + 1 for topic in subscribes(server)[before:]] == [100, 100, 100]


def test_a_connection_that_is_full_sends_its_topics_to_another(events: Events) -> None:
    with (
        KucoinServer(limits=ServerLimits(topics_per_session=150)) as server,
        Stream(**server.stream_options, limits=FAST, on_event=events) as stream,
    ):
        subscription = stream.subscribe(topics.ticker(*SYMBOLS[:400]), timeout=30)
        assert sum(len(connection.topics) for connection in server.connections) == 400
        for symbol in SYMBOLS[:400]:
            assert server.publish(f"/market/ticker:{symbol}", {"of": symbol}) == 1
        assert {subscription.get(10).data["of"] for _ in range(400)} == set(SYMBOLS[:400])


def test_a_server_that_is_full_from_the_start_is_an_error_that_says_so() -> None:
    with (
        KucoinServer(limits=ServerLimits(topics_per_session=1)) as server,
        Stream(
            **server.stream_options, limits=Limits(topics_per_connection=300, connections_per_minute=1000)
        ) as stream,
    ):
        server.reject_next(509, "exceed max subscription count limitation of 0 per session", times=100)
        with pytest.raises(SubscriptionRejected, match="per session"):
            stream.subscribe(topics.ticker("BTC-USDT"))


def test_a_smaller_limit_per_command_is_met_by_halving() -> None:
    with (
        KucoinServer(limits=ServerLimits(topics_per_command=30)) as server,
        Stream(**server.stream_options, limits=FAST) as stream,
    ):
        stream.subscribe(topics.ticker(*SYMBOLS[:100]))
        assert sum(len(connection.topics) for connection in server.connections) == 100


@pytest.mark.parametrize("text", ["exceed max permits per second", "service busy, please retry later"])
def test_a_refusal_for_pace_or_load_is_tried_again(server: KucoinServer, stream: Stream, text: str) -> None:
    server.reject_next(509, text)
    subscription = stream.subscribe(topics.ticker("BTC-USDT"))
    assert len(subscribes(server)) == 2
    server.publish("/market/ticker:BTC-USDT", {})
    assert subscription.get(5)


def test_unsubscribing_frees_places_and_empty_connections_close(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    stream = make_stream(limits=Limits(topics_per_connection=10, connections_per_minute=1000, idle_seconds=0.1))
    first = stream.subscribe(topics.ticker(*SYMBOLS[:10]))
    second = stream.subscribe(topics.ticker(*SYMBOLS[10:20]))
    assert len(server.connections) == 2
    first.close()
    third = stream.subscribe(topics.ticker(*SYMBOLS[20:25]))
    assert len(server.connections) == 2, "the places of the first are taken again"
    third.close()
    server.wait_for(lambda s: len(s.connections) == 1)
    server.publish(f"/market/ticker:{SYMBOLS[15]}", {"n": 1})
    assert second.get(5).data == {"n": 1}
    assert stream.stats()["connections"] == 1


def test_the_pace_of_commands_is_kept() -> None:
    limits = Limits(commands_per_10s=20, connections_per_minute=1000)
    with (
        KucoinServer(ping_interval=2.0, ping_timeout=10.0) as server,
        Stream(**server.stream_options, limits=limits) as stream,
    ):
        for number in range(15):
            stream.subscribe(topics.futures.ticker(f"C{number}USDTM"), timeout=0)
        stream.subscribe(topics.futures.ticker("LASTUSDTM"), timeout=0)
        server.wait_for(lambda s: len(subscribes(s)) >= 14, 20)
        pings = sum(command.message["type"] == "ping" for command in server.received)
        server.wait_for(lambda s: sum(command.message["type"] == "ping" for command in s.received) > pings, 20)
        assert len(subscribes(server)) < 16, "pings never wait, commands do"
