"""Every push has the field names, types and nesting of KuCoin's own messages."""

from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, Push

Shape = Any


def texts(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), str)


def integers(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), int)


def floats(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), float)


TICKER = texts("sequence price size bestAsk bestAskSize bestBid bestBidSize")
DEPTH = {"asks": [(str, str)], "bids": [(str, str)], **integers("timestamp")}
TICK = {**texts("symbol"), **integers("granularity timestamp"), "value": float}
CANDLE = {"symbol": str, "candles": (str, str, str, str, str, str, str), "time": int}
MATCH = texts("makerOrderId price sequence side size symbol takerOrderId time tradeId type")
LEVEL_2_ROWS = [(str, str, str)]
LEVEL_2 = {
    "changes": {"asks": LEVEL_2_ROWS, "bids": LEVEL_2_ROWS},
    **integers("sequenceEnd sequenceStart time"),
    "symbol": str,
}
CHANGE = floats("changePrice changeRate high low open vol volValue")
SNAPSHOT = {
    "sequence": str,
    "data": {
        **CHANGE,
        **dict.fromkeys(("marketChange1h", "marketChange4h", "marketChange24h"), CHANGE),
        **floats("askSize averagePrice bidSize buy close lastTradedPrice sell"),
        **floats("makerCoefficient makerFeeRate takerCoefficient takerFeeRate"),
        **texts("baseCurrency market quoteCurrency symbol symbolCode"),
        **integers("board datetime mark sort"),
        **dict.fromkeys(("marginTrade", "trading"), bool),
        "markets": [str],
        "siteTypes": [str],
    },
}

OLD = texts("sequence type symbol side time")
OLD_ORDER = {**OLD, "orderId": str}
OLD_RECEIVED = {**OLD_ORDER, **texts("orderType clientOid")}
OLD_ACTIVATED = {**OLD_RECEIVED, **texts("size stopType")}
NEW = {"symbol": str, **integers("sequence ts")}
NEW_ORDER = {**NEW, "orderId": str}

ORDER = {
    **texts("clientOid orderId orderType originSize side status symbol type"),
    **integers("orderTime ts"),
}
PROGRESS = {**ORDER, **texts("canceledSize filledSize remainSize size")}
FILL = texts("feeType liquidity matchPrice matchSize tradeId")
PRICE = {"price": str}
FUTURES_ORDER = {
    **texts("symbol side canceledSize orderId liquidity marginMode type size filledSize price remainSize"),
    **texts("status clientOid"),
    **integers("orderTime ts"),
}
STOP = {**texts("orderId orderPrice orderType side stop stopPrice symbol type"), **integers("createdAt ts")}
BALANCE = texts("accountId currency total available hold availableChange holdChange relationEvent relationEventId time")
WALLET = texts(
    "currency walletBalance availableBalance holdBalance equity isolatedOrderMargin isolatedPosMargin "
    "isolatedUnPnl isolatedFundingFeeMargin totalCrossMargin crossPosMargin crossOrderMargin crossUnPnl "
    "version timestamp"
)

POSITION = {
    **texts("symbol marginMode positionSide settleCurrency changeReason"),
    **dict.fromkeys(("autoDeposit", "crossMode", "isOpen"), bool),
    **integers("currentTimestamp currentQty realLeverage"),
    **floats(
        "currentCost markPrice markValue posCost posMargin realisedPnl realisedGrossPnl unrealisedPnl avgEntryPrice"
    ),
}

BEST = {**texts("bestBidPrice bestAskPrice"), **integers("bestBidSize bestAskSize")}
TRADE = {**texts("symbol side price tradeId"), **integers("sequence size ts")}
FUTURES_DEPTH = {"bids": [(str, int)], "asks": [(str, int)], **integers("sequence timestamp ts")}
FUTURES_DAY = {
    **floats("highPrice lastPrice lowPrice price24HoursBefore priceChg priceChgPct turnover volume"),
    "symbol": str,
    "ts": int,
}

SPOT_CHANGES = {
    "open": [{**PROGRESS, **PRICE}],
    "match": [{**PROGRESS, **FILL}, {**PROGRESS, **FILL, **PRICE}],
    "filled": [{**PROGRESS, "remainFunds": str}, {**PROGRESS, **PRICE}],
    "canceled": [{**PROGRESS, "remainFunds": str}, {**PROGRESS, **PRICE}],
    "update": [{**PROGRESS, **PRICE, "oldSize": str}],
}
FUTURES_CHANGES = {
    "open": [FUTURES_ORDER],
    "match": [{**FUTURES_ORDER, **FILL, "orderType": str}],
    "filled": [FUTURES_ORDER],
    "canceled": [FUTURES_ORDER],
    "update": [{**FUTURES_ORDER, "oldSize": str}],
}

