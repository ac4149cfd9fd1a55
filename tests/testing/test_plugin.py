"""The pytest plugin: its fixtures in tests of a user, run by a pytest of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kucoin_sync.testing import KucoinServer, LiveExchange, OrderRejected

pytest_plugins = "pytester"

TICKER = "/market/ticker:BTC-USDT"
QUIET = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:django")  # what a process has one of
BOT_TEST = """
    from decimal import Decimal
    from queue import Queue
    from threading import Thread

    def bot(stream, buy):
        for message in stream.subscribe("/market/ticker:BTC-USDT"):
            if message.payload.price < 65_000:
                buy(message.payload.price)

    def test_it_buys_when_the_price_is_low(kucoin_server, kucoin_stream):
        bought = Queue()
        Thread(target=bot, args=(kucoin_stream, bought.put)).start()
        kucoin_server.wait_subscribed("/market/ticker:BTC-USDT")
        for number, price in enumerate(["65000.1", "64999.9"]):
            kucoin_server.publish(
                "/market/ticker:BTC-USDT", {"sequence": str(number), "price": price}, subject="trade.ticker"
            )
        assert bought.get(timeout=10) == Decimal("64999.9")
"""


@pytest.fixture(autouse=True)
def kucoin_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody who trades: no test may use it."""
    monkeypatch.setenv("KUCOIN_SYNC_REST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KUCOIN_SYNC_FUTURES_REST_URL", "http://127.0.0.1:9")
    for host in ("SPOT", "FUTURES", "PRIVATE"):
        monkeypatch.setenv(f"KUCOIN_SYNC_UTA_{host}_URL", "ws://127.0.0.1:9")
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        monkeypatch.setenv(f"KUCOIN_API_{name}", "that of the trader")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def test_a_bot_meets_what_the_test_says(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BOT_TEST)
    pytester.runpytest(*QUIET).assert_outcomes(passed=1)


@pytest.mark.long
def test_it_works_in_several_processes_and_in_any_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_one=BOT_TEST, test_other=BOT_TEST)
    pytester.runpytest_subprocess("-n", "2", "-p", "randomly").assert_outcomes(passed=2)


def test_each_test_has_a_server_that_knows_nothing_of_the_one_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        ports = set()

        @pytest.mark.parametrize("n", range(3))
        def test_it(n, kucoin_server, kucoin_stream):
            assert not kucoin_server.requests and not kucoin_server.connections
            assert kucoin_server.address not in ports
            ports.add(kucoin_server.address)
            kucoin_server.fail_rest("*", times=None, code="400003", status=401)
            with pytest.raises(Exception, match="400003"):
                kucoin_stream.subscribe("/account/balance")
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=3)


