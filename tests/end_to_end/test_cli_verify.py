"""`kucoin-sync verify` on a local KuCoin as it should be, and on one that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer, Push
from kucoin_sync.testing.demo import Demonstration
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.plan import topics_of
from kucoin_sync.verify.report import load

TICKER, LEVEL2 = "/market/ticker:BTC-USDT", "/market/level2:BTC-USDT"


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
    """A market whose ticker has another name for the best ask, and whose book misses every 20th update."""

    updates = 0

    def step(self, symbol: str | None = None) -> list[Push]:
        return [changed for push in super().step(symbol) if (changed := self._changed(push)) is not None]

    def _changed(self, push: Push) -> Push | None:
        if push.topic == TICKER:
            data = dict(push.data)
            data["askBest"] = data.pop("bestAsk")
            return push._replace(data=data)
        if push.topic == LEVEL2:
            self.updates += 1
            return None if self.updates % 20 == 0 else push
        return push


@pytest.fixture
def kucoin_server_options() -> dict[str, Any]:
    return {"exchange": Different(("BTC-USDT", "XBTUSDTM"), 0)}


def test_each_difference_of_a_venue_is_found_and_named(
    nothing_left_behind: None, kucoin_server: KucoinServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kucoin_server.run_exchange()
    kucoin_server.reject_next(404, "topic does not exist", "/spotMarket/level1:BTC-USDT")
    assert main(["verify", "--feed", "classic", "--seconds", "1.5", "--plain"]) == 1
    out, err = capsys.readouterr()
    found = " ".join(out.split())
    for text in (
        "/spotMarket/level1:BTC-USDT: it is refused: topic does not exist (code 404) believed: Each topic of the topic",
        f"{TICKER}: askBest (text) is not a member of Ticker believed: The data of a push has no members",
        f"{TICKER}: bestAsk never comes believed: The data of a push has the members that the local KuCoin always",
        f"{LEVEL2}: its sequences: a hole: after ",
        f"{LEVEL2}: the book can't be kept up to the later snapshot: ",
    ):
        assert f"differs {text}" in found, out
    assert out.count("\ndiffers") == 5, out
    assert "the venue differs in 5 points from what this package believes" in err
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
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "--demo", "-o", str(tmp_path / "missing" / "report.json")])
    assert "can't be written" in capsys.readouterr().err
