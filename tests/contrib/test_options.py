"""The settings of web applications: accepted values, errors, and the client for them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, InvalidTopic, Stream
from kucoin_sync.contrib.options import InvalidSetting, Options
from kucoin_sync.relay import RelayStream

TICKER = "/market/ticker:BTC-USDT"
BALANCE = "/account/balance"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REST_URL", "FUTURES_REST_URL"):
        monkeypatch.delenv(f"KUCOIN_SYNC_{name}", raising=False)


def test_without_settings_there_are_defaults() -> None:
    assert Options.read({}) == Options()
    assert isinstance(Options().open_client(), Stream)


def test_topics_are_read_as_single_ones() -> None:
    options = Options.read({"TOPICS": ["/market/ticker:BTC-USDT,ETH-USDT"], "ALLOWED_TOPICS": ("/market/match:*",)})
    assert options.topics == ("/market/ticker:BTC-USDT", "/market/ticker:ETH-USDT")
    assert options.allowed_topics == ("/market/match:*",)


def test_numbers_and_booleans_are_accepted_unchanged() -> None:
    options = Options.read({"PRIVATE": True, "MAX_STREAMS": 7, "KEEP_ALIVE": 1})
    assert (options.private, options.max_streams, options.keep_alive) == (True, 7, 1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REDIS_ULR": ""}, r"x\.REDIS_ULR is not a setting of kucoin_sync; did you mean x\.REDIS_URL"),
        ({"redis_url": ""}, "x.redis_url is not a setting of kucoin_sync; there are REDIS_URL, REDIS_CA_CERTS, "),
        ({"REDIS_URL": 7}, "x.REDIS_URL is text, not int"),
        ({"NAMESPACE": None}, "x.NAMESPACE is text, not NoneType"),
        ({"TOPICS": TICKER}, "x.TOPICS is a list of topics, not str"),
        ({"TOPICS": 7}, "x.TOPICS is a list of topics, not int"),
        ({"TOPICS": ["/market/ticker:*"]}, r"x.TOPICS has '/market/ticker:\*': name topics; patterns are for ALLOWED_"),
        ({"PRIVATE": "no"}, "x.PRIVATE is True or False, not str"),
        ({"MAX_STREAMS": 0}, "x.MAX_STREAMS is a number greater than 0"),
        ({"MAX_TOPICS": 1.5}, "x.MAX_TOPICS is a whole number"),
        ({"KEEP_ALIVE": True}, "x.KEEP_ALIVE is a number greater than 0"),
        ({"KEEP_ALIVE": float("nan")}, "x.KEEP_ALIVE is a number greater than 0"),
        ({"API_KEY": "k", "API_SECRET": "secret"}, "of x.API_KEY, x.API_SECRET, x.API_PASSPHRASE some are set"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_setting(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence) as raised:
        Options.read(settings, lambda name: f"x.{name}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("topic", ["nonsense", "/market/ticker:btc-usdt", 7])
def test_an_invalid_topic_is_an_error(topic: Any) -> None:
    with pytest.raises(InvalidTopic):
        Options.read({"ALLOWED_TOPICS": [topic]})


def test_browsers_may_read_named_topics_and_public_topics_that_match() -> None:
    options = Options.read({"TOPICS": ["/market/match:KCS-BTC"], "ALLOWED_TOPICS": ["/market/ticker:*", "*"]})
    assert options.allows("/market/match:KCS-BTC")
    assert options.allows(TICKER)
    assert not options.allows(BALANCE), "a private topic fits no pattern"
    assert Options.read({"ALLOWED_TOPICS": [BALANCE]}).allows(BALANCE)
    assert not Options().allows(TICKER)


def test_the_redis_url_comes_from_the_settings_else_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUCOIN_SYNC_REDIS_URL", "redis://environment")
    assert Options().relay_url() == "redis://environment"
    assert Options.read({"REDIS_URL": None}).relay_url() == "redis://environment"
    assert Options.read({"REDIS_URL": "redis://settings"}).relay_url() == "redis://settings"
    assert Options.read({"REDIS_URL": ""}).relay_url() == ""
    assert isinstance(Options().open_client(), RelayStream)
    assert isinstance(Options.read({"REDIS_URL": ""}).open_client(), Stream)


def test_a_stream_is_made_with_the_settings() -> None:
    options = Options.read(
        {"API_KEY": "k", "API_SECRET": "s", "API_PASSPHRASE": "p", "REST_URL": "https://api.example.com"}
    )
    with options.open_stream() as stream:
        assert "https://api.example.com" in repr(stream)
        assert stream.has_key()


def test_no_secret_is_shown() -> None:
    options = Options.read(
        {
            "REDIS_URL": "redis://user:hidden@host",
            "PROXY": "http://user:hidden@proxy",
            "API_KEY": "hidden",
            "API_SECRET": "hidden",
            "API_PASSPHRASE": "hidden",
        }
    )
    assert "hidden" not in repr(options)
    with options.open_client() as client:
        assert "hidden" not in repr(client)


def test_without_redis_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kucoin_sync.relay")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConnectionFailed, match=r"pip install 'kucoin-sync\[redis\]'"):
        Options.read({"REDIS_URL": "redis://localhost"}).open_client()