def test_an_error_inside_the_server_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import contextlib

        def broken():
            raise LookupError("the test's own mistake")

        def test_it(kucoin_server, kucoin_stream):
            kucoin_server.set_snapshot("orderbook/level2", "BTC-USDT", broken)
            book = kucoin_stream.book("BTC-USDT")
            kucoin_server.wait_for(lambda server: server.requests[1:])
        """
    )
    done = pytester.runpytest(*QUIET)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["E * LookupError: the test's own mistake"])


def test_the_stream_is_closed_before_the_server_stops_even_if_the_test_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        seen = []

        @pytest.fixture
        def between(kucoin_server):
            yield
            assert seen[0].closed
            kucoin_server.wait_for(lambda server: not server.connections)
            assert kucoin_server.rest_url  # it still answers

        def test_it(between, kucoin_stream):
            seen.append(kucoin_stream)
            kucoin_stream.subscribe("/market/ticker:BTC-USDT")
            raise ValueError("a failing test")
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(failed=1)


def test_a_bot_that_makes_its_own_stream_reaches_the_server_with_its_key(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        from kucoin_sync import Stream

        def test_it(kucoin_server):
            with Stream() as stream:
                stream.subscribe("/account/balance", "/contractAccount/wallet", "/market/ticker:BTC-USDT")
                stream.subscribe("/uta/ticker.SPOT:BTC-USDT", "/uta/ticker.FUTURES:XBTUSDTM", "/uta/orderAll.UNIFIED")
                assert len(kucoin_server.connections) == 6
            assert "that of the trader" not in os.environ.values()

        def test_the_environment_is_as_before(pytestconfig):
            assert os.environ["KUCOIN_SYNC_REST_URL"] == "http://127.0.0.1:9"
            assert os.environ["KUCOIN_API_KEY"] == "that of the trader"
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=2)


def test_options_of_the_server_and_of_the_exchange_can_be_set(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        import pytest
        from kucoin_sync import Stream

        @pytest.fixture
        def kucoin_server_options():
            return {"credentials": ("my key", "my secret", "my passphrase"), "symbols": ["SOL-USDT"]}

        @pytest.mark.parametrize("kucoin_exchange_options", [{"symbols": ["SOL-USDT"], "seed": 7}])
        def test_it(kucoin_exchange, kucoin_stream, kucoin_server_options):
            assert kucoin_exchange.symbols == ("SOL-USDT",)
            kucoin_stream.subscribe("/account/balance", "/market/ticker:SOL-USDT")
            with pytest.raises(Exception, match="not found"):
                kucoin_stream.subscribe("/market/ticker:BTC-USDT")

        def test_no_key_is_in_the_environment_that_the_server_does_not_know(kucoin_server):
            assert not [name for name in os.environ if name.startswith("KUCOIN_API")]
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=2)


def test_the_exchange_does_the_same_in_every_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        seen = []

        @pytest.mark.parametrize("n", range(2))
        def test_it(n, kucoin_stream, kucoin_exchange):
            trades = kucoin_stream.subscribe("/market/match:BTC-USDT")
            kucoin_exchange.step(200)
            frame = trades.get(timeout=10).raw
            seen.append((frame, kucoin_exchange.level2("BTC-USDT")))
            assert seen[0] == seen[n]
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=2)


def test_the_exchange_runs_by_itself_until_the_test_ends(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import threading

        def test_it(kucoin_exchange, kucoin_stream):
            trades = kucoin_stream.subscribe("/market/match:BTC-USDT")
            kucoin_exchange.run(2000)
            for _ in range(5):
                trades.get(timeout=10)

        def test_nothing_is_left(pytestconfig):
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("kucoin-")]
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=2)


def test_who_asks_for_no_fixture_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "pytest_kucoin_sync" in sys.modules
            assert not {"kucoin_sync", "msgspec", "websocket"} & sys.modules.keys()
        """
    )
    pytester.runpytest_subprocess("-p", "no:cov", "-p", "no:randomly").assert_outcomes(passed=1)


@pytest.mark.long
def test_coverage_sees_the_first_import_of_the_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(kucoin_server):\n    pass")
    pytester.runpytest_subprocess("--cov=kucoin_sync", "--cov-report=json:cov.json").assert_outcomes(passed=1)
    files = json.loads((pytester.path / "cov.json").read_text())["files"]
    (first,) = (numbers for name, numbers in files.items() if Path(name).parts[-2:] == ("kucoin_sync", "_version.py"))
    assert first["summary"]["percent_covered"] == 100


@pytest.mark.long
def test_it_can_be_switched_off_and_on(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile("def test_it(kucoin_stream):\n    pass")
    off = pytester.runpytest_subprocess("-p", "no:kucoin_sync")
    off.stdout.fnmatch_lines(["*fixture 'kucoin_stream' not found"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess("-p", "kucoin_sync").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "pytest_kucoin_sync").assert_outcomes(passed=1)


def test_importing_the_plugin_imports_nothing_of_ours() -> None:
    script = "import sys, pytest_kucoin_sync; sys.exit('kucoin_sync' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=50, check=False).returncode == 0


# In this process, with the fixtures that the plugin gives to these tests, too


def test_what_is_done_to_the_exchange_is_pushed_at_once(
    kucoin_exchange: LiveExchange, kucoin_server: KucoinServer
) -> None:
    assert kucoin_exchange.step(10) == 0
    bids = kucoin_exchange.level2("BTC-USDT").bids
    order = kucoin_exchange.place("BTC-USDT", "buy", "0.5", bids[0][0])
    assert order in [each.id for each in kucoin_exchange.level3("BTC-USDT").bids]
    available, held = kucoin_exchange.balances()["USDT"]
    assert available + held == 1_000_000
    kucoin_exchange.reduce(order, "0.25")
    assert 0 < kucoin_exchange.balances()["USDT"][1] < held
    assert kucoin_exchange.cancel(order)
    assert not kucoin_exchange.cancel(order)
    with pytest.raises(OrderRejected):
        kucoin_exchange.reduce(order, "0.1")
    assert kucoin_exchange.balances()["USDT"] == (1_000_000, 0)
    assert kucoin_exchange.unified_balances()["USDT"] == (1_500_000, 0)
    assert repr(kucoin_exchange).startswith("<LiveExchange of BTC-USDT, ETH-USDT, KCS-BTC, XBTUSDTM behind <KucoinServ")


def test_a_server_without_an_exchange_has_none_to_give(kucoin_server: KucoinServer) -> None:
    with pytest.raises(RuntimeError, match="this server has no exchange"):
        LiveExchange(kucoin_server)
