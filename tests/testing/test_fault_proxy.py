"""The fault proxy: what passes, when, how connections end; against peers that know nothing of KuCoin."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kucoin_sync import Stream
from kucoin_sync.testing import FaultProxy, Faults, KucoinServer
from kucoin_sync.testing.faults.flow import Flow

from ..support.certificates import client_context, server_context
from ..support.sockets import HOST, Peer, drain, refusing_port, reset, tcp_pair
from ..support.threads import LIMIT

TICKER = "/market/ticker:BTC-USDT"
pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Both:
    """The two ends of connections through a proxy: `client` is ours, `server` is what the server accepted."""

    def __init__(self, stack: ExitStack) -> None:
        self._listener = stack.enter_context(socket.create_server((HOST, 0)))
        self._stack = stack
        self.proxy = stack.enter_context(FaultProxy(HOST, self._listener.getsockname()[1]))
        self.client, self.server = self.connect()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = self._stack.enter_context(socket.create_connection(self.proxy.address, timeout=LIMIT))
        server = self._stack.enter_context(self._listener.accept()[0])
        server.settimeout(LIMIT)
        return client, server


@pytest.fixture
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = connection.recv(count - len(received))
        assert chunk, f"the connection ended after {received!r}"
        received += chunk
    return received


def one_byte(proxy: FaultProxy) -> bytes:
    """Connect, send a byte and return what comes."""
    with socket.create_connection(proxy.address, timeout=LIMIT) as client:
        client.sendall(b"x")
        return client.recv(1)


def echoed(both: Both) -> None:
    """Send a byte to the server and one back, so that all that was set before is in force."""
    both.client.sendall(b"?")
    assert both.server.recv(1) == b"?"


class TestWithoutFaults:
    def test_bytes_pass_both_ways(self, both: Both) -> None:
        both.client.sendall(b"question")
        assert exactly(both.server, 8) == b"question"
        both.server.sendall(b"answer")
        assert exactly(both.client, 6) == b"answer"
        assert (both.proxy.to_server.passed, both.proxy.to_client.passed) == (8, 6)

    def test_a_great_deal_passes_a_slow_reader(self, both: Both) -> None:
        data = os.urandom(4_000_000)
        writer = threading.Thread(target=both.server.sendall, args=(data,))
        writer.start()
        both.proxy.wait_for(lambda proxy: proxy.to_client.passed)
        assert exactly(both.client, len(data)) == data
        writer.join(LIMIT)

    def test_each_direction_ends_by_itself(self, both: Both) -> None:
        both.client.sendall(b"last words")
        both.client.shutdown(socket.SHUT_WR)
        assert drain(both.server) == b"last words"
        both.server.sendall(b"and mine")
        both.server.close()
        assert drain(both.client) == b"and mine"
        both.proxy.wait_for(lambda proxy: not proxy.connections)

    @pytest.mark.parametrize("by_client", [True, False])
    def test_a_reset_comes_through_as_a_reset(self, both: Both, by_client: bool) -> None:
        ours, theirs = (both.client, both.server) if by_client else (both.server, both.client)
        reset(ours)
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)

    def test_a_server_that_is_not_there_is_a_reset(self) -> None:
        with refusing_port() as port, FaultProxy(HOST, port) as proxy:
            with pytest.raises(ConnectionResetError):  # in connecting already, or a moment later
                one_byte(proxy)
            assert proxy.accepted == 1

    def test_connections_are_counted(self, both: Both) -> None:
        both.connect()
        assert (both.proxy.accepted, both.proxy.connections) == (2, 2)
        assert repr(both.proxy).endswith("2 connections, <Faults: none>, <Faults: none>>")

    def test_tls_reaches_from_end_to_end(self) -> None:
        with (
            Peer(lambda end: end.sendall(end.recv(100)[::-1]), server_context()) as peer,
            FaultProxy(HOST, peer.port) as proxy,
            socket.create_connection(proxy.address, timeout=LIMIT) as plain,
            client_context().wrap_socket(plain, server_hostname=HOST) as client,
        ):
            client.sendall(b"secret")
            assert client.recv(100) == b"terces"


class TestFaults:
    def test_a_black_hole_keeps_everything_until_it_is_healed(self, both: Both) -> None:
        both.proxy.to_client.hold()
        both.server.sendall(b"unheard")
        both.server.shutdown(socket.SHUT_WR)
        echoed(both)  # the other direction is open, and a whole round later
        assert both.proxy.to_client.passed == 0
        both.proxy.heal()
        assert drain(both.client) == b"unheard"

    def test_a_black_hole_accepts_connections(self, both: Both) -> None:
        both.proxy.to_client.hold()
        client, server = both.connect()
        server.sendall(b"unheard")
        client.sendall(b"?")
        assert server.recv(1) == b"?"
        both.proxy.to_client.clear()
        assert exactly(client, 7) == b"unheard"

    def test_half_a_frame_and_then_silence(self, both: Both) -> None:
        both.proxy.to_client.hold_after(4)
        both.server.sendall(b"halfhalf")
        assert exactly(both.client, 4) == b"half"
        echoed(both)
        assert both.proxy.to_client.passed == 4
        both.proxy.heal()
        assert exactly(both.client, 4) == b"half"

    def test_a_limit_counts_for_each_connection_from_when_it_was_set(self, both: Both) -> None:
        both.server.sendall(b"before")
        assert exactly(both.client, 6) == b"before"
        both.proxy.to_client.close_after(2)
        other, its_server = both.connect()
        for server, client in ((both.server, both.client), (its_server, other)):
            server.sendall(b"after")
            assert drain(client) == b"af"
            assert drain(server) == b""

    def test_a_reset_after_some_bytes(self, both: Both) -> None:
        both.proxy.to_client.reset_after(3)
        both.server.sendall(b"three and more")
        assert exactly(both.client, 3) == b"thr"
        for end in (both.client, both.server):
            with pytest.raises(ConnectionResetError):
                end.recv(1)

    def test_a_limit_of_no_bytes_acts_at_once(self, both: Both) -> None:
        both.proxy.to_server.reset_after(0)
        with pytest.raises(ConnectionResetError):
            both.client.recv(1)

    def test_all_can_be_reset_at_once(self, both: Both) -> None:
        client, _ = both.connect()
        assert both.proxy.reset() == 2
        for end in (both.client, both.server, client):
            with pytest.raises(ConnectionResetError):
                end.recv(1)
        assert both.proxy.connections == 0
        both.connect()

    def test_all_can_be_closed_at_once(self, both: Both) -> None:
        both.proxy.to_server.hold()
        both.client.sendall(b"never passed on" * 50_000)  # more than the proxy reads ahead
        assert both.proxy.cut() == 1
        assert drain(both.client) == drain(both.server) == b""

    def test_a_delay_a_slow_close_and_slow_pieces_take_their_time(self, both: Both) -> None:
        started = time.monotonic()
        both.proxy.to_client.delay(0.05)
        both.proxy.to_client.slice(1, pause=0.02)
        both.proxy.to_client.delay_close(0.05)
        both.server.sendall(b"slow")
        both.server.shutdown(socket.SHUT_WR)
        assert drain(both.client) == b"slow"
        assert time.monotonic() - started >= 0.05 + 3 * 0.02

    def test_what_makes_no_sense_is_refused(self) -> None:
        faults = Faults(lambda: None)
        with pytest.raises(ValueError, match="at least 1 byte, not 0"):
            faults.slice(0)
        with pytest.raises(ValueError, match="positive number of bytes per second, not 0"):
            faults.limit_rate(0)
        with pytest.raises(ValueError, match="not negative, unlike -1"):
            faults.hold_after(-1)
        faults.delay(0.5)
        assert repr(faults) == "<Faults: delay=0.5>"


class TestTime:
    """One direction, step by step, with the time passed in."""

    @pytest.fixture
    def faults(self) -> Faults:
        return Faults(lambda: None)

    @pytest.fixture
    def flow(self, faults: Faults) -> Iterator[Flow]:
        self.feeding, source = tcp_pair()
        target, self.reading = tcp_pair()
        with self.feeding, source, target, self.reading:
            source.setblocking(True)
            target.setblocking(False)
            self.reading.setblocking(True)
            yield Flow(source, target, faults)

    def give(self, flow: Flow, data: bytes, now: float) -> None:
        self.feeding.sendall(data)
        flow.read(now)

    def test_a_delay_shifts_everything_and_holds_nothing_up(self, flow: Flow, faults: Faults) -> None:
        faults.delay(10.0)
        self.give(flow, b"a", 100.0)
        self.give(flow, b"b", 101.0)
        assert flow.due() == 110.0
        flow.step(110.5)
        assert (faults.passed, flow.due()) == (1, 111.0)
        flow.step(111.0)
        assert (faults.passed, flow.due()) == (2, math.inf)
        assert exactly(self.reading, 2) == b"ab"

    def test_pieces_follow_each_other_after_a_pause(self, flow: Flow, faults: Faults) -> None:
        faults.slice(2, pause=0.4)
        self.give(flow, b"abc", 100.0)
        flow.step(100.0)
        assert (faults.passed, flow.due()) == (2, 100.4)
        flow.step(100.3)
        assert faults.passed == 2
        flow.step(100.4)
        assert faults.passed == 3

    def test_pieces_without_a_pause_go_at_once(self, flow: Flow, faults: Faults) -> None:
        faults.slice(1)
        self.give(flow, b"abc", 100.0)
        flow.step(100.0)
        assert faults.passed == 3

    @pytest.mark.parametrize(("rate", "first"), [(1000.0, 10), (1.0, 1)])
    def test_a_rate_is_kept(self, flow: Flow, faults: Faults, rate: float, first: int) -> None:
        faults.limit_rate(rate)
        self.give(flow, b"x" * 100, 100.0)
        flow.step(100.0)
        assert faults.passed == first
        now = 100.0
        while flow.due() < math.inf:
            now = flow.due()
            flow.step(now)
        assert now == pytest.approx(100.0 + (100 - first) / rate)

    def test_a_close_waits_behind_the_bytes_and_for_its_delay(self, flow: Flow, faults: Faults) -> None:
        faults.delay_close(5.0)
        self.give(flow, b"a", 100.0)
        self.feeding.close()
        flow.read(101.0)
        assert not flow.reads
        flow.step(101.0)
        assert (faults.passed, flow.due(), flow.done) == (1, 106.0, False)
        flow.step(106.0)
        assert flow.done
        assert drain(self.reading) == b"a"

    def test_a_target_that_takes_nothing_stops_the_reading(self, flow: Flow, faults: Faults) -> None:
        given = 0
        while flow.reads:
            self.give(flow, b"x" * 60_000, 100.0)
            flow.step(100.0)
            given += 60_000
        assert flow.writes
        assert given - faults.passed < 500_000, "what it holds back is bounded"
        assert flow.due() == math.inf
        drained = 0
        while flow.writes:
            drained += len(self.reading.recv(1 << 20))
            flow.unblock()
            flow.step(100.0)
        assert flow.reads
        assert drained + len(exactly(self.reading, faults.passed - drained)) == faults.passed


class TestLife:
    def test_it_stands_in_front_of_a_local_kucoin(self) -> None:
        with KucoinServer() as server, FaultProxy(*server.address) as proxy:
            server.announce(*proxy.address)
            with Stream(**server.stream_options) as stream:
                subscriptions = stream.subscribe(TICKER), stream.subscribe("/contractMarket/tickerV2:XBTUSDTM")
                assert (proxy.accepted, stream.stats()["connections"]) == (2, 2)
                for subscription in subscriptions:
                    server.publish(subscription.topics[0], {"n": 1})
                    assert subscription.get(timeout=10).data == {"n": 1}
            server.clear()
            assert server.announced == ""

    def test_tokens_can_come_through_it_too(self) -> None:
        with KucoinServer() as server, FaultProxy(*server.address) as proxy:
            options = {**server.stream_options, "rest_url": proxy.url(server.rest_url)}
            with Stream(**options) as stream:
                stream.subscribe(TICKER)
                assert proxy.accepted == 1
            assert proxy.url("http://x:1/futures?a=b").startswith(f"http://{HOST}:{proxy.address[1]}/futures?a=b")

    def test_it_starts_once_and_may_be_closed_twice(self) -> None:
        proxy = FaultProxy(HOST, 9)
        assert repr(proxy).startswith("<FaultProxy not started: 0 connections")
        with pytest.raises(RuntimeError, match="no port yet"):
            proxy.address  # noqa: B018 - asking is what is tested
        proxy.close()
        with proxy:
            with pytest.raises(RuntimeError, match="was started already"):
                proxy.start()
            proxy.close()

    def test_its_end_is_the_end_of_its_connections(self, both: Both) -> None:
        both.proxy.close()
        assert drain(both.client) == drain(both.server) == b""

    def test_waiting_in_vain_says_so(self, both: Both) -> None:
        with pytest.raises(AssertionError, match=r"waited 0 s in vain; <FaultProxy .* has passed 0 bytes"):
            both.proxy.wait_for(lambda proxy: proxy.to_client.passed, timeout=0)

    def test_what_goes_wrong_inside_is_raised_by_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(flow: Flow, now: float) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Flow, "read", broken)
        with Peer(drain) as peer:
            proxy = FaultProxy(HOST, peer.port)
            proxy.start()
            assert one_byte(proxy) == b"", "the connection ends"
            with pytest.raises(ZeroDivisionError):
                proxy.__exit__(None, None, None)
            proxy.check()
