"""The Django app: settings and their check, events, last values, limits, and the command that owns the feed."""

from __future__ import annotations

import contextlib
import importlib
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_conf
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db.utils import ConnectionHandler
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings

from kucoin_sync import KucoinSyncError, Stream, topics
from kucoin_sync.contrib.django import Refused, feed
from kucoin_sync.contrib.django.views import EventsView
from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import KucoinServer

from ..support.streams import gone
from ..support.threads import LIMIT, Task, until
from . import django_settings
from .parser import EventParser

if not django_conf.configured:
    # Not by DJANGO_SETTINGS_MODULE, which other tests' programs would inherit.
    django_conf.configure(**{name: value for name, value in vars(django_settings).items() if name.isupper()})
    django.setup()

TICKER = "/market/ticker:BTC-USDT"
Configure = Callable[..., None]


@pytest.fixture
def configure(web_settings: dict[str, Any]) -> Iterator[Configure]:
    """Change the settings until the end of the test."""
    with contextlib.ExitStack() as stack:

        def configure(**more: Any) -> None:
            stack.enter_context(override_settings(KUCOIN_SYNC={**web_settings, **more}))

        yield configure


@pytest.fixture
def django_client() -> Client:
    """A test client for the tests' project."""
    return Client()


@pytest.fixture
def django_browser(configure: Configure, django_client: Client) -> Client:
    """A test client for the tests' project, which may read all tickers of the local KuCoin."""
    configure(ALLOWED_TOPICS=["/market/ticker:*"])
    return django_client


def events_of(response: Any) -> Iterator[Any]:
    parser = EventParser()
    for chunk in response.streaming_content:
        yield from parser.feed(chunk)


# Settings


def test_no_connection_is_opened_before_the_first_request(server: KucoinServer, configure: Configure) -> None:
    configure()
    assert run_checks() == []
    assert feed.web is feed.web
    assert isinstance(feed.client, Stream)
    assert server.requests == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"ALOWED_TOPICS": []},
            'KUCOIN_SYNC["ALOWED_TOPICS"] is not a setting of kucoin_sync; did you mean KUCOIN_SYNC[',
        ),
        ({"TOPICS": "/market/ticker:BTC-USDT"}, 'KUCOIN_SYNC["TOPICS"] is a list of topics, not str'),
        ({"TOPICS": ["/market/ticker:btc-usdt"]}, "did you mean BTC-USDT?"),
        ({"API_KEY": "hush", "API_SECRET": "hush"}, 'KUCOIN_SYNC["API_PASSPHRASE"] some are set and some are not'),
        ({"REDIS_URL": {"hush": "hush"}}, 'KUCOIN_SYNC["REDIS_URL"] is text, not dict'),
        ("hush", 'KUCOIN_SYNC is a dict, such as {"TOPICS": […]}, not str'),
    ],
)
def test_what_is_wrong_with_the_settings_is_found_by_the_check_and_at_the_first_use(given: Any, sentence: str) -> None:
    with override_settings(KUCOIN_SYNC=given):
        (found,) = run_checks()
        assert (found.id, found.is_serious()) == ("kucoin_sync.E001", True)
        assert sentence in found.msg
        assert "kucoin_sync.contrib.options.Options" in str(found.hint)
        with pytest.raises(SystemCheckError, match=r"\(kucoin_sync\.E001\)") as error:
            call_command("check")
        assert "hush" not in str(error.value)
        with pytest.raises(KucoinSyncError) as first:
            feed.last(TICKER)
        assert str(first.value) == found.msg


def test_without_the_setting_every_default_holds() -> None:
    with override_settings():
        del django_conf.KUCOIN_SYNC
        assert run_checks() == []
        assert feed.web.options.keep_alive == 5.0
    feed.close()


def test_other_settings_are_taken_at_once_and_end_the_feed_of_the_ones_before(
    server: KucoinServer, configure: Configure
) -> None:
    configure(TOPICS=[TICKER])
    before = feed.client
    subscription = before.subscribe(TICKER)
    with override_settings(LANGUAGE_CODE="de"):
        assert feed.client is before, "what is another's setting changes nothing"
    with override_settings(KUCOIN_SYNC={"ALLOWED_TOPICS": []}):
        assert subscription.closed
        assert feed.client is not before
        with pytest.raises(Refused, match="is not among this site's TOPICS"):
            feed.last(TICKER)
    assert feed.web.options.topics == (TICKER,)


