"""Redis users with an ACL and TLS work, and no text shows a secret."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from kucoin_sync import ConnectionFailed, Stream
from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.relay.server import RedisServer
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.certificates import write_server
from ..support.readmes import BLOCKS
from ..support.redis import LocalRedis
from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT
from .test_reading import TOPIC, numbers, send, take

PASSWORD = "canary-of-a-password"
#: What relays and readers need, as `kucoin_sync/relay/README.md` says.
[ACL] = [block.code.partition(">password ")[2] for block in BLOCKS if block.code.startswith("ACL SETUSER")]


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(("BTC-USDT",), seed=5)}


@pytest.fixture
def guarded(redis: LocalRedis) -> str:
    """The URL of a Redis user with exactly the rights that relays and readers need; other users have none."""
    redis.call("ACL", "SETUSER", "relay", "on", f">{PASSWORD}", *ACL.split())
    return redis.url.replace("unix://", f"unix://relay:{PASSWORD}@")


def everything(caplog: pytest.LogCaptureFixture, error: BaseException | None, *objects: object) -> str:
    """Return all texts that might show a secret: logs, objects, and tracebacks with their variables."""
    texts = [caplog.text, *map(repr, objects)]
    while error is not None:
        texts += ["".join(traceback.format_exception(error)), repr(error.args)]
        frames = list(traceback.walk_tb(error.__traceback__))
        ours = [frame for frame, _ in frames if "kucoin_sync" in frame.f_code.co_filename]
        texts += [repr(value) for frame in ours for value in frame.f_locals.values()]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def test_a_user_needs_no_more_than_the_documented_rights(
    guarded: str,
    server: KucoinServer,
    make_relay: MakeRelay,
    make_reader: MakeReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    relay = make_relay(url=guarded)
    reader = make_reader(guarded)
    subscription = reader.subscribe(TOPIC)
    send(server, 1, 2)
    assert numbers(take(subscription, 2)) == [1, 2]
    book = reader.book("BTC-USDT")
    book.wait_ready(LIMIT)
    late = make_reader(guarded).subscribe(TOPIC)
    assert numbers(take(late, 1)) == [2]
    relay.close()
    assert PASSWORD not in everything(caplog, None, relay, reader, subscription, book)


@pytest.mark.parametrize("kind", ["user", "password"])
def test_a_wrong_password_ends_a_subscription_and_is_not_shown(
    kind: str, guarded: str, redis: LocalRedis, make_reader: MakeReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = guarded.replace(PASSWORD, f"not-the-{PASSWORD}") if kind == "password" else guarded.replace("relay:", "who:")
    reader = make_reader(url)
    with pytest.raises(ConnectionFailed, match="refused the user name or password") as caught:
        reader.subscribe(TOPIC)
    assert not caught.value.retriable
    assert PASSWORD not in everything(caplog, caught.value, reader)


def test_a_relay_with_a_wrong_password_gives_up(
    guarded: str, make_relay: MakeRelay, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionFailed, match="refused the user name or password") as caught:
        make_relay(url=guarded.replace("relay:", "who:"))
    assert PASSWORD not in everything(caplog, caught.value)


def test_a_relay_that_gives_up_returns_from_its_run_with_the_reason(guarded: str) -> None:
    with Stream(rest_url="http://127.0.0.1:9") as stream:
        relay = Relay(stream, guarded.replace("relay:", "who:"))
        with pytest.raises(ConnectionFailed, match="refused the user name or password"):
            relay.run()


def test_missing_rights_are_named(redis: LocalRedis, make_reader: MakeReader) -> None:
    redis.call("ACL", "SETUSER", "weak", "on", f">{PASSWORD}", "~*", "+evalsha", "+script|load")
    with pytest.raises(ConnectionFailed, match="does not let this user do what the relay needs"):
        make_reader(redis.url.replace("unix://", f"unix://weak:{PASSWORD}@")).subscribe(TOPIC)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@host",
        f"redis://user:{PASSWORD}@host:port/0",
        f"redis://user:{PASSWORD}@host/0?db={PASSWORD}",
        f"rediss://user:{PASSWORD}@host?ssl_cert_reqs=none",
        f"rediss://user:{PASSWORD}@host?ssl_check_hostname=False",
        f"user:{PASSWORD}@host",
        f"valkey://user:{PASSWORD}@host",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_being_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConnectionFailed, match="the URL of Redis") as caught:
        RedisServer(url)
    assert not caught.value.retriable
    text = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in text
    assert caught.value.__context__ is None


def test_a_url_of_something_else_is_told_what_would_do() -> None:
    with pytest.raises(ConnectionFailed, match="begins with none of redis://, rediss://, unix://"):
        RedisServer("valkey://host")


def test_an_error_that_redis_answers_with_is_shown_and_may_pass() -> None:
    failure = RedisServer("redis://there").failure(ResponseError("OOM command not allowed."))
    assert str(failure).startswith("Redis at there:6379 answered with an error: OOM command not allowed")
    assert failure.retriable


def test_texts_show_the_address_of_redis_and_no_password() -> None:
    server = RedisServer(f"redis://user:{PASSWORD}@there:7000/3")
    assert repr(server) == "<RedisServer there:7000>"
    assert server.name == "there:7000"
    assert RedisServer("redis://there").name == "there:6379"
    client = server.client()
    assert client.connection_pool.connection_kwargs["password"] == PASSWORD
    assert client.connection_pool.connection_kwargs["db"] == 3


# TLS


@pytest.fixture
def tls_redis(nothing_left_behind: None, tmp_path: Path) -> Iterator[tuple[LocalRedis, str]]:
    """A Redis that speaks TLS, and the path of its authority's certificate."""
    authority, certificate, key = write_server(tmp_path, "localhost")
    files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority]
    with LocalRedis([*files, "--tls-auth-clients", "no"], tls=True) as redis:
        if not redis.speaks_tls:
            pytest.skip("this redis-server was built without TLS")
        yield redis, authority


