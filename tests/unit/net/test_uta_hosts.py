"""The URLs of the UTA feed's servers: arguments before the environment before KuCoin's; what is refused."""

from __future__ import annotations

import pytest

from kucoin_sync.exceptions import ConnectionFailed
from kucoin_sync.net.uta_hosts import chosen_hosts
from kucoin_sync.protocol.uta import Hosts


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPOT", "FUTURES", "PRIVATE"):
        monkeypatch.delenv(f"KUCOIN_SYNC_UTA_{name}_URL", raising=False)


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
