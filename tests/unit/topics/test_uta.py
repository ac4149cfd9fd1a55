"""The functions that build topics of the UTA feed, whose market the symbol tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync.exceptions import InvalidTopic
from kucoin_sync.topics import uta
from kucoin_sync.topics.grammar import market_of, split

UTA = {
    "/uta/ticker.SPOT:BTC-USDT,ETH-USDT": lambda: uta.ticker("BTC-USDT", "ETH-USDT"),
    "/uta/ticker.FUTURES:XBTUSDTM": lambda: uta.ticker("XBTUSDTM"),
    "/uta/trade.SPOT:BTC-USDT": lambda: uta.trades("BTC-USDT"),
    "/uta/trade.FUTURES:XBTUSDTM,ETHUSDTM": lambda: uta.trades("XBTUSDTM", "ETHUSDTM", "XBTUSDTM"),
    "/uta/kline.SPOT:BTC-USDT_6hour": lambda: uta.candles("BTC-USDT", "6hour"),
    "/uta/kline.FUTURES:XBTUSDTM_1min": lambda: uta.candles("XBTUSDTM", "1min"),
    "/uta/obu.SPOT:BTC-USDT_5": lambda: uta.book("BTC-USDT", depth=5),
    "/uta/obu.SPOT:BTC-USDT_50,ETH-USDT_50": lambda: uta.book("BTC-USDT", "ETH-USDT", depth="50"),
    "/uta/obu.FUTURES:XBTUSDTM_1": lambda: uta.book("XBTUSDTM", depth=1),
    "/uta/obu.FUTURES:XBTUSDTM_increment@10ms": lambda: uta.book("XBTUSDTM"),
    "/uta/mark-price:XBTUSDTM": lambda: uta.mark_price("XBTUSDTM"),
    "/uta/funding-fee:XBTUSDTM,ETHUSDTM": lambda: uta.funding_rate("XBTUSDTM", "ETHUSDTM"),
    "/uta/funding-fee-all-symbols": uta.funding_rates,
    "/uta/callAuctionInfo:BTC-USDT": lambda: uta.call_auction("BTC-USDT"),
    "/uta/orderAll.UNIFIED": uta.orders,
    "/uta/order.UNIFIED:BTC-USDT,XBTUSDTM": lambda: uta.orders("BTC-USDT", "XBTUSDTM"),
    "/uta/execution.UNIFIED": uta.executions,
    "/uta/execution.lite.UNIFIED": lambda: uta.executions(lite=True),
    "/uta/execution.lite.CROSS": lambda: uta.executions(lite=True, trade_type="CROSS"),
    "/uta/balance.UNIFIED": uta.balances,
    "/uta/balance.FUNDING": lambda: uta.balances("FUNDING"),
    "/uta/positionAll.UNIFIED": uta.positions,
    "/uta/position.UNIFIED:XBTUSDTM": lambda: uta.positions("XBTUSDTM"),
    "/uta/leverage.UNIFIED": uta.leverage,
    "/uta/lw.UNIFIED": uta.liquidation_warnings,
}


@pytest.mark.parametrize("topic", UTA)
def test_helpers_of_the_uta_feed(topic: str) -> None:
    assert UTA[topic]() == topic


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: uta.ticker("BTC-USDT", "XBTUSDTM"), "BTC-USDT is a spot symbol and XBTUSDTM a futures symbol"),
        (lambda: uta.book("XBTUSDTM", "BTC-USDT"), "BTC-USDT is a spot symbol and XBTUSDTM a futures symbol"),
        (uta.ticker, "/uta/ticker.SPOT needs a symbol such as BTC-USDT"),
        (uta.book, "/uta/obu.SPOT needs a symbol and a depth such as"),
        (lambda: uta.ticker("btc-usdt"), "did you mean BTC-USDT"),
        (lambda: uta.trades("xbtusdtm"), "did you mean XBTUSDTM"),
        (lambda: uta.ticker(["BTC-USDT"]), "does not take"),  # type: ignore[arg-type]
        (lambda: uta.book("BTC-USDT", depth=20), "depths: 1, 5, 50, increment@10ms"),
        (lambda: uta.candles("XBTUSDTM", "6hour"), "/uta/kline.FUTURES does not take 'XBTUSDTM_6hour'"),
        (lambda: uta.mark_price("BTC-USDT"), "a futures symbol such as XBTUSDTM"),
        (lambda: uta.call_auction("XBTUSDTM"), "a symbol such as BTC-USDT"),
        (lambda: uta.balances("unified"), "did you mean UNIFIED"),
        (lambda: uta.balances(None), "account_type is None; /uta/balance has UNIFIED, FUNDING, ISOLATED"),  # type: ignore[arg-type]
        (lambda: uta.executions(trade_type="SPOT"), "/uta/execution has UNIFIED$"),
    ],
)
def test_helpers_of_the_uta_feed_refuse_what_can_not_be(build: Callable[[], str], error: str) -> None:
    with pytest.raises(InvalidTopic, match=error):
        build()


@pytest.mark.parametrize(("symbol", "market"), [("BTC-USDT", "uta-spot"), ("XBTUSDTM", "uta-futures")])
def test_the_symbol_tells_the_market(symbol: str, market: str) -> None:
    built = (uta.ticker(symbol), uta.trades(symbol), uta.candles(symbol, "1min"), uta.book(symbol))
    assert {market_of(single) for topic in built for single in split(topic)} == {market}
