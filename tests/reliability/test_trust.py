"""Who is trusted with a token, a key, or a connection, and that no secret is ever said."""

from __future__ import annotations

import itertools
import pickle
import re
import socket
import ssl
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest

from kucoin_sync import (
    AuthenticationError,
    ConnectionFailed,
    Credentials,
    Event,
    KucoinSyncError,
    Rejected,
    RestError,
    Retrying,
    Stream,
)
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.certificates import client_context, server_context
from ..support.sockets import Peer, drain
from ..support.streams import Events, MakeServer, MakeStream
from .feed import CANARIES, ETH, TOKEN, UTA, Feed, numbers, on_both, publish

TOKENS = "/api/v1/bullet-*"


WHERE = ["token request", "handshake"]
STATUSES = [301, 302, 307, 308]


@pytest.fixture
def server_options() -> dict[str, Any]:
    """The key of the account is the one that tests look for."""
    return {"credentials": CANARIES}


@on_both("where, status", list(itertools.product(WHERE, STATUSES)), list(itertools.product(WHERE[1:], STATUSES)))
def test_a_redirect_is_refused_and_not_followed(
    server: KucoinServer, stream: Stream, where: str, status: int, feed: Feed
) -> None:
    with Peer(drain) as elsewhere:
        if where == "handshake":
            server.redirect_handshake(f"ws://127.0.0.1:{elsewhere.port}/", status=status)
        else:
            location = f"http://127.0.0.1:{elsewhere.port}/api/v1/bullet-public"
            server.fail_rest(TOKENS, status, body="", headers={"Location": location})
        with pytest.raises((ConnectionFailed, RestError), match="redirect") as caught:
            stream.subscribe(feed.eth)
        assert not caught.value.retriable
        assert elsewhere.connections == 0


ENDPOINTS = {
    "unencrypted, from an https base": "ws://127.0.0.1:9/endpoint",
    "on another host": "wss://ws-api-spot.example.com/endpoint",
    "on a host that begins like KuCoin's": "wss://kucoin.com.evil.example/endpoint",
    "on a host that begins like ours": "wss://127.0.0.1.evil.example/endpoint",
    "with user name and password": "wss://user:word@127.0.0.1:9/endpoint",
    "with our host as the user name": "wss://127.0.0.1@evil.example/endpoint",
    "with our host behind a backslash": "wss://evil.example\\@127.0.0.1/endpoint",
    "of the cloud's metadata": "wss://169.254.169.254/endpoint",
    "of a private network": "wss://10.0.0.1/endpoint",
    "of any address": "wss://0.0.0.0/endpoint",
    "of another kind": "https://127.0.0.1:9/endpoint",
    "of a file": "file:///etc/passwd",
    "without a host": "wss:///endpoint",
    "that is nothing": "",
}