def test_a_relay_and_its_readers_over_tls(
    tls_redis: tuple[LocalRedis, str], server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    redis, authority = tls_redis
    make_relay(url=redis.tls_url, ca_certs=authority)
    in_the_url = make_reader(f"{redis.tls_url}?ssl_ca_certs={authority}")
    subscriptions = [each.subscribe(TOPIC) for each in (in_the_url, make_reader(redis.tls_url, ca_certs=authority))]
    send(server, 1)
    for subscription in subscriptions:
        assert numbers(take(subscription, 1)) == [1]


def test_a_certificate_that_does_not_verify_is_final(
    tls_redis: tuple[LocalRedis, str], make_reader: MakeReader, events: Events
) -> None:
    redis, authority = tls_redis
    with pytest.raises(ConnectionFailed, match="does not verify") as caught:
        make_reader(redis.tls_url).subscribe(TOPIC)
    assert not caught.value.retriable
    elsewhere = redis.tls_url.replace("localhost", "127.0.0.1")
    with pytest.raises(ConnectionFailed, match="does not verify"):
        make_reader(elsewhere, ca_certs=authority).subscribe(TOPIC)


def test_without_redis_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kucoin_sync.relay")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r"pip install 'kucoin-sync\[redis\]'"):
        import kucoin_sync.relay  # noqa: F401


def test_arguments_that_make_no_sense_are_refused(redis: LocalRedis) -> None:
    with Stream(rest_url="http://127.0.0.1:1") as stream:
        for name in ("lease_seconds", "keep_seconds", "length"):
            with pytest.raises(ValueError, match=f"{name} is 0"):
                Relay(stream, redis.url, **{name: 0})
        with pytest.raises(ValueError, match="/account/balance can't be passed on: it is a private topic"):
            Relay(stream, redis.url, topics=["/account/balance"])
        with pytest.raises(ValueError, match="is not a topic"):
            Relay(stream, redis.url, topics=["nonsense"])
    for namespace in ("", "{a}", "a\n"):
        with pytest.raises(ValueError, match="namespace is"):
            RelayStream(redis.url, namespace=namespace)
