"""Every push has the field names, types and nesting of KuCoin's own messages."""

from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, Push

Shape = Any
ROWS = [(str, str)]

TICKER = {
    "sequence": str, "price": str, "size": str, "bestAsk": str, "bestAskSize": str, "bestBid": str, "bestBidSize": str,
}  # fmt: skip
CHANGE = {
    "changePrice": float, "changeRate": float, "high": float, "low": float, "open": float, "vol": float,
    "volValue": float,
}  # fmt: skip
SNAPSHOT = {
    "sequence": str,
    "data": {
        **CHANGE, "askSize": float, "averagePrice": float, "baseCurrency": str, "bidSize": float, "board": int,
        "buy": float, "close": float, "datetime": int, "lastTradedPrice": float, "makerCoefficient": float,
        "makerFeeRate": float, "marginTrade": bool, "mark": int, "market": str, "marketChange1h": CHANGE,
        "marketChange24h": CHANGE, "marketChange4h": CHANGE, "markets": [str], "quoteCurrency": str, "sell": float,
        "siteTypes": [str], "sort": int, "symbol": str, "symbolCode": str, "takerCoefficient": float,
        "takerFeeRate": float, "trading": bool,
    },
}  # fmt: skip
MATCH = {
    "makerOrderId": str, "price": str, "sequence": str, "side": str, "size": str, "symbol": str, "takerOrderId": str,
    "time": str, "tradeId": str, "type": str,
}  # fmt: skip
OLD = {"sequence": str, "type": str, "symbol": str, "side": str, "time": str}
NEW = {"symbol": str, "sequence": int, "ts": int}
CANDLE = {"symbol": str, "candles": (str, str, str, str, str, str, str), "time": int}
BEST = {"bestBidSize": int, "bestBidPrice": str, "bestAskPrice": str, "bestAskSize": int}
DEPTH = {"asks": ROWS, "bids": ROWS, "timestamp": int}
FUTURES_DEPTH = {"bids": [(str, int)], "asks": [(str, int)], "sequence": int, "timestamp": int, "ts": int}
ORDER = {
    "clientOid": str, "orderId": str, "orderTime": int, "orderType": str, "originSize": str, "side": str, "status": str,
    "symbol": str, "ts": int, "type": str,
}  # fmt: skip
PROGRESS = {"canceledSize": str, "filledSize": str, "remainSize": str, "size": str}
FILL = {"feeType": str, "liquidity": str, "matchPrice": str, "matchSize": str, "tradeId": str}
FUTURES_ORDER = {
    "symbol": str, "side": str, "canceledSize": str, "orderId": str, "liquidity": str, "marginMode": str, "type": str,
    "orderTime": int, "size": str, "filledSize": str, "price": str, "remainSize": str, "status": str, "ts": int,
    "clientOid": str,
}  # fmt: skip
STOP = {
    "orderId": str, "orderPrice": str, "orderType": str, "side": str, "stop": str, "stopPrice": str, "symbol": str,
    "type": str, "createdAt": int, "ts": int,
}  # fmt: skip
BALANCE = {
    "accountId": str, "currency": str, "total": str, "available": str, "hold": str, "availableChange": str,
    "holdChange": str, "relationEvent": str, "relationEventId": str, "time": str,
}  # fmt: skip
WALLET = dict.fromkeys(
    (
        "crossPosMargin", "isolatedOrderMargin", "holdBalance", "equity", "version", "availableBalance",
        "isolatedPosMargin", "walletBalance", "isolatedFundingFeeMargin", "crossUnPnl", "totalCrossMargin", "currency",
        "isolatedUnPnl", "crossOrderMargin", "timestamp",
    ),
    str,
)  # fmt: skip

SPOT_ORDER_EVENTS = {
    "received": [ORDER, {**ORDER, "price": str}],
    "open": [{**ORDER, **PROGRESS, "price": str}],
    "match": [{**ORDER, **PROGRESS, **FILL}, {**ORDER, **PROGRESS, **FILL, "price": str}],
    "filled": [{**ORDER, **PROGRESS, "remainFunds": str}, {**ORDER, **PROGRESS, "price": str}],
    "canceled": [{**ORDER, **PROGRESS, "remainFunds": str}, {**ORDER, **PROGRESS, "price": str}],
    "update": [{**ORDER, **PROGRESS, "price": str, "oldSize": str}],
}
FUTURES_ORDER_EVENTS = {
    "open": [FUTURES_ORDER],
    "match": [{**FUTURES_ORDER, **FILL, "orderType": str}],
    "filled": [FUTURES_ORDER],
    "canceled": [FUTURES_ORDER],
    "update": [{**FUTURES_ORDER, "oldSize": str}],
}
OLD_RECEIVED = {**OLD, "orderId": str, "orderType": str, "clientOid": str}

