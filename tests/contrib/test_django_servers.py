"""Django in its servers: runserver with its two processes, gunicorn's threads, `kucoin_feed`, and the example."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import topics
from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import KucoinServer

from ..support.chromium import MISSING as NO_BROWSER
from ..support.chromium import Chromium
from ..support.processes import Program
from ..support.redis import MISSING, LocalRedis
from ..support.selection import first
from ..support.threads import LIMIT, until
from .test_servers import TICKER, Browser

pytestmark = pytest.mark.timeout(180)

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_project"
SETTINGS = Path(__file__).with_name("django_settings.py")
SERVING = r"development server at (http://[\d.:]+)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A temporary directory with the tests' project."""
    (tmp_path / "project.py").write_text(SETTINGS.read_text())
    return tmp_path


def environment(server: KucoinServer, **more: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "project", "LOCAL_KUCOIN": server.rest_url, "KUCOIN_SYNC_REST_URL": server.rest_url,
        "KUCOIN_SYNC_REDIS_URL": "", "no_proxy": "*", "PYTHONUNBUFFERED": "1", **more,
    }  # fmt: skip


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "django", *arguments]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=LIMIT) as response:
        return json.load(response)


@contextmanager
def gunicorn(directory: Path, server: KucoinServer, *options: str) -> Iterator[str]:
    """Serve the example; yield its URL."""
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--chdir", str(EXAMPLE), "--worker-class"]
    command += ["gthread", "--threads", "4", *options, "live.wsgi"]
    with Program(command, directory, **environment(server, DJANGO_SETTINGS_MODULE="live.settings")) as program:
        yield program.printed(r"Listening at: (http://[\d.:]+)")


@pytest.mark.long
def test_of_the_two_processes_of_runserver_one_dials_and_a_reload_leaves_nothing_behind(
    server: KucoinServer, project: Path
) -> None:
    with Program(manage("runserver", "127.0.0.1:0"), project, **environment(server)) as program:
        url = program.printed(SERVING)
        with Browser(url, "/live/BTC-USDT") as browser:
            server.wait_subscribed(TICKER, timeout=LIMIT)
            server.publish(TICKER, {"n": 1})
            assert json.loads(browser.next().data) == {"symbol": "BTC-USDT", "n": 1}
            told = get(f"{url}/threads")
            assert told["parent"] == program.pid, "the one that serves is the other one's child"
            assert told["threads"]
            (connection,) = server.connections
            assert len(server.requests) == 1, "a token"

            until(lambda: (project / "project.py").touch() or connection.end, "runserver has not begun again")
            assert connection.end == "the client closed with 1000"
            url = program.printed(f"(?s)development server at.*{SERVING}")
        with Browser(url, "/live/BTC-USDT"):
            server.wait_subscribed(TICKER, timeout=LIMIT)
            assert len(server.connections) == 1
            assert len(server.requests) == 2
    server.wait_for(lambda s: not s.connections, LIMIT, "the end of the last connection")


def test_a_head_ends_at_once_in_runserver(server: KucoinServer, project: Path) -> None:
    with Program(manage("runserver", "--noreload", "127.0.0.1:0"), project, **environment(server)) as program:
        url = program.printed(SERVING)
        request = urllib.request.Request(f"{url}/live/BTC-USDT", method="HEAD")
        with urllib.request.urlopen(request, timeout=LIMIT) as response:
            assert response.status == 200
        server.wait_for(lambda s: not any(each.topics for each in s.connections), LIMIT, "the end of a topic")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork, which this system has not")
