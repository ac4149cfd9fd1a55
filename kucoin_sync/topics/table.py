"""The table of all topics of KuCoin's feeds, the only place for facts about a topic.

Helpers, grammar, routing, payload choice and the printed reference read it. To add a topic, add a row and, for a new
form of payload, a struct in `payloads`. Sources: KuCoin's API documentation (classic and current) and the specification
of its Universal SDK; for `pushed_as` also observed messages.
"""

from enum import Enum
from typing import Literal, NamedTuple, get_args

from .. import payloads as p

__all__ = [
    "CANDLE_TYPES", "FUTURES_CANDLE_TYPES", "TABLE", "UTA_DEPTHS", "AccountType", "Argument", "CandleType",
    "FuturesCandleType", "PushedAs", "Same", "Topic", "TradeType", "UtaDepth",
]  # fmt: skip

CandleType = Literal[
    "1min", "3min", "5min", "15min", "30min", "1hour", "2hour", "4hour", "6hour", "8hour", "12hour",
    "1day", "1week", "1month",
]  # fmt: skip
FuturesCandleType = Literal[
    "1min", "3min", "5min", "15min", "30min", "1hour", "2hour", "4hour", "8hour", "12hour", "1day", "1week", "1month",
]  # fmt: skip
CANDLE_TYPES: tuple[CandleType, ...] = get_args(CandleType)
FUTURES_CANDLE_TYPES: tuple[FuturesCandleType, ...] = get_args(FuturesCandleType)
#: The kinds of book pushes of the UTA feed: the best levels as they are, or a snapshot of 500 and its changes.
UTA_DEPTHS = ("1", "5", "50", "increment@10ms")
UtaDepth = Literal[1, 5, 50, "1", "5", "50", "increment@10ms"]
TradeType = Literal["UNIFIED", "SPOT", "ISOLATED", "CROSS", "FUTURES"]
AccountType = Literal["UNIFIED", "FUNDING", "ISOLATED"]


class Argument(Enum):
    """The part after the colon of a topic; the value is its form in printed references."""

    NONE = ""
    ALL = "all"
    SYMBOLS = "{symbol},…"  # several in one command
    SYMBOL = "{symbol}"
    MARKET = "{market}"
    CURRENCIES = "{currency},…"
    CURRENCY = "{currency}"
    CANDLES = "{symbol}_{type}"
    CONTRACT = "{contract}"
    CONTRACT_CANDLES = "{contract}_{type}"
    CONTRACTS = "{contract},…"
    DEPTH = "{symbol}_{depth}"
    CONTRACT_DEPTH = "{contract}_{depth}"
    ANY_SYMBOL = "{symbol or contract}"

    @property
    def repeats(self) -> bool:
        """Whether a helper takes any number of these arguments."""
        return self not in (Argument.NONE, Argument.ALL, Argument.CANDLES, Argument.CONTRACT_CANDLES)

    @property
    def joins(self) -> bool:
        """Whether one command may have several of these arguments, separated by commas."""
        return self in (Argument.SYMBOLS, Argument.CURRENCIES, Argument.CONTRACTS)


class PushedAs(NamedTuple):
    """Another topic name under which pushes of a topic arrive.

    Attributes:
        prefix: the part of that name before the colon.
        argument: the part after the colon: the "same" as in the subscription, "any" or "none".
        fields: paths in the push's data. If there are any, the value at one of them must be, or contain, the argument
            of the subscription.
        unless: keys and values. A push with one of these belongs to the other topic only.
    """

    prefix: str
    argument: str
    fields: tuple[tuple[str, ...], ...] = ()
    unless: tuple[tuple[str, str], ...] = ()


class Same(NamedTuple):
    """What makes two pushes the same one, when two connections bring them, maybe from two servers.

    Attributes:
        members: the members of the push's data to compare; () for all of the data.
        rising: whether their values are numbers that rise from push to push of a topic and subject. Then a push that is
            not above an earlier one is a copy of it, or older. Two servers need not make the same pushes of such a
            topic. Else equal values are the same push.
        joint: whether the numbers rise over all subjects of the topic together.
        snapshots: whether some pushes are snapshots, from which what follows goes on.
    """

    members: tuple[str, ...] = ()
    rising: bool = False
    joint: bool = False
    snapshots: bool = False


_ALL_DATA = Same()


