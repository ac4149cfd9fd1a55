"""Connecting to a host, by name and through proxies, against real sockets on this machine."""

from __future__ import annotations

import base64
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed
from kucoin_sync.internal import fork
from kucoin_sync.net.dial import Proxy, dial, proxy_for
from kucoin_sync.net.dial import resolve as lookup
from kucoin_sync.net.waker import Cancelled, Waker

from ...support.certificates import client_context, server_context
from ...support.dialling import connect, dripping, echo, saying
from ...support.forks import child, client_sockets
from ...support.proxy import ConnectProxy
from ...support.sockets import HOST, Peer, black_hole, drain, read_head, refusing_port
from ...support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def address(port: int, host: str = HOST) -> tuple[Any, ...]:
    """Return an address as `getaddrinfo` does."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, ...]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(addresses))


class TestDial:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_connects(self, waker: Waker) -> None:
        with Peer(echo) as peer:
            made = connect(peer.port, waker)
            made.sendall(b"hello")
            assert made.recv(100) == b"hello"
            assert made.peer == f"{HOST}:{peer.port}"
            made.close()

    @pytest.mark.usefixtures("way_of_waiting")
    def test_a_port_where_nobody_listens(self, waker: Waker) -> None:
        with refusing_port() as port, pytest.raises(ConnectionFailed) as failure:
            connect(port, waker)
        assert str(failure.value) == f"the connection to {HOST}:{port} failed: Connection refused"
        assert failure.value.retriable

    @pytest.mark.usefixtures("way_of_waiting")
    def test_a_host_that_swallows_packets_ends_at_the_deadline(self, waker: Waker) -> None:
        with black_hole() as port, pytest.raises(ConnectionFailed, match=f"{HOST}:{port} did not answer in time"):
            Task(connect, port, waker, seconds=SHORT).result()

    def test_cancel_ends_connecting(self, waker: Waker, poll_begun: threading.Event) -> None:
        with black_hole() as port:
            dialling = Task(connect, port, waker)
            reached(poll_begun, "the dial did not wait")
            waker.cancel()
            with pytest.raises(Cancelled):
                dialling.result()

    def test_an_address_that_is_refused_at_once_is_an_error(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve(monkeypatch, address(1, "255.255.255.255"))
        with pytest.raises(ConnectionFailed, match=r"the connection to feed\.example:443 failed: \w"):
            connect(443, waker, host="feed.example")

    def test_the_next_address_is_tried_after_one_that_refuses(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with refusing_port() as refusing, Peer(echo) as peer:
            resolve(monkeypatch, address(refusing), address(peer.port))
            made = connect(443, waker, host="feed.example")
            assert made.peer == "feed.example:443"
            assert made.sock.getpeername()[1] == peer.port
            made.close()

    def test_the_next_address_is_tried_after_one_that_swallows_packets(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with black_hole() as swallowing, Peer(echo) as peer:
            resolve(monkeypatch, address(swallowing), address(peer.port))
            deadline = time.monotonic() + 2
            made = dial("feed.example", 443, context=None, proxy=None, waker=waker, deadline=deadline)
            assert made.sock.getpeername()[1] == peer.port
            assert made.deadline == deadline
            made.close()

    def test_the_next_address_is_tried_after_one_of_a_family_that_this_system_lacks(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unknown = (9999, socket.SOCK_STREAM, 6, "", ("::1", 443))
        with Peer(echo) as peer:
            resolve(monkeypatch, unknown, address(peer.port))
            made = connect(443, waker, host="feed.example")
            assert made.sock.getpeername()[1] == peer.port
            made.close()
        resolve(monkeypatch, unknown)
        with pytest.raises(ConnectionFailed, match=r"the connection to feed\.example:443 failed: Address family"):
            connect(443, waker, host="feed.example")

    def test_the_failure_of_the_last_address_is_told(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        with refusing_port() as one, refusing_port() as other:
            resolve(monkeypatch, address(one), address(other))
            with pytest.raises(ConnectionFailed, match=r"feed\.example:443 failed: Connection refused"):
                connect(443, waker, host="feed.example")

    def test_a_host_without_addresses(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve(monkeypatch)
        with pytest.raises(ConnectionFailed, match=r"feed\.example has no address to connect to"):
            connect(443, waker, host="feed.example")

    def test_a_name_that_does_not_resolve(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, host="feed.example")
        assert str(failure.value) == (
            "the address of feed.example could not be found (Name or service not known); "
            "check the network, the host name and DNS"
        )
        assert failure.value.retriable

    @pytest.mark.parametrize("host", ["a" * 70 + ".example", "a\0b.example"])
    def test_a_name_that_can_not_exist(self, waker: Waker, host: str) -> None:
        with pytest.raises(ConnectionFailed, match="could not be found"):
            connect(443, waker, host=host)

    def test_cancel_while_the_name_is_resolved_ends_before_a_socket_is_opened(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolving(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
            waker.cancel()
            return [address(1)]

        monkeypatch.setattr(socket, "getaddrinfo", resolving)
        monkeypatch.setattr(socket, "socket", None)
        with pytest.raises(Cancelled):
            connect(443, waker)


class Resolver:
    """A name resolution that answers only once it is released."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.released = threading.Event()

    def getaddrinfo(self, *args: Any, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(args)
        self.released.wait(LIMIT)
        return [address(1)]


class TestLookupsThatHang:
    @pytest.fixture
    def resolver(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
        made = Resolver()
        monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
        yield made
        self.release(made)

    def release(self, resolver: Resolver) -> None:
        resolver.released.set()
        for thread in threading.enumerate():
            if thread.name == "kucoin-dial":
                thread.join(LIMIT)

    def ask(self, waker: Waker, host: str = "feed.example") -> None:
        """Ask for an address, for which there is no time."""
        with pytest.raises(ConnectionFailed, match=f"DNS has not found the address of {host}"):
            lookup(host, 443, waker, time.monotonic())

    def test_one_lookup_of_a_host_runs_however_often_it_is_asked_for(self, waker: Waker, resolver: Resolver) -> None:
        for _ in range(5):
            self.ask(waker)
            self.ask(waker, "other.example")
        self.release(resolver)
        assert sorted(resolver.asked) == [("feed.example", 443), ("other.example", 443)]
        assert lookup("feed.example", 443, waker, time.monotonic() + LIMIT) == [address(1)]
        assert len(resolver.asked) == 3, "what was answered is asked again"

    def test_all_who_wait_get_the_answer(self, waker: Waker, resolver: Resolver) -> None:
        self.ask(waker)
        waking = [Waker(), Waker()]
        tasks = [Task(lookup, "feed.example", 443, each, time.monotonic() + LIMIT) for each in waking]
        resolver.released.set()
        assert [task.result() for task in tasks] == [[address(1)]] * 2
        for each in waking:
            each.close()

    def test_another_lookup_begins_beside_one_that_hangs_for_long_and_ever_more_seldom(
        self, waker: Waker, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        began: list[float] = []
        now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        for seconds in range(0, 5 * 3600, 10):
            now = 1000.0 + seconds
            before = sum(thread.name == "kucoin-dial" for thread in threading.enumerate())
            self.ask(waker)
            if sum(thread.name == "kucoin-dial" for thread in threading.enumerate()) > before:
                began.append(seconds)
        assert began == [0, 30, 60, 120, 240, 480, 960, 1920, 3840, 7440, 11040, 14640]
        self.release(resolver)

    def test_a_forked_child_asks_for_itself(self, waker: Waker, resolver: Resolver) -> None:
        fork.install_fork_hooks()
        self.ask(waker)

        def ask(say: Callable[[Any], None]) -> None:
            resolver.released.set()
            say(len(lookup("feed.example", 443, Waker(), time.monotonic() + LIMIT)))

        with child(ask) as forked:
            assert forked.hear() == 1


class TestThroughAProxy:
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_it_opens_a_tunnel(self, waker: Waker, secure: bool) -> None:
        with ConnectProxy() as proxy, Peer(echo, server_context() if secure else None) as peer:
            made = connect(
                peer.port,
                waker,
                proxy=Proxy(HOST, proxy.port, user="us@er", password="pass:word"),
                context=client_context() if secure else None,
            )
            made.sendall(b"hello")
            assert made.recv(100) == b"hello"
            assert made.peer == f"{HOST}:{peer.port}"
            made.close()
        login = base64.b64encode(b"us@er:pass:word").decode()
        assert proxy.heads == [
            f"CONNECT {HOST}:{peer.port} HTTP/1.1\r\nHost: {HOST}:{peer.port}\r\n"
            f"Proxy-Authorization: Basic {login}\r\n\r\n".encode()
        ]

    def test_the_certificate_has_to_be_that_of_the_host_and_not_of_the_proxy(self, waker: Waker) -> None:
        with (
            ConnectProxy() as proxy,
            Peer(echo, server_context("proxy.example")) as peer,
            pytest.raises(ConnectionFailed, match=f"certificate of {HOST}:{peer.port} does not verify"),
        ):
            connect(peer.port, waker, proxy=Proxy(HOST, proxy.port), context=client_context())

    def test_an_ipv6_address_stands_in_brackets(self, waker: Waker) -> None:
        heads = []

        def refuse(connection: socket.socket) -> None:
            heads.append(read_head(connection))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        with Peer(refuse) as proxy, pytest.raises(ConnectionFailed, match=r"to open a tunnel to \[::1\]:443: "):
            connect(443, waker, host="::1", proxy=Proxy(HOST, proxy.port))
        assert heads == [b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"]

    def test_a_proxy_that_wants_another_login(self, waker: Waker) -> None:
        answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
        with Peer(saying(answer)) as proxy, pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port, user="secret"))
        assert str(failure.value) == (
            f"the proxy {HOST}:{proxy.port} refused to open a tunnel to feed.example:443: HTTP/1.1 407 Proxy "
            "Authentication Required; check its address, login and rules"
        )
        assert failure.value.retriable

    @pytest.mark.parametrize(
        "answer",
        [
            b"\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"\xff\xfe 201\r\n\r\n",
            b"HTTP/1.1 " + b"9" * 10_000 + b"\r\n\r\n",
        ],
    )
    def test_a_proxy_that_answers_with_something_else(self, waker: Waker, answer: bytes) -> None:
        with (
            Peer(saying(answer)) as proxy,
            pytest.raises(ConnectionFailed, match=r"refused to open a tunnel to feed\.example:443") as failure,
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))
        assert len(str(failure.value)) < 400

    def test_a_proxy_that_closes_instead(self, waker: Waker) -> None:
        with (
            Peer(lambda connection: (read_head(connection), connection.close())) as proxy,
            pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} closed the connection instead"),
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))

    def test_a_proxy_that_says_nothing(self, waker: Waker) -> None:
        with (
            Peer(drain) as proxy,
            pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} did not answer in time"),
        ):
            Task(connect, 443, waker, seconds=SHORT, host="feed.example", proxy=Proxy(HOST, proxy.port)).result()

    def test_a_proxy_that_drips(self, waker: Waker) -> None:
        peers: list[Peer] = []
        with Peer(dripping(peers, b"HTTP/1.1 200 ")) as proxy:
            peers.append(proxy)
            with pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} did not answer in time"):
                Task(connect, 443, waker, seconds=SHORT, host="feed.example", proxy=Proxy(HOST, proxy.port)).result()

    def test_a_proxy_where_nobody_listens(self, waker: Waker) -> None:
        with (
            refusing_port() as port,
            pytest.raises(ConnectionFailed, match=f"the connection to the proxy {HOST}:{port} failed"),
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, port))

    def test_cancel_ends_the_wait_for_the_tunnel(self, waker: Waker) -> None:
        asked = threading.Event()

        def silent(connection: socket.socket) -> None:
            read_head(connection)
            asked.set()
            drain(connection)

        with Peer(silent) as proxy:
            dialling = Task(connect, 443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))
            reached(asked, "the proxy was not asked")
            waker.cancel()
            with pytest.raises(Cancelled):
                dialling.result()


