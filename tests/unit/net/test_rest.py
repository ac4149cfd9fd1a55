"""REST: what is asked (of canned answers), and how requests travel and end (by real sockets on this machine)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import re
import socket
import ssl
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import responses

from kucoin_sync import AuthenticationError, ConnectionFailed, Credentials, KucoinSyncError, RestError, TokenError
from kucoin_sync.net import rest as rest_module
from kucoin_sync.net.endpoints import Endpoints
from kucoin_sync.net.rest import Rest, default_context
from kucoin_sync.net.waker import Cancelled, Waker
from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.protocol.dialect import Server

from ...support.certificates import client_context, server_context
from ...support.http11 import answer, answering, success
from ...support.keys import KEY, PASSPHRASE, SECRET
from ...support.proxy import ConnectProxy
from ...support.sockets import HOST, Peer, black_hole, drain, read_head, refusing_port
from ...support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for
SPOT = "https://api.kucoin.com"
FUTURES = "https://api-futures.kucoin.com"
TIME = "/api/v1/timestamp"
PUBLIC, PRIVATE = "/api/v1/bullet-public", "/api/v1/bullet-private"

TOKEN: dict[str, Any] = {
    "token": "s3cret-token",
    "instanceServers": [
        {
            "endpoint": "wss://ws-api-spot.kucoin.com/",
            "encrypt": True,
            "protocol": "websocket",
            "pingInterval": 18000,
            "pingTimeout": 10000,
        }
    ],
}


@pytest.fixture
def make_rest(waker: Waker) -> Iterator[Callable[..., Rest]]:
    """Make clients, to KuCoin's own hosts or to a port of this machine, which are closed after the test."""
    made: list[Rest] = []

    def make(port: int | None = None, *, scheme: str = "http", **options: Any) -> Rest:
        base = f"{scheme}://{HOST}:{port}"
        endpoints = Endpoints.chosen(SPOT, FUTURES) if port is None else Endpoints.chosen(base, base)
        defaults: dict[str, Any] = {"waker": waker, "context": client_context, "proxy": "", "timeout": LIMIT}
        made.append(Rest(endpoints, **{**defaults, **options}))
        return made[-1]

    yield make
    for rest in made:
        rest.close()


@pytest.fixture
def rest(make_rest: Callable[..., Rest]) -> Rest:
    return make_rest()


@pytest.fixture
def canned() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


class Clock:
    """A wall clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refuse(mock: responses.RequestsMock, code: str, message: str = "no", **options: Any) -> None:
    mock.post(SPOT + PRIVATE, json={"code": code, "msg": message}, **options)


def shown(error: BaseException) -> str:
    """Return all that a traceback shows of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