@pytest.mark.parametrize("which", ENDPOINTS)
def test_an_endpoint_that_a_token_must_not_go_to_is_refused_and_nobody_is_dialled(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    server = make_server(tls=server_context())
    server.endpoint_override(ENDPOINTS[which])
    asked: list[object] = []
    find = socket.getaddrinfo

    def getaddrinfo(host: object, *args: object, **options: object) -> object:
        asked.append(host)
        return find(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    stream = make_stream(server, ssl_context=client_context())
    with pytest.raises(ConnectionFailed, match=r"which is refused|is not a URL of the form") as caught:
        stream.subscribe(ETH)
    assert not caught.value.retriable
    assert asked == ["127.0.0.1"], "for the token"
    assert not server.handshakes


def test_an_endpoint_outside_the_domain_is_accepted_where_the_user_names_its_host(
    make_server: MakeServer, make_stream: MakeStream
) -> None:
    server = make_server(host="0.0.0.0")
    server.announce("127.0.0.1", server.address[1])
    with pytest.raises(ConnectionFailed, match=r"outside the domain of 0\.0\.0\.0.*allowed_hosts"):
        make_stream(server).subscribe(ETH)
    for hosts in (["127.0.0.1"], "127.0.0.1"):
        assert make_stream(server, allowed_hosts=hosts).subscribe(ETH)


NOT_AFTER = datetime(2020, 1, 1, tzinfo=timezone.utc)
# The server's context, the client's (None is the default one), and the words of the reason.
CERTIFICATES: dict[str, tuple[Callable[[], ssl.SSLContext], Callable[[], ssl.SSLContext | None], str]] = {
    "by an unknown authority": (server_context, lambda: None, "unable to get local issuer certificate|self.signed"),
    "for another host": (lambda: server_context("kucoin.example"), client_context, "mismatch|not valid for"),
    "that has expired": (lambda: server_context(not_after=NOT_AFTER), client_context, "expired"),
}


@on_both(
    "certificate, where",
    list(itertools.product(CERTIFICATES, ["token request", "feed"])),
    [(certificate, "feed") for certificate in CERTIFICATES],
)
def test_a_certificate_that_does_not_verify_is_refused_and_the_reason_named(
    make_server: MakeServer, make_stream: MakeStream, where: str, certificate: str, feed: Feed
) -> None:
    make_context, make_trust, reason = CERTIFICATES[certificate]
    secure = make_server(tls=make_context())
    server = secure
    if where == "feed" and not feed.is_uta:
        server = make_server()
        server.endpoint_override(secure.endpoint())
    stream = make_stream(server, ssl_context=make_trust())
    with pytest.raises(ConnectionFailed, match="does not verify") as caught:
        stream.subscribe(feed.eth)
    assert re.search(reason, str(caught.value))
    assert "127.0.0.1" in str(caught.value)
    assert not caught.value.retriable
    assert not secure.requests
    assert not secure.handshakes


def test_ones_own_context_is_accepted_and_tls_reaches_from_end_to_end(
    make_server: MakeServer, make_proxy: Callable[[KucoinServer], FaultProxy], make_stream: MakeStream, feed: Feed
) -> None:
    server = make_server(tls=server_context())
    proxy = make_proxy(server)
    subscription = make_stream(server, ssl_context=client_context()).subscribe(feed.eth)
    publish(server, range(1000), feed.eth)
    assert numbers(subscription, 1000) == list(range(1000))
    assert proxy.accepted == 1


# Secrets


def refusals(server: KucoinServer) -> dict[str, Callable[[], object]]:
    """Return what makes the server refuse a private subscription, in every way that is fatal."""
    return {
        "wrong key": lambda: server.refuse_token("400003"),
        "wrong signature": lambda: server.refuse_token("400005"),
        "wrong clock": lambda: server.refuse_token("400002", times=None),
        "a redirect": lambda: server.fail_rest(TOKENS, 302, body="", headers={"Location": "http://127.0.0.1:9/"}),
        "an answer that repeats all": lambda: server.fail_rest(TOKENS, 400, "400100", "bad request"),
        "a redirect of the handshake": lambda: server.redirect_handshake("ws://127.0.0.1:9/"),
        "a foreign endpoint": lambda: server.endpoint_override("ws://evil.example/"),
    }


KINDS = list(refusals(KucoinServer()))


def said_of(error: BaseException) -> tuple[list[str], list[str]]:
    """Return what an error says, and what tools show that report the values of all variables beside it."""
    detailed = traceback.TracebackException.from_exception(error, capture_locals=True)
    mine = [frame for frame in detailed.stack if "kucoin_sync" in frame.filename and "/tests/" not in frame.filename]
    assert mine, "the traceback shows where in the package it was raised"
    said = [str(error), repr(error), *traceback.format_exception(error), str(pickle.dumps(error))]
    return said, [str(frame.locals) for frame in mine]


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_in_an_error_its_traceback_or_its_pickle(server: KucoinServer, stream: Stream, kind: str) -> None:
    refusals(server)[kind]()
    with pytest.raises(KucoinSyncError) as caught:
        stream.subscribe("/account/balance")
    said, variables = said_of(caught.value)
    assert not [text for text in said + variables for secret in CANARIES if secret in text]
    tokens = [quote(handshake.query["token"], safe="") for handshake in server.handshakes]
    assert not [text for text in said for token in tokens if token in text]


def test_no_secret_is_in_the_error_of_a_login_of_the_uta_feed(server: KucoinServer, stream: Stream) -> None:
    server.refuse_auth()
    with pytest.raises(AuthenticationError) as caught:
        stream.subscribe(UTA.private)
    said, variables = said_of(caught.value)
    assert not [text for text in said + variables for secret in CANARIES if secret in text]


def test_no_token_is_in_the_variables_of_a_traceback(server: KucoinServer, stream: Stream) -> None:
    server.redirect_handshake("ws://127.0.0.1:9/")
    with pytest.raises(KucoinSyncError) as caught:
        stream.subscribe(ETH)
    _, variables = said_of(caught.value)
    [token] = [quote(handshake.query["token"], safe="") for handshake in server.handshakes]
    assert not [text for text in variables if token in text]


SUCCESS = '{{"code":"200000","data":{{"token":"%s","instanceServers":[{}]}}}}' % TOKEN  # noqa: UP031
SERVER = '{"endpoint":"ws://127.0.0.1:9/","pingInterval":18000,"pingTimeout":10000}'
# Answers with a token in them that are refused.
ANSWERS = {
    "another endpoint": SUCCESS.format(SERVER.replace("127.0.0.1", "evil.example")),
    "no ping values": SUCCESS.format('{"endpoint":"ws://127.0.0.1:9/"}'),
    "no server": SUCCESS.format(""),
    "cut short": SUCCESS.format("").partition(',"instance')[0],
    "a code that is none": SUCCESS.format(SERVER).replace('"200000"', "null"),
    "another code": SUCCESS.format(SERVER).replace("200000", "900000"),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_no_token_of_an_answer_that_is_refused_gets_out(
    server: KucoinServer, stream: Stream, events: Events, how: str
) -> None:
    server.fail_rest(TOKENS, 200, body=ANSWERS[how])
    stream.subscribe(ETH, timeout=0)
    event = events.wait(Event)
    assert isinstance(event, Rejected | Retrying)
    said, variables = said_of(event.error)
    assert not [text for text in (*said, *variables) if TOKEN in text]


def test_credentials_show_nothing_and_can_not_be_pickled() -> None:
    credentials = Credentials(*CANARIES)
    for secret in CANARIES:
        assert secret not in f"{credentials} {credentials!r} {vars(type(credentials))}"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(credentials)
    with pytest.raises(AuthenticationError) as caught:
        Credentials(CANARIES[0], CANARIES[1] + "\n\u2028", "")
    assert not [secret for secret in CANARIES if secret in str(caught.value)]


def test_each_test_here_looks_for_secrets_and_for_what_is_left_behind(request: pytest.FixtureRequest) -> None:
    assert {"no_secret_gets_out", "nothing_left_behind"} <= {*request.fixturenames}