# (topic without its argument, subject) -> shapes of the data; by the data's `type` where that decides.
SHAPES: dict[tuple[str, str], "list[Shape] | dict[str, list[Shape]]"] = {
    ("/market/ticker", "trade.ticker"): [{**TICKER, "Time": int}],
    ("/market/ticker", "all"): [{**TICKER, "time": int}],
    ("/spotMarket/level1", "level1"): [{"asks": (str, str), "bids": (str, str), "timestamp": int}],
    ("/spotMarket/level2Depth5", "level2"): [DEPTH],
    ("/spotMarket/level2Depth50", "level2"): [DEPTH],
    ("/market/level2", "trade.l2update"): [
        {
            "changes": {"asks": [(str, str, str)], "bids": [(str, str, str)]},
            "sequenceEnd": int,
            "sequenceStart": int,
            "symbol": str,
            "time": int,
        }
    ],
    ("/market/candles", "trade.candles.update"): [CANDLE],
    ("/market/match", "trade.l3match"): [MATCH],
    ("/market/snapshot", "trade.snapshot"): [SNAPSHOT],
    ("/indicator/index", "tick"): [{"symbol": str, "granularity": int, "timestamp": int, "value": float}],
    ("/indicator/markPrice", "tick"): [{"symbol": str, "granularity": int, "timestamp": int, "value": float}],
    ("/market/level3", "trade.l3received"): {
        "received": [OLD_RECEIVED, {**OLD_RECEIVED, "price": str}],
        "activated": [
            {**OLD_RECEIVED, "size": str, "stopType": str},
            {**OLD_RECEIVED, "size": str, "stopType": str, "price": str},
        ],
    },
    ("/market/level3", "trade.l3open"): [{**OLD, "orderId": str, "price": str, "size": str}],
    ("/market/level3", "trade.l3match"): [MATCH],
    ("/market/level3", "trade.l3change"): [{**OLD, "orderId": str, "price": str, "newSize": str, "oldSize": str}],
    ("/market/level3", "trade.l3done"): [
        {**OLD, "orderId": str, "reason": str},
        {**OLD, "orderId": str, "reason": str, "size": str},
    ],
    ("/spotMarket/level3", "received"): [{**NEW, "orderId": str, "clientOid": str}],
    ("/spotMarket/level3", "open"): [
        {**NEW, "orderId": str, "side": str, "price": str, "size": str, "orderTime": int}
    ],
    ("/spotMarket/level3", "match"): [
        {
            **NEW, "side": str, "price": str, "size": str, "remainSize": str, "takerOrderId": str, "makerOrderId": str,
            "tradeId": str,
        }
    ],
    ("/spotMarket/level3", "update"): [{**NEW, "orderId": str, "size": str}],
    ("/spotMarket/level3", "done"): [{**NEW, "orderId": str, "reason": str}],
    ("/spotMarket/tradeOrdersV2", "orderChange"): SPOT_ORDER_EVENTS,
    ("/spotMarket/tradeOrders", "orderChange"): {k: v for k, v in SPOT_ORDER_EVENTS.items() if k != "received"},
    ("/account/balance", "account.balance"): [
        {**BALANCE, "relationContext": {"symbol": str, "orderId": str}},
        {**BALANCE, "relationContext": {"symbol": str, "orderId": str, "tradeId": str}},
    ],
    ("/spotMarket/advancedOrders", "stopOrder"): [{**STOP, "size": str, "tradeType": str}],
    ("/contractMarket/tickerV2", "tickerV2"): [{**BEST, "symbol": str, "sequence": int, "ts": int}],
    ("/contractMarket/ticker", "ticker"): [
        {**BEST, "symbol": str, "sequence": int, "side": str, "size": int, "price": str, "tradeId": str, "ts": int}
    ],
    ("/contractMarket/level2Depth5", "level2"): [FUTURES_DEPTH],
    ("/contractMarket/level2Depth50", "level2"): [FUTURES_DEPTH],
    ("/contractMarket/level2", "level2"): [{"sequence": int, "change": str, "timestamp": int}],
    ("/contractMarket/limitCandle", "candle.stick"): [CANDLE],
    ("/contractMarket/execution", "match"): [
        {
            "symbol": str, "sequence": int, "side": str, "size": int, "price": str, "takerOrderId": str,
            "makerOrderId": str, "tradeId": str, "ts": int,
        }
    ],
    ("/contract/instrument", "mark.index.price"): [
        {"markPrice": float, "indexPrice": float, "granularity": int, "timestamp": int}
    ],
    ("/contract/instrument", "funding.rate"): [{"granularity": int, "fundingRate": float, "timestamp": int}],
    ("/contractMarket/snapshot", "snapshot.24h"): [
        {
            "highPrice": float, "lastPrice": float, "lowPrice": float, "price24HoursBefore": float, "priceChg": float,
            "priceChgPct": float, "symbol": str, "ts": int, "turnover": float, "volume": float,
        }
    ],
    ("/contractMarket/tradeOrders", "symbolOrderChange"): FUTURES_ORDER_EVENTS,
    ("/contractMarket/advancedOrders", "stopOrder"): [
        {**STOP, "size": int, "marginMode": str, "stopPriceType": str}
    ],
    ("/contractAccount/wallet", "walletBalance.change"): [WALLET],
}  # fmt: skip

