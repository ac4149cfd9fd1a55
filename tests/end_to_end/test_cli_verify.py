"""`kucoin-sync verify` on a local KuCoin as it should be, and on one that differs."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer, Push
from kucoin_sync.testing.demo import Demonstration
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.plan import topics_of
from kucoin_sync.verify.report import load

from ..support.processes import EndingOnce

TICKER, LEVEL2 = "/market/ticker:BTC-USDT", "/market/level2:BTC-USDT"
MATCH, FUTURES_TICKER_V2 = "/market/match:BTC-USDT", "/contractMarket/tickerV2:XBTUSDTM"
FUTURES_TICKER, UTA_TRADES = "/contractMarket/ticker:XBTUSDTM", "/uta/trade.SPOT:BTC-USDT"
UTA_BOOK = "/uta/obu.SPOT:BTC-USDT_increment@10ms"
MISSING = {LEVEL2, UTA_BOOK}  # of which updates are left out


def records(out: str, key: str) -> list[dict[str, Any]]:
    return [record for line in out.splitlines() if key in (record := json.loads(line))]


def test_the_demo_is_green_for_both_feeds_and_its_report_can_be_judged_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    code = main(["verify", "--demo", "--private", "--seconds", "3", "-o", str(path)])
    out, err = capsys.readouterr()
    assert [record for record in records(out, "finding") if record["differs"]] == []
    assert code == 0
    assert "the venue is as this package believes" in err
    topics = records(out, "state")
    assert [record["topic"] for record in topics] == list(topics_of("all", private=True))
    assert {record["state"] for record in topics} == {"acked", "silent"}
    assert all(record["messages"] == record["typed"] for record in topics)
    came = {record["topic"] for record in topics if record["messages"]}
    assert {TICKER, "/uta/ticker.FUTURES:XBTUSDTM", "/spotMarket/tradeOrdersV2", "/uta/orderAll.UNIFIED"} <= came
    assert [record["service"] for record in records(out, "service")] == ["spot", "futures", "uta-spot", "uta-futures"]
    books = records(out, "book")
    assert all(not book["differing"] for book in books)
    assert all(book["compared"] for book in books if not book["book"].startswith("/uta/"))

    written = path.read_bytes()
    seen = load(written)
    assert [finding.text for finding in judge(seen)] == [record["finding"] for record in records(out, "finding")]
    for secret in (KucoinServer.KEY, KucoinServer.SECRET, KucoinServer.PASSPHRASE, KucoinServer.USER):
        assert secret.encode() not in written
    private = [topic for topic in seen.topics if topic.topic == "/spotMarket/tradeOrdersV2"]
    assert {shape.sample["orderId"] for topic in private for shape in topic.shapes} == {"removed"}


class Different(Demonstration):
    """A market whose pushes differ: other names, a number for text, an unknown member, updates that are missing."""

    def __init__(self) -> None:
        self.updates = Counter[str]()
        super().__init__(("BTC-USDT", "XBTUSDTM"), 0)

    def step(self, symbol: str | None = None) -> list[Push]:
        return self.changed(super().step(symbol))

    def take_pushes(self) -> list[Push]:
        return self.changed(super().take_pushes())

    def changed(self, pushes: list[Push]) -> list[Push]:
        for place, push in enumerate(pushes):
            if push.topic == TICKER:
                data = {name.replace("bestAsk", "askBest"): value for name, value in push.data.items()}
                pushes[place] = push._replace(data=data)
            elif push.topic == FUTURES_TICKER:
                pushes[place] = push._replace(data={**push.data, "price": float(push.data["price"])})
            elif push.topic == MATCH:
                pushes[place] = push._replace(subject="trade.match")
            elif push.topic == FUTURES_TICKER_V2 and self.updates[push.topic] % 5 == 4:
                pushes[place] = push._replace(data={**push.data, "sequence": 7})
            elif push.topic == UTA_TRADES:
                pushes[place] = push._replace(data={**push.data, "x": ""})
            self.updates[push.topic] += 1
        return [push for push in pushes if push.topic not in MISSING or self.updates[push.topic] % 20]


@pytest.fixture
def kucoin_server_options() -> dict[str, Any]:
    return {"exchange": Different(), "ping_interval": 30.0, "clock": lambda: time.time() - 60.0}


def test_each_difference_of_a_venue_is_found_and_named(
    nothing_left_behind: None,
    kucoin_server: KucoinServer,
    ending_once: EndingOnce,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with kucoin_server.trading() as exchange:
        assert isinstance(exchange, Different)
        updates = exchange.updates
    before: Counter[str] = Counter()

    def enough() -> bool:
        """Whether each of the topics that differ has had several pushes since the first look, and books their holes."""
        if not before:
            before.update(updates)
        topics = (TICKER, FUTURES_TICKER, MATCH, FUTURES_TICKER_V2, UTA_TRADES, LEVEL2, UTA_BOOK)
        return all(updates[topic] - before[topic] > (50 if topic in MISSING else 10) for topic in topics)

    kucoin_server.run_exchange()
    kucoin_server.reject_next(404, "topic does not exist", "/spotMarket/level1:BTC-USDT")
    kucoin_server.reject_next(0, "invalid request data", "/uta/mark-price:XBTUSDTM")
    ending = ending_once(enough, seconds=2.0, module="kucoin_sync.verify.run")
    assert main(["verify", "--plain", *ending]) == 1
    out, err = capsys.readouterr()
    found = " ".join(out.split())
    texts = (
        "spot: this machine's clock is 6",
        "futures: this machine's clock is 6",
        "spot: pingInterval is 30000 believed: pingInterval is 18000 and pingTimeout 10000 milliseconds. (observed)",
        "futures: pingInterval is 30000",
        "uta-spot: pingInterval is 30000",
        "uta-futures: pingInterval is 30000",
        "/spotMarket/level1:BTC-USDT: it is refused: topic does not exist (code 404) believed: Each topic of the topic",
        "/uta/mark-price:XBTUSDTM: it is refused: invalid request data believed: ",
        f"{TICKER}: askBest (text) is not a member of Ticker believed: The data of a push has no members",
        f"{TICKER}: askBestSize (text) is not a member of Ticker",
        f"{TICKER}: bestAsk never comes believed: The data of a push has the members that the local KuCoin always",
        f"{TICKER}: bestAskSize never comes",
        f"{FUTURES_TICKER}: price is number where text is usual believed: Each member is text, number, list or object",
        f"{FUTURES_TICKER_V2}: its sequences: after ",
        f"{MATCH}: its subject is 'trade.match', where 'trade.l3match' is usual believed: The subject of a push is one",
        f"{UTA_TRADES}: x (text) is not a member of UtaTrade",
        f"{LEVEL2}: its sequences: a hole: after ",
        f"{LEVEL2}: the book can't be kept up to the later snapshot: ",
        f"{UTA_BOOK}: its sequences: a hole: after ",
        f"{UTA_BOOK}: the book can't be kept: ",
    )
    assert len(texts) == 20
    for text in texts:
        assert f"differs {text}" in found, f"{text} is not in {out}"
    assert out.count("\ndiffers") == len(texts), out
    assert f"the venue differs in {len(texts)} points from what this package believes" in err
    assert any(line.split() == ["refused", "0", "0", "1", "/spotMarket/level1:BTC-USDT"] for line in out.splitlines())


def test_where_there_is_no_venue_it_says_so(capsys: pytest.CaptureFixture[str], closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    assert main(["verify", "--feed", "classic", "--rest-url", url, "--futures-rest-url", url]) == 1
    err = capsys.readouterr().err
    assert "no service of the venue can be reached: " in err
    assert "kucoin-sync doctor finds out why" in err


def test_a_report_that_can_not_be_written_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in (tmp_path / "missing" / "report.json", tmp_path):
        with pytest.raises(SystemExit, match="2"):
            main(["verify", "--demo", "-o", str(path)])
        assert f"{path} can't be written" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is always full")
def test_a_report_that_has_no_room_at_the_end_costs_no_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--demo", "--feed", "classic", "--seconds", "1", "-o", "/dev/full"]) == 1
    out, err = capsys.readouterr()
    assert records(out, "service")
    assert err.endswith("kucoin-sync: /dev/full can't be written: No space left on device\n")
