"""Starting, stopping and starting again: at once, on the same port, and with nothing left behind."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from websocket import ABNF
from websockets.exceptions import ConnectionClosed

from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.server import KucoinServer
from kucoin_sync.testing.server.listener import Listener, Peer

from .server_client import client, get, http, raw_client, raw_handshake, token_of

AT_ONCE = 2.0  # generous: what waits for a timeout instead takes at least five


def server_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kucoin-server")]


def descriptors() -> set[str]:
    """Return what this process has open."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            found.add(os.readlink(path))
    return found


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < AT_ONCE


def test_a_server_that_was_stopped_starts_again_on_the_same_port() -> None:
    server = KucoinServer()
    server.start()
    where = server.rest_url
    assert get(server, "/api/v1/timestamp").status_code == 200
    for _ in range(3):
        server.stop()
        with pytest.raises(requests.ConnectionError):
            get(server, "/api/v1/timestamp")
        server.start()
        assert server.rest_url == where
        with client(server):
            pass
    server.stop()


def test_starting_or_stopping_twice_changes_nothing() -> None:
    server = KucoinServer()
    server.stop()
    server.start()
    server.start()
    with client(server):
        pass
    server.stop()
    server.stop()
    assert server_threads() == []


def test_a_port_can_be_chosen() -> None:
    with KucoinServer() as first:
        port = int(first.rest_url.rpartition(":")[2])
    with KucoinServer(port=port, host="localhost") as second:
        assert second.rest_url == f"http://localhost:{port}"
        assert get(second, "/api/v1/timestamp").status_code == 200


def test_tokens_and_plans_survive_a_restart() -> None:
    with KucoinServer() as server:
        token = token_of(server)["token"]
        server.fail_rest("*", times=None)
        server.stop()
        server.start()
        assert get(server, "/api/v1/timestamp").status_code == 429
        with client(server, token=token):
            pass


def test_stopping_cuts_connections_without_a_close_frame() -> None:
    with KucoinServer() as server, client(server) as peer:
        (connection,) = server.connections
        server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            peer.socket.recv(5)
        assert closed.value.rcvd is None
        assert connection.end == "the server stopped"
        assert server.ended == [connection]