PRIVATE = {"userId": str, "channelType": str}
EXTRAS = {
    ("/account/balance", "account.balance"): {**PRIVATE, "id": str},
    ("/contractAccount/wallet", "walletBalance.change"): {**PRIVATE, "id": str},
    ("/contractMarket/advancedOrders", "stopOrder"): {**PRIVATE, "id": str},
    ("/contractMarket/snapshot", "snapshot.24h"): {"id": str},
    ("/indicator/index", "tick"): {"id": str},
    ("/indicator/markPrice", "tick"): {"id": str},
    **{
        (f"/contractMarket/{name}", subject): {"sn": int}
        for name, subject in (
            ("tickerV2", "tickerV2"), ("ticker", "ticker"), ("level2", "level2"), ("execution", "match"),
            ("level2Depth5", "level2"), ("level2Depth50", "level2"),
        )
    },
}  # fmt: skip


def fits(value: Any, shape: Shape) -> bool:
    """A dict names its exact keys, a list the shape of each item, a tuple that of each place."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(fits(value[k], shape[k]) for k in shape)
        )
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    return type(value) is shape


def key_of(push: Push) -> tuple[str, str]:
    return push.topic.split(":")[0], "all" if push.topic == "/market/ticker:all" else push.subject


@pytest.fixture(scope="module")
def pushes() -> list[Push]:
    """A session in which everything happens: crowd, timers, and an account that does all it can do."""
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


def test_every_push_has_the_shape_of_its_topic_and_subject(pushes: list[Push]) -> None:
    for push in pushes:
        shapes = SHAPES[key_of(push)]
        if isinstance(shapes, dict):
            shapes = shapes[push.data["type"]]
        assert any(fits(push.data, shape) for shape in shapes), push


def test_every_push_has_the_envelope_of_its_topic(pushes: list[Push]) -> None:
    for push in pushes:
        expected = EXTRAS.get(key_of(push), PRIVATE if push.private else {})
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


def test_every_topic_and_every_kind_of_event_came_up(pushes: list[Push]) -> None:
    assert {key_of(push) for push in pushes} == SHAPES.keys()
    for key, shapes in SHAPES.items():
        if isinstance(shapes, dict):
            assert {push.data["type"] for push in pushes if key_of(push) == key} == shapes.keys()


@pytest.mark.parametrize("topic", ["BTC-USDT", "USDS", "PoW"])
def test_a_market_snapshot_keeps_the_topic_of_the_market(pushes: list[Push], topic: str) -> None:
    snapshots = [push for push in pushes if push.topic == f"/market/snapshot:{topic}"]
    assert [push.data["data"]["symbol"] for push in snapshots] == ["BTC-USDT"]


def test_the_ticker_of_all_names_the_symbol_in_its_subject(pushes: list[Push]) -> None:
    assert [p.subject for p in pushes if p.topic == "/market/ticker:all"] == ["BTC-USDT", "KCS-BTC"]


def test_a_hidden_order_is_told_without_price_and_size(pushes: list[Push]) -> None:
    for family, subject in (("/market/level3", "trade.l3open"), ("/spotMarket/level3", "open")):
        hidden = [p.data for p in pushes if key_of(p) == (family, subject) and p.data["price"] == ""]
        assert hidden
        assert {data["size"] for data in hidden} == {"0"}


def test_the_times_are_in_the_units_of_their_topics(pushes: list[Push]) -> None:
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
        times = [int(p.data[field]) for p in pushes if key_of(p) == (family, subject)]
        assert times
        assert all(1 < time / magnitude < 2 for time in times)