def test_a_redis_makes_it_a_reader_of_the_relay(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(REDIS_URL="redis://user:secret@nowhere:1")
    assert isinstance(feed.client, RelayStream)
    assert "secret" not in repr(feed.web.options)
    monkeypatch.setenv("KUCOIN_SYNC_REDIS_URL", "redis://nowhere:1")
    configure(REDIS_URL=None)
    assert isinstance(feed.client, RelayStream)
    configure()
    assert isinstance(feed.client, Stream), '"" is none'


def test_concurrent_threads_share_one_feed(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure()
    together = threading.Barrier(2)
    read = importlib.import_module("kucoin_sync.contrib.django").read_options

    def slowly() -> Any:
        together.wait(LIMIT)  # both have found none
        return read()

    monkeypatch.setattr("kucoin_sync.contrib.django.read_options", slowly)
    first, second = Task(lambda: feed.client), Task(lambda: feed.client)
    assert first.result() is second.result()


def test_without_django_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kucoin_sync.contrib.django")
    monkeypatch.setitem(sys.modules, "django.http", None)
    with pytest.raises(ImportError, match=r"pip install 'kucoin-sync\[django\]'"):
        importlib.import_module("kucoin_sync.contrib.django")


# Views


def test_a_browser_gets_events(server: KucoinServer, django_browser: Client) -> None:
    response = django_browser.get("/live/BTC-USDT", headers={"Accept-Encoding": "gzip"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["Cache-Control"] == "no-cache"
    assert response["X-Accel-Buffering"] == "no"
    server.publish(TICKER, {"sequence": "7", "price": "1"})
    event = next(events_of(response))
    assert (event.event, json.loads(event.data), event.id) == (
        TICKER,
        {"symbol": "BTC-USDT", "sequence": "7", "price": "1"},
        "7",
    )
    response.close()
    gone(server, TICKER)


def test_a_browser_gets_the_uta_feed(server: KucoinServer, configure: Configure) -> None:
    topic = "/uta/ticker.FUTURES:XBTUSDTM"
    configure(ALLOWED_TOPICS=["/uta/ticker.FUTURES:*"])
    response = EventsView.as_view(topics="/uta/ticker.FUTURES:{symbol}")(RequestFactory().get("/"), symbol="XBTUSDTM")
    server.publish(topic, {"s": "XBTUSDTM", "l": "1.5", "E": 7})
    event = next(events_of(response))
    assert (event.event, json.loads(event.data)["l"], event.id) == ("ticker.FUTURES", "1.5", "7")
    response.close()
    assert server.requests == [], "it needs no REST"


def test_a_view_may_have_several_topics_of_the_address(server: KucoinServer, django_browser: Client) -> None:
    response = django_browser.get("/pair/BTC-USDT/ETH-USDT")
    (connection,) = server.connections
    assert connection.topics == {TICKER, "/market/ticker:ETH-USDT"}
    response.close()


def test_a_response_that_nobody_reads_leaves_nothing_behind(server: KucoinServer, django_browser: Client) -> None:
    response = django_browser.get("/live/BTC-USDT")
    server.wait_subscribed(TICKER, timeout=LIMIT)
    response.close()
    gone(server, TICKER)


def test_a_head_request_gets_no_body_and_leaves_no_subscription(server: KucoinServer, django_browser: Client) -> None:
    response = feed.sse(RequestFactory().head("/"), TICKER)
    assert list(response) == [b""], "a server may look for the end of it"
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    gone(server, TICKER)
    assert django_browser.head("/live/BTC-USDT").status_code == 200


def test_a_connected_browser_occupies_no_database_connection(
    server: KucoinServer, django_browser: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
    connections = ConnectionHandler({"default": database})
    monkeypatch.setattr("django.db.connections", connections)
    response = EventsView.as_view(topics=TICKER)(RequestFactory().get("/"))
    used = connections["default"]
    used.connection = sqlite3.connect(tmp_path / "db.sqlite3")  # as what a session is read with
    used.close_at = 0.0
    assert next(iter(response)).startswith(b"retry:")
    assert used.connection is None
    response.close()


def test_last_values_are_the_newest_and_share_one_subscription(server: KucoinServer, django_browser: Client) -> None:
    other = Task(Client().get, "/last/ETH-USDT")  # there is a connection then, however slow the machine is
    server.wait_subscribed("/market/ticker:ETH-USDT", timeout=LIMIT)
    server.publish("/market/ticker:ETH-USDT", {"n": 7})
    assert other.result().json() == {"n": 7}
    assert django_browser.get("/soon/BTC-USDT").status_code == 504
    first = Task(Client().get, "/last/BTC-USDT")
    server.wait_subscribed(TICKER, timeout=LIMIT)
    for number in range(5):
        server.publish(TICKER, {"n": number})
    assert first.result().status_code == 200
    until(lambda: django_browser.get("/last/BTC-USDT").json() == {"n": 4}, "the newest is not the last value")
    assert django_browser.get("/last/BTC-USDT").json() == {"n": 4}, "it stays"
    assert feed.client.stats()["subscriptions"] == 2, "one for each topic"


@pytest.mark.parametrize("place", ["live", "last"])
@pytest.mark.parametrize(
    ("symbol", "status", "sentence"),
    [
        ("btc-usdt", 400, "did you mean BTC-USDT?"),
        ("BTC-USDT,ETH-USDT,KCS-BTC,XRP-USDT", 400, "4 topics were asked for; name 1 to "),
        ("<b>", 400, "<b>"),
        ("{symbol}", 400, "{symbol}"),
        ("ADA-USDT", 403, "/market/ticker:ADA-USDT is not among this site's TOPICS and ALLOWED_TOPICS"),
        ("KCS-BTC", 404, "KuCoin rejected the topic '/market/ticker:KCS-BTC' with code 404: gone"),
    ],
)
def test_a_refused_request_is_answered_with_a_sentence(
    server: KucoinServer,
    configure: Configure,
    django_client: Client,
    place: str,
    symbol: str,
    status: int,
    sentence: str,
) -> None:
    allowed = [topics.ticker("BTC-USDT", "ETH-USDT", "KCS-BTC", "XRP-USDT")]
    configure(ALLOWED_TOPICS=allowed, MAX_TOPICS=3, MAX_STREAMS=1)
    for _ in range(2):  # a refused request takes no slot
        server.reject_next(404, "gone", "/market/ticker:KCS-BTC")
        answer = django_client.get(f"/{place}/{symbol}")
        assert (answer.status_code, answer["Content-Type"]) == (status, "text/plain; charset=utf-8")
        assert sentence in answer.content.decode()
    assert feed.client.stats()["subscriptions"] == 0


def test_without_the_middleware_the_view_answers_and_last_raises(
    server: KucoinServer, configure: Configure, django_client: Client
) -> None:
    configure(ALLOWED_TOPICS=[])
    with override_settings(MIDDLEWARE=[]):
        assert Client().get("/live/BTC-USDT").status_code == 403
        with pytest.raises(Refused) as refused:
            Client().get("/last/BTC-USDT")
    assert refused.value.status == 403


def test_an_unreachable_feed_is_reported_without_internal_details(
    configure: Configure, django_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ALLOWED_TOPICS=[TICKER], REST_URL="http://127.0.0.1:9")

    def unreachable() -> Any:
        answer = django_client.get("/now")
        return answer if answer.status_code == 503 else None  # 504 before a slow machine has tried to connect

    answer = until(unreachable, "no connection has failed")
    assert b"127.0.0.1" not in answer.content
    assert "127.0.0.1:9" in caplog.text


def test_the_number_of_browsers_is_limited_and_a_disconnect_frees_a_slot(
    server: KucoinServer, configure: Configure, django_client: Client
) -> None:
    configure(TOPICS=[TICKER], MAX_STREAMS=1)
    first, refused = django_client.get("/live/BTC-USDT"), django_client.get("/live/BTC-USDT")
    assert (first.status_code, refused.status_code) == (200, 503)
    first.close()
    second = django_client.get("/live/BTC-USDT")
    assert second.status_code == 200
    second.close()


def test_other_errors_are_not_changed(django_client: Client) -> None:
    with pytest.raises(LookupError, match="not the feed's fault"):
        django_client.get("/broken")


def test_under_asgi_sse_raises_instead_of_collecting_events_forever(
    server: KucoinServer, django_browser: Client
) -> None:
    with pytest.raises(ImproperlyConfigured, match="serve this view with WSGI, such as gunicorn"):
        EventsView.as_view(topics=TICKER)(AsyncRequestFactory().get("/"))
    assert server.requests == []


def test_closing_ends_what_browsers_get_and_the_next_use_begins_again(
    server: KucoinServer, django_browser: Client
) -> None:
    response = django_browser.get("/live/BTC-USDT")
    rest = Task(list, response.streaming_content)
    feed.close()
    assert rest.result()[0].startswith(b"retry:")
    feed.close()  # once more does nothing
    with contextlib.closing(django_browser.get("/live/BTC-USDT")) as again:
        assert again.status_code == 200


# The command; what it does with a Redis is in test_django_servers.py


def test_the_command_says_that_there_is_no_redis(configure: Configure) -> None:
    configure()
    with pytest.raises(CommandError, match="the feed has no Redis to pass messages on through: set REDIS_URL"):
        call_command("kucoin_feed")


def test_the_command_says_what_is_wrong_with_the_settings() -> None:
    with (
        override_settings(KUCOIN_SYNC={"TOPIC": []}),
        pytest.raises(CommandError, match=r'KUCOIN_SYNC\["TOPIC"\] is not a setting of kucoin_sync; did you mean'),
    ):
        call_command("kucoin_feed")


def test_the_account_is_there_behind_its_setting(server: KucoinServer, configure: Configure) -> None:
    configure()
    with pytest.raises(KucoinSyncError, match="needs the setting ACCOUNT"):
        _ = feed.account
    configure(ACCOUNT=True, API_KEY=server.KEY, API_SECRET=server.SECRET, API_PASSPHRASE=server.PASSPHRASE)
    feed.close()
    assert feed.account is feed.account
    feed.close()