@pytest.mark.usefixtures("clean_environment")
class TestProxyFor:
    def test_without_any_there_is_none(self) -> None:
        assert proxy_for("feed.example", secure=True, proxy=None) is None

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
            ("proxy.example:3128", Proxy("proxy.example", 3128)),
            ("http://proxy.example", Proxy("proxy.example", 80)),
            ("HTTP://[::1]:3128/", Proxy("::1", 3128)),
            (" http://proxy.example:3128\n", Proxy("proxy.example", 3128)),
            ("\n", None),
            (
                "http://us%40er:pass%3Aword@proxy.example:3128",
                Proxy("proxy.example", 3128, user="us@er", password="pass:word"),
            ),
            (
                "http://user@proxy.example:3128",
                Proxy("proxy.example", 3128, user="user"),
            ),
        ],
    )
    def test_the_argument_is_a_url(self, url: str, expected: Proxy | None) -> None:
        assert proxy_for("feed.example", secure=True, proxy=url) == expected
        assert proxy_for(HOST, secure=True, proxy=url) == expected  # also for this machine, as it was asked for

    @pytest.mark.parametrize(
        "url",
        [
            "socks9://user:secret@proxy.example:1080",
            "https://user:secret@proxy.example:3128",
            "http://user:secret@proxy.example:99999",
            "http://user:secret@proxy.example:port",
            "http://user:secret@[::1:3128",
            "http://user:secret@proxy℀.example:3128",
            "http://user:secret@:3128",
            "http://",
        ],
    )
    def test_a_url_that_is_no_http_proxys_is_refused_without_its_login(self, url: str) -> None:
        with pytest.raises(ConnectionFailed, match="is not of the form http://host:port") as failure:
            proxy_for("feed.example", secure=True, proxy=url)
        assert not failure.value.retriable
        assert "secret" not in "".join(traceback.format_exception(failure.value))

    @pytest.mark.parametrize(
        ("name", "secure", "used"),
        [
            ("http_proxy", False, True),
            ("http_proxy", True, False),
            ("https_proxy", True, True),
            ("https_proxy", False, False),
            ("HTTPS_PROXY", True, True),
            ("all_proxy", True, True),
            ("all_proxy", False, True),
        ],
    )
    def test_the_environment_names_one_for_each_scheme(
        self, monkeypatch: pytest.MonkeyPatch, name: str, secure: bool, used: bool
    ) -> None:
        monkeypatch.setenv(name, "http://proxy.example:3128")
        assert (proxy_for("feed.example", secure=secure, proxy=None) is not None) == used

    def test_the_argument_goes_before_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        assert proxy_for("feed.example", secure=True, proxy="http://mine.example:1") == Proxy("mine.example", 1)
        assert proxy_for("feed.example", secure=True, proxy="") is None

    def test_no_proxy_excepts_hosts_of_the_environments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        monkeypatch.setenv("no_proxy", "feed.example")
        assert proxy_for("feed.example", secure=True, proxy=None) is None
        assert proxy_for("other.example", secure=True, proxy=None) is not None

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
    def test_this_machine_is_never_reached_through_one_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
        assert proxy_for(host, secure=False, proxy=None) is None
        assert proxy_for("10.0.0.1", secure=False, proxy=None) is not None

    def test_a_wrong_url_in_the_environment_is_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "ftp://proxy.example:1080")
        with pytest.raises(ConnectionFailed, match="environment variables http_proxy and https_proxy"):
            proxy_for("feed.example", secure=True, proxy=None)

    def test_a_proxy_does_not_show_its_login(self, waker: Waker) -> None:
        made = proxy_for("feed.example", secure=True, proxy="http://user:secret@127.0.0.1:3128")
        assert made is not None
        assert repr(made) == "Proxy(127.0.0.1:3128)"
        with refusing_port() as port, pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, proxy=made._replace(port=port))
        shown = "".join(traceback.format_exception(failure.value))
        assert "secret" not in shown
        assert base64.b64encode(b"user:secret").decode() not in shown


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_child_that_is_forked_closes_its_copies_and_the_peer_hears_nothing_of_it(secure: bool) -> None:
    heard: list[bytes] = []
    fork.install_fork_hooks()
    waker = Waker()
    with Peer(lambda connection: heard.append(drain(connection)), server_context() if secure else None) as peer:
        made = dial(
            HOST,
            peer.port,
            context=client_context() if secure else None,
            proxy=None,
            waker=waker,
            deadline=time.monotonic() + LIMIT,
        )
        with child(lambda say: say([made.fileno(), waker.fileno(), client_sockets(peer.port)])) as forked:
            assert forked.hear() == [-1, -1, 0]
        assert not heard, "the connection was ended"
        made.send(b"still here")
        made.close()
    assert heard == [b"still here"]
    waker.close()
