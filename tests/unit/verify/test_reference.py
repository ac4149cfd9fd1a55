"""What the local KuCoin sends, as far as messages of KuCoin are compared with it."""

from __future__ import annotations

from kucoin_sync.payloads import Match, OrderChange, Ticker, UtaBook, UtaExecutionLite
from kucoin_sync.topics import TABLE
from kucoin_sync.verify.plan import interval_of
from kucoin_sync.verify.reference import usual_shapes


def test_it_has_every_public_topic_that_is_always_pushed() -> None:
    known = {prefix for prefix, _ in usual_shapes()}
    assert {row.prefix for row in TABLE if interval_of(row) is not None} <= known


def test_it_has_kinds_members_and_subjects() -> None:
    usual = usual_shapes()
    ticker = usual["/market/ticker", Ticker]
    assert ticker.kinds["price"] == {"text"}
    assert "bestAsk" in ticker.always and "Time" not in ticker.always, "the time has two names"
    assert usual["/market/match", Match].subjects == {"trade.l3match"}
    assert usual["/uta/obu.SPOT", UtaBook].kinds["a[][1]"] == {"text"}
    assert "type" in usual["/spotMarket/tradeOrdersV2", OrderChange].always, "the account trades, too"
    assert usual["/uta/execution.lite.UNIFIED", UtaExecutionLite].kinds["ti"] == {"number", "text"}
