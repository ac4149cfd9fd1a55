"""Multiplex tunnels against the local KuCoin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync import Disconnected, InvalidTopic, Resubscribed, Stream, StreamClosed, SubscriptionRejected
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events

KCS = "/market/ticker:KCS-BTC"


def kinds(server: KucoinServer) -> list[str]:
    return [command.message["type"] for command in server.received if command.message["type"] != "ping"]


def test_a_message_reaches_only_the_subscriptions_of_its_tunnel(server: KucoinServer, stream: Stream) -> None:
    with stream.tunnel("bt1") as one, stream.tunnel("bt2") as two:
        outside = stream.subscribe(KCS)
        in_one, in_two = one.subscribe(KCS), two.subscribe(KCS)
        assert server.publish(KCS, {"n": 1}) == 3, "one frame outside and one in each tunnel"
        for subscription, tunnel in ((outside, None), (in_one, "bt1"), (in_two, "bt2")):
            message = subscription.get(5)
            assert (message.tunnel_id, message.data, subscription.pending) == (tunnel, {"n": 1}, 0)
        in_one.close()
        server.wait_for(lambda s: "unsubscribe" in kinds(s))
        assert server.publish(KCS, {"n": 2}) == 2
        assert in_two.get(5).data == outside.get(5).data == {"n": 2}


def test_a_tunnel_is_opened_before_its_first_topic_and_closed_at_its_end(server: KucoinServer, stream: Stream) -> None:
    with stream.tunnel("bt1") as tunnel:
        subscription = tunnel.subscribe(KCS)
        assert kinds(server) == ["openTunnel", "subscribe"]
    server.wait_for(lambda s: kinds(s)[-1] == "closeTunnel")
    assert list(subscription) == []
    assert tunnel.closed
    with pytest.raises(StreamClosed, match="'bt1' is closed"):
        tunnel.subscribe(KCS)
    with stream.tunnel("bt1") as again:
        server.publish(KCS, {"n": 3})
        assert again.subscribe(KCS).pending == 0


def test_what_is_under_way_when_a_tunnel_is_closed_reaches_nobody_outside(server: KucoinServer, stream: Stream) -> None:
    outside = stream.subscribe(KCS)
    with stream.tunnel("bt1") as tunnel:
        tunnel.subscribe(KCS)
    for number, rest in enumerate(("", "", ',"tunnelId":"bt1"', ',"tunnelId":""')):
        server.send_raw('{"type":"message","topic":"%s","data":{"n":%d}%s}' % (KCS, number, rest))  # noqa: UP031
    assert [outside.get(5).data["n"] for _ in range(3)] == [0, 1, 3]
    assert stream.stats()["unrouted"] == 1


def test_tunnels_are_opened_again_after_a_reconnect(server: KucoinServer, stream: Stream, events: Events) -> None:
    with stream.tunnel("bt1") as tunnel:
        subscription = tunnel.subscribe(KCS, "/market/match:KCS-BTC")
        server.drop_connections()
        events.wait(Resubscribed)
        assert kinds(server).count("openTunnel") == 2
        server.publish(KCS, {"n": 1})
        message = subscription.get(5)
        assert (message.tunnel_id, message.epoch) == ("bt1", 2)


def test_a_tunnel_that_is_closed_while_its_connection_is_away_is_not_opened_again(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    with stream.tunnel("bt1") as tunnel:
        inside, outside = tunnel.subscribe(KCS), stream.subscribe(KCS)
        server.fail_rest("/api/v1/bullet-public", 500, "500000", times=None)
        server.drop_connections()
        events.wait(Disconnected)
    assert inside.closed
    server.reset_script()
    events.wait(Resubscribed)
    assert kinds(server) == ["openTunnel", "subscribe", "subscribe", "subscribe"]
    server.publish(KCS, {"n": 1})
    assert outside.get(5).tunnel_id is None


def test_the_sixth_tunnel_goes_to_another_connection(server: KucoinServer, stream: Stream) -> None:
    tunnels = [stream.tunnel(f"bt{number}") for number in range(6)]
    subscriptions = [tunnel.subscribe(KCS) for tunnel in tunnels]
    assert sorted(len(connection.tunnels) for connection in server.connections) == [1, 5]
    assert server.publish(KCS, {"n": 1}) == 6
    assert [subscription.get(5).tunnel_id for subscription in subscriptions] == [f"bt{n}" for n in range(6)]


def test_a_tunnel_stays_on_one_connection_and_says_when_it_is_full(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    from kucoin_sync import Limits

    stream = make_stream(limits=Limits(topics_per_connection=3, connections_per_minute=1000))
    with stream.tunnel("bt1") as tunnel:
        tunnel.subscribe("/market/ticker:A-USDT,B-USDT,C-USDT")
        with pytest.raises(InvalidTopic, match="tunnel 'bt1' is full with 3 topics"):
            tunnel.subscribe("/market/ticker:D-USDT")
        assert stream.subscribe("/market/ticker:D-USDT")
        assert stream.stats()["topics"] == 4


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ü"])
def test_a_name_that_is_none_is_refused(stream: Stream, name: str) -> None:
    with pytest.raises(InvalidTopic, match="1 to 64 letters"):
        stream.tunnel(name)


def test_a_name_is_used_once_at_a_time(stream: Stream) -> None:
    with stream.tunnel("bt1"), pytest.raises(InvalidTopic, match="is open already"):
        stream.tunnel("bt1")
    assert not stream.tunnel("bt1").closed


def test_closing_a_tunnel_twice_leaves_a_later_one_of_its_name_alone(server: KucoinServer, stream: Stream) -> None:
    with stream.tunnel("bt1") as tunnel:
        assert repr(tunnel) == "<Tunnel 'bt1': open>"
        tunnel.close()
        assert repr(tunnel) == "<Tunnel 'bt1': closed>"
        again = stream.tunnel("bt1")
        subscription = again.subscribe(KCS)
    assert not subscription.closed
    server.publish(KCS, {"n": 1})
    assert subscription.get(5).tunnel_id == "bt1"


def test_no_tunnel_is_opened_after_the_end(stream: Stream) -> None:
    stream.close()
    with pytest.raises(StreamClosed, match="make a new one to open a tunnel"):
        stream.tunnel("bt1")


def test_a_refused_tunnel_refuses_its_topics(server: KucoinServer, stream: Stream) -> None:
    server.mute(ack=True)
    with stream.tunnel("bt1") as tunnel:
        subscription = tunnel.subscribe(KCS, timeout=0)
        command = server.wait_for(
            lambda s: next((c for c in s.received if c.message["type"] == "openTunnel"), None)
        ).message
        server.send_raw('{"id":"%s","type":"error","code":400,"data":"tunnels are gone"}' % command["id"])  # noqa: UP031
        with pytest.raises(SubscriptionRejected, match="tunnels are gone"):
            subscription.get(5)


def test_a_topic_may_be_unsubscribed_by_name_in_a_tunnel(server: KucoinServer, stream: Stream) -> None:
    outside = stream.subscribe(KCS)
    with stream.tunnel("bt1") as tunnel:
        inside = tunnel.subscribe(KCS)
        tunnel.unsubscribe(KCS)
        assert inside.closed
        assert not outside.closed
        another = tunnel.subscribe(KCS)
        stream.unsubscribe(KCS)
        assert outside.closed
        assert not another.closed