class TestCall:
    def test_it_returns_the_data_of_the_answer(self, rest: Rest, canned: responses.RequestsMock) -> None:
        canned.get(SPOT + "/api/v1/x?a=1&b=%2F", json={"code": "200000", "data": {"n": 1}})
        assert rest.call("spot", "GET", "/api/v1/x", {"a": "1", "b": "/"}) == {"n": 1}

    def test_success_without_data_is_none(self, rest: Rest, canned: responses.RequestsMock) -> None:
        canned.get(FUTURES + "/api/v1/x", json={"code": "200000"})
        assert rest.call("futures", "GET", "/api/v1/x") is None

    def test_an_error_has_what_was_asked_and_what_was_answered(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock
    ) -> None:
        headers = {"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}
        canned.get(SPOT + TIME, body=b"<html>", status=503, content_type="text/html", headers=headers)
        with pytest.raises(RestError, match=f"GET {TIME} with code 503: not KuCoin's JSON but text/html") as failure:
            make_rest(clock=Clock(93.0)).server_time()
        assert failure.value.retry_after == 7.0
        assert failure.value.__cause__ is None

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_refused_and_not_followed(
        self, rest: Rest, canned: responses.RequestsMock, status: int
    ) -> None:
        canned.get(SPOT + TIME, status=status, headers={"Location": SPOT + "/elsewhere"})
        with pytest.raises(RestError, match="a redirect, which is refused; correct the REST URL"):
            rest.server_time()
        assert len(canned.calls) == 1

    def test_the_servers_time_is_in_seconds(self, rest: Rest, canned: responses.RequestsMock) -> None:
        canned.get(FUTURES + TIME, json={"code": "200000", "data": 1547015186532})
        assert rest.server_time("futures") == 1547015186.532

    @pytest.mark.parametrize("data", [None, "1547015186532", 1.5, {"t": 1}, ["x"] * 1000])
    def test_a_time_that_is_none_is_refused(self, rest: Rest, canned: responses.RequestsMock, data: object) -> None:
        canned.get(SPOT + TIME, json={"code": "200000", "data": data})
        with pytest.raises(RestError, match="an invalid timestamp: ") as failure:
            rest.server_time()
        assert len(str(failure.value)) < 250


class TestConnectToken:
    def test_it_has_the_servers_that_are_named(self, rest: Rest, canned: responses.RequestsMock) -> None:
        second = {**TOKEN["instanceServers"][0], "endpoint": "WSS://ws2.kucoin.com/e"}
        data = {**TOKEN, "instanceServers": [*TOKEN["instanceServers"], second]}
        canned.post(SPOT + PUBLIC, json={"code": "200000", "data": data})
        assert rest.servers(CLASSIC, "spot", private=False) == (
            Server("wss://ws-api-spot.kucoin.com/", 18.0, 10.0, "s3cret-token"),
            Server("wss://ws2.kucoin.com/e", 18.0, 10.0, "s3cret-token"),
        )
        assert not canned.calls[0].request.body

    def test_that_of_futures_comes_from_there(self, rest: Rest, canned: responses.RequestsMock) -> None:
        canned.post(FUTURES + PUBLIC, json={"code": "200000", "data": TOKEN})
        assert rest.servers(CLASSIC, "futures", private=False)[0].token == "s3cret-token"

    @pytest.mark.parametrize(
        "data",
        [
            None,
            [],
            "s3cret-token",
            {},
            {"token": "s3cret-token"},
            {**TOKEN, "token": None},
            {**TOKEN, "token": 7},
            {**TOKEN, "token": ""},
            {**TOKEN, "instanceServers": None},
            {**TOKEN, "instanceServers": []},
            {**TOKEN, "instanceServers": {}},
            {**TOKEN, "instanceServers": ["wss://ws.kucoin.com"]},
            {**TOKEN, "instanceServers": [{}]},
            *(
                {**TOKEN, "instanceServers": [{**TOKEN["instanceServers"][0], name: value}]}
                for name, value in [
                    ("endpoint", None),
                    ("endpoint", 7),
                    ("pingInterval", 0),
                    ("pingTimeout", 0),
                ]
            ),
        ],
    )
    def test_another_shape_is_refused_without_showing_the_token(
        self, rest: Rest, canned: responses.RequestsMock, data: object
    ) -> None:
        canned.post(SPOT + PUBLIC, json={"code": "200000", "data": data})
        with pytest.raises(TokenError, match=f"KuCoin's answer to {PUBLIC} ") as failure:
            rest.servers(CLASSIC, "spot", private=False)
        assert failure.value.retriable
        assert "s3cret" not in shown(failure.value)

    @pytest.mark.parametrize("endpoint", ["wss://evil.example/", "ws://ws.kucoin.com/", "wss://a@ws.kucoin.com/", ""])
    def test_every_endpoint_is_checked(self, rest: Rest, canned: responses.RequestsMock, endpoint: str) -> None:
        wrong = {**TOKEN["instanceServers"][0], "endpoint": endpoint}
        data = {**TOKEN, "instanceServers": [*TOKEN["instanceServers"], wrong]}
        canned.post(SPOT + PUBLIC, json={"code": "200000", "data": data})
        with pytest.raises(ConnectionFailed) as failure:
            rest.servers(CLASSIC, "spot", private=False)
        assert not failure.value.retriable
        assert "s3cret" not in shown(failure.value)


class TestSignature:
    def test_kucoins_example(self, credentials: Credentials) -> None:
        text = '1547015186532POST/api/v1/deposit-addresses{"currency":"BTC"}'
        assert credentials.sign(text) == "7QP/oM0ykidMdrfNEUmng8eZjg/ZvPafjIqmxiVfYu4="

    @pytest.mark.parametrize(("query", "signed_path"), [(None, "/api/v1/x"), ({"a": "b c"}, "/api/v1/x?a=b+c")])
    def test_a_request_is_signed_as_it_is_sent(
        self,
        make_rest: Callable[..., Rest],
        canned: responses.RequestsMock,
        credentials: Credentials,
        query: dict[str, str] | None,
        signed_path: str,
    ) -> None:
        canned.get(SPOT + "/api/v1/x", json={"code": "200000", "data": 1})
        rest = make_rest(credentials=credentials, clock=Clock(1547015186.5))
        assert rest.call("spot", "GET", "/api/v1/x", query, signed=True) == 1
        request = canned.calls[0].request
        digest = hmac.new(SECRET.encode(), f"1547015186500GET{signed_path}".encode(), hashlib.sha256).digest()
        assert request.headers["KC-API-SIGN"] == base64.b64encode(digest).decode()
        assert request.headers["KC-API-TIMESTAMP"] == "1547015186500"
        assert request.headers["KC-API-KEY"] == KEY
        assert request.headers["KC-API-KEY-VERSION"] == "3"
        assert request.headers["KC-API-PASSPHRASE"] != PASSPHRASE
        assert request.path_url == signed_path

    def test_a_public_request_is_not_signed(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        canned.post(SPOT + PUBLIC, json={"code": "200000", "data": TOKEN})
        make_rest(credentials=credentials).servers(CLASSIC, "spot", private=False)
        assert not [name for name in canned.calls[0].request.headers if name.startswith("KC-API")]

    def test_without_credentials_nothing_is_asked(self, rest: Rest, canned: responses.RequestsMock) -> None:
        with pytest.raises(AuthenticationError, match=f"{PRIVATE} needs an API key; pass Credentials") as failure:
            rest.servers(CLASSIC, "spot", private=True)
        assert failure.value.code is None
        assert len(canned.calls) == 0

    def test_a_wrong_clock_is_corrected_by_the_servers_once_and_for_all(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        clock = Clock(1000.0)
        refuse(canned, "400002", "KC-API-TIMESTAMP Invalid")
        canned.get(SPOT + TIME, json={"code": "200000", "data": 5_000_000})
        canned.post(SPOT + PRIVATE, json={"code": "200000", "data": TOKEN})
        canned.post(SPOT + PRIVATE, json={"code": "200000", "data": TOKEN})
        rest = make_rest(credentials=credentials, clock=clock)
        rest.servers(CLASSIC, "spot", private=True)
        clock.now = 1001.0
        rest.servers(CLASSIC, "spot", private=True)
        stamps = [call.request.headers.get("KC-API-TIMESTAMP") for call in canned.calls]
        assert stamps == ["1000000", None, "5000000", "5001000"]

    def test_a_clock_that_goes_wrong_again_is_corrected_again(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        clock = Clock(1000.0)
        rest = make_rest(credentials=credentials, clock=clock)
        for now in (1000.0, 9000.0):
            clock.now = now
            refuse(canned, "400002")
            canned.get(SPOT + TIME, json={"code": "200000", "data": 5_000_000})
            canned.post(SPOT + PRIVATE, json={"code": "200000", "data": TOKEN})
            rest.servers(CLASSIC, "spot", private=True)
        stamps = [call.request.headers.get("KC-API-TIMESTAMP") for call in canned.calls]
        assert stamps == ["1000000", None, "5000000", "13000000", None, "5000000"]

    def test_a_clock_that_correcting_does_not_help_is_told_with_its_offset(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        for _ in range(2):
            refuse(canned, "400002")
        canned.get(SPOT + TIME, json={"code": "200000", "data": 987_500})
        with pytest.raises(AuthenticationError) as failure:
            make_rest(credentials=credentials, clock=Clock(1000.0)).servers(CLASSIC, "spot", private=True)
        assert str(failure.value) == (
            f"KuCoin refuses the timestamp of {PRIVATE}, also by its own clock, from which this machine's differs by "
            "+12.5 s: set this machine's clock (code 400002)"
        )
        assert failure.value.code == "400002"
        assert len(canned.calls) == 3

    def test_another_refusal_of_the_corrected_request_is_told_as_it_is(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        refuse(canned, "400002")
        canned.get(SPOT + TIME, json={"code": "200000", "data": 5_000_000})
        refuse(canned, "400005")
        with pytest.raises(AuthenticationError, match="check KUCOIN_API_SECRET"):
            make_rest(credentials=credentials).servers(CLASSIC, "spot", private=True)

    def test_other_refusals_are_not_tried_again(
        self, make_rest: Callable[..., Rest], canned: responses.RequestsMock, credentials: Credentials
    ) -> None:
        refuse(canned, "400003")
        with pytest.raises(AuthenticationError, match="check KUCOIN_API_KEY"):
            make_rest(credentials=credentials).servers(CLASSIC, "spot", private=True)
        assert len(canned.calls) == 1


class TestConnections:
    """How a request travels and ends."""

    def test_one_connection_serves_several_requests(self, make_rest: Callable[..., Rest]) -> None:
        heads: list[bytes] = []
        with Peer(answering(success(1), answer(b"no"), success(3), heads=heads)) as peer:
            rest = make_rest(peer.port, user_agent="kucoin-sync/1")
            assert rest.call("spot", "GET", "/one") == 1
            with pytest.raises(RestError):
                rest.call("futures", "POST", "/two")
            assert rest.call("spot", "GET", "/three", {"a": "b"}) == 3
            rest.close()
        assert peer.connections == 1
        assert [head.split(b"\r\n")[0] for head in heads] == [
            b"GET /one HTTP/1.1",
            b"POST /two HTTP/1.1",
            b"GET /three?a=b HTTP/1.1",
        ]
        assert all(b"User-Agent: kucoin-sync/1\r\n" in head for head in heads)
        assert b"Content-Length: 0\r\n" in heads[1]

    @pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
    def test_a_request_on_a_kept_connection_has_a_deadline_of_its_own(
        self, make_rest: Callable[..., Rest], secure: bool
    ) -> None:
        heads: list[bytes] = []
        with Peer(answering(success(1), b"", heads=heads), server_context() if secure else None) as peer:
            rest = make_rest(peer.port, scheme="https" if secure else "http", timeout=1000 * LIMIT)
            assert rest.call("spot", "GET", "/one") == 1
            rest._timeout = SHORT
            with pytest.raises(ConnectionFailed, match="did not answer in time"):
                Task(rest.call, "spot", "GET", "/two").result()
            assert len(heads) == 2
            assert peer.connections == 1

    def test_a_connection_that_the_server_closed_meanwhile_is_replaced(self, make_rest: Callable[..., Rest]) -> None:
        closed = threading.Event()

        def once(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(success(1))
            connection.close()
            closed.set()

        with Peer(once) as peer:
            rest = make_rest(peer.port)
            for connections in (1, 2, 3):
                assert rest.call("spot", "GET", "/x") == 1
                reached(closed, "the server did not close")
                closed.clear()
                assert peer.connections == connections

    def test_close_closes_the_kept_connections(self, make_rest: Callable[..., Rest]) -> None:
        ended = threading.Event()

        def script(connection: socket.socket) -> None:
            answering(success(1))(connection)
            ended.set()

        for scheme, context in (("http", None), ("https", server_context())):
            with Peer(script, context) as peer:
                rest = make_rest(peer.port, scheme=scheme)
                assert rest.call("spot", "GET", "/x") == 1
                # Held, as a kept traceback would, so that it is not the garbage collector that closes.
                kept = rest._session.get_adapter(scheme + "://").poolmanager.pools  # type: ignore[attr-defined]
                pools = [kept.get(key) for key in list(kept.keys())]
                assert len(pools) == 1
                rest.close()
                reached(ended, "the connection stayed open")
                ended.clear()

    def test_the_context_is_made_with_the_first_encrypted_connection(self, make_rest: Callable[..., Rest]) -> None:
        made: list[ssl.SSLContext] = []

        def context() -> ssl.SSLContext:
            made.append(client_context())
            return made[-1]

        with Peer(answering(success(1), success(2)), server_context()) as peer:
            rest = make_rest(peer.port, scheme="https", context=context)
            assert not made
            assert [rest.call("spot", "GET", "/x") for _ in range(2)] == [1, 2]
            assert len(made) == 1

    def test_an_unknown_certificate_is_refused(self, make_rest: Callable[..., Rest]) -> None:
        with (
            Peer(drain, server_context()) as peer,
            pytest.raises(ConnectionFailed, match=r"certificate .* does not verify") as failure,
        ):
            make_rest(peer.port, scheme="https", context=default_context).call("spot", "GET", "/x")
        assert not failure.value.retriable

    def test_the_default_context_verifies(self) -> None:
        context = default_context()
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.cert_store_stats()["x509_ca"] > 50

    def test_a_redirect_goes_nowhere(self, make_rest: Callable[..., Rest]) -> None:
        with Peer(drain) as target:
            to = answer(b"", "307 Temporary Redirect", f"Location: http://{HOST}:{target.port}/x")
            with Peer(answering(to)) as peer, pytest.raises(RestError, match="a redirect, which is refused"):
                make_rest(peer.port).call("spot", "GET", "/x")
        assert target.connections == 0

    def test_nothing_is_taken_from_netrc_or_the_environment(
        self, make_rest: Callable[..., Rest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "netrc").write_text(f"machine {HOST} login somebody password secret\n")
        (tmp_path / "netrc").chmod(0o600)
        heads: list[bytes] = []
        with (
            refusing_port() as nobody,
            Peer(answering(success(1), heads=heads)) as plain,
            Peer(answering(success(1), heads=heads), server_context()) as secure,
        ):
            monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
            for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                monkeypatch.setenv(name, str(tmp_path / "none"))
            for name in ("http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, f"http://{HOST}:{nobody}")
            assert make_rest(plain.port, proxy=None).call("spot", "GET", "/x") == 1
            assert make_rest(secure.port, scheme="https", proxy=None).call("spot", "GET", "/x") == 1
        assert b"Authorization" not in b"".join(heads)

    @pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
    def test_it_goes_through_a_proxy(self, make_rest: Callable[..., Rest], secure: bool) -> None:
        with ConnectProxy() as proxy, Peer(answering(success(1)), server_context() if secure else None) as peer:
            rest = make_rest(
                peer.port, scheme="https" if secure else "http", proxy=f"http://user:pw@{HOST}:{proxy.port}"
            )
            assert rest.call("spot", "GET", "/x") == 1
            rest.close()
        assert proxy.heads[0].startswith(f"CONNECT {HOST}:{peer.port} ".encode())

    def test_it_goes_through_the_proxy_of_the_environment(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[bytes] = []
        tunnel = b"HTTP/1.1 200 Connection established\r\n\r\n"
        base = "http://api.internal.example"
        with Peer(answering(tunnel, success(1), heads=heads)) as proxy:
            monkeypatch.setenv("http_proxy", f"http://{HOST}:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            rest = Rest(Endpoints.chosen(base, base), waker=waker, context=client_context, timeout=LIMIT)
            assert rest.call("spot", "GET", "/x") == 1
            rest.close()
        assert [head.split(b"\r\n")[0] for head in heads] == [
            b"CONNECT api.internal.example:80 HTTP/1.1",
            b"GET /x HTTP/1.1",
        ]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_request_is_sent_once_even_where_it_fails(self, make_rest: Callable[..., Rest], method: str) -> None:
        heads: list[bytes] = []

        def close(connection: socket.socket) -> None:
            heads.append(read_head(connection))
            connection.close()

        with Peer(close) as peer, pytest.raises(ConnectionFailed, match="RemoteDisconnected") as failure:
            make_rest(peer.port).call("spot", method, "/x")
        assert failure.value.retriable
        assert len(heads) == 1

    def test_a_port_where_nobody_listens(self, make_rest: Callable[..., Rest]) -> None:
        with refusing_port() as port, pytest.raises(ConnectionFailed, match="Connection refused"):
            make_rest(port).call("spot", "GET", "/x")

    @pytest.mark.parametrize(
        "wrong",
        [
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot a hundred",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nless",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        ],
    )
    def test_an_answer_that_breaks_http_is_a_failed_connection(
        self, make_rest: Callable[..., Rest], wrong: bytes
    ) -> None:
        def script(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(wrong)
            connection.shutdown(socket.SHUT_WR)
            drain(connection)

        with (
            Peer(script) as peer,
            pytest.raises(ConnectionFailed, match=rf"GET /x at {re.escape(HOST)} failed \(\w+.*\); check") as failure,
        ):
            make_rest(peer.port).call("spot", "GET", "/x")
        assert failure.value.retriable
        assert len(str(failure.value)) < 200

    def test_a_body_without_end_is_refused(
        self, make_rest: Callable[..., Rest], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rest_module, "_BODY_BYTES", 1_000_000)

        def endless(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not peer.over.is_set():
                connection.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")

        with Peer(endless) as peer, pytest.raises(RestError, match="an answer of more than 1000000 bytes"):
            Task(make_rest(peer.port).call, "spot", "GET", "/x").result()

    def test_a_compressed_body_counts_by_what_it_holds(
        self, make_rest: Callable[..., Rest], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rest_module, "_BODY_BYTES", 1_000_000)
        bomb = answer(gzip.compress(bytes(100_000_000), 1), "200 OK", "Content-Encoding: gzip")
        with Peer(answering(bomb)) as peer:
            tracemalloc.start()
            try:
                with pytest.raises(RestError, match="an answer of more than 1000000 bytes"):
                    make_rest(peer.port).call("spot", "GET", "/x")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 20_000_000

    def test_nothing_of_a_signed_request_is_in_an_error(
        self, make_rest: Callable[..., Rest], credentials: Credentials
    ) -> None:
        clock = Clock(1547015186.0)
        signature = credentials.headers(1547015186000, "POST", PRIVATE)
        secrets = [KEY, SECRET, PASSPHRASE, signature["KC-API-SIGN"], signature["KC-API-PASSPHRASE"]]

        def echoing(connection: socket.socket) -> None:
            connection.sendall(read_head(connection))

        scripts: list[Callable[[socket.socket], object]] = [
            echoing,
            lambda connection: connection.close(),
            answering(answer(b"<html>", "403 Forbidden")),
            answering(answer(b'{"code":"400005","msg":"Invalid KC-API-SIGN"}')),
            answering(answer(b'{"code":"400100","msg":"no"}')),
            answering(answer(b"", "302 Found", "Location: /x")),
            answering(success({"token": "t"})),
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n"),
        ]
        for script in scripts:
            with Peer(script) as peer, pytest.raises(KucoinSyncError) as failure:
                make_rest(peer.port, credentials=credentials, clock=clock, timeout=1.0).servers(
                    CLASSIC, "spot", private=True
                )
            assert not [secret for secret in secrets if secret in shown(failure.value)]
            assert not hasattr(failure.value.__context__, "request")
        with refusing_port() as port, pytest.raises(ConnectionFailed) as refused:
            make_rest(port, credentials=credentials, clock=clock).servers(CLASSIC, "spot", private=True)
        assert not [secret for secret in secrets if secret in shown(refused.value)]


class TestDeadlines:
    def fails_in_time(self, make_rest: Callable[..., Rest], peer: Callable[[], AbstractContextManager[Any]]) -> None:
        """Check that a call fails at its deadline; if that came before the call was sent, try a longer one."""
        for timeout in (SHORT, 1.0, 5.0):
            with peer() as there:
                port = there if isinstance(there, int) else there.port
                with pytest.raises(ConnectionFailed) as failure:
                    Task(make_rest(port, timeout=timeout).call, "spot", "GET", "/x").result()
            if "DNS" not in str(failure.value):
                break
        assert f"{HOST}:{port} did not answer in time" in str(failure.value)

    def test_a_server_that_says_nothing(self, make_rest: Callable[..., Rest]) -> None:
        self.fails_in_time(make_rest, lambda: Peer(drain))

    def test_a_server_that_does_not_answer_the_connection(self, make_rest: Callable[..., Rest]) -> None:
        self.fails_in_time(make_rest, black_hole)

    @pytest.mark.parametrize(
        "begun",
        [
            b"",
            b"HTTP/1.1 2",
            b"HTTP/1.1 200 OK\r\nA: b",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
        ],
    )
    def test_a_server_that_drips(self, make_rest: Callable[..., Rest], begun: bytes) -> None:
        over = threading.Event()

        def drip(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(begun)
            while not over.wait(0.01):
                connection.sendall(b"1")

        try:
            self.fails_in_time(make_rest, lambda: Peer(drip))
        finally:
            over.set()

    @pytest.mark.parametrize(
        ("begun", "more"),
        [
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
        ],
    )
    def test_a_server_that_never_stops(self, make_rest: Callable[..., Rest], begun: bytes, more: bytes) -> None:
        over = threading.Event()

        def flood(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(begun)
            while not over.is_set():
                connection.sendall(more)

        try:
            self.fails_in_time(make_rest, lambda: Peer(flood))
        finally:
            over.set()

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
    def test_cancel_ends_a_request(self, make_rest: Callable[..., Rest], waker: Waker, begun: bytes) -> None:
        asked = threading.Event()

        def script(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(begun)
            asked.set()
            drain(connection)

        with Peer(script) as peer:
            rest = make_rest(peer.port, timeout=1000 * LIMIT)
            calling = Task(rest.call, "spot", "GET", "/x")
            reached(asked, "the request was not made")
            waker.cancel()
            with pytest.raises(Cancelled):
                calling.result()
            with pytest.raises(Cancelled):
                Task(rest.call, "spot", "GET", "/x").result()

    def test_cancel_ends_a_request_on_a_kept_connection(self, make_rest: Callable[..., Rest], waker: Waker) -> None:
        asked = threading.Event()

        def script(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(success(1))
            read_head(connection)
            asked.set()
            drain(connection)

        with Peer(script) as peer:
            rest = make_rest(peer.port, timeout=1000 * LIMIT)
            assert rest.call("spot", "GET", "/x") == 1
            calling = Task(rest.call, "spot", "GET", "/x")
            reached(asked, "the second request was not made")
            waker.cancel()
            with pytest.raises(Cancelled):
                calling.result()
