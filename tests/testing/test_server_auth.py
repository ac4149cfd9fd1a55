"""Who may have a private token: the signature, checked as KuCoin checks it."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import quote

import pytest

from kucoin_sync import Credentials
from kucoin_sync.testing.server import KucoinServer

from .server_client import client, get, http, token_of

PRIVATE = "/api/v1/bullet-private"
NOW = 1_700_000_000.0
NOW_MS = 1_700_000_000_000


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"clock": lambda: NOW}


def ask(server: KucoinServer, headers: dict[str, str], *, futures: bool = False) -> tuple[int, Any]:
    base = server.futures_rest_url if futures else server.rest_url
    answer = http("POST", base + PRIVATE, headers=headers)
    return answer.status_code, answer.json()


def signed(server: KucoinServer, now_ms: int = NOW_MS, **changes: str) -> dict[str, str]:
    headers = server.credentials.headers(now_ms, "POST", PRIVATE)
    changes = {f"KC-API-{name.replace('_', '-')}": value for name, value in changes.items()}
    return {name: value for name, value in {**headers, **changes}.items() if value}


@pytest.mark.parametrize("futures", [False, True])
def test_a_signed_request_gets_a_token_on_both_services(server: KucoinServer, futures: bool) -> None:
    status, answer = ask(server, signed(server), futures=futures)
    assert (status, answer["code"]) == (200, "200000")
    assert answer["data"]["token"]


@pytest.mark.parametrize("name", ["KEY", "SIGN", "TIMESTAMP", "PASSPHRASE"])
def test_a_missing_header_is_400001(server: KucoinServer, name: str) -> None:
    status, answer = ask(server, signed(server, **{name: ""}))
    assert status == 401
    assert answer == {
        "code": "400001",
        "msg": "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, "
        "KC-API-PASSPHRASE",
    }


@pytest.mark.parametrize(("off", "code"), [(-5000, "200000"), (5000, "200000"), (-5001, "400002"), (5001, "400002")])
def test_the_timestamp_may_be_off_by_five_seconds(server: KucoinServer, off: int, code: str) -> None:
    assert ask(server, signed(server, NOW_MS + off))[1]["code"] == code


def test_a_timestamp_that_is_none_is_400002(server: KucoinServer) -> None:
    assert ask(server, signed(server, TIMESTAMP="soon")) == (401, {"code": "400002", "msg": "Invalid KC-API-TIMESTAMP"})


def test_moving_the_servers_clock_makes_a_right_timestamp_wrong(server: KucoinServer) -> None:
    server.advance(6)
    assert ask(server, signed(server))[1]["code"] == "400002"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"KEY": "other"}, "400003", "KC-API-KEY not exists"),
        ({"KEY_VERSION": "9"}, "400009", "Invalid KC-API-KEY-VERSION"),
        ({"PASSPHRASE": "wrong"}, "400004", "Invalid KC-API-PASSPHRASE"),
        ({"KEY_VERSION": "1"}, "400004", "Invalid KC-API-PASSPHRASE"),
        ({"SIGN": "wrong"}, "400005", "Invalid KC-API-SIGN"),
    ],
)
def test_what_is_wrong_has_its_own_code(server: KucoinServer, changes: dict[str, str], code: str, text: str) -> None:
    assert ask(server, signed(server, **changes)) == (401, {"code": code, "msg": text})


def test_a_key_of_the_first_version_sends_its_passphrase_as_it_is(server: KucoinServer) -> None:
    plain = {"PASSPHRASE": server.PASSPHRASE}
    for version in ("", "1"):
        assert ask(server, signed(server, KEY_VERSION=version, **plain))[1]["code"] == "200000"


def test_the_body_is_signed_too(server: KucoinServer) -> None:
    headers = server.credentials.headers(NOW_MS, "POST", PRIVATE, '{"a":1}')
    assert ask(server, headers)[1]["code"] == "400005"
    answer = http("POST", server.rest_url + PRIVATE, headers=headers, data='{"a":1}')
    assert answer.json()["code"] == "200000"


def test_the_query_is_signed_as_sent_or_as_it_reads(server: KucoinServer) -> None:
    server.set_snapshot("orderbook/level2", "A/B", {"sequence": "1"})
    path = "/api/v3/market/orderbook/level2?symbol="
    for text in (quote("A/B", safe=""), "A/B"):
        headers = server.credentials.headers(NOW_MS, "GET", path + text)
        assert get(server, path + quote("A/B", safe=""), headers=headers).json()["data"] == {"sequence": "1"}
    assert get(server, path + "A/B").json()["code"] == "400001"


def test_the_signature_is_kucoins_algorithm_written_out(server: KucoinServer) -> None:
    def sign(text: str) -> str:
        digest = hmac.new(KucoinServer.SECRET.encode(), text.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()

    headers = {
        "KC-API-KEY": KucoinServer.KEY,
        "KC-API-TIMESTAMP": str(NOW_MS),
        "KC-API-SIGN": sign(f"{NOW_MS}POST{PRIVATE}"),
        "KC-API-PASSPHRASE": sign(KucoinServer.PASSPHRASE),
        "KC-API-KEY-VERSION": "2",
    }
    assert ask(server, headers)[0] == 200


@pytest.mark.parametrize(
    "keys",
    [
        Credentials("k", "s", "p"),
        ("k", "s", "p"),
        {"k": ("s", "p", KucoinServer.USER)},
    ],
    ids=["credentials", "tuple", "mapping"],
)
def test_keys_come_in_three_forms(keys: Any) -> None:
    with KucoinServer(credentials=keys) as server:
        assert server.credentials == Credentials("k", "s", "p")
        with client(server, credentials=Credentials("k", "s", "p")):
            assert server.connections[0].user == KucoinServer.USER


def test_several_accounts_are_several_users() -> None:
    with KucoinServer(credentials={"k1": ("s1", "p1"), "k2": ("s2", "p2", "bob")}) as server:
        one = token_of(server, credentials=Credentials("k1", "s1", "p1"))["token"]
        two = token_of(server, credentials=Credentials("k2", "s2", "p2"))["token"]
        with client(server, token=one), client(server, token=two):
            assert [connection.user for connection in server.connections] == ["k1", "bob"]


def test_another_accounts_secret_gives_a_wrong_signature(server: KucoinServer) -> None:
    headers = Credentials(KucoinServer.KEY, "other", KucoinServer.PASSPHRASE).headers(NOW_MS, "POST", PRIVATE)
    assert ask(server, headers)[1]["code"] == "400005"