@pytest.mark.parametrize("preload", first(False, True), ids=["no preload", "preload"])
def test_gunicorn_serves_the_example(server: KucoinServer, tmp_path: Path, preload: bool) -> None:
    with gunicorn(tmp_path, server, "--workers", "2", *(["--preload"] if preload else [])) as url:
        with Browser(url) as browser:
            for header in ("content-type: text/event-stream; charset=utf-8", "x-accel-buffering: no"):
                assert f"\r\n{header}\r\n" in browser.head
            server.wait_subscribed(TICKER, timeout=LIMIT)
            server.publish(TICKER, {"sequence": "7"})
            got = browser.next()
            assert (got.event, got.id, json.loads(got.data)) == (
                TICKER,
                "7",
                {"symbol": "BTC-USDT", "sequence": "7"},
            )
        for address, status in (("/events?symbol=ADA-USDT", 403), ("/price/nonsense", 400), ("/ticker/ADA-USDT", 403)):
            with Browser(url, address) as refused:
                assert refused.head.startswith(f"http/1.0 {status} ")
        server.wait_for(lambda s: not any(each.topics for each in s.connections), LIMIT, "the end of all subscriptions")


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize("number", first(signal.SIGINT, signal.SIGTERM))
def test_the_command_passes_on_what_is_asked_for_until_it_is_told_to_end(
    server: KucoinServer, project: Path, number: signal.Signals
) -> None:
    with LocalRedis() as redis:
        settings = SETTINGS.read_text().replace(
            '"REDIS_URL": ""', f'"REDIS_URL": "{redis.url}", "TOPICS": ["{TICKER}"]'
        )
        (project / "project.py").write_text(settings)
        with subprocess.Popen(
            manage("kucoin_feed"), cwd=project, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment(server)},
        ) as process:  # fmt: skip
            assert process.stderr is not None
            try:
                assert "kucoin: lease taken" in process.stderr.readline()
                server.wait_subscribed(TICKER, timeout=LIMIT)
                with RelayStream(redis.url) as stream, stream.subscribe(TICKER, timeout=LIMIT) as subscription:
                    server.publish(TICKER, {"n": 1})
                    assert subscription.get(timeout=LIMIT).data == {"n": 1}
                process.send_signal(number)
                assert "kucoin: 1 messages passed on, 0 dropped" in process.stderr.read()
                assert process.wait(LIMIT) == 0
            finally:
                process.kill()


def test_the_command_says_in_a_sentence_why_it_can_not_run(server: KucoinServer, project: Path) -> None:
    done = subprocess.run(
        manage("kucoin_feed"), cwd=project, env={**os.environ, **environment(server)},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: the feed has no Redis to pass messages on through: set REDIS_URL in")


# The example


@contextmanager
def demonstration(directory: Path, *options: str) -> Iterator[tuple[Program, str]]:
    command = [sys.executable, str(EXAMPLE / "manage.py"), "runserver", "--demo", "127.0.0.1:0", *options]
    with Program(command, directory, PYTHONUNBUFFERED="1") as program:
        yield program, program.printed(SERVING)


def test_the_demonstration_shows_events_and_prices_through_both_processes(tmp_path: Path) -> None:
    with demonstration(tmp_path) as (_, url):
        with Browser(url) as browser:
            seen = {browser.next().event for _ in range(200)}
        assert {TICKER, topics.depth50("BTC-USDT")} <= seen
        assert float(get(f"{url}/price/ETH-USDT")["price"]) > 0


@pytest.mark.long
def test_the_demonstration_takes_ctrl_c_for_an_end(tmp_path: Path) -> None:
    with demonstration(tmp_path) as (program, url):
        assert get(f"{url}/price/ETH-USDT")["symbol"] == "ETH-USDT"
        assert program.end(signal.SIGINT) == 0


@pytest.mark.skipif(bool(NO_BROWSER), reason=NO_BROWSER)
@pytest.mark.long
def test_the_page_of_the_demonstration_is_live(tmp_path: Path) -> None:
    with demonstration(tmp_path, "--noreload") as (_, url), Chromium(tmp_path) as chromium:
        tab = chromium.open(url)
        tab.wait("document.querySelector('#state').textContent == 'live'", "the page is not live")
        prices = "[...document.querySelectorAll('.ticker .price')].map(price => price.textContent).join()"
        tab.wait(
            f"!({prices}).includes('–') && document.querySelector('#bids').innerText.length > 100", "all to be shown"
        )
        first = tab.evaluate(prices)
        assert re.fullmatch(r"[\d.]+(,[\d.]+){3}", first)
        tab.wait(f"({prices}) != {first!r}", "the prices stay")