class Topic(NamedTuple):
    """One documented topic.

    Attributes:
        helper: the function in `kucoin_sync.topics` that builds the topic.
        push: how often KuCoin pushes it.
        about: what its pushes contain.
        payloads: the struct for each subject; "*" stands for any other subject.
        pushed_as: other names under which its pushes arrive.
        legacy: since when KuCoin no longer offers it, "" if it does.
        dialect: the dialect of its feed; see `kucoin_sync.protocol`.
        call: how to call the helper, where that does not follow from the argument.
        only_when: the condition under which it is pushed at all, "" if there is none.
        recovery: the path of REST that tells what was missed during a cut, "" if none does; see `kucoin_sync.recovery`.
        same: what makes two of its pushes the same one.
    """

    prefix: str
    argument: Argument
    helper: str
    market: str  # "spot", "margin" (served by spot) or "futures"; another dialect has markets of its own
    private: bool
    push: str
    about: str
    payloads: dict[str, type[p.Payload]]
    pushed_as: tuple[PushedAs, ...] = ()
    legacy: str = ""
    dialect: str = "classic"
    call: str = ""
    only_when: str = ""
    recovery: str = ""
    same: Same = _ALL_DATA

    @property
    def pattern(self) -> str:
        """The topic in the form of printed references, such as "/market/ticker:{symbol},…"."""
        return f"{self.prefix}:{self.argument.value}" if self.argument is not Argument.NONE else self.prefix


def _spot(prefix: str, argument: Argument, helper: str, push: str, about: str, **more: object) -> Topic:
    return Topic(prefix, argument, helper, "spot", False, push, about, **more)  # type: ignore[arg-type]


def _futures(prefix: str, argument: Argument, helper: str, push: str, about: str, **more: object) -> Topic:
    return Topic(prefix, argument, f"futures.{helper}", "futures", False, push, about, **more)  # type: ignore[arg-type]


def _uta(name: str, argument: Argument, helper: str, market: str, push: str, about: str, payload: type[p.Payload],
         call: str = "", pushed_as: tuple[PushedAs, ...] = (), only_when: str = "",
         recovery: str = "", same: Same = _ALL_DATA) -> Topic:  # fmt: skip
    """Return a row of the UTA feed. `name` is KuCoin's channel and, after a dot, the type of trade or account."""
    return Topic(f"/uta/{name}", argument, f"uta.{helper}", market, market == "uta", push, about, {"*": payload},
                 pushed_as, dialect="uta", call=call, only_when=only_when, recovery=recovery, same=same)  # fmt: skip


def _rising(*members: str, joint: bool = False, snapshots: bool = False) -> Same:
    return Same(members, rising=True, joint=joint, snapshots=snapshots)


_LEVEL3: dict[str, type[p.Payload]] = {
    "trade.l3received": p.Level3Received, "trade.l3open": p.Level3Open, "trade.l3match": p.Match,
    "trade.l3change": p.Level3Change, "trade.l3done": p.Level3Done,
}  # fmt: skip
_LEVEL3_V2: dict[str, type[p.Payload]] = {
    "received": p.Level3Received, "open": p.Level3Open, "match": p.Match, "update": p.Level3Update,
    "done": p.Level3Done,
}  # fmt: skip
_POSITION: dict[str, type[p.Payload]] = {
    "position.change": p.PositionChange, "position.settlement": p.PositionSettlement,
    "position.adjustRiskLimit": p.PositionRiskLimit,
}  # fmt: skip
_ORDER = Same(("orderId", "type", "ts", "filledSize", "canceledSize"))
_UTA_ORDER = Same(("oi", "eT", "U", "fS", "cS", "ti"))
_UTA_EXECUTION = Same(("s", "ti", "oi"))
_SNAPSHOT_MARKETS = (("data", "market"), ("data", "markets"), ("market",), ("markets",))

