"""A message of each shape of the UTA feed's payloads, with what each property is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kucoin_sync import payloads as p

__all__ = ["UTA_SHAPES"]

D = Decimal

_RATE = '{"s":"XBTUSDTM","fr":"0.00007","ft":1786809600000,"lfr":"-0.00006","nt":1786838400000,"gl":28800000,' \
        '"fc":"0.003","ff":"-0.003"}'  # fmt: skip
_RATE_READ = {
    "symbol": "XBTUSDTM", "funding_rate": D("0.00007"), "last_funding_rate": D("-0.00006"), "granularity": 28800000,
    "funding_rate_cap": D("0.003"), "funding_rate_floor": D("-0.003"), "funding_time_ns": 1786809600000000000,
    "next_funding_time_ns": 1786838400000000000,
}  # fmt: skip
_ORDER = (
    '{"tT":"FUTURES","oi":"400000000000000016","ci":"mine","os":%s,"eT":"MATCH","s":"XBTUSDTM","S":"SELL","pS":"BOTH",'
    '"oT":"LIMIT","lR":"MAKER","oS":"USER","p":"50000.1","q":"8","qU":"UNIT","l":"3","mM":"CROSS","ti":"1913682335988",'
    '"fS":"5","lS":"2","ls":"50000.2","aP":"50000.3","f":"0.03","fC":"USDT","t":"0.01","cR":"USER","cS":"1","rS":"2",'
    '"tD":"DOWN","tP":"49000","tPT":"TP","pP":"60000","pPT":"MP","pOP":"60001","lP":"40000","lPT":"IP","lOP":"39999",'
    '"toi":"400000000000000013","stp":"CN","rO":true,"tIF":"GTC","pO":false,"O":1771742294039455063,'
    '"U":1771742294039715653,"bT":"tag"}'
)
_ORDER_READ = {
    "symbol": "XBTUSDTM", "order_id": "400000000000000016", "client_oid": "mine", "type": "MATCH",
    "status": "partialFilled", "side": "sell", "position_side": "BOTH", "order_type": "limit", "price": D("50000.1"),
    "size": D(8), "size_unit": "UNIT", "filled_size": D(5), "remain_size": D(2), "canceled_size": D(1),
    "cancel_reason": "USER", "match_price": D("50000.2"), "match_size": D(2), "average_price": D("50000.3"),
    "trade_id": "1913682335988", "liquidity": "maker", "fee": D("0.03"), "fee_currency": "USDT", "tax": D("0.01"),
    "trade_type": "FUTURES", "order_source": "USER", "leverage": D(3), "margin_mode": "CROSS",
    "trigger_direction": "DOWN", "trigger_price": D(49000), "trigger_price_type": "TP", "take_profit_price": D(60000),
    "take_profit_price_type": "MP", "take_profit_order_price": D(60001), "stop_loss_price": D(40000),
    "stop_loss_price_type": "IP", "stop_loss_order_price": D(39999), "parent_order_id": "400000000000000013",
    "self_trade_prevention": "CN", "time_in_force": "GTC", "reduce_only": True, "post_only": False,
    "broker_tag": "tag", "order_time_ns": 1771742294039455063, "time_ns": 1771742294039715653,
}  # fmt: skip

UTA_SHAPES: list[tuple[type[p.Payload], str, dict[str, Any]]] = [
    (
        p.UtaSpotTicker,
        '{"A":"0.82","B":"0.0076","E":35866825780,"M":1787348157830000001,"S":"SELL","a":"78280.6","b":"78280.5",'
        '"l":"78285.6","q":"0.000161","s":"BTC-USDT"}',
        {
            "symbol": "BTC-USDT", "sequence": 35866825780, "price": D("78285.6"), "size": D("0.000161"),
            "side": "sell", "best_bid": D("78280.5"), "best_bid_size": D("0.0076"), "best_ask": D("78280.6"),
            "best_ask_size": D("0.82"), "time_ns": 1787348157830000001,
        },
    ),
    (
        p.UtaFuturesTicker,
        '{"a":1927.87,"A":4,"q":2,"b":1927.86,"B":810,"s":"ETHUSDTM","S":"buy","E":"1814374362936",'
        '"l":1927.87,"M":1771594732074}',
        {
            "symbol": "ETHUSDTM", "sequence": 1814374362936, "price": D("1927.87"), "size": D(2), "side": "buy",
            "best_bid": D("1927.86"), "best_bid_size": D(810), "best_ask": D("1927.87"), "best_ask_size": D(4),
            "time_ns": 1771594732074000000,
        },
    ),
    (
        p.UtaTrade,
        '{"E":24021490985222144,"M":1787348155897000000,"S":"sell","p":"78313.6","q":"0.00001374","s":"BTC-USDT",'
        '"ti":"24021490985222145"}',
        {
            "symbol": "BTC-USDT", "sequence": 24021490985222144, "trade_id": "24021490985222145", "side": "sell",
            "price": D("78313.6"), "size": D("0.00001374"), "time_ns": 1787348155897000000,
        },
    ),
    (
        p.UtaTrade,
        '{"p":"1933.1","q":"5","s":"ETHUSDTM","S":"BUY","E":1814377247397,"ti":24021490985222145,"rpi":true,'
        '"M":1771596007940000}',
        {
            "symbol": "ETHUSDTM", "sequence": 1814377247397, "trade_id": "24021490985222145", "side": "buy",
            "price": D("1933.1"), "size": D(5), "rpi": True, "time_ns": 1771596007940000000,
        },
    ),
    (
        p.UtaCandle,
        '{"o":"71725.1","c":"71728.2","l":"71725.0","h":"71728.3","S":true,"v":"0.015","i":"1min","a":"1079.29",'
        '"C":1776090780,"s":"BTC-USDT","O":1776090720}',
        {
            "symbol": "BTC-USDT", "interval": "1min", "open": D("71725.1"), "close": D("71728.2"),
            "high": D("71728.3"), "low": D("71725.0"), "volume": D("0.015"), "turnover": D("1079.29"),
            "start_ns": 1776090720000000000, "end_ns": 1776090780000000000,
        },
    ),
    (
        p.UtaBook,
        '{"C":33629695393,"M":1781672136333000000,"O":33629695388,"a":[["65950","1.5"]],'
        '"b":[["65928.9","0"],["65928.9","0.25"]],"s":"BTC-USDT"}',
        {
            "symbol": "BTC-USDT", "sequence_start": 33629695388, "sequence_end": 33629695393, "sequence": 33629695393,
            "asks": (p.Level(D(65950), D("1.5")),),
            "bids": (p.Level(D("65928.9"), D(0)), p.Level(D("65928.9"), D("0.25"))), "time_ns": 1781672136333000000,
        },
    ),
    (
        p.UtaMarkPrice,
        '{"s":"XBTUSDTM","mp":"86201.79","ip":"86248.81","oi":"40000004","ts":1790113097000}',
        {
            "symbol": "XBTUSDTM", "mark_price": D("86201.79"), "index_price": D("86248.81"),
            "open_interest": D(40000004), "time_ns": 1790113097000000000,
        },
    ),
    (p.UtaFundingRate, _RATE, _RATE_READ),
    (
        p.UtaFundingRates,
        f"[{_RATE}]",
        {
            "rates": (
                p.UtaFundingRate(
                    symbol="XBTUSDTM", funding_rate=D("0.00007"), wire_funding_time=1786809600000,
                    last_funding_rate=D("-0.00006"), wire_next_funding_time=1786838400000, granularity=28800000,
                    funding_rate_cap=D("0.003"), funding_rate_floor=D("-0.003"),
                ),
            )
        },
    ),
    (
        p.UtaCallAuction,
        '{"s":"GROVE-USDT","slp":0.05568,"blp":6e-05,"shp":0.19839,"bhp":0.19,"eq":0.0556,"es":9099.4,'
        '"ts":1783434842521}',
        {
            "symbol": "GROVE-USDT", "sell_order_range_low_price": D("0.05568"), "estimated_price": D("0.0556"),
            "sell_order_range_high_price": D("0.19839"), "buy_order_range_low_price": D("0.00006"),
            "buy_order_range_high_price": D("0.19"), "estimated_size": D("9099.4"), "time_ns": 1783434842521000000,
        },
    ),
    (
        p.UtaCallAuction,
        '{"s":"GROVE-USDT","ep":"0.0557","es":"9099.4","ts":"1783434842521"}',
        {
            "symbol": "GROVE-USDT", "estimated_price": D("0.0557"), "estimated_size": D("9099.4"),
            "time_ns": 1783434842521000000,
        },
    ),
    (p.UtaOrder, _ORDER % 4, _ORDER_READ),
    (p.UtaOrder, _ORDER % '"4"', _ORDER_READ),
    (
        p.UtaExecution,
        '{"oi":"400000000000000020","s":"XRP-USDT","S":"BUY","oT":"MARKET","p":"1.01972","q":"0.9806",'
        '"ti":"22221471895799809","E":1786516889638000000,"lR":"TAKER","f":"0.000999","fC":"USDT","fT":"NORMAL",'
        '"ci":"mine","fP":"0.5"}',
        {
            "symbol": "XRP-USDT", "order_id": "400000000000000020", "trade_id": "22221471895799809", "side": "buy",
            "order_type": "market", "price": D("1.01972"), "size": D("0.9806"), "liquidity": "taker",
            "fee": D("0.000999"), "fee_currency": "USDT", "fill_type": "NORMAL", "client_oid": "mine",
            "closed_pnl": D("0.5"), "time_ns": 1786516889638000000,
        },
    ),
    (
        p.UtaExecutionLite,
        '{"E":1774854553397000000,"S":"BUY","p":"67396.6","q":"0.00001483","s":"BTC-USDT","lR":"TAKER",'
        '"oT":"MARKET","oi":"400000000000000022","ti":22075878662488065,"ci":"mine"}',
        {
            "symbol": "BTC-USDT", "order_id": "400000000000000022", "trade_id": "22075878662488065", "side": "buy",
            "order_type": "market", "price": D("67396.6"), "size": D("0.00001483"), "liquidity": "taker",
            "client_oid": "mine", "time_ns": 1774854553397000000,
        },
    ),
    (
        p.UtaBalance,
        '{"U":1770116995058000000,"a":"3.1","b":"4.2","c":"BTC","e":"5.3","h":"1.1","l":"0.5","cS":"1"}',
        {
            "currency": "BTC", "total": D("4.2"), "available": D("3.1"), "hold": D("1.1"), "equity": D("5.3"),
            "liability": D("0.5"), "collateral_state": 1, "time_ns": 1770116995058000000,
        },
    ),
    (
        p.UtaBalance,
        '{"U":"1770116995058","a":"3.1","b":"4.2","c":"BTC","h":"1.1"}',
        {
            "currency": "BTC", "total": D("4.2"), "available": D("3.1"), "hold": D("1.1"),
            "time_ns": 1770116995058000000,
        },
    ),
    (
        p.UtaPosition,
        '{"pi":"40000000000000025","s":"XBTUSDTM","mM":"CROSS","q":"-1","eP":"68130","pV":"68.13","mP":"68130.4",'
        '"lP":"0.1","bP":"0.2","l":"3","uPL":"0.0004","rPL":"0.0047","iM":"22.7","mmr":"0.004","mtM":"0.27","r":"0.5",'
        '"pM":"23","adl":"2","U":1771761913781000000,"O":1771761913780000000}',
        {
            "symbol": "XBTUSDTM", "position_id": "40000000000000025", "margin_mode": "CROSS", "current_qty": D(-1),
            "avg_entry_price": D(68130), "mark_value": D("68.13"), "mark_price": D("68130.4"),
            "liquidation_price": D("0.1"), "bankrupt_price": D("0.2"), "leverage": D(3),
            "unrealised_pnl": D("0.0004"), "realised_pnl": D("0.0047"), "initial_margin": D("22.7"),
            "maintenance_margin_rate": D("0.004"), "maintenance_margin": D("0.27"), "risk_ratio": D("0.5"),
            "position_margin": D(23), "adl": D(2), "opening_ns": 1771761913780000000, "time_ns": 1771761913781000000,
        },
    ),
    (
        p.UtaLeverage,
        '{"s":"XBTUSDTM","c":"XBT","l":"5.00","mM":"CROSS","tT":"FUTURES"}',
        {
            "symbol": "XBTUSDTM", "currency": "XBT", "leverage": D("5.00"), "margin_mode": "CROSS",
            "trade_type": "FUTURES",
        },
    ),
    (
        p.UtaLiquidationWarning,
        '{"eT":"MARGIN_CALL","r":"0.9378","a":"12456.32","iM":"58720.00","mM":"5284.80","aM":"1890.45","e":"63710.77",'
        '"l":"51254.45","U":1729842192785100000}',
        {
            "type": "MARGIN_CALL", "risk_ratio": D("0.9378"), "available": D("12456.32"), "equity": D("63710.77"),
            "liability": D("51254.45"), "initial_margin": D("58720.00"), "maintenance_margin": D("5284.80"),
            "available_margin": D("1890.45"), "time_ns": 1729842192785100000,
        },
    ),
]  # fmt: skip