def test_stopping_is_immediate_however_clients_behave() -> None:
    with KucoinServer(exchange=Exchange(("BTC-USDT",)), send_timeout=30.0) as server, ExitStack() as stack:
        url = f"{server.endpoint()}?token={token_of(server)['token']}&connectId=x"
        stack.enter_context(raw_client(server))
        closing = stack.enter_context(raw_client(server))
        server.connections[1].close()
        stalled = stack.enter_context(raw_client(server))
        topic = "/market/ticker:BTC-USDT,ETH-USDT"
        stalled.sendall(ABNF.create_frame(json.dumps({"type": "subscribe", "topic": topic}), 1).format())
        server.wait_subscribed(topic)
        server.hang_handshake()
        stack.enter_context(raw_handshake(url))
        server.wait_for(lambda s: len(s.handshakes) == 4)
        address = ("127.0.0.1", int(server.rest_url.rpartition(":")[2]))
        stack.enter_context(socket.create_connection(address))
        half = stack.enter_context(socket.create_connection(address))
        half.sendall(b"POST /api/v1/bullet-public HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
        kept = stack.enter_context(requests.Session())
        kept.trust_env = False
        kept.get(server.rest_url + "/api/v1/timestamp")
        server.run_exchange(1000)
        publisher = threading.Thread(
            target=server.publish, args=("/market/ticker:ETH-USDT", "x" * 64_000_000), daemon=True
        )
        publisher.start()
        with at_once():
            server.stop()
        publisher.join(AT_ONCE)
        assert not publisher.is_alive()
        assert server_threads() == []
        assert closing.recv(100) == b"\x88\x05\x03\xe8Bye"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_nothing_is_left_behind() -> None:
    threads, files = set(threading.enumerate()), descriptors()
    for _ in range(3):
        with KucoinServer(exchange=Exchange(("BTC-USDT",))) as server:
            server.run_exchange(500)
            with client(server) as one, client(server, "futures", server.credentials), raw_client(server):
                one.subscribe("/market/ticker:BTC-USDT")
                server.drop_connections(rst=True)
            with client(server):
                server.stop()
                server.start()
                server.clear()
    assert set(threading.enumerate()) - threads == set()
    assert descriptors() - files == set()


def test_clearing_is_immediate_while_a_handshake_hangs() -> None:
    with KucoinServer() as server:
        server.hang_handshake()
        url = f"{server.endpoint()}?token={token_of(server)['token']}&connectId=x"
        with raw_handshake(url) as sock, at_once():
            server.wait_for(lambda s: s.handshakes)
            server.clear()
            assert sock.recv(1) == b""


def test_threads_are_daemons_with_telling_names() -> None:
    with KucoinServer(exchange=Exchange(("BTC-USDT",))) as server, client(server):
        server.run_exchange(1)
        threads = [t for t in threading.enumerate() if t.name.startswith("kucoin-server-")]
        names = {thread.name.rpartition("-")[2] if "client" not in thread.name else "client" for thread in threads}
        assert names == {"accept", "client", "deadlines", "exchange"}
        assert all(thread.daemon for thread in threads)


def test_an_error_in_the_with_block_is_not_hidden_by_the_servers() -> None:
    def fail() -> None:
        with KucoinServer() as server:
            server._state.record(ZeroDivisionError("of the server"))
            raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test"):
        fail()
    with pytest.raises(ZeroDivisionError, match="of the server"), KucoinServer() as server:
        server._state.record(ZeroDivisionError("of the server"))


def test_an_error_of_an_injected_clock_is_raised_by_check() -> None:
    broken = threading.Event()

    def clock() -> float:
        if broken.is_set() and threading.current_thread().name == "kucoin-server-deadlines":
            raise ZeroDivisionError("mine")
        return 0.0

    with KucoinServer(monotonic=clock) as server:
        broken.set()
        server.advance(0)
        server.wait_for(lambda s: s._state.errors())
        with pytest.raises(ZeroDivisionError, match="mine"):
            server.check()


def test_ten_clients_come_and_go_at_once() -> None:
    with KucoinServer() as server:
        errors: list[BaseException] = []

        def come_and_go(number: int) -> None:
            try:
                with client(server, connect_id=f"c{number}") as peer:
                    peer.subscribe("/market/ticker:BTC-USDT")
                    assert peer.recv()["data"] == "all here"
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        server.wait_subscribed("/market/ticker:BTC-USDT", 10)
        assert server.publish("/market/ticker:BTC-USDT", "all here") == 10
        for thread in threads:
            thread.join()
        assert errors == []
        server.wait_for(lambda s: not s.connections)


def test_a_request_that_breaks_off_is_no_error() -> None:
    with KucoinServer() as server:
        address = ("127.0.0.1", int(server.rest_url.rpartition(":")[2]))
        for part in (b"", b"GET", b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n1"):
            with socket.create_connection(address) as sock:
                sock.sendall(part)
        assert get(server, "/api/v1/timestamp").status_code == 200


def test_a_malformed_request_is_answered_by_http_server() -> None:
    with KucoinServer() as server:
        assert http("PATCH", server.rest_url + "/").status_code == 501


# The listener alone


def started(serve: Any, errors: list[BaseException]) -> Listener:
    listener = Listener("127.0.0.1", 0, None, serve, errors.append)
    listener.start()
    return listener


def test_what_serving_raises_is_recorded_unless_the_client_broke_off() -> None:
    errors: list[BaseException] = []
    served = threading.Semaphore(0)

    def serve(peer: Peer) -> None:
        kind = peer.sock.recv(1)
        served.release()
        raise BrokenPipeError if kind == b"b" else ZeroDivisionError

    listener = started(serve, errors)
    for kind in (b"b", b"z"):
        with socket.create_connection((listener.host, listener.port)) as sock:
            sock.sendall(kind)
            served.acquire()
    listener.stop()
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_client_that_goes_away_in_the_queue_is_no_error_and_running_out_of_descriptors_is() -> None:
    errors: list[BaseException] = []
    listener = started(lambda peer: None, errors)
    real = listener._listening
    assert real is not None
    listener.stop()

    class Flaky:
        """A listening socket whose accept fails, first harmlessly."""

        failures = iter((ConnectionAbortedError(), OSError(24, "Too many open files")))

        def fileno(self) -> int:
            return ready.fileno()

        def accept(self) -> Any:
            raise next(self.failures)

    ready, writer = socket.socketpair()
    idle, other = socket.socketpair()
    with ready, writer, idle, other:
        writer.send(b"x")
        listener._accept(Flaky(), idle)  # type: ignore[arg-type]
    assert [str(error) for error in errors] == ["[Errno 24] Too many open files"]


def test_a_client_that_is_gone_before_tls_begins_is_no_error() -> None:
    class Unlucky:
        def wrap_socket(self, sock: socket.socket, **_: Any) -> None:
            raise OSError(107, "Transport endpoint is not connected")

    listener = Listener("127.0.0.1", 0, Unlucky(), lambda peer: None, [].append)  # type: ignore[arg-type]
    listener.start()
    with socket.create_connection((listener.host, listener.port), timeout=5) as sock:
        assert sock.recv(1) == b""
    listener.stop()


def test_a_thread_that_does_not_end_is_told() -> None:
    release = threading.Event()
    errors: list[BaseException] = []
    listener = started(lambda peer: release.wait(), errors)
    listener.join_timeout = 0.01
    with socket.create_connection((listener.host, listener.port)):
        while not listener._peers:
            release.wait(0.001)
        with pytest.raises(RuntimeError, match=r"kucoin-server-client-1 of the local server has not ended"):
            listener.stop()
        release.set()
        listener.cut_all()


def test_a_server_may_be_stopped_from_one_of_its_own_threads() -> None:
    with KucoinServer() as server:

        def stop() -> dict[str, Any]:
            server.stop()
            return {}

        server.set_snapshot("level2_20", "X", stop)
        with pytest.raises(requests.ConnectionError):
            get(server, "/api/v1/market/orderbook/level2_20?symbol=X")