TABLE: tuple[Topic, ...] = (
    _spot("/market/ticker", Argument.SYMBOLS, "ticker", "100 ms", "last trade and best bid and ask",
          payloads={"*": p.Ticker}, same=_rising("sequence")),
    _spot("/market/ticker", Argument.ALL, "ticker_all", "100 ms", "the ticker of every symbol; the subject names it",
          payloads={"*": p.Ticker}, same=_rising("sequence")),
    _spot("/spotMarket/level1", Argument.SYMBOLS, "level1", "10 ms", "best bid and ask", payloads={"*": p.Level1},
          same=_rising("timestamp")),
    _spot("/spotMarket/level2Depth5", Argument.SYMBOLS, "depth5", "100 ms", "the 5 best levels of each side",
          payloads={"*": p.Depth}, same=_rising("timestamp")),
    _spot("/spotMarket/level2Depth50", Argument.SYMBOLS, "depth50", "100 ms", "the 50 best levels of each side",
          payloads={"*": p.Depth}, same=_rising("timestamp")),
    _spot("/market/level2", Argument.SYMBOLS, "level2", "real time", "every change of a price level",
          payloads={"*": p.Level2Update}, same=_rising("sequenceEnd")),
    _spot("/market/match", Argument.SYMBOLS, "match", "real time", "every trade", payloads={"*": p.Match},
          recovery="/api/v1/market/histories", same=Same(("sequence", "tradeId"))),
    _spot("/market/level3", Argument.SYMBOLS, "level3", "real time", "every order event, first generation",
          payloads=_LEVEL3, legacy="withdrawn by KuCoin in 2021", same=_rising("sequence", joint=True)),
    _spot("/spotMarket/level3", Argument.SYMBOLS, "level3_v2", "real time", "every order event, second generation",
          payloads=_LEVEL3_V2, legacy="withdrawn by KuCoin in 2021", same=_rising("sequence", joint=True)),
    _spot("/market/candles", Argument.CANDLES, "candles", "real time", "the current candle", payloads={"*": p.Candles},
          recovery="/api/v1/market/candles", call="symbol, …, type=type", same=_rising("time")),
    _spot("/market/snapshot", Argument.SYMBOL, "snapshot", "2 s", "24-hour statistics of a symbol",
          payloads={"*": p.Snapshot}, same=_rising("sequence")),
    _spot("/market/snapshot", Argument.MARKET, "market_snapshot", "2 s", "24-hour statistics of a market's symbols",
          payloads={"*": p.Snapshot}, pushed_as=(PushedAs("/market/snapshot", "any", _SNAPSHOT_MARKETS),)),
    _spot("/callauction/level2Depth50", Argument.SYMBOL, "call_auction_depth50", "100 ms",
          "the 50 best levels during a call auction", payloads={"*": p.Depth},
          pushed_as=(PushedAs("/spotMarket/level2Depth50", "same"),), only_when="a call auction runs",
          same=_rising("timestamp")),
    _spot("/callauction/callauctionData", Argument.SYMBOL, "call_auction", "100 ms", "the estimate of a call auction",
          payloads={"*": p.CallAuction}, only_when="a call auction runs", same=_rising("time")),
    Topic("/indicator/index", Argument.SYMBOLS, "index_price", "margin", False, "1 s", "the index price",
          {"*": p.IndicatorPrice}, same=_rising("timestamp")),
    Topic("/indicator/markPrice", Argument.SYMBOLS, "mark_price", "margin", False, "1 s", "the mark price",
          {"*": p.IndicatorPrice}, same=_rising("timestamp")),
    Topic("/margin/fundingBook", Argument.CURRENCIES, "funding_book", "margin", False, "real time",
          "changes of the lending book", {"*": p.FundingBook}, legacy="absent from the current documentation",
          same=_rising("sequence")),
    Topic("/spotMarket/tradeOrdersV2", Argument.NONE, "orders", "spot", True, "real time",
          "changes of your orders, with the state `received`", {"*": p.OrderChange}, same=_ORDER),
    Topic("/spotMarket/tradeOrders", Argument.NONE, "orders_v1", "spot", True, "real time", "changes of your orders",
          {"*": p.OrderChange}, (PushedAs("/spotMarket/tradeOrdersV2", "none", unless=(("type", "received"),)),),
          same=_ORDER),
    Topic("/account/balance", Argument.NONE, "account_balance", "spot", True, "real time",
          "changes of your balances", {"*": p.Balance},
          same=Same(("accountId", "currency", "relationEventId", "total", "available", "hold"))),
    Topic("/spotMarket/advancedOrders", Argument.NONE, "stop_orders", "spot", True, "real time",
          "changes of your stop orders", {"*": p.StopOrder}, same=Same(("orderId", "type", "ts"))),
    Topic("/margin/position", Argument.NONE, "margin_position", "margin", True, "4 s",
          "your debt ratio and the status of your cross margin position",
          {"debt.ratio": p.DebtRatio, "position.status": p.PositionStatus}, same=_rising("timestamp")),
    Topic("/margin/isolatedPosition", Argument.SYMBOL, "isolated_margin_position", "margin", True, "real time",
          "your isolated margin position", {"*": p.IsolatedPosition}),
    Topic("/margin/loan", Argument.CURRENCY, "margin_loan", "margin", True, "real time", "your lending orders",
          {"*": p.LoanOrder}, legacy="absent from the current documentation"),
    _futures("/contractMarket/tickerV2", Argument.CONTRACT, "ticker", "real time", "best bid and ask",
             payloads={"*": p.FuturesTickerV2}, same=_rising("sequence")),
    _futures("/contractMarket/ticker", Argument.CONTRACT, "ticker_v1", "real time",
             "last trade and best bid and ask", payloads={"*": p.FuturesTicker}, same=_rising("sequence")),
    _futures("/contractMarket/level2Depth5", Argument.CONTRACT, "depth5", "100 ms",
             "the 5 best levels of each side", payloads={"*": p.Depth}, same=_rising("ts")),
    _futures("/contractMarket/level2Depth50", Argument.CONTRACT, "depth50", "100 ms",
             "the 50 best levels of each side", payloads={"*": p.Depth}, same=_rising("ts")),
    _futures("/contractMarket/level2", Argument.CONTRACT, "level2", "real time", "every change of a price level",
             payloads={"*": p.FuturesLevel2Update}, same=_rising("sequence")),
    _futures("/contractMarket/execution", Argument.CONTRACT, "match", "real time", "every trade",
             payloads={"*": p.FuturesMatch}, recovery="/api/v1/trade/history", same=Same(("sequence", "tradeId"))),
    _futures("/contractMarket/limitCandle", Argument.CONTRACT_CANDLES, "candles", "1 s", "the current candle",
             payloads={"*": p.FuturesCandles}, recovery="/api/v1/kline/query", call="contract, …, type=type",
             same=_rising("time")),
    _futures("/contract/instrument", Argument.CONTRACT, "instrument", "mark price 1 s, funding rate 1 min",
             "mark and index price, funding rate",
             payloads={"mark.index.price": p.MarkIndexPrice, "funding.rate": p.FundingRate}, same=_rising("timestamp")),
    _futures("/contract/announcement", Argument.CONTRACT, "announcement", "every 8 hours",
             "begin and end of a funding settlement", payloads={"*": p.FundingSettlement},
             pushed_as=(PushedAs("/contract/announcement", "none", (("symbol",),)),)),
    _futures("/contract/announcement", Argument.NONE, "announcement", "every 8 hours",
             "begin and end of each funding settlement", payloads={"*": p.FundingSettlement}),
    _futures("/contractMarket/snapshot", Argument.CONTRACT, "snapshot", "5 s", "24-hour statistics",
             payloads={"*": p.FuturesSnapshot}, same=_rising("ts")),
    Topic("/contractMarket/tradeOrders", Argument.CONTRACT, "futures.orders", "futures", True, "real time",
          "changes of your orders of one contract", {"*": p.FuturesOrderChange}, same=_ORDER),
    Topic("/contractMarket/tradeOrders", Argument.NONE, "futures.orders", "futures", True, "real time",
          "changes of all your orders", {"*": p.FuturesOrderChange}, (PushedAs("/contractMarket/tradeOrders", "any"),),
          same=_ORDER),
    Topic("/contractMarket/advancedOrders", Argument.NONE, "futures.stop_orders", "futures", True, "real time",
          "changes of your stop orders", {"*": p.FuturesStopOrder}, same=Same(("orderId", "type", "ts"))),
    Topic("/contractAccount/wallet", Argument.NONE, "futures.wallet", "futures", True, "real time",
          "changes of your balances", {"*": p.Wallet}),
    Topic("/contract/position", Argument.CONTRACT, "futures.position", "futures", True, "real time",
          "your position in one contract", _POSITION),
    Topic("/contract/positionAll", Argument.NONE, "futures.positions", "futures", True, "real time",
          "all your positions", _POSITION, (PushedAs("/contract/position", "any"),)),
    Topic("/contract/marginMode", Argument.NONE, "futures.margin_mode", "futures", True, "real time",
          "changes of the margin mode", {"*": p.MarginMode}),
    Topic("/contract/crossLeverage", Argument.NONE, "futures.cross_leverage", "futures", True, "real time",
          "changes of the cross margin leverage", {"*": p.CrossLeverage}),
    _uta("ticker.SPOT", Argument.SYMBOLS, "ticker", "uta-spot", "on each trade",
         "last trade and best bid and ask", p.UtaSpotTicker, same=_rising("E")),
    _uta("ticker.FUTURES", Argument.CONTRACTS, "ticker", "uta-futures", "on each trade",
         "last trade and best bid and ask", p.UtaFuturesTicker, same=_rising("E")),
    _uta("trade.SPOT", Argument.SYMBOL, "trades", "uta-spot", "real time", "every trade", p.UtaTrade,
         recovery="/api/ua/v2/market/trade", same=Same(("E", "ti"))),
    _uta("trade.FUTURES", Argument.CONTRACT, "trades", "uta-futures", "real time", "every trade", p.UtaTrade,
         recovery="/api/ua/v2/market/trade", same=Same(("E", "ti"))),
    _uta("kline.SPOT", Argument.CANDLES, "candles", "uta-spot", "1 s", "the current candle", p.UtaCandle,
         call="symbol, …, type=type", same=_rising("O", "v")),
    _uta("kline.FUTURES", Argument.CONTRACT_CANDLES, "candles", "uta-futures", "1 s", "the current candle",
         p.UtaCandle, call="contract, …, type=type", same=_rising("O", "v")),
    _uta("obu.SPOT", Argument.DEPTH, "book", "uta-spot", "1 real time; 5, 50 100 ms; increment 10 ms",
         "the best 1, 5 or 50 levels of each side, or the best 500 and their changes", p.UtaBook,
         call="symbol, …, depth=depth", same=_rising("C", snapshots=True)),
    _uta("obu.FUTURES", Argument.CONTRACT_DEPTH, "book", "uta-futures", "1 real time; 5, 50 100 ms; increment 10 ms",
         "the best 1, 5 or 50 levels of each side, or the best 500 and their changes", p.UtaBook,
         call="contract, …, depth=depth", same=_rising("C", snapshots=True)),
    _uta("mark-price", Argument.CONTRACT, "mark_price", "uta-futures", "1 s",
         "mark price, index price and open interest", p.UtaMarkPrice, same=_rising("ts")),
    _uta("funding-fee", Argument.CONTRACTS, "funding_rate", "uta-futures", "1 min", "the funding rate",
         p.UtaFundingRate),
    _uta("funding-fee-all-symbols", Argument.NONE, "funding_rates", "uta-futures", "1 min",
         "the funding rates of all contracts", p.UtaFundingRates),
    _uta("callAuctionInfo", Argument.SYMBOL, "call_auction", "uta-spot", "100 ms", "the estimate of a call auction",
         p.UtaCallAuction, only_when="a call auction runs", same=_rising("ts")),
    _uta("orderAll.UNIFIED", Argument.NONE, "orders", "uta", "real time", "changes of all your orders", p.UtaOrder,
         pushed_as=(PushedAs("/uta/order.UNIFIED", "any"),), same=_UTA_ORDER),
    _uta("order.UNIFIED", Argument.ANY_SYMBOL, "orders", "uta", "real time", "changes of your orders of one symbol",
         p.UtaOrder, call="symbol, …", pushed_as=(PushedAs("/uta/orderAll.UNIFIED", "none", (("s",),)),),
         same=_UTA_ORDER),
    _uta("execution.UNIFIED", Argument.NONE, "executions", "uta", "real time", "your trades", p.UtaExecution,
         same=_UTA_EXECUTION),
    _uta("execution.lite.UNIFIED", Argument.NONE, "executions", "uta", "real time", "your trades, without their fees",
         p.UtaExecutionLite, call="lite=True", same=_UTA_EXECUTION),
    *(_uta(f"execution.lite.{kind}", Argument.NONE, "executions", "uta", "real time",
           f"your trades, of the type {kind}, without their fees", p.UtaExecutionLite,
           call=f'lite=True, trade_type="{kind}"', same=_UTA_EXECUTION)
      for kind in ("SPOT", "ISOLATED", "CROSS", "FUTURES")),
    *(_uta(f"balance.{kind}", Argument.NONE, "balances", "uta", "real time",
           f"changes of your balances in the account {kind}", p.UtaBalance, call=f'"{kind}"')
      for kind in ("UNIFIED", "FUNDING", "ISOLATED")),
    _uta("positionAll.UNIFIED", Argument.NONE, "positions", "uta", "real time", "all your positions", p.UtaPosition,
         pushed_as=(PushedAs("/uta/position.UNIFIED", "any"),)),
    _uta("position.UNIFIED", Argument.CONTRACT, "positions", "uta", "real time", "your position in one contract",
         p.UtaPosition, pushed_as=(PushedAs("/uta/positionAll.UNIFIED", "none", (("s",),)),)),
    _uta("leverage.UNIFIED", Argument.NONE, "leverage", "uta", "real time", "changes of your leverage", p.UtaLeverage),
    _uta("lw.UNIFIED", Argument.NONE, "liquidation_warnings", "uta", "1 min", "warnings before a liquidation",
         p.UtaLiquidationWarning),
)  # fmt: skip
