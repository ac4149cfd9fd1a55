"""`kucoin-sync doctor` against what can be wrong on the way to KuCoin: each is named, with what to do."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from kucoin_sync import ConnectionFailed
from kucoin_sync.cli import main
from kucoin_sync.cli.checks import _answer_to, remedy_of
from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.testing import FaultProxy, KucoinServer
from tests.support.certificates import authority_pem, server_context
from tests.support.proxy import ConnectProxy, SocksProxy
from tests.support.sockets import Peer, read_head

KEY, SECRET, PASSPHRASE = KucoinServer.KEY, KucoinServer.SECRET, KucoinServer.PASSPHRASE
STEPS = ["proxy", "dns", "tcp", "tls", "clock", "token", "welcome", "ping"]


class Found(NamedTuple):
    """What the doctor found: its exit code, a record for each check, and all that it printed."""

    code: int
    checks: list[dict[str, Any]]
    printed: str

    def one(self, step: str, about: str = "spot") -> dict[str, Any]:
        """Return the check of a step."""
        return next(check for check in self.checks if (check["about"], check["step"]) == (about, step))

    @property
    def wrong(self) -> list[str]:
        """The steps that are wrong."""
        return [f"{check['about']} {check['step']}" for check in self.checks if check["state"] == "wrong"]


Doctor = Callable[..., Found]


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        monkeypatch.delenv(f"KUCOIN_API_{name}", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    def examine(rest_url: str, futures_rest_url: str | None = None, *options: str) -> Found:
        code = main(
            [
                "doctor",
                "--rest-url",
                rest_url,
                "--futures-rest-url",
                futures_rest_url or f"{rest_url}/futures",
                *options,
            ]
        )
        out, err = capsys.readouterr()
        return Found(code, [json.loads(line) for line in out.splitlines()], out + err)

    return examine


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(key: str = KEY, secret: str = SECRET, passphrase: str = PASSPHRASE) -> None:
        for name, value in (("KEY", key), ("SECRET", secret), ("PASSPHRASE", passphrase)):
            monkeypatch.setenv(f"KUCOIN_API_{name}", value)

    return put


def test_where_all_is_well_every_check_is_ok(server: KucoinServer, doctor: Doctor, keys: Callable[..., None]) -> None:
    keys()
    found = doctor(server.rest_url)
    assert found.code == 0
    assert [check["step"] for check in found.checks] == [*STEPS, *STEPS, "present", "accepted"]
    assert {check["state"] for check in found.checks} == {"ok"}
    assert found.printed.endswith("kucoin-sync: all 18 checks passed\n")


def test_the_uta_feed_is_examined_when_it_is_asked_for(
    server: KucoinServer, closed_port: int, doctor: Doctor, keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in server.uta_urls.items():
        monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)
    keys()
    found = doctor(server.rest_url, None, "--feed", "uta")
    assert found.code == 0, found.printed
    steps = [step for step in STEPS if step not in ("clock", "token")]
    assert [check["step"] for check in found.checks] == [*steps, *steps, *steps, "login", "present"]
    assert server.requests == [], "the feed needs no REST"

    keys(passphrase="another")
    monkeypatch.setenv("KUCOIN_SYNC_UTA_SPOT_URL", f"ws://127.0.0.1:{closed_port}")
    found = doctor(server.rest_url, None, "--feed", "uta")
    assert found.code == 1
    assert found.wrong == ["uta-spot tcp", "uta login"]
    assert "Invalid KC-API-PASSPHRASE" in found.one("login", "uta")["text"]


def test_without_a_key_that_is_a_note_and_not_a_fault(server: KucoinServer, doctor: Doctor) -> None:
    found = doctor(server.rest_url)
    assert found.code == 0
    assert found.one("present", "API key")["state"] == "note"
    assert "public topics need none" in found.one("present", "API key")["text"]


def test_the_demo_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--demo", "--plain"]) == 0
    out, err = capsys.readouterr()
    assert out.count("  ok  ") == 18
    assert "all 18 checks passed" in err


def test_a_host_that_takes_no_connections(closed_port: int, doctor: Doctor) -> None:
    found = doctor(f"http://127.0.0.1:{closed_port}")
    assert found.code == 1
    assert found.wrong == ["spot tcp", "futures tcp"]
    assert "refused" in found.one("tcp")["text"]
    assert "no firewall forbids it" in found.one("tcp")["remedy"]
    assert found.one("others")["text"] == "not tried: tls, clock, token, welcome, ping"
    assert "2 of 6 checks found something wrong" in found.printed


def test_a_name_that_can_not_be_found(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = doctor("http://api.kucoin.test")
    assert found.code == 1
    assert found.wrong == ["spot dns", "futures dns"]
    assert "the address of api.kucoin.test could not be found (Name or service not known)" in found.one("dns")["text"]
    assert "this machine has a network" in found.one("dns")["remedy"]


@pytest.mark.parametrize(
    ("wrong", "code", "remedy"),
    [
        ({"key": "another-key"}, "400003", "into KUCOIN_API_KEY"),
        ({"passphrase": "another-passphrase"}, "400004", "Set KUCOIN_API_PASSPHRASE"),
        ({"secret": "another-secret"}, "40000", "KUCOIN_API_SECRET"),
    ],
    ids=["key", "passphrase", "secret"],
)
def test_a_part_of_the_key_that_is_wrong_is_named(
    wrong: dict[str, str], code: str, remedy: str, server: KucoinServer, doctor: Doctor, keys: Callable[..., None]
) -> None:
    keys(**wrong)
    found = doctor(server.rest_url)
    assert found.code == 1
    assert found.wrong == ["API key accepted"]
    accepted = found.one("accepted", "API key")
    assert f"code {code}" in accepted["text"]
    assert remedy in accepted["remedy"]


def test_a_key_is_not_tried_where_kucoin_can_not_be_reached(
    closed_port: int, doctor: Doctor, keys: Callable[..., None]
) -> None:
    keys()
    accepted = doctor(f"http://127.0.0.1:{closed_port}").one("accepted", "API key")
    assert (accepted["state"], accepted["text"]) == ("skipped", "not tried, because KuCoin can't be reached")


def test_a_key_that_kucoin_is_too_busy_to_look_at(
    server: KucoinServer, doctor: Doctor, keys: Callable[..., None]
) -> None:
    keys()
    server.fail_rest("/api/v1/bullet-private", 500, "500000", "busy", times=None)
    found = doctor(server.rest_url)
    assert found.wrong == ["API key accepted"]
    assert "500000" in found.one("accepted", "API key")["text"]
    assert "try again later" in found.one("accepted", "API key")["remedy"]


def test_what_passes_by_itself_is_to_be_tried_again() -> None:
    assert remedy_of(ConnectionFailed("reset")) == "Try again; if it stays so, try another network."


@pytest.mark.parametrize(
    ("frame", "is_one"),
    [
        (b'{"type":"pong","id":"5"}', True),
        (b'{"type":"pong","id":"4"}', False),
        (b'{"type":"ack","id":"5"}', False),
        (b"pong", False),
        (b"\xff", False),
    ],
)
def test_a_pong_is_told_from_all_else(frame: bytes, is_one: bool) -> None:
    assert (_answer_to(CLASSIC, frame, "5", ("pong",)) is not None) is is_one


def test_a_key_of_which_a_part_is_missing(
    server: KucoinServer, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUCOIN_API_KEY", KEY)
    found = doctor(server.rest_url)
    assert found.code == 1
    assert found.wrong == ["API key present"]
    assert "KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE not set" in found.one("present", "API key")["text"]


@pytest.mark.parametrize(("seconds", "said"), [(-10.0, "ahead of"), (10.0, "behind")])
def test_a_clock_that_is_10_seconds_off(
    seconds: float, said: str, nothing_left_behind: None, doctor: Doctor, keys: Callable[..., None]
) -> None:
    keys()
    with KucoinServer(clock=lambda: time.time() + seconds) as server:
        found = doctor(server.rest_url)
    assert found.code == 1
    assert found.wrong == ["spot clock", "futures clock"], "signatures correct themselves"
    clock = found.one("clock")
    assert f"s {said} KuCoin's" in clock["text"]
    assert 9 < float(clock["text"].split("clock is ")[1].split(" s")[0]) < 11
    assert "Set this machine's clock" in clock["remedy"]


def test_traffic_that_is_signed_again_on_the_way(nothing_left_behind: None, doctor: Doctor) -> None:
    with KucoinServer(tls=server_context()) as server:
        found = doctor(server.rest_url)
    assert found.code == 1
    assert found.wrong == ["spot tls", "futures tls"]
    tls = found.one("tls")
    assert "does not verify" in tls["text"]
    assert "re-signs the traffic" in tls["remedy"]
    assert "SSL_CERT_FILE" in tls["remedy"]


def test_the_remedy_for_a_company_that_signs_again_works(
    nothing_left_behind: None, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "company.pem"
    file.write_text(authority_pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with KucoinServer(tls=server_context()) as server:
        found = doctor(server.rest_url)
    assert found.code == 0
    assert found.one("tls")["text"].startswith("TLSv1.")
    assert "trustme" in found.one("tls")["text"]


def test_a_peer_that_speaks_no_tls(server: KucoinServer, doctor: Doctor) -> None:
    found = doctor(server.rest_url.replace("http", "https"))
    assert found.wrong == ["spot tls", "futures tls"]
    assert "allows no TLS" in found.one("tls")["remedy"]
    server.clear()


def test_a_proxy_that_takes_no_connections(closed_port: int, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:hidden-word@127.0.0.1:{closed_port}")
    found = doctor("http://api.kucoin.test")
    assert found.code == 1
    assert found.wrong == ["spot tcp", "futures tcp"]
    assert found.one("proxy")["text"] == f"127.0.0.1:{closed_port}, from http_proxy"
    assert f"the proxy 127.0.0.1:{closed_port}" in found.one("tcp")["text"]
    assert "Correct http_proxy" in found.one("tcp")["remedy"]
    assert "hidden-word" not in found.printed


def test_a_proxy_that_opens_no_tunnel(
    nothing_left_behind: None, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(client: socket.socket) -> None:
        if read_head(client):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with Peer(refuse) as peer:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{peer.port}")
        found = doctor("http://api.kucoin.test")
    assert found.wrong == ["spot tcp", "futures tcp"]
    assert "407" in found.one("tcp")["text"]
    assert "CONNECT to api.kucoin.test:80" in found.one("tcp")["remedy"]


def test_a_proxy_that_is_no_url(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "ftp://127.0.0.1:1080")
    found = doctor("http://api.kucoin.test")
    assert found.wrong == ["spot proxy", "futures proxy"]
    assert found.one("proxy")["remedy"] == "Correct or unset http_proxy."


def test_a_route_through_a_proxy(server: KucoinServer, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.rest_url.replace("127.0.0.1", "127.0.0.1.nip.test")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: resolve("127.0.0.1", *rest, **options))
    server.announce("127.0.0.1.nip.test", server.address[1])
    with ConnectProxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        found = doctor(url)
    assert found.code == 0, found.printed
    assert "through the proxy" in found.one("tcp")["text"]
    assert len(proxy.heads) >= 3


def test_a_route_through_a_socks_proxy(server: KucoinServer, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socks")
    server.announce("kucoin.test", server.address[1])
    with SocksProxy() as proxy:
        monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{proxy.port}")
        found = doctor(f"http://kucoin.test:{server.address[1]}")
    assert found.code == 0, found.printed
    assert "through the proxy" in found.one("tcp")["text"]
    assert set(proxy.asked) == {(5, "kucoin.test", server.address[1])}


def test_a_socks_proxy_without_pysocks(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("all_proxy", "socks5h://127.0.0.1:1080")
    found = doctor("http://api.kucoin.test")
    assert found.wrong == ["spot proxy", "futures proxy"]
    assert "pip install 'kucoin-sync[socks]'" in found.one("proxy")["text"]


def test_a_name_resolution_that_hangs(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) or [])
    try:
        found = doctor("http://api.kucoin.test", None, "--timeout", "0.2")
    finally:
        released.set()
        for thread in threading.enumerate():
            if thread.name == "kucoin-dial":
                thread.join(20)
    assert found.wrong == ["spot dns", "futures dns"]
    assert "DNS has not found the address of api.kucoin.test" in found.one("dns")["text"]


def test_a_server_that_answers_no_ping(nothing_left_behind: None, doctor: Doctor) -> None:
    with KucoinServer(ping_timeout=0.3) as server:
        server.mute(pong=True)
        found = doctor(server.rest_url)
    assert found.code == 1
    assert found.wrong == ["spot ping", "futures ping"]
    assert found.one("ping")["text"] == "no pong came within 0.3 s"
    assert "without the proxy" in found.one("ping")["remedy"]


def test_a_server_without_a_welcome(server: KucoinServer, doctor: Doctor) -> None:
    server.no_welcome()
    found = doctor(server.rest_url, None, "--timeout", "1")
    assert found.wrong == ["spot welcome", "futures welcome"]
    assert "welcome" in found.one("welcome")["text"]


def test_a_handshake_that_is_refused(server: KucoinServer, doctor: Doctor) -> None:
    server.refuse_handshake(403, times=None)
    found = doctor(server.rest_url)
    assert found.wrong == ["spot welcome", "futures welcome"]
    assert "allow WebSocket connections to 127.0.0.1" in found.one("welcome")["remedy"]


def test_a_connection_that_is_cut_while_it_is_examined(server: KucoinServer, doctor: Doctor) -> None:
    with FaultProxy(*server.address) as proxy:
        server.announce(*proxy.address)
        proxy.to_client.close_after(250)  # within what the welcome and the pong take
        found = doctor(server.rest_url)
    assert "spot ping" in found.wrong or "spot welcome" in found.wrong


def test_an_answer_that_is_not_kucoins(server: KucoinServer, doctor: Doctor) -> None:
    server.fail_rest("/api/v1/bullet-public", 403, body="<html>blocked</html>", times=None)
    found = doctor(server.rest_url)
    assert found.wrong == ["spot token", "futures token"]
    assert "not KuCoin's JSON" in found.one("token")["text"]
    assert "from another network" in found.one("token")["remedy"]


def test_a_limit_is_named_with_its_wait(server: KucoinServer, doctor: Doctor) -> None:
    server.fail_rest("/api/v1/bullet-public", 429, headers={"Retry-After": "7"}, times=None)
    assert doctor(server.rest_url).one("token")["remedy"].startswith("Wait for 7 s")


def test_a_clock_that_can_not_be_asked_stops_nothing(server: KucoinServer, doctor: Doctor) -> None:
    server.fail_rest("/api/v1/timestamp", 500, "500000", times=None)
    found = doctor(server.rest_url)
    assert found.wrong == ["spot clock", "futures clock"]
    assert found.one("ping")["state"] == "ok"


def test_no_secret_is_printed(server: KucoinServer, doctor: Doctor, keys: Callable[..., None]) -> None:
    keys(passphrase="hidden-passphrase", secret="hidden-secret", key="hidden-key")
    found = doctor(server.rest_url, None, "-vv")
    assert found.code == 1
    for word in ("hidden-passphrase", "hidden-secret", "hidden-key"):
        assert word not in found.printed
    tokens = [token for request in server.requests if (token := request.headers.get("kc-api-sign"))]
    assert tokens
    assert not any(token in found.printed for token in tokens)


def test_a_wrong_url_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--rest-url", "ftp://here"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_text_names_what_to_do_below_what_is_wrong(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    assert main(["doctor", "--rest-url", url, "--futures-rest-url", url, "--plain"]) == 1
    lines = capsys.readouterr().out.splitlines()
    wrong = next(place for place, text in enumerate(lines) if text.startswith("  wrong     tcp "))
    assert lines[wrong + 1].strip().startswith("-> Check that") or lines[wrong + 2].strip().startswith("-> Check that")
    assert max(map(len, lines)) <= 100