# (topic without its argument, subject) -> shapes of the data; by the data's `type` where that decides.
SHAPES: dict[tuple[str, str], "list[Shape] | dict[str, list[Shape]]"] = {
    ("/market/ticker", "trade.ticker"): [{**TICKER, "Time": int}],
    ("/market/ticker", "all"): [{**TICKER, "time": int}],
    ("/spotMarket/level1", "level1"): [{"asks": (str, str), "bids": (str, str), "timestamp": int}],
    ("/spotMarket/level2Depth5", "level2"): [DEPTH],
    ("/spotMarket/level2Depth50", "level2"): [DEPTH],
    ("/market/level2", "trade.l2update"): [LEVEL_2],
    ("/market/candles", "trade.candles.update"): [CANDLE],
    ("/market/match", "trade.l3match"): [MATCH],
    ("/market/snapshot", "trade.snapshot"): [SNAPSHOT],
    ("/indicator/index", "tick"): [TICK],
    ("/indicator/markPrice", "tick"): [TICK],
    ("/market/level3", "trade.l3received"): {
        "received": [OLD_RECEIVED, {**OLD_RECEIVED, **PRICE}],
        "activated": [OLD_ACTIVATED, {**OLD_ACTIVATED, **PRICE}],
    },
    ("/market/level3", "trade.l3open"): [{**OLD_ORDER, **texts("price size")}],
    ("/market/level3", "trade.l3match"): [MATCH],
    ("/market/level3", "trade.l3change"): [{**OLD_ORDER, **texts("price newSize oldSize")}],
    ("/market/level3", "trade.l3done"): [{**OLD_ORDER, "reason": str}, {**OLD_ORDER, **texts("reason size")}],
    ("/spotMarket/level3", "received"): [{**NEW_ORDER, "clientOid": str}],
    ("/spotMarket/level3", "open"): [{**NEW_ORDER, **texts("side price size"), "orderTime": int}],
    ("/spotMarket/level3", "match"): [{**NEW, **texts("side price size remainSize takerOrderId makerOrderId tradeId")}],
    ("/spotMarket/level3", "update"): [{**NEW_ORDER, "size": str}],
    ("/spotMarket/level3", "done"): [{**NEW_ORDER, "reason": str}],
    ("/spotMarket/tradeOrdersV2", "orderChange"): {"received": [ORDER, {**ORDER, **PRICE}], **SPOT_CHANGES},
    ("/spotMarket/tradeOrders", "orderChange"): SPOT_CHANGES,
    ("/account/balance", "account.balance"): [
        {**BALANCE, "relationContext": texts("symbol orderId")},
        {**BALANCE, "relationContext": texts("symbol orderId tradeId")},
    ],
    ("/spotMarket/advancedOrders", "stopOrder"): [{**STOP, **texts("size tradeType")}],
    ("/contractMarket/tickerV2", "tickerV2"): [{**BEST, "symbol": str, **integers("sequence ts")}],
    ("/contractMarket/ticker", "ticker"): [{**BEST, **TRADE}],
    ("/contractMarket/level2Depth5", "level2"): [FUTURES_DEPTH],
    ("/contractMarket/level2Depth50", "level2"): [FUTURES_DEPTH],
    ("/contractMarket/level2", "level2"): [{"change": str, **integers("sequence timestamp")}],
    ("/contractMarket/limitCandle", "candle.stick"): [CANDLE],
    ("/contractMarket/execution", "match"): [{**TRADE, **texts("takerOrderId makerOrderId")}],
    ("/contract/instrument", "mark.index.price"): [
        {**floats("markPrice indexPrice"), **integers("granularity timestamp")}
    ],
    ("/contract/instrument", "funding.rate"): [{"fundingRate": float, **integers("granularity timestamp")}],
    ("/contractMarket/snapshot", "snapshot.24h"): [FUTURES_DAY],
    ("/contractMarket/tradeOrders", "symbolOrderChange"): FUTURES_CHANGES,
    ("/contractMarket/advancedOrders", "stopOrder"): [{**STOP, "size": int, **texts("marginMode stopPriceType")}],
    ("/contractAccount/wallet", "walletBalance.change"): [WALLET],
    ("/contract/position", "position.change"): [POSITION],
}

PRIVATE = texts("userId channelType")
# What stands beside the data; nothing where a topic is not named here, PRIVATE if it is private.
EXTRAS: dict[str, dict[str, Shape]] = {
    "/account/balance": {**PRIVATE, "id": str},
    "/contractAccount/wallet": {**PRIVATE, "id": str},
    "/contractMarket/advancedOrders": {**PRIVATE, "id": str},
    **dict.fromkeys(("/contractMarket/snapshot", "/indicator/index", "/indicator/markPrice"), texts("id")),
    **dict.fromkeys(
        (f"/contractMarket/{name}" for name in ("tickerV2", "ticker", "level2", "execution")), integers("sn")
    ),
    **dict.fromkeys((f"/contractMarket/level2Depth{depth}" for depth in (5, 50)), integers("sn")),
}


