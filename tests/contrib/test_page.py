"""The live page of the example, in a browser: it updates, says when it does not, and leaves nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from kucoin_sync import topics
from kucoin_sync.testing import Exchange, KucoinServer, LiveExchange

from ..support.chromium import MISSING, Chromium, Tab
from ..support.readmes import BLOCKS
from ..support.threads import LIMIT, until

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).parents[2] / "examples"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "KCS-USDT", "SOL-USDT")
TICKER = topics.ticker("BTC-USDT")
PRICES = "[...document.querySelectorAll('.ticker .price')].map(price => price.textContent).join()"
LADDER = "[...document.querySelectorAll('#ladder .row')].map(row => row.innerText).join()"
STATE = "document.querySelector('#state').textContent"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(SYMBOLS)}


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application with one thread for each request; yield its URL. The end closes all open connections."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["kucoin_sync"].close()


@pytest.fixture
def make_example(web_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make the example's application."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import flask_sse

    def make(**more: Any) -> Any:
        return flask_sse.create_app(
            **{f"KUCOIN_SYNC_{name}": value for name, value in {**web_settings, **more}.items()}
        )

    return make


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path) as browser:
        yield browser
    requests = "process_request_thread"  # as the threads of requests are named; each has a socket until its end
    until(lambda: not any(requests in thread.name for thread in threading.enumerate()), "a request has not ended")


def wait_live(tab: Tab, market: LiveExchange) -> None:
    """Move the market until every part of the page has been updated."""

    def shown() -> Any:
        market.step(20)
        market.beat()
        return tab.evaluate(f"{STATE} == 'live' && !({PRICES}).includes('–') && ({LADDER}).split('\\n').length > 40")

    deadline, pause = time.monotonic() + LIMIT, threading.Event()
    while not shown():
        assert time.monotonic() < deadline, tab.evaluate("document.body.innerText")
        pause.wait(0.05)


def free(server: KucoinServer) -> bool:
    return not any(each.topics for each in server.connections)


def test_tickers_and_ladder_move_and_a_closed_tab_is_noticed(
    server: KucoinServer,
    live_exchange: LiveExchange,
    make_example: Callable[..., Any],
    chromium: Chromium,
    tmp_path: Path,
) -> None:
    with serving(make_example()) as url:
        tab = chromium.open(url)
        wait_live(tab, live_exchange)
        first = tab.evaluate(PRICES), tab.evaluate(LADDER)
        assert str(live_exchange.level2("BTC-USDT")[1][0][0]) in first[1], "the best bid"
        live_exchange.run(400)
        tab.wait(f"({PRICES}) != {first[0]!r} && ({LADDER}) != {first[1]!r}", "prices or ladder stay")
        tab.save_picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000

        tab.evaluate("document.getElementById('ticker-ETH-USDT').click()")
        server.wait_for(
            lambda s: _subscribed(s) == set(map(topics.ticker, SYMBOLS)) | {topics.depth50("ETH-USDT")}, LIMIT
        )
        tab.wait("document.querySelector('#ladder h2').textContent == 'ETH-USDT'")

        began = time.monotonic()
        tab.close()
        server.wait_for(free, LIMIT, "the end of all subscriptions")
        print(f"a closed tab frees its subscription after {time.monotonic() - began:.2f} s")


def test_a_closed_tab_is_noticed_in_a_market_at_rest(
    server: KucoinServer, live_exchange: LiveExchange, make_example: Callable[..., Any], chromium: Chromium
) -> None:
    with serving(make_example()) as url:
        tab = chromium.open(url)
        wait_live(tab, live_exchange)
        began = time.monotonic()
        tab.close()
        server.wait_for(free, LIMIT, "the end of all subscriptions")
        print(f"a closed tab frees its subscription at rest after {time.monotonic() - began:.2f} s")


def test_the_page_says_when_it_is_not_live(
    live_exchange: LiveExchange, make_example: Callable[..., Any], chromium: Chromium, tmp_path: Path
) -> None:
    with serving(make_example()) as url:
        tab = chromium.open(url)
        wait_live(tab, live_exchange)
        tab.wait(f"({STATE}).startsWith('no news for ')")
        tab.save_picture(tmp_path / "stale.png")
        wait_live(tab, live_exchange)
    tab.wait(f"({STATE}) == 'connection lost; reconnecting'")
    assert tab.evaluate("document.body.dataset.state") == "reconnecting"


def test_the_page_says_that_it_is_refused_and_comes_back(
    live_exchange: LiveExchange, make_example: Callable[..., Any], chromium: Chromium
) -> None:
    with serving(make_example(MAX_STREAMS=1)) as url:
        first = chromium.open(url)
        wait_live(first, live_exchange)
        second = chromium.open(url)
        second.wait(f"({STATE}) == 'the server has refused; trying again'")
        first.close()
        second.wait(f"({STATE}) != 'the server has refused; trying again'")
        wait_live(second, live_exchange)


def _subscribed(server: KucoinServer) -> set[str]:
    return {topic for connection in server.connections for topic in connection.topics}


def test_the_script_of_the_readme_shows_prices_of_the_application_of_the_readme(
    server: KucoinServer, live_exchange: LiveExchange, chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUCOIN_SYNC_REST_URL", server.rest_url)
    monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", server.futures_rest_url)
    [script] = [block.code for block in BLOCKS if block.language == "js"]
    [application] = [block.code for block in BLOCKS if "import KucoinSync" in block.code]
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(application, "the README", "exec"), namespace)
    with serving(namespace["app"]) as url:
        tab = chromium.open(f"{url}static/none")  # a page of the same address
        tab.evaluate("globalThis.logged = []; console.log = (...texts) => logged.push(...texts); 0")
        tab.evaluate(f"{script}; 0")
        server.wait_subscribed(TICKER, timeout=LIMIT)
        live_exchange.step(50)
        tab.wait("logged.some(text => Number(text) > 1000)", "no price was logged")
        tab.close()
        server.wait_for(free, LIMIT, "the end of all subscriptions")
