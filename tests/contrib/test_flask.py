"""The Flask extension: settings, events, last values, limits, and the command that owns the feed."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from kucoin_sync import Stream, topics
from kucoin_sync.contrib.flask import KucoinSync
from kucoin_sync.contrib.options import InvalidSetting
from kucoin_sync.contrib.web import WebFeed
from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import KucoinServer

from ..support.redis import MISSING, LocalRedis
from ..support.streams import gone
from ..support.threads import LIMIT, Task, until
from .parser import EventParser

TICKER = "/market/ticker:BTC-USDT"
MakeApp = Callable[..., Flask]
kucoin = KucoinSync()


@pytest.fixture
def make_app(web_settings: dict[str, Any]) -> Iterator[MakeApp]:
    """Make applications by a factory, as larger ones do; their feeds are closed after the test."""
    made: list[Flask] = []

    def make(**more: Any) -> Flask:
        app = Flask(__name__)
        app.config.update({f"KUCOIN_SYNC_{name}": value for name, value in {**web_settings, **more}.items()})
        app.config["TESTING"] = True
        kucoin.init_app(app)
        made.append(app)

        @app.get("/live/<symbol>")
        def live(symbol: str) -> Response:
            return kucoin.sse(f"/market/ticker:{symbol}", event=lambda message: message.topic)

        @app.get("/last/<symbol>")
        def last(symbol: str) -> Any:
            return kucoin.last(f"/market/ticker:{symbol}", timeout=LIMIT).data

        @app.get("/soon/<symbol>")
        def soon(symbol: str) -> Any:
            return kucoin.last(f"/market/ticker:{symbol}", timeout=0.05).data

        @app.get("/now")
        def now() -> Response:
            return kucoin.sse(TICKER, timeout=0.2)

        return app

    yield make
    for app in made:
        app.extensions["kucoin_sync"].close()


@pytest.fixture
def flask_browser(make_app: MakeApp) -> FlaskClient:
    return make_app(ALLOWED_TOPICS=["/market/ticker:*"]).test_client()


def test_no_connection_is_opened_before_the_first_request(server: KucoinServer, make_app: MakeApp) -> None:
    app = make_app()
    assert isinstance(app.extensions["kucoin_sync"], WebFeed)
    assert server.requests == []


def test_the_application_may_be_passed_to_the_constructor(web_settings: dict[str, Any]) -> None:
    app = Flask(__name__)
    app.config.update({f"KUCOIN_SYNC_{name}": value for name, value in web_settings.items()})
    extension = KucoinSync(app)
    with app.app_context():
        assert extension.feed is app.extensions["kucoin_sync"]
        assert extension.client is extension.client
        extension.feed.close()


def test_without_init_app_the_error_says_what_to_do() -> None:
    app = Flask("lonely")
    with app.app_context(), pytest.raises(RuntimeError, match=r"the application 'lonely' has no feed: call KucoinSync"):
        kucoin.last(TICKER)


def test_a_misspelt_setting_is_an_error_that_names_the_right_one() -> None:
    app = Flask(__name__)
    app.config["KUCOIN_SYNC_ALOWED_TOPICS"] = []
    with pytest.raises(InvalidSetting, match=r"KUCOIN_SYNC_ALOWED_TOPICS .* did you mean KUCOIN_SYNC_ALLOWED_TOPICS"):
        KucoinSync(app)


def test_a_browser_gets_events(server: KucoinServer, flask_browser: FlaskClient) -> None:
    response = flask_browser.get("/live/BTC-USDT")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    server.publish(TICKER, {"sequence": "7", "price": "1"})
    parser, chunks = EventParser(), iter(response.iter_encoded())
    events = []
    while not events:
        events = parser.feed(next(chunks))
    (event,) = events
    assert (event.event, json.loads(event.data), event.id) == (
        TICKER,
        {"symbol": "BTC-USDT", "sequence": "7", "price": "1"},
        "7",
    )
    assert parser.retry == 2000
    response.close()
    gone(server, TICKER)


def test_a_browser_gets_the_uta_feed(server: KucoinServer, make_app: MakeApp) -> None:
    topic = "/uta/trade.SPOT:BTC-USDT"
    app = make_app(ALLOWED_TOPICS=["/uta/trade.SPOT:*"])
    with app.test_request_context():
        response = kucoin.sse(topic)
        chunks = iter(response.iter_encoded())
        assert next(chunks).startswith(b"retry")
        server.publish(topic, {"s": "BTC-USDT", "p": "1.5", "E": 7})
        assert (
            next(chunks) == b'event: trade.SPOT\nid: 7\ndata: {"symbol":"BTC-USDT","s":"BTC-USDT","p":"1.5","E":7}\n\n'
        )
        response.close()
        other = "/uta/trade.SPOT:ETH-USDT"
        last = Task(app.extensions["kucoin_sync"].last, other, timeout=LIMIT)
        server.wait_subscribed(other, timeout=LIMIT)
        server.publish(other, {"s": "ETH-USDT", "p": "2.5"})
        assert last.result()["d"]["p"] == "2.5"
    assert server.requests == [], "it needs no REST"


def test_a_head_request_leaves_no_subscription(server: KucoinServer, flask_browser: FlaskClient) -> None:
    response = flask_browser.head("/live/BTC-USDT")
    assert (response.status_code, response.data) == (200, b"")
    response.close()  # as every server does
    gone(server, TICKER)


def test_last_values_are_the_newest_and_share_one_subscription(
    server: KucoinServer, flask_browser: FlaskClient
) -> None:
    other = Task(flask_browser.application.test_client().get, "/last/ETH-USDT")  # there is a connection then
    server.wait_subscribed("/market/ticker:ETH-USDT", timeout=LIMIT)
    server.publish("/market/ticker:ETH-USDT", {"n": 7})
    assert other.result().json == {"n": 7}
    assert flask_browser.get("/soon/BTC-USDT").status_code == 504
    first = Task(flask_browser.application.test_client().get, "/last/BTC-USDT")
    server.wait_subscribed(TICKER, timeout=LIMIT)
    for number in range(5):
        server.publish(TICKER, {"n": number})
    assert first.result().status_code == 200
    until(lambda: flask_browser.get("/last/BTC-USDT").json == {"n": 4}, "the newest is not the last value")
    assert flask_browser.get("/last/BTC-USDT").json == {"n": 4}, "it stays"
    assert flask_browser.application.extensions["kucoin_sync"].client.stats()["subscriptions"] == 2, (
        "one for each topic"
    )


@pytest.mark.parametrize(
    ("symbol", "status", "sentence"),
    [
        ("btc-usdt", 400, "did you mean BTC-USDT?"),
        ("BTC-USDT,ETH-USDT,KCS-BTC,XRP-USDT", 400, "4 topics were asked for; name 1 to 3"),
        ("ADA-USDT", 403, "/market/ticker:ADA-USDT is not among this site&#39;s TOPICS and ALLOWED_TOPICS"),
        ("KCS-BTC", 404, "KuCoin rejected the topic &#39;/market/ticker:KCS-BTC&#39; with code 404: gone"),
    ],
)
def test_a_refused_request_is_answered_with_a_sentence(
    server: KucoinServer, make_app: MakeApp, symbol: str, status: int, sentence: str
) -> None:
    allowed = [topics.ticker("BTC-USDT", "ETH-USDT", "KCS-BTC", "XRP-USDT")]
    app = make_app(ALLOWED_TOPICS=allowed, MAX_TOPICS=3, MAX_STREAMS=1)
    for _ in range(2):  # a refused request takes no slot
        server.reject_next(404, "gone", "/market/ticker:KCS-BTC")
        answer = app.test_client().get(f"/live/{symbol}")
        assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
        assert sentence in answer.text
    assert app.extensions["kucoin_sync"].client.stats()["subscriptions"] == 0


def test_an_unreachable_feed_is_reported_without_internal_details(
    server: KucoinServer, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(ALLOWED_TOPICS=[TICKER], REST_URL="http://127.0.0.1:9")

    def unreachable() -> Any:
        answer = app.test_client().get("/now")
        return answer if answer.status_code == 503 else None  # 504 before a slow machine has tried to connect

    answer = until(unreachable, "no connection has failed")
    assert "127.0.0.1" not in answer.text
    assert "127.0.0.1:9" in caplog.text


def test_the_number_of_browsers_is_limited_and_a_disconnect_frees_a_slot(
    server: KucoinServer, make_app: MakeApp
) -> None:
    browser = make_app(TOPICS=[TICKER], MAX_STREAMS=2).test_client()
    first, second = browser.get("/live/BTC-USDT"), browser.get("/live/BTC-USDT")
    refused = browser.get("/live/BTC-USDT")
    assert (first.status_code, second.status_code, refused.status_code) == (200, 200, 503)
    assert "as many browsers as it can" in refused.text
    first.close()
    third = browser.get("/live/BTC-USDT")
    assert third.status_code == 200
    second.close()
    third.close()


def test_the_number_of_last_values_is_limited(server: KucoinServer, make_app: MakeApp) -> None:
    app = make_app(ALLOWED_TOPICS=["/market/ticker:*"], MAX_TOPICS=2)
    for symbol in ("A-B", "C-D", "A-B", "E-F"):  # A-B is read again, so that C-D is the one to go
        answer = Task(app.test_client().get, f"/last/{symbol}")
        server.wait_subscribed(f"/market/ticker:{symbol}", timeout=LIMIT)
        server.publish(f"/market/ticker:{symbol}", {"of": symbol})
        assert answer.result().json == {"of": symbol}
    gone(server, "/market/ticker:C-D")
    (connection,) = server.connections
    assert connection.topics == {"/market/ticker:A-B", "/market/ticker:E-F"}


def test_a_redis_makes_it_a_reader_of_the_relay(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(REDIS_URL="redis://user:secret@nowhere:1")
    assert isinstance(app.extensions["kucoin_sync"].client, RelayStream)
    assert "secret" not in repr(app.extensions["kucoin_sync"].options)
    monkeypatch.setenv("KUCOIN_SYNC_REDIS_URL", "redis://nowhere:1")
    assert isinstance(make_app(REDIS_URL=None).extensions["kucoin_sync"].client, RelayStream)
    assert isinstance(make_app().extensions["kucoin_sync"].client, Stream), '"" is none'


def test_without_flask_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kucoin_sync.contrib.flask")
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(ImportError, match=r"pip install 'kucoin-sync\[flask\]'"):
        importlib.import_module("kucoin_sync.contrib.flask")


# The command


def test_the_command_says_that_there_is_no_redis(make_app: MakeApp) -> None:
    done = make_app().test_cli_runner().invoke(args=["kucoin", "feed"])
    assert done.exit_code == 1
    assert "Error: the feed has no Redis to pass messages on through: set REDIS_URL" in done.output


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_the_command_passes_on_set_and_requested_topics_until_a_signal(
    server: KucoinServer, make_app: MakeApp, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask\nfrom kucoin_sync.contrib.flask import KucoinSync\n"
        "app = Flask(__name__)\napp.config.from_file('settings.json', load=__import__('json').load)\nKucoinSync(app)\n"
    )
    with LocalRedis() as redis:
        worker = make_app(REDIS_URL=redis.url, TOPICS=[TICKER], ALLOWED_TOPICS=["/market/ticker:ETH-USDT"])
        config = {name: value for name, value in worker.config.items() if name.startswith("KUCOIN_SYNC_")}
        (tmp_path / "settings.json").write_text(json.dumps(config))
        with subprocess.Popen(
            [sys.executable, "-m", "flask", "kucoin", "feed"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            try:
                assert "lease taken" in process.stderr.readline()
                server.wait_subscribed(TICKER, timeout=LIMIT)
                response = worker.test_client().get("/live/ETH-USDT")
                server.wait_subscribed("/market/ticker:ETH-USDT", timeout=LIMIT)
                assert response.status_code == 200
                server.publish("/market/ticker:ETH-USDT", {"n": 1})
                chunks = response.iter_encoded()
                assert any(b'"n":1}' in next(chunks) for _ in range(20))
                response.close()
                process.send_signal(signal.SIGTERM)
                assert "kucoin: 1 messages passed on, 0 dropped" in process.stderr.read()
                assert process.wait(LIMIT) == 0
            finally:
                process.kill()
