"""What the feeds say agrees with the book and the trades that they tell of."""

from decimal import Decimal

from kucoin_sync.testing.exchange import Exchange, Push


def run(symbol: str, steps: int = 800, seed: int = 41) -> tuple[Exchange, list[Push]]:
    exchange = Exchange((symbol,), seed=seed)
    return exchange, [push for _ in range(steps) for push in exchange.step()]


def of(pushes: list[Push], family: str) -> list[Push]:
    return [push for push in pushes if push.topic.split(":")[0] == family]


def test_the_ticker_shows_the_best_prices_and_the_last_trade() -> None:
    exchange = Exchange(("ETH-USDT",), seed=42)
    last = None
    shown = 0
    for _ in range(500):
        pushes = exchange.step()
        matches = of(pushes, "/market/match")
        last = matches[-1].data if matches else last
        _, bids, asks = exchange.level2("ETH-USDT")
        for push in of(pushes, "/market/ticker"):
            shown += 1
            data = push.data
            assert (Decimal(data["bestBid"]), Decimal(data["bestBidSize"])) == bids[0]
            assert (Decimal(data["bestAsk"]), Decimal(data["bestAskSize"])) == asks[0]
            if last is not None:
                assert (data["price"], data["size"]) == (last["price"], last["size"])
    assert 50 < shown < 500


def test_every_trade_is_told_alike_on_all_its_feeds() -> None:
    _, pushes = run("BTC-USDT")
    old = [p.data for p in of(pushes, "/market/level3") if p.subject == "trade.l3match"]
    new = [p.data for p in of(pushes, "/spotMarket/level3") if p.subject == "match"]
    matches = [p.data for p in of(pushes, "/market/match")]
    assert len(matches) == len(old) == len(new) > 50
    for one, other, third in zip(matches, old, new, strict=True):
        assert one["sequence"] == one["tradeId"]  # as KuCoin's, which is not the sequence of the book
        assert other["sequence"] == str(third["sequence"])
        names = ("tradeId", "takerOrderId", "makerOrderId", "side")
        assert [str(one[n]) for n in names] == [str(other[n]) for n in names] == [str(third[n]) for n in names]
        for name in ("price", "size"):
            assert Decimal(one[name]) == Decimal(other[name]) == Decimal(third[name])
    assert len({match["tradeId"] for match in matches}) == len(matches)


def test_the_side_of_a_trade_is_the_takers() -> None:
    exchange = Exchange(("BTC-USDT",), seed=43)
    id = exchange.place("BTC-USDT", "sell", "0.001")
    trades = of(exchange.take_pushes(), "/market/match")
    assert {(trade.data["side"], trade.data["takerOrderId"]) for trade in trades} == {("sell", id)}


def test_depth_feeds_show_the_top_of_the_book() -> None:
    for symbol, prefix in (("BTC-USDT", "/spotMarket"), ("XBTUSDTM", "/contractMarket")):
        exchange, _ = run(symbol)
        _, bids, asks = exchange.level2(symbol)
        pushes = exchange.heartbeat()
        for depth in (5, 50):
            (push,) = of(pushes, f"{prefix}/level2Depth{depth}")
            for name, side in (("bids", bids), ("asks", asks)):
                assert [(Decimal(price), Decimal(size)) for price, size in push.data[name]] == side[:depth]


def test_a_candle_adds_up_the_matches_of_its_minute() -> None:
    exchange = Exchange(("BTC-USDT",), seed=44, start_ns=1_730_000_070_000_000_000)
    exchange.wants = ("/market/match:BTC-USDT", "/market/candles:BTC-USDT_1min").__contains__
    matches = []
    while exchange.now_ns < 1_730_000_099_000_000_000:
        matches += of(exchange.step(), "/market/match")
    (push,) = [p for p in exchange.heartbeat() if p.topic == "/market/candles:BTC-USDT_1min"]
    start, _, close, high, low, volume, turnover = (Decimal(value) for value in push.data["candles"])
    sizes = [Decimal(m.data["size"]) for m in matches]
    prices = [Decimal(m.data["price"]) for m in matches]
    assert start == 1_730_000_040
    assert (close, volume) == (prices[-1], sum(sizes))
    assert turnover == sum(price * size for price, size in zip(prices, sizes, strict=True))
    assert (high, low) == (max(67_000, *prices), min(67_000, *prices))


def test_the_snapshot_agrees_with_itself_and_the_book() -> None:
    exchange, _ = run("KCS-BTC")
    pushes = exchange.heartbeat()
    by_symbol, *by_market = of(pushes, "/market/snapshot")
    assert [push.data for push in by_market] == [by_symbol.data] * 2
    data = by_symbol.data["data"]
    _, bids, asks = exchange.level2("KCS-BTC")
    assert (data["buy"], data["sell"]) == (float(bids[0][0]), float(asks[0][0]))
    day = data["marketChange24h"]
    assert {name: data[name] for name in day} == day
    assert day["low"] <= data["marketChange4h"]["low"] <= data["marketChange1h"]["low"] <= data["close"]
    assert day["vol"] > data["marketChange4h"]["vol"] > data["marketChange1h"]["vol"] > 0
    assert day["low"] < data["averagePrice"] < day["high"]


def test_futures_trades_have_a_numbering_of_their_own_without_holes() -> None:
    _, pushes = run("XBTUSDTM")
    numbers = [push.data["sequence"] for push in of(pushes, "/contractMarket/execution")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for push in [*of(pushes, "/contractMarket/execution"), *of(pushes, "/contractMarket/ticker")]:
        assert push.extra["sn"] == push.data["sequence"] == int(push.data["tradeId"])


def test_futures_tickers_show_the_best_prices() -> None:
    exchange = Exchange(("XBTUSDTM",), seed=45)
    told = 0
    for _ in range(300):
        pushes = exchange.step()
        sequence, bids, asks = exchange.level2("XBTUSDTM")
        for push in of(pushes, "/contractMarket/tickerV2"):
            told += 1
            data = push.data
            assert (Decimal(data["bestBidPrice"]), data["bestBidSize"]) == bids[0]
            assert (Decimal(data["bestAskPrice"]), data["bestAskSize"]) == asks[0]
            assert data["sequence"] == push.extra["sn"] == sequence
    assert told > 20


def test_mark_price_and_funding_stay_near_the_book() -> None:
    exchange, _ = run("ETHUSDTM")
    _, bids, asks = exchange.level2("ETHUSDTM")
    prices, funding = of(exchange.heartbeat(), "/contract/instrument")
    assert float(bids[0][0]) < prices.data["indexPrice"] < float(asks[0][0])
    assert abs(prices.data["markPrice"] / prices.data["indexPrice"] - 1) < 0.001
    assert abs(funding.data["fundingRate"]) < 0.01
