"""The URLs of KuCoin's servers: arguments before the environment before KuCoin's; what is refused."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from kucoin_sync.exceptions import ConnectionFailed
from kucoin_sync.net.endpoints import Endpoints, chosen_hosts
from kucoin_sync.protocol.uta import Hosts

SPOT = "https://api.kucoin.com"
FUTURES = "https://api-futures.kucoin.com"


def shown(error: BaseException) -> str:
    """Return all that a traceback shows of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "FUTURES_"):
        monkeypatch.delenv(f"KUCOIN_SYNC_{name}REST_URL", raising=False)
    for name in ("SPOT", "FUTURES", "PRIVATE"):
        monkeypatch.delenv(f"KUCOIN_SYNC_UTA_{name}_URL", raising=False)


def test_base_urls_lose_their_trailing_slash() -> None:
    endpoints = Endpoints.chosen(SPOT + "/", FUTURES + "//", ("Feed.Example",))
    assert endpoints == (SPOT, FUTURES, ("feed.example",))
    assert (endpoints.of("spot"), endpoints.of("futures")) == (SPOT, FUTURES)


@pytest.mark.parametrize("around", ["{}\n", "{}/\r\n", " {}\t"])
def test_urls_lose_the_white_space_around_them(monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    for name in ("REST", "UTA_PRIVATE"):
        monkeypatch.setenv(f"KUCOIN_SYNC_{name}_URL", " \n")
    assert Endpoints.chosen(None, around.format(FUTURES), (" Feed.Example\n",)) == (SPOT, FUTURES, ("feed.example",))
    monkeypatch.setenv("KUCOIN_SYNC_UTA_SPOT_URL", "\nwss://spot.example ")
    assert chosen_hosts(None, None, None) == Hosts("wss://spot.example")


def test_urls_that_are_given_come_before_those_of_the_environment_and_kucoins_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Endpoints.chosen(None, None) == (SPOT, FUTURES, ())
    monkeypatch.setenv("KUCOIN_SYNC_REST_URL", "https://spot.example")
    monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", "https://futures.example")
    assert Endpoints.chosen(None, "https://given.example") == ("https://spot.example", "https://given.example", ())
    assert Endpoints.chosen("https://given.example", None) == (
        "https://given.example",
        "https://futures.example",
        (),
    )


@pytest.mark.parametrize(
    "url",
    [
        "api.kucoin.com",
        "ftp://api.kucoin.com",
        "wss://api.kucoin.com",
        "https://",
        "https://user:s3cret@api.kucoin.com",
        "https://s3cret@api.kucoin.com",
        "https://api.kucoin.com:port",
        "https://api.kucoin.com:99999",
        "https://api.kucoin.com:0",
        "https://[::1",
        "https:user:s3cret@api.kucoin.com",
        "user:s3cret@api.kucoin.com",
        "https://user:s3cret@api.kucoin.com:99999",
        "https://user:s3cret@[::1",
        f"https:user:s3cret{'x' * 100}@api.kucoin.com",
        b"https://api.kucoin.com",
    ],
)
def test_another_form_is_refused_without_showing_a_password(url: Any) -> None:
    for endpoints, name in (((url, FUTURES), "rest_url"), ((SPOT, url), "futures_rest_url")):
        with pytest.raises(ConnectionFailed, match="is not a URL of the form https://host") as failure:
            Endpoints.chosen(*endpoints)
        assert str(failure.value).startswith(name + " (")
        assert not failure.value.retriable
        assert "s3cret" not in shown(failure.value)


@pytest.mark.parametrize(
    ("base", "endpoint"),
    [
        (SPOT, "wss://ws-api-spot.kucoin.com/"),
        (SPOT, "wss://API.KUCOIN.COM/endpoint"),
        (SPOT, "wss://push1.ws.kucoin.com:8443/endpoint"),
        ("https://kucoin.com", "wss://ws.kucoin.com/"),
        ("https://api.kucoin.eu", "wss://ws.kucoin.eu/"),
        ("https://10.0.0.1", "wss://10.0.0.1/"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:9000/"),
        ("http://127.0.0.1:8000", "ws://localhost:9000/"),
        ("http://[::1]:8000", "ws://[::1]:9000/"),
        ("http://api.internal.example", "ws://ws.internal.example/"),
        ("http://api.internal.example", "wss://ws.internal.example/"),
    ],
)
def test_an_endpoint_in_the_domain_of_the_base_is_allowed(base: str, endpoint: str) -> None:
    Endpoints.chosen(base, base).checked_endpoint("spot", endpoint)
    Endpoints.chosen(base, base).checked_endpoint("futures", endpoint)


@pytest.mark.parametrize(
    ("base", "endpoint"),
    [
        (SPOT, "wss://kucoin.com.evil.example/"),
        (SPOT, "wss://evilkucoin.com/"),
        (SPOT, "wss://evil.example/.kucoin.com"),
        (SPOT, "wss://evil.example?.kucoin.com"),
        (SPOT, "wss://evil.example#.kucoin.com"),
        (SPOT, "wss://169.254.169.254/"),
        (SPOT, "wss://127.0.0.1/"),
        (SPOT, "wss://localhost/"),
        (SPOT, "wss://ws.kucoin.com\t.evil.example/"),
        ("https://10.0.0.1", "wss://9.0.0.1/"),
        ("https://10.0.0.1", "wss://evil.0.0.1/"),
        ("https://[fe80::1]", "wss://[fe80::2]/"),
        ("http://127.0.0.1:8000", "ws://127.0.0.2:8000/"),
        ("http://localhost", "ws://evil.localhost.example/"),
    ],
)
def test_an_endpoint_elsewhere_is_refused(base: str, endpoint: str) -> None:
    with pytest.raises(ConnectionFailed, match=r"outside the domain of .*, which is refused.*allowed_hosts") as e:
        Endpoints.chosen(base, base).checked_endpoint("spot", endpoint)
    assert not e.value.retriable


def test_an_endpoint_on_an_allowed_host_is_allowed() -> None:
    endpoints = Endpoints.chosen(SPOT, FUTURES, ("Feed.Example", "10.0.0.7"))
    endpoints.checked_endpoint("spot", "wss://feed.example/")
    endpoints.checked_endpoint("spot", "wss://10.0.0.7/")
    with pytest.raises(ConnectionFailed, match="outside the domain"):
        endpoints.checked_endpoint("spot", "wss://ws.feed.example/")


@pytest.mark.parametrize("spelling", ["WSS://ws.kucoin.com/e", "wsS://ws.kucoin.com/e", "w\nss://ws.kucoin.com/\r\ne"])
def test_an_endpoint_is_taken_in_its_usual_spelling(spelling: str) -> None:
    assert Endpoints.chosen(SPOT, FUTURES).checked_endpoint("spot", spelling) == "wss://ws.kucoin.com/e"


def test_an_unencrypted_endpoint_is_refused_where_the_base_is_encrypted() -> None:
    with pytest.raises(ConnectionFailed, match=r"unencrypted endpoint on ws\.kucoin\.com, which is") as e:
        Endpoints.chosen(SPOT, FUTURES).checked_endpoint("spot", "ws://ws.kucoin.com/")
    assert not e.value.retriable


@pytest.mark.parametrize(
    "endpoint",
    ["", "https://ws.kucoin.com/", "wss://", "wss://me:s3cret@ws.kucoin.com/", "wss://ws.kucoin.com:x/"],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConnectionFailed, match=r"the endpoint \(.*\) is not a URL of the form wss://host") as e:
        Endpoints.chosen(SPOT, FUTURES).checked_endpoint("spot", endpoint)
    assert not e.value.retriable
    assert "s3cret" not in shown(e.value)


def test_the_servers_are_kucoins_unless_the_environment_or_an_argument_names_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert chosen_hosts(None, None, None) == Hosts()
    monkeypatch.setenv("KUCOIN_SYNC_UTA_SPOT_URL", "wss://spot.example")
    monkeypatch.setenv("KUCOIN_SYNC_UTA_FUTURES_URL", "ws://futures.example")
    monkeypatch.setenv("KUCOIN_SYNC_UTA_PRIVATE_URL", "wss://private.example/path?a=b")
    named = Hosts("wss://spot.example", "ws://futures.example", "wss://private.example/path?a=b")
    assert chosen_hosts(None, None, None) == named
    assert chosen_hosts("ws://mine.example", "", None) == named._replace(spot="ws://mine.example")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8080", "LOCALHOST:2"])
def test_a_login_may_be_unencrypted_on_this_machine(host: str) -> None:
    assert chosen_hosts(None, None, f"ws://{host}").private == f"ws://{host}"


@pytest.mark.parametrize("host", ["kucoin.example", "127.0.0.1.example", "10.0.0.7", "localhost.example"])
def test_a_login_is_encrypted_elsewhere(host: str) -> None:
    with pytest.raises(ConnectionFailed, match="uta_private_url names an unencrypted endpoint") as failure:
        chosen_hosts(None, None, f"ws://{host}")
    assert not failure.value.retriable


@pytest.mark.parametrize("name", ["uta_spot_url", "uta_futures_url", "uta_private_url"])
@pytest.mark.parametrize(
    "url", ["https://kucoin.example", "kucoin.example", "wss://", "wss://user:secret@kucoin.example", "wss://a:0", 7]
)
def test_a_url_that_is_no_server_is_refused_without_its_secrets(name: str, url: object) -> None:
    places = ("uta_spot_url", "uta_futures_url", "uta_private_url")
    with pytest.raises(ConnectionFailed, match=f"{name} ") as failure:
        chosen_hosts(*(url if place == name else None for place in places))  # type: ignore[arg-type]
    assert not failure.value.retriable
    assert "secret" not in str(failure.value)