def fits(value: Any, shape: Shape) -> bool:
    """A dict names its exact keys, a list the shape of each item, a tuple that of each place."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and value.keys() == shape.keys() and all(fits(value[k], shape[k]) for k in shape)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    return type(value) is shape


def key_of(push: Push) -> tuple[str, str]:
    return push.topic.split(":")[0], "all" if push.topic == "/market/ticker:all" else push.subject


def session() -> list[Push]:
    """Return a session in which everything happens: crowd, timers, and an account that does all it can do."""
    exchange = Exchange(("BTC-USDT", "KCS-BTC", "XBTUSDTM"), seed=11, levels=60)
    seen: list[Push] = []
    for _ in range(1_500):
        seen += exchange.step()
    seen += exchange.heartbeat()
    for symbol, size, less in (("BTC-USDT", "0.02", "0.01"), ("KCS-BTC", "50", "20"), ("XBTUSDTM", 6, 3)):
        exchange.place(symbol, "buy", size)
        exchange.place(symbol, "sell", size)
        bid, ask = exchange.level2(symbol)[1:]
        resting = exchange.place(symbol, "buy", size, bid[3][0])
        exchange.reduce(resting, less)
        exchange.cancel(resting)
        exchange.place(symbol, "buy", size, ask[0][0])
        exchange.place(symbol, "sell", 10_000, hidden=False, user="")
        exchange.cancel(exchange.place(symbol, "sell", size, ask[5][0], stop_price=ask[9][0]))
        exchange.place(symbol, "buy", size, stop_price=ask[0][0])
        exchange.place(symbol, "sell", size, ask[9][0], stop_price=ask[0][0])
        seen += exchange.take_pushes()
        for _ in range(300):
            seen += exchange.step(symbol)
        bid = exchange.level2(symbol).bids
        exchange.place(symbol, "buy", size, bid[0][0])
        exchange.place(symbol, "sell", less, bid[0][0])
        exchange.place(symbol, "sell", 10_000, bid[0][0], user="")
        seen += exchange.take_pushes()
    exchange._check()
    return seen


@pytest.fixture(scope="module")
def classic_pushes() -> list[Push]:
    """The classic feed's pushes of a session."""
    return [push for push in session() if not push.topic.startswith("/uta/")]


def test_every_push_has_the_shape_of_its_topic_and_subject(classic_pushes: list[Push]) -> None:
    for push in classic_pushes:
        shapes = SHAPES[key_of(push)]
        if isinstance(shapes, dict):
            shapes = shapes[push.data["type"]]
        assert any(fits(push.data, shape) for shape in shapes), push


def test_every_push_has_the_envelope_of_its_topic(classic_pushes: list[Push]) -> None:
    for push in classic_pushes:
        expected = EXTRAS.get(key_of(push)[0], PRIVATE if push.private else {})
        assert fits(dict(push.extra), expected), push
        message = push.message()
        assert message == {
            "type": "message",
            "topic": push.topic,
            "subject": push.subject,
            "data": push.data,
            **push.extra,
        }
        assert push.private == (push.user is not None) == (message.get("channelType") == "private")


def test_every_topic_and_every_kind_of_event_came_up(classic_pushes: list[Push]) -> None:
    assert {key_of(push) for push in classic_pushes} == SHAPES.keys()
    for key, shapes in SHAPES.items():
        if isinstance(shapes, dict):
            assert {push.data["type"] for push in classic_pushes if key_of(push) == key} == shapes.keys()


@pytest.mark.parametrize("topic", ["BTC-USDT", "USDS", "PoW"])
def test_a_market_snapshot_keeps_the_topic_of_the_market(classic_pushes: list[Push], topic: str) -> None:
    snapshots = [push for push in classic_pushes if push.topic == f"/market/snapshot:{topic}"]
    assert [push.data["data"]["symbol"] for push in snapshots] == ["BTC-USDT"]


def test_the_ticker_of_all_names_the_symbol_in_its_subject(classic_pushes: list[Push]) -> None:
    assert [p.subject for p in classic_pushes if p.topic == "/market/ticker:all"] == ["BTC-USDT", "KCS-BTC"]


def test_a_hidden_order_is_told_without_price_and_size(classic_pushes: list[Push]) -> None:
    for family, subject in (("/market/level3", "trade.l3open"), ("/spotMarket/level3", "open")):
        hidden = [p.data for p in classic_pushes if key_of(p) == (family, subject) and p.data["price"] == ""]
        assert hidden
        assert {data["size"] for data in hidden} == {"0"}


def test_the_times_are_in_the_units_of_their_topics(classic_pushes: list[Push]) -> None:
    magnitudes = {
        ("/market/ticker", "trade.ticker", "Time"): 10**12,
        ("/market/level2", "trade.l2update", "time"): 10**12,
        ("/market/match", "trade.l3match", "time"): 10**18,
        ("/market/candles", "trade.candles.update", "time"): 10**18,
        ("/contractMarket/limitCandle", "candle.stick", "time"): 10**12,
        ("/contractMarket/execution", "match", "ts"): 10**18,
        ("/account/balance", "account.balance", "time"): 10**12,
        ("/spotMarket/tradeOrdersV2", "orderChange", "orderTime"): 10**12,
        ("/contractMarket/tradeOrders", "symbolOrderChange", "orderTime"): 10**18,
    }
    for (family, subject, field), magnitude in magnitudes.items():
        times = [int(p.data[field]) for p in classic_pushes if key_of(p) == (family, subject)]
        assert times
        assert all(1 < time / magnitude < 2 for time in times)
