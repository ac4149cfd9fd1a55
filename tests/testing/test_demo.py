"""The local KuCoin of demonstrations."""

from __future__ import annotations

from kucoin_sync import Stream
from kucoin_sync.testing import Exchange, KucoinServer, LiveExchange, local_kucoin


def test_its_messages_are_of_now_and_their_time_never_goes_back() -> None:
    with local_kucoin("BTC-USDT", rate=2000) as server, Stream(**server.stream_options) as stream:
        subscription = stream.subscribe("/market/match:BTC-USDT")
        trades = [subscription.get(timeout=10) for _ in range(50)]
    lags = [trade.received_ns - trade.payload.time_ns for trade in trades]
    assert min(lags) >= 0
    assert max(lags) < 60e9
    times = [trade.payload.time_ns for trade in trades]
    assert times == sorted(times)


def test_what_follows_a_timer_comes_as_often_as_asked_for_however_seldom_it_trades() -> None:
    with local_kucoin("BTC-USDT", rate=0.001, beat_seconds=0.01) as server, Stream(**server.stream_options) as stream:
        subscription = stream.subscribe("/market/ticker:all")
        assert [subscription.get(timeout=20).subject for _ in range(3)] == ["BTC-USDT"] * 3


def test_a_beat_pushes_what_comes_once_a_second() -> None:
    with KucoinServer(exchange=Exchange(("BTC-USDT",))) as server, Stream(**server.stream_options) as stream:
        subscription = stream.subscribe("/market/ticker:all")
        assert LiveExchange(server).beat() >= 1
        assert subscription.get(timeout=10).subject == "BTC-USDT"


def test_every_topic_of_the_uta_feed_that_follows_the_market_has_messages() -> None:
    spot, futures = "BTC-USDT", "XBTUSDTM"
    topics = [
        *(f"/uta/{channel}.{kind}:{symbol}" for channel in ("ticker", "trade")
          for kind, symbol in (("SPOT", spot), ("FUTURES", futures))),
        *(f"/uta/obu.SPOT:{spot}_{depth}" for depth in ("1", "5", "50", "increment@10ms")),
        *(f"/uta/obu.FUTURES:{futures}_{depth}" for depth in ("1", "5", "50", "increment@10ms")),
        f"/uta/kline.SPOT:{spot}_1min", f"/uta/kline.FUTURES:{futures}_1hour", f"/uta/callAuctionInfo:{spot}",
        f"/uta/mark-price:{futures}", f"/uta/funding-fee:{futures}", "/uta/funding-fee-all-symbols",
        *(f"/uta/{name}.UNIFIED" for name in ("orderAll", "execution", "execution.lite", "balance", "positionAll")),
        f"/uta/order.UNIFIED:{spot}", f"/uta/position.UNIFIED:{futures}",
    ]  # fmt: skip
    with local_kucoin(spot, futures, rate=1000) as server, Stream(**server.stream_options) as stream:
        for subscription in [stream.subscribe(topic) for topic in topics]:
            message = subscription.get(timeout=20)
            assert message.topic
            assert message["T"] == message.subject
            assert message.payload.symbol if isinstance(message["d"], dict) and "s" in message["d"] else message.payload
        assert stream.stats()["misfits"] == 0
