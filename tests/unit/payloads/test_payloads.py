"""Payload structs: each form field by field, numbers as text and as numbers, all units of time, malformed data."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import payloads as p
from kucoin_sync.payloads import Level, LevelChange, decoder_for, fast_decoder_for, fields_of, plain, reader_for, to_ns
from kucoin_sync.payloads.base import Whole

from ...support.selection import examples, spread
from .uta_shapes import UTA_SHAPES

D = Decimal

CLASSES = sorted(
    (
        cls
        for cls in vars(p).values()
        if isinstance(cls, type)
        and issubclass(cls, p.Payload)
        # A decoder that takes unknown fields makes a subclass of the same name.
        and not any(hasattr(p, each.__name__) for each in cls.__subclasses__() if each.__name__ != cls.__name__)
    ),
    key=lambda cls: cls.__name__,
)


def decode(cls: type[p.Payload], text: str) -> Any:
    return decoder_for(cls)(text.encode())


# One message of each shape and variant; every attribute that is not expected here must be None or 0.
SHAPES: list[tuple[type[p.Payload], str, dict[str, Any]]] = [
    (
        p.Ticker,
        '{"sequence":"204771","price":"0.0713","size":"2.05","bestAsk":"0.0714","bestAskSize":"11.25",'
        '"bestBid":"0.0712","bestBidSize":"8","Time":1712000000123}',
        {
            "sequence": 204771,
            "price": D("0.0713"),
            "size": D("2.05"),
            "best_ask": D("0.0714"),
            "best_ask_size": D("11.25"),
            "best_bid": D("0.0712"),
            "best_bid_size": D(8),
            "wire_time_alias": 1712000000123,
            "time_ns": 1712000000123000000,
        },
    ),
    (
        p.Ticker,
        '{"price":"61000.5","sequence":"204772","time":1712000000456}',
        {
            "sequence": 204772,
            "price": D("61000.5"),
            "wire_time": 1712000000456,
            "time_ns": 1712000000456000000,
        },
    ),
    (
        p.Level1,
        '{"asks":["61001.2","0.5"],"bids":["61001.1","1.25"],"timestamp":1712000001001}',
        {
            "asks": Level(D("61001.2"), D("0.5")),
            "bids": Level(D("61001.1"), D("1.25")),
            "wire_time": 1712000001001,
            "time_ns": 1712000001001000000,
        },
    ),
    (
        p.Depth,
        '{"asks":[["61001.2","0.5"],["61001.9","2"]],"bids":[["61001.1","1.25"]],"timestamp":1712000002002}',
        {
            "asks": (Level(D("61001.2"), D("0.5")), Level(D("61001.9"), D(2))),
            "bids": (Level(D("61001.1"), D("1.25")),),
            "wire_time": 1712000002002,
            "time_ns": 1712000002002000000,
        },
    ),
    (
        p.Depth,
        '{"bids":[["61001.1",513],[61001,12]],"sequence":1700294294671,"timestamp":1712000002003,'
        '"ts":1712000002003,"asks":[]}',
        {
            "asks": (),
            "bids": (Level(D("61001.1"), D(513)), Level(D(61001), D(12))),
            "sequence": 1700294294671,
            "wire_time": 1712000002003,
            "wire_time_alias": 1712000002003,
            "time_ns": 1712000002003000000,
        },
    ),
    (
        p.Level2Update,
        '{"changes":{"asks":[["61002.3","0","9001"]],"bids":[["61000","1.5","9002"],["0","0","9003"]]},'
        '"sequenceEnd":9003,"sequenceStart":9001,"symbol":"BTC-USDT","time":1712000003003}',
        {
            "symbol": "BTC-USDT",
            "sequence_start": 9001,
            "sequence_end": 9003,
            "changes": p.Level2Changes(
                asks=(LevelChange(D("61002.3"), D(0), 9001),),
                bids=(LevelChange(D(61000), D("1.5"), 9002), LevelChange(D(0), D(0), 9003)),
            ),
            "asks": (LevelChange(D("61002.3"), D(0), 9001),),
            "bids": (LevelChange(D(61000), D("1.5"), 9002), LevelChange(D(0), D(0), 9003)),
            "wire_time": 1712000003003,
            "time_ns": 1712000003003000000,
        },
    ),
    (
        p.Candles,
        '{"symbol":"KCS-USDT","candles":["1712001600","10.1","10.4","10.9","9.8","1234.5","12700.75"],'
        '"time":1712002000785164841}',
        {
            "symbol": "KCS-USDT",
            "candles": p.Candle(1712001600, D("10.1"), D("10.4"), D("10.9"), D("9.8"), D("1234.5"), D("12700.75")),
            "start_ns": 1712001600000000000,
            "open": D("10.1"),
            "close": D("10.4"),
            "high": D("10.9"),
            "low": D("9.8"),
            "volume": D("1234.5"),
            "turnover": D("12700.75"),
            "wire_time": 1712002000785164841,
            "time_ns": 1712002000785164841,
        },
    ),
    (
        p.FuturesCandles,
        '{"symbol":"XBTUSDTM","candles":["1712001600","61000","61010","61020","60990","1281.21","21"],'
        '"time":1712001601357}',
        {
            "symbol": "XBTUSDTM",
            "candles": p.FuturesCandle(1712001600, D(61000), D(61010), D(61020), D(60990), D("1281.21"), D(21)),
            "start_ns": 1712001600000000000,
            "open": D(61000),
            "close": D(61010),
            "high": D(61020),
            "low": D(60990),
            "turnover": D("1281.21"),
            "volume": D(21),
            "wire_time": 1712001601357,
            "time_ns": 1712001601357000000,
        },
    ),
    (
        p.Match,
        '{"makerOrderId":"66aa01","price":"61003","sequence":"11067996711960600","side":"buy","size":"0.004",'
        '"symbol":"BTC-USDT","takerOrderId":"66aa02","time":"1712000004921000001","tradeId":"11067996711960600",'
        '"type":"match"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 11067996711960600,
            "type": "match",
            "price": D(61003),
            "size": D("0.004"),
            "side": "buy",
            "trade_id": "11067996711960600",
            "maker_order_id": "66aa01",
            "taker_order_id": "66aa02",
            "wire_time": 1712000004921000001,
            "time_ns": 1712000004921000001,
        },
    ),
    (
        p.Match,
        '{"symbol":"KCS-USDT","sequence":1592995125440,"side":"sell","price":"0.967","size":"0.1",'
        '"remainSize":"2.8","takerOrderId":"5ef2","makerOrderId":"5ef1","tradeId":"5ef3",'
        '"ts":1593487482038606190}',
        {
            "symbol": "KCS-USDT",
            "sequence": 1592995125440,
            "price": D("0.967"),
            "size": D("0.1"),
            "side": "sell",
            "remain_size": D("2.8"),
            "trade_id": "5ef3",
            "maker_order_id": "5ef1",
            "taker_order_id": "5ef2",
            "wire_time_alias": 1593487482038606190,
            "time_ns": 1593487482038606190,
        },
    ),
    (
        p.CallAuction,
        '{"symbol":"NEW-USDT","estimatedPrice":"0.21","estimatedSize":"1500","sellOrderRangeLowPrice":"0.1",'
        '"sellOrderRangeHighPrice":"0.4","buyOrderRangeLowPrice":"0.11","buyOrderRangeHighPrice":"0.41",'
        '"time":1712000005000}',
        {
            "symbol": "NEW-USDT",
            "estimated_price": D("0.21"),
            "estimated_size": D(1500),
            "sell_order_range_low_price": D("0.1"),
            "sell_order_range_high_price": D("0.4"),
            "buy_order_range_low_price": D("0.11"),
            "buy_order_range_high_price": D("0.41"),
            "wire_time": 1712000005000,
            "time_ns": 1712000005000000000,
        },
    ),
    (
        p.IndicatorPrice,
        '{"symbol":"USDT-BTC","granularity":5000,"timestamp":1712000006000,"value":0.0000163}',
        {
            "symbol": "USDT-BTC",
            "granularity": 5000,
            "value": D("0.0000163"),
            "wire_time": 1712000006000,
            "time_ns": 1712000006000000000,
        },
    ),
    (
        p.FundingBook,
        '{"annualIntRate":0.0547,"currency":"USDT","dailyIntRate":0.00015,"sequence":87611419,"side":"lend",'
        '"size":25041,"term":7,"ts":1671005721087508736}',
        {
            "currency": "USDT",
            "daily_int_rate": D("0.00015"),
            "annual_int_rate": D("0.0547"),
            "size": D(25041),
            "term": 7,
            "side": "lend",
            "sequence": 87611419,
            "wire_time": 1671005721087508736,
            "time_ns": 1671005721087508736,
        },
    ),
    (
        p.Level3Received,
        '{"sequence":"1545896669150","type":"received","symbol":"BTC-USDT","orderId":"5c01","orderType":"limit",'
        '"side":"sell","price":"4.10000000000000000000","clientOid":"","time":"1545914149935808590"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 1545896669150,
            "type": "received",
            "order_id": "5c01",
            "client_oid": "",
            "order_type": "limit",
            "side": "sell",
            "price": D("4.1"),
            "activated": False,
            "wire_time": 1545914149935808590,
            "time_ns": 1545914149935808590,
        },
    ),
    (
        p.Level3Received,
        '{"sequence":"1545896669151","type":"activated","symbol":"BTC-USDT","orderId":"5c02","side":"buy",'
        '"size":"2","price":"","funds":"7.5","time":"1545914149935808591"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 1545896669151,
            "type": "activated",
            "order_id": "5c02",
            "side": "buy",
            "size": D(2),
            "funds": D("7.5"),
            "activated": True,
            "wire_time": 1545914149935808591,
            "time_ns": 1545914149935808591,
        },
    ),
    (
        p.Level3Received,
        '{"symbol":"KCS-USDT","sequence":1592995125450,"orderId":"5ef4","clientOid":"mine-1","ts":1593487481683297667}',
        {
            "symbol": "KCS-USDT",
            "sequence": 1592995125450,
            "order_id": "5ef4",
            "client_oid": "mine-1",
            "activated": False,
            "wire_time_alias": 1593487481683297667,
            "time_ns": 1593487481683297667,
        },
    ),
    (
        p.Level3Open,
        '{"sequence":"1545896669152","type":"open","orderId":"5c03","symbol":"BTC-USDT","side":"sell",'
        '"price":"6.20","size":"1","time":"1545914149935808633"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 1545896669152,
            "type": "open",
            "order_id": "5c03",
            "side": "sell",
            "price": D("6.20"),
            "size": D(1),
            "hidden": False,
            "order_time_ns": 0,
            "wire_time": 1545914149935808633,
            "time_ns": 1545914149935808633,
        },
    ),
    (
        p.Level3Open,
        '{"symbol":"KCS-USDT","sequence":1592995125451,"orderId":"5ef5","side":"buy","price":"","size":"0",'
        '"orderTime":1593487481683297668,"ts":1593487481683297669}',
        {
            "symbol": "KCS-USDT",
            "sequence": 1592995125451,
            "order_id": "5ef5",
            "side": "buy",
            "size": D(0),
            "hidden": True,
            "wire_order_time": 1593487481683297668,
            "order_time_ns": 1593487481683297668,
            "wire_time_alias": 1593487481683297669,
            "time_ns": 1593487481683297669,
        },
    ),
    (
        p.Level3Change,
        '{"sequence":"1545896669660","type":"change","orderId":"5c04","symbol":"BTC-USDT","side":"buy",'
        '"price":"1.00","newSize":"0.15","oldSize":"0.18","time":"1545915145402532255"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 1545896669660,
            "type": "change",
            "order_id": "5c04",
            "side": "buy",
            "price": D(1),
            "new_size": D("0.15"),
            "old_size": D("0.18"),
            "wire_time": 1545915145402532255,
            "time_ns": 1545915145402532255,
        },
    ),
    (
        p.Level3Update,
        '{"symbol":"KCS-USDT","sequence":1592995125860,"orderId":"5ef6","size":"0.05","ts":1593487696535838712}',
        {
            "symbol": "KCS-USDT",
            "sequence": 1592995125860,
            "order_id": "5ef6",
            "size": D("0.05"),
            "wire_time_alias": 1593487696535838712,
            "time_ns": 1593487696535838712,
        },
    ),
    (
        p.Level3Done,
        '{"sequence":"1545896669230","type":"done","orderId":"5c05","symbol":"BTC-USDT","side":"buy",'
        '"size":"1.1234","reason":"canceled","time":"1545914730696797107"}',
        {
            "symbol": "BTC-USDT",
            "sequence": 1545896669230,
            "type": "done",
            "order_id": "5c05",
            "side": "buy",
            "size": D("1.1234"),
            "reason": "canceled",
            "wire_time": 1545914730696797107,
            "time_ns": 1545914730696797107,
        },
    ),
    (
        p.OrderChange,
        '{"clientOid":"mine-2","orderId":"6720a1","orderTime":1712000007588,"orderType":"market",'
        '"originFunds":"25","side":"buy","status":"new","symbol":"BTC-USDT","ts":1712000007616000000,'
        '"type":"received"}',
        {
            "symbol": "BTC-USDT",
            "order_id": "6720a1",
            "client_oid": "mine-2",
            "type": "received",
            "status": "new",
            "side": "buy",
            "order_type": "market",
            "origin_funds": D(25),
            "wire_order_time": 1712000007588,
            "order_time_ns": 1712000007588000000,
            "wire_time": 1712000007616000000,
            "time_ns": 1712000007616000000,
        },
    ),
    (
        p.OrderChange,
        '{"canceledSize":"0","clientOid":"mine-3","filledSize":"0.002","liquidity":"taker","matchPrice":"61004",'
        '"matchSize":"0.002","orderId":"6720a2","orderTime":1593487482038606181,"orderType":"limit",'
        '"originSize":"0.003","price":"61005","remainSize":"0.001","side":"sell","size":"0.003","status":"match",'
        '"feeType":"takerFee","tradeId":"11067996711960601","symbol":"BTC-USDT","ts":1712000008335000000,'
        '"type":"match"}',
        {
            "symbol": "BTC-USDT",
            "order_id": "6720a2",
            "client_oid": "mine-3",
            "type": "match",
            "status": "match",
            "side": "sell",
            "order_type": "limit",
            "price": D(61005),
            "size": D("0.003"),
            "origin_size": D("0.003"),
            "filled_size": D("0.002"),
            "remain_size": D("0.001"),
            "canceled_size": D(0),
            "match_price": D(61004),
            "match_size": D("0.002"),
            "trade_id": "11067996711960601",
            "liquidity": "taker",
            "fee_type": "takerFee",
            "wire_order_time": 1593487482038606181,
            "order_time_ns": 1593487482038606181,
            "wire_time": 1712000008335000000,
            "time_ns": 1712000008335000000,
        },
    ),
    (
        p.OrderChange,
        '{"symbol":"KCS-USDT","orderType":"limit","side":"buy","orderId":"5ef7","type":"update","oldSize":"0.1",'
        '"size":"0.06","filledSize":"0","price":"0.937","remainSize":"0.06","canceledFunds":"0","remainFunds":"1",'
        '"funds":"1","tradeType":"TRADE","status":"open","ts":1593487682916117521}',
        {
            "symbol": "KCS-USDT",
            "order_id": "5ef7",
            "type": "update",
            "status": "open",
            "side": "buy",
            "order_type": "limit",
            "price": D("0.937"),
            "size": D("0.06"),
            "old_size": D("0.1"),
            "filled_size": D(0),
            "remain_size": D("0.06"),
            "funds": D(1),
            "remain_funds": D(1),
            "canceled_funds": D(0),
            "trade_type": "TRADE",
            "order_time_ns": 0,
            "wire_time": 1593487682916117521,
            "time_ns": 1593487682916117521,
        },
    ),
    (
        p.StopOrder,
        '{"orderId":"vs93","orderPrice":"70010","orderType":"stop","side":"buy","size":"0.00007","stop":"loss",'
        '"stopPrice":"71010","symbol":"BTC-USDT","tradeType":"TRADE","type":"triggered","triggerSuccess":true,'
        '"createdAt":1712000009064,"ts":1712000009091268493}',
        {
            "symbol": "BTC-USDT",
            "order_id": "vs93",
            "type": "triggered",
            "side": "buy",
            "stop": "loss",
            "stop_price": D(71010),
            "order_type": "stop",
            "order_price": D(70010),
            "size": D("0.00007"),
            "trade_type": "TRADE",
            "trigger_success": True,
            "wire_created": 1712000009064,
            "created_ns": 1712000009064000000,
            "wire_time": 1712000009091268493,
            "time_ns": 1712000009091268493,
        },
    ),
    (
        p.Balance,
        '{"accountId":"548674","currency":"USDT","total":"21.13","available":"20.12","hold":"1.01",'
        '"availableChange":"-0.5","holdChange":"0.5","relationContext":{"symbol":"BTC-USDT","orderId":"6721"},'
        '"relationEvent":"trade.hold","relationEventId":"35468","time":"1712000010892"}',
        {
            "account_id": "548674",
            "currency": "USDT",
            "total": D("21.13"),
            "available": D("20.12"),
            "hold": D("1.01"),
            "available_change": D("-0.5"),
            "hold_change": D("0.5"),
            "relation_event": "trade.hold",
            "relation_event_id": "35468",
            "relation_context": p.RelationContext(symbol="BTC-USDT", order_id="6721"),
            "wire_time": 1712000010892,
            "time_ns": 1712000010892000000,
        },
    ),
    (
        p.DebtRatio,
        '{"debtRatio":0.75,"totalAsset":0.0005243177228409,"marginCoefficientTotalAsset":"0.0005",'
        '"totalDebt":"21.7","assetList":{"BTC":{"total":"0.3","available":"0.1","hold":"0.2"}},'
        '"debtList":{"BTC":"1.21","USDT":"0"},"timestamp":1712000011657}',
        {
            "debt_ratio": D("0.75"),
            "total_asset": D("0.0005243177228409"),
            "margin_coefficient_total_asset": D("0.0005"),
            "total_debt": D("21.7"),
            "asset_list": {"BTC": p.AssetBalance(total=D("0.3"), available=D("0.1"), hold=D("0.2"))},
            "debt_list": {"BTC": D("1.21"), "USDT": D(0)},
            "wire_time": 1712000011657,
            "time_ns": 1712000011657000000,
        },
    ),
    (
        p.PositionStatus,
        '{"type":"FROZEN_FL","timestamp":1712000012210}',
        {"type": "FROZEN_FL", "wire_time": 1712000012210, "time_ns": 1712000012210000000},
    ),
    (
        p.IsolatedPosition,
        '{"tag":"BTC-USDT","status":"DEBT","statusBizType":"DEFAULT_DEBT","accumulatedPrincipal":"5.02",'
        '"changeAssets":{"BTC":{"total":"0.1","hold":"0","liabilityPrincipal":"0.2","liabilityInterest":"0.3"}},'
        '"timestamp":1712000013742}',
        {
            "symbol": "BTC-USDT",
            "status": "DEBT",
            "status_biz_type": "DEFAULT_DEBT",
            "accumulated_principal": D("5.02"),
            "change_assets": {
                "BTC": p.IsolatedAsset(
                    total=D("0.1"), hold=D(0), liability_principal=D("0.2"), liability_interest=D("0.3")
                )
            },
            "wire_time": 1712000013742,
            "time_ns": 1712000013742000000,
        },
    ),
    (
        p.LoanOrder,
        '{"currency":"BTC","orderId":"ac92","dailyIntRate":0.0001,"term":7,"size":1,"lentSize":0.5,"side":"lend",'
        '"ts":1553846081210004942}',
        {
            "currency": "BTC",
            "order_id": "ac92",
            "side": "lend",
            "size": D(1),
            "lent_size": D("0.5"),
            "daily_int_rate": D("0.0001"),
            "term": 7,
            "wire_time": 1553846081210004942,
            "time_ns": 1553846081210004942,
        },
    ),
    (
        p.LoanOrder,
        '{"currency":"BTC","orderId":"ac93","reason":"filled","side":"lend","ts":1553846081210004943}',
        {
            "currency": "BTC",
            "order_id": "ac93",
            "side": "lend",
            "reason": "filled",
            "wire_time": 1553846081210004943,
            "time_ns": 1553846081210004943,
        },
    ),
    (
        p.FuturesTickerV2,
        '{"symbol":"XBTUSDTM","sequence":1709284589210,"bestBidSize":714,"bestBidPrice":"61006.4",'
        '"bestAskPrice":"61006.5","bestAskSize":1038,"ts":1712000014461000000}',
        {
            "symbol": "XBTUSDTM",
            "sequence": 1709284589210,
            "best_bid": D("61006.4"),
            "best_bid_size": D(714),
            "best_ask": D("61006.5"),
            "best_ask_size": D(1038),
            "wire_time": 1712000014461000000,
            "time_ns": 1712000014461000000,
        },
    ),
    (
        p.FuturesTicker,
        '{"symbol":"XBTUSDTM","sequence":1793133570932,"side":"sell","size":1,"price":"61007.7",'
        '"bestBidSize":2187,"bestBidPrice":"61007.6","bestAskPrice":"61007.8","tradeId":"1793133570932",'
        '"bestAskSize":276,"ts":1712000015637000000}',
        {
            "symbol": "XBTUSDTM",
            "sequence": 1793133570932,
            "price": D("61007.7"),
            "size": D(1),
            "side": "sell",
            "trade_id": "1793133570932",
            "best_bid": D("61007.6"),
            "best_bid_size": D(2187),
            "best_ask": D("61007.8"),
            "best_ask_size": D(276),
            "wire_time": 1712000015637000000,
            "time_ns": 1712000015637000000,
        },
    ),
    (
        p.FuturesLevel2Update,
        '{"sequence":1709400450244,"change":"61008.2,sell,3","timestamp":1712000016182}',
        {
            "sequence": 1709400450244,
            "change": "61008.2,sell,3",
            "price": D("61008.2"),
            "side": "sell",
            "size": D(3),
            "wire_time": 1712000016182,
            "time_ns": 1712000016182000000,
        },
    ),
    (
        p.FuturesMatch,
        '{"symbol":"XBTUSDTM","sequence":1794100537696,"side":"buy","size":2,"price":"61009.9",'
        '"takerOrderId":"2478","makerOrderId":"2477","tradeId":"1794100537696","ts":1712000017520000000}',
        {
            "symbol": "XBTUSDTM",
            "sequence": 1794100537696,
            "price": D("61009.9"),
            "size": D(2),
            "side": "buy",
            "trade_id": "1794100537696",
            "maker_order_id": "2477",
            "taker_order_id": "2478",
            "wire_time": 1712000017520000000,
            "time_ns": 1712000017520000000,
        },
    ),
    (
        p.MarkIndexPrice,
        '{"markPrice":61010.02,"indexPrice":61010.12,"granularity":1000,"timestamp":1712000018000}',
        {
            "mark_price": D("61010.02"),
            "index_price": D("61010.12"),
            "granularity": 1000,
            "wire_time": 1712000018000,
            "time_ns": 1712000018000000000,
        },
    ),
    (
        p.FundingRate,
        '{"granularity":60000,"fundingRate":-0.002967,"period":1,"timestamp":1712000019000}',
        {
            "funding_rate": D("-0.002967"),
            "granularity": 60000,
            "period": 1,
            "wire_time": 1712000019000,
            "time_ns": 1712000019000000000,
        },
    ),
    (
        p.FundingSettlement,
        '{"symbol":"XBTUSDTM","fundingTime":1712001600000,"fundingRate":-0.002966,"timestamp":1712001610000}',
        {
            "symbol": "XBTUSDTM",
            "funding_rate": D("-0.002966"),
            "wire_funding_time": 1712001600000,
            "funding_time_ns": 1712001600000000000,
            "wire_time": 1712001610000,
            "time_ns": 1712001610000000000,
        },
    ),
    (
        p.FuturesSnapshot,
        '{"highPrice":61512.8,"lastPrice":60326.7,"lowPrice":58747.8,"price24HoursBefore":59880.4,'
        '"priceChg":446.3,"priceChgPct":0.0074,"symbol":"XBTUSDTM","ts":1712000020023929240,'
        '"turnover":526928331.0482179,"volume":5834.47,"fundingRate":0.0001}',
        {
            "symbol": "XBTUSDTM",
            "last_price": D("60326.7"),
            "high_price": D("61512.8"),
            "low_price": D("58747.8"),
            "price_24_hours_before": D("59880.4"),
            "price_chg": D("446.3"),
            "price_chg_pct": D("0.0074"),
            "volume": D("5834.47"),
            "turnover": D("526928331.0482179"),
            "funding_rate": D("0.0001"),
            "wire_time": 1712000020023929240,
            "time_ns": 1712000020023929240,
        },
    ),
    (
        p.FuturesOrderChange,
        '{"symbol":"XBTUSDTM","side":"buy","canceledSize":"0","orderId":"2479","liquidity":"maker",'
        '"marginMode":"ISOLATED","positionSide":"BOTH","type":"match","orderTime":1712000021768138918,"size":"3",'
        '"filledSize":"1","price":"61011","remainSize":"2","status":"open","matchSize":"1","matchPrice":"61011",'
        '"tradeId":"1793133570933","tradeType":"trade","feeType":"makerFee","orderType":"limit",'
        '"clientOid":"mine-4","allCanceledSize":"0","oldSize":"4","ts":1712000021789000000}',
        {
            "symbol": "XBTUSDTM",
            "order_id": "2479",
            "client_oid": "mine-4",
            "type": "match",
            "status": "open",
            "side": "buy",
            "order_type": "limit",
            "trade_type": "trade",
            "price": D(61011),
            "size": D(3),
            "filled_size": D(1),
            "remain_size": D(2),
            "canceled_size": D(0),
            "all_canceled_size": D(0),
            "old_size": D(4),
            "match_price": D(61011),
            "match_size": D(1),
            "trade_id": "1793133570933",
            "liquidity": "maker",
            "fee_type": "makerFee",
            "margin_mode": "ISOLATED",
            "position_side": "BOTH",
            "wire_order_time": 1712000021768138918,
            "order_time_ns": 1712000021768138918,
            "wire_time": 1712000021789000000,
            "time_ns": 1712000021789000000,
        },
    ),
    (
        p.FuturesOrderChange,
        '{"orderId":"5cdf","symbol":"XBTUSDTM","type":"open","status":"open","matchSize":"","matchPrice":"",'
        '"orderType":"market","side":"sell","price":"","size":"20","remainSize":"20","filledSize":"0",'
        '"tradeId":"","ts":1545914149935808590}',
        {
            "symbol": "XBTUSDTM",
            "order_id": "5cdf",
            "type": "open",
            "status": "open",
            "side": "sell",
            "order_type": "market",
            "size": D(20),
            "remain_size": D(20),
            "filled_size": D(0),
            "trade_id": "",
            "order_time_ns": 0,
            "wire_time": 1545914149935808590,
            "time_ns": 1545914149935808590,
        },
    ),
    (
        p.FuturesStopOrder,
        '{"createdAt":1712000022837,"marginMode":"CROSS","positionSide":"BOTH","orderId":"2406","orderPrice":"0.2",'
        '"orderType":"stop","side":"buy","size":1,"stop":"down","stopPrice":"1001","stopPriceType":"TP",'
        '"symbol":"XBTUSDTM","triggerSuccess":false,"error":"error.balance","ts":1712000022843133000,'
        '"type":"triggered"}',
        {
            "symbol": "XBTUSDTM",
            "order_id": "2406",
            "type": "triggered",
            "side": "buy",
            "stop": "down",
            "stop_price": D(1001),
            "stop_price_type": "TP",
            "order_type": "stop",
            "order_price": D("0.2"),
            "size": D(1),
            "margin_mode": "CROSS",
            "position_side": "BOTH",
            "trigger_success": False,
            "error": "error.balance",
            "wire_created": 1712000022837,
            "created_ns": 1712000022837000000,
            "wire_time": 1712000022843133000,
            "time_ns": 1712000022843133000,
        },
    ),
    (
        p.Wallet,
        '{"crossPosMargin":"1","isolatedOrderMargin":"2","holdBalance":"3","equity":"4","version":"1338",'
        '"availableBalance":"5","isolatedPosMargin":"6","walletBalance":"7","isolatedFundingFeeMargin":"8",'
        '"crossUnPnl":"9","totalCrossMargin":"10","currency":"USDT","isolatedUnPnl":"0.2","crossOrderMargin":"11",'
        '"maxWithdrawAmount":"12","timestamp":"1712000023764"}',
        {
            "currency": "USDT",
            "equity": D(4),
            "wallet_balance": D(7),
            "available_balance": D(5),
            "hold_balance": D(3),
            "max_withdraw_amount": D(12),
            "total_cross_margin": D(10),
            "cross_pos_margin": D(1),
            "cross_order_margin": D(11),
            "cross_un_pnl": D(9),
            "isolated_pos_margin": D(6),
            "isolated_order_margin": D(2),
            "isolated_funding_fee_margin": D(8),
            "isolated_un_pnl": D("0.2"),
            "version": 1338,
            "wire_time": 1712000023764,
            "time_ns": 1712000023764000000,
        },
    ),
    (
        p.Wallet,
        '{"orderMargin":5923,"currency":"USDT","timestamp":1553842862614}',
        {
            "currency": "USDT",
            "order_margin": D(5923),
            "wire_time": 1553842862614,
            "time_ns": 1553842862614000000,
        },
    ),
    (
        p.Wallet,
        '{"availableBalance":5923,"holdBalance":2312,"currency":"USDT","timestamp":1553842862615}',
        {
            "currency": "USDT",
            "available_balance": D(5923),
            "hold_balance": D(2312),
            "wire_time": 1553842862615,
            "time_ns": 1553842862615000000,
        },
    ),
    (
        p.Wallet,
        '{"withdrawHold":5923,"currency":"USDT","timestamp":1553842862616}',
        {
            "currency": "USDT",
            "withdraw_hold": D(5923),
            "wire_time": 1553842862616,
            "time_ns": 1553842862616000000,
        },
    ),
    (
        p.PositionChange,
        '{"markPrice":7947.83,"markValue":0.0025164,"maintMargin":0.00252044,"realLeverage":10.06,'
        '"unrealisedPnl":-0.00014735,"unrealisedRoePcnt":-0.0553,"unrealisedPnlPcnt":-0.0552,'
        '"delevPercentage":0.52,"currentTimestamp":1558087175068,"settleCurrency":"XBT"}',
        {
            "mark_price": D("7947.83"),
            "mark_value": D("0.0025164"),
            "maint_margin": D("0.00252044"),
            "real_leverage": D("10.06"),
            "unrealised_pnl": D("-0.00014735"),
            "unrealised_roe_pcnt": D("-0.0553"),
            "unrealised_pnl_pcnt": D("-0.0552"),
            "delev_percentage": D("0.52"),
            "settle_currency": "XBT",
            "opening_ns": 0,
            "wire_time": 1558087175068,
            "time_ns": 1558087175068000000,
        },
    ),
    (
        p.PositionSettlement,
        '{"fundingTime":1551770400000,"qty":100,"markPrice":3610.85,"fundingRate":-0.002966,"fundingFee":-296,'
        '"ts":1547697294838004924,"settleCurrency":"XBT","marginMode":"CROSS"}',
        {
            "funding_rate": D("-0.002966"),
            "funding_fee": D(-296),
            "qty": D(100),
            "mark_price": D("3610.85"),
            "settle_currency": "XBT",
            "margin_mode": "CROSS",
            "wire_funding_time": 1551770400000,
            "funding_time_ns": 1551770400000000000,
            "wire_time": 1547697294838004924,
            "time_ns": 1547697294838004924,
        },
    ),
    (
        p.PositionRiskLimit,
        '{"success":false,"riskLimitLevel":2,"msg":"too low"}',
        {"success": False, "risk_limit_level": 2, "msg": "too low"},
    ),
    (
        p.MarginMode,
        '{"ETHUSDTM":"ISOLATED","XBTUSDTM":"CROSS"}',
        {"by_symbol": {"ETHUSDTM": "ISOLATED", "XBTUSDTM": "CROSS"}},
    ),
    (
        p.CrossLeverage,
        '{"ETHUSDTM":{"leverage":"8"}}',
        {"by_symbol": {"ETHUSDTM": p.Leverage(D(8))}},
    ),
]

FULL_POSITION = {
    "symbol": "XBTUSDTM",
    "markPrice": 61012.79,
    "changeReason": "positionChange",
    "marginMode": "ISOLATED",
    "crossMode": False,
    "positionSide": "BOTH",
    "isOpen": True,
    "currentQty": -20,
    "currentCost": 91.5306,
    "currentComm": 0.09179284,
    "avgEntryPrice": 61000.5,
    "markValue": 1220.2558,
    "liquidationPrice": 73853.0426625,
    "bankruptPrice": 73355.6,
    "leverage": 4.9685590767,
    "settleCurrency": "USDT",
    "unrealisedCost": 91.6945,
    "unrealisedPnl": 0.14529,
    "unrealisedPnlPcnt": 0.0016,
    "unrealisedRoePcnt": 0.0079,
    "realisedCost": -0.07210716,
    "realisedPnl": 0.07210716,
    "realisedGrossCost": -0.1639,
    "realisedGrossPnl": 0.1639,
    "posCost": 91.6945,
    "posInit": 18.3389,
    "posMaint": 0.5634627025,
    "posMargin": 18.40492004,
    "maintMarginReq": 0.005,
    "delevPercentage": 0.1,
    "riskLimitLevel": 2,
    "autoDeposit": True,
    "riskLimit": 500000,
    "realLeverage": 4.9685590767,
    "posComm": 0.06602004,
    "posCross": 1.2e-07,
    "posFunding": 0,
    "posLoss": 0,
    "maintMargin": 18.55021004,
    "dealComm": -0.110982432,
    "fundingFee": -0.00291083,
    "tax": 0,
    "aggRate": 0.0046,
    "openingTimestamp": 1712000013097,
    "currentTimestamp": 1712000024514,
}

STATISTICS = (
    '{"askSize":1.15955796,"averagePrice":66867.89967612,"baseCurrency":"BTC","bidSize":0.81772627,"board":1,'
    '"buy":67158.1,"changePrice":5.3e-08,"changeRate":0.0047,"close":67158.1,"datetime":1712000025011,'
    '"high":67611.8,"lastTradedPrice":67158.15,"low":2.62e-06,"makerCoefficient":1.0,"makerFeeRate":0.001,'
    '"marginTrade":true,"mark":0,"market":"USDS","marketChange1h":{"changePrice":-102.1,"changeRate":-0.0015,'
    '"high":67310.6,"low":67051.8,"open":67260.2,"vol":53.73698081,"volValue":3609965.138191277},'
    '"marketChange24h":{"open":1},"marketChange4h":{"open":2},"markets":["USDS","PoW"],"open":66842.9,'
    '"quoteCurrency":"USDT","sell":67158.2,"siteTypes":["turkey","global"],"sort":100,"symbol":"BTC-USDT",'
    '"symbolCode":"BTC-USDT","takerCoefficient":1.1,"takerFeeRate":0.002,"trading":true,"vol":2227.69895852,'
    '"volValue":147972941.07857507}'
)


def identify(case: object) -> str:
    return case.__name__ if isinstance(case, type) else ""


SHAPES += UTA_SHAPES
messages = pytest.mark.parametrize(("cls", "text"), [shape[:2] for shape in SHAPES], ids=identify)


@pytest.mark.parametrize(("cls", "text", "expected"), SHAPES, ids=identify)
def test_each_shape_decodes_field_by_field(cls: type[p.Payload], text: str, expected: dict[str, Any]) -> None:
    payload = decode(cls, text)
    assert type(payload) is cls
    names = [
        name
        for name in fields_of(cls)
        if name != "datetime"
        and name.replace("wire_", "", 1) not in set(fields_of(cls)) - {name}
        and not (name.startswith("wire_") and cls.__name__.startswith("Uta"))  # a property reads each of them
    ]
    got = {name: getattr(payload, name) for name in names}
    telling = {name: value for name, value in got.items() if name in expected or value not in (None, 0)}
    assert telling == expected


def test_a_whole_position_decodes_field_by_field() -> None:
    position = decode(p.PositionChange, json.dumps(FULL_POSITION))
    assert position.wire_time == 1712000024514
    assert position.time_ns == 1712000024514000000
    assert position.opening_ns == 1712000013097000000
    for field in msgspec.structs.fields(p.PositionChange):
        value = getattr(position, field.name)
        sent = FULL_POSITION[field.encode_name]
        assert value == (D(repr(sent)) if isinstance(value, D) else sent), field.name


def test_a_snapshot_keeps_json_numbers_exact() -> None:
    snapshot = decode(p.Snapshot, '{"sequence":"14691517896","data":' + STATISTICS + "}")
    assert snapshot.sequence == 14691517896
    assert snapshot.symbol == "BTC-USDT"
    assert snapshot.time_ns == 1712000025011000000
    assert snapshot.datetime == dt.datetime(2024, 4, 1, 19, 33, 45, 11000, dt.timezone.utc)
    assert snapshot.data == p.SymbolStatistics(
        symbol="BTC-USDT",
        symbol_code="BTC-USDT",
        base_currency="BTC",
        quote_currency="USDT",
        last_traded_price=D("67158.15"),
        average_price=D("66867.89967612"),
        best_bid=D("67158.1"),
        best_bid_size=D("0.81772627"),
        best_ask=D("67158.2"),
        best_ask_size=D("1.15955796"),
        open=D("66842.9"),
        high=D("67611.8"),
        low=D("0.00000262"),
        close=D("67158.1"),
        change_price=D("0.000000053"),
        change_rate=D("0.0047"),
        volume=D("2227.69895852"),
        turnover=D("147972941.07857507"),
        market_change_1h=p.MarketChange(
            open=D("67260.2"),
            high=D("67310.6"),
            low=D("67051.8"),
            change_price=D("-102.1"),
            change_rate=D("-0.0015"),
            volume=D("53.73698081"),
            turnover=D("3609965.138191277"),
        ),
        market_change_4h=p.MarketChange(open=D(2)),
        market_change_24h=p.MarketChange(open=D(1)),
        market="USDS",
        markets=("USDS", "PoW"),
        site_types=("turkey", "global"),
        maker_fee_rate=D("0.001"),
        taker_fee_rate=D("0.002"),
        maker_coefficient=D("1.0"),
        taker_coefficient=D("1.1"),
        margin_trade=True,
        trading=True,
        board=1,
        mark=0,
        sort=100,
        wire_time=1712000025011,
    )


def test_every_struct_has_a_shape_in_these_tests() -> None:
    assert {cls for cls, _, _ in SHAPES} | {p.Snapshot, p.SymbolStatistics} == set(CLASSES)


@pytest.mark.parametrize(
    "text",
    ["66867.89967612", "2.62e-06", "0.1", "123456789012345678901234567890.12345678901234567890", "-0.3", "7"],
)
def test_a_number_is_exact_whether_it_comes_as_text_or_as_a_number(text: str) -> None:
    for spelling in (text, f'"{text}"'):
        ticker = decode(p.Ticker, f'{{"sequence":1,"price":{spelling}}}')
        assert str(ticker.price) == str(D(text))


@pytest.mark.parametrize("spelling", ["1545896669291", '"1545896669291"'])
def test_a_sequence_is_an_integer_whether_it_comes_as_text_or_as_a_number(spelling: str) -> None:
    assert decode(p.Ticker, f'{{"sequence":{spelling},"price":"1"}}').sequence == 1545896669291


@pytest.mark.parametrize("spelling", ['"1712000004921000001"', "1712000004921000001"])
def test_an_instant_may_come_as_text_or_as_a_number(spelling: str) -> None:
    status = decode(p.PositionStatus, f'{{"type":"LIABILITY","timestamp":{spelling}}}')
    assert status.time_ns == 1712000004921000001


@pytest.mark.parametrize("spelling", ["true", "1", '"true"', '"1"'])
def test_a_flag_is_read_from_its_usual_spellings_only(spelling: str) -> None:
    assert decode(p.PositionRiskLimit, f'{{"success":{spelling}}}').success is True


def test_text_that_looks_like_another_type_stays_text() -> None:
    order = decode(
        p.OrderChange,
        '{"symbol":"NULL-USDT","orderId":"123","clientOid":"null","type":"true","side":"buy","tradeId":"0"}',
    )
    assert (order.order_id, order.client_oid, order.type, order.trade_id) == ("123", "null", "true", "0")


@pytest.mark.parametrize(
    ("wire", "ns"),
    [
        (0, 0),
        (1712000025, 1712000025 * 10**9),
        (10**11 - 1, (10**11 - 1) * 10**9),
        (10**11, 10**17),
        (1712000025011, 1712000025011 * 10**6),
        (10**14, 10**17),
        (1712000025011022, 1712000025011022 * 10**3),
        (10**17, 10**17),
        (1712000025011022033, 1712000025011022033),
    ],
)
def test_the_size_of_an_instant_determines_its_unit(wire: int, ns: int) -> None:
    assert to_ns(wire) == ns


@given(st.datetimes(dt.datetime(1973, 4, 1), dt.datetime(2262, 1, 1)))
def test_all_units_of_one_instant_agree(instant: dt.datetime) -> None:
    whole = instant.replace(microsecond=0, tzinfo=dt.timezone.utc)
    seconds = (whole - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(seconds=1)
    for factor in (1, 10**3, 10**6, 10**9):
        status = p.PositionStatus(type="LIABILITY", wire_time=seconds * factor)
        assert status.time_ns == seconds * 10**9
        assert status.datetime == whole


def test_a_datetime_is_in_utc_and_truncated_to_microseconds() -> None:
    match = p.PositionStatus(type="LIABILITY", wire_time=1712000004921000999)
    assert match.datetime == dt.datetime(2024, 4, 1, 19, 33, 24, 921000, dt.timezone.utc)


def test_the_latest_possible_instant_is_a_datetime() -> None:
    last = decode(p.PositionStatus, f'{{"type":"LIABILITY","timestamp":{2**63 - 1}}}')
    assert last.datetime.year == 2262


@pytest.mark.parametrize("wire", ["-1", str(2**63), '"-5"', "1e300", '"soon"', "1.5"])
def test_an_instant_out_of_bounds_does_not_fit(wire: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(p.PositionStatus, f'{{"type":"LIABILITY","timestamp":{wire}}}')


def test_a_push_without_time_has_the_time_zero() -> None:
    ticker = decode(p.Ticker, '{"sequence":"1545896668986","price":"0.08"}')
    assert ticker.time_ns == 0
    assert ticker.datetime == dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def test_rows_unpack_as_tuples() -> None:
    depth = decode(p.Depth, '{"asks":[["10.2","3"]],"bids":[["10.1",4]],"timestamp":1}')
    assert [price * size for price, size in depth.asks + depth.bids] == [D("30.6"), D("40.4")]
    update = decode(
        p.Level2Update,
        '{"symbol":"A-B","sequenceStart":1,"sequenceEnd":1,"changes":{"asks":[["10.2","3","1"]],"bids":[]}}',
    )
    ((price, size, sequence),) = update.asks
    assert (price, size, sequence) == (D("10.2"), D(3), 1)
    assert update.asks[0].price == D("10.2")
    assert update.bids == ()


def test_a_side_without_changes_may_be_missing() -> None:
    update = decode(p.Level2Update, '{"symbol":"A-B","sequenceStart":1,"sequenceEnd":1,"changes":{}}')
    assert update.asks == update.bids == ()


@pytest.mark.parametrize("row", ['["1"]', '["1","2","3"]', '["1","x"]', "{}", '"1,2"'])
def test_a_malformed_row_does_not_fit(row: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(p.Depth, f'{{"asks":[{row}],"bids":[]}}')


@pytest.mark.parametrize("blank", ["[]", "null", '""'])
def test_an_empty_side_of_level_1_is_none(blank: str) -> None:
    level1 = decode(p.Level1, f'{{"asks":{blank},"bids":["1","2"],"timestamp":1712000001001}}')
    assert level1.asks is None
    assert level1.bids == Level(D(1), D(2))


@pytest.mark.parametrize("text", ['{"bids":["1","2"]}', '{"asks":["1"],"bids":["1","2"]}'])
def test_a_missing_or_incomplete_side_of_level_1_does_not_fit(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(p.Level1, text)


@pytest.mark.parametrize(
    ("change", "price", "side", "size"),
    [
        ("61008.2,sell,0", "61008.2", "sell", "0"),
        ("0.00001,buy,100000", "0.00001", "buy", "100000"),
        ("1.2E-7,buy,3.5", "1.2E-7", "buy", "3.5"),
    ],
)
def test_a_futures_change_is_read_exactly(change: str, price: str, side: str, size: str) -> None:
    update = decode(p.FuturesLevel2Update, f'{{"sequence":1,"change":"{change}"}}')
    assert (update.price, update.side, update.size) == (D(price), side, D(size))


@pytest.mark.parametrize(
    "change",
    ["", "1,sell", "1,sell,2,3", "1,hold,2", "x,sell,2", "1,sell,", "-1,sell,2", " 1,sell,2", "1,sell,2\\n",
     "1,sell,NaN", "١,sell,2", "1e99999,sell,2", "1.,sell,2"],
)  # fmt: skip
def test_a_malformed_futures_change_does_not_fit(change: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(p.FuturesLevel2Update, f'{{"sequence":1,"change":"{change}"}}')


def test_each_part_of_a_futures_change_is_read_by_itself() -> None:
    read = reader_for(p.FuturesLevel2Update)
    usual = ("9.5", "buy", "2")
    readings: dict[str, Any] = {"9.5": D("9.5"), "buy": "buy", "2": D(2), " 2 ": D(2), " BUY": "buy", "Sell": "sell"}
    for place, odd in product(
        range(3), ["", " ", "x", "-1", "NaN", "1e99999", "hold", " BUY", "Sell", " 2 ", "2", "buy"]
    ):
        change = ",".join([*usual[:place], odd, *usual[place + 1 :]])
        for more in ("", ",7", ",", ",a,b"):
            reading = read(json.dumps({"sequence": 1, "change": change + more}).encode())
            update = reading.payload
            expected: list[Any] = [readings[each] for each in usual]
            expected[place] = readings.get(odd) if isinstance(readings.get(odd), str) == (place == 1) else None
            assert [update.price, update.side, update.size] == expected, change
            assert (update.change, update.extra) == (change + more, {})
            assert len(reading.mismatches) == (change + more not in ("9.5,buy,2", "2,buy,2")), change


@pytest.mark.parametrize("change", ["", "9.5", "9.5,buy"])
def test_a_futures_change_may_lack_parts(change: str) -> None:
    update = reader_for(p.FuturesLevel2Update)(json.dumps({"sequence": 1, "change": change}).encode()).payload
    parts = (update.price, update.side, update.size)
    assert parts == (D("9.5") if change else None, "buy" if "buy" in change else None, None)


def test_a_candle_may_have_more_columns_but_not_fewer() -> None:
    row = '"1712001600","1","2","3","0.5","10","20"'
    assert decode(p.Candles, f'{{"symbol":"A-B","candles":[{row},"new"],"time":1}}').turnover == D(20)
    with pytest.raises(msgspec.ValidationError):
        decode(p.Candles, '{"symbol":"A-B","candles":["1712001600","1","2","3"],"time":1}')


@pytest.mark.parametrize("blank", ['""', "null"])
def test_a_blank_where_a_field_may_be_absent_counts_as_absent(blank: str) -> None:
    text = (
        f'{{"symbol":"A-B","orderId":"1","type":"open","side":"buy","price":{blank},"size":"2",'
        f'"orderTime":{blank},"ts":{blank}}}'
    )
    order = decode(p.OrderChange, text)
    assert (order.price, order.size, order.order_time_ns, order.time_ns) == (None, D(2), 0, 0)


@messages
def test_the_fast_decoder_refuses_blanks_and_reads_everything_else_alike(cls: type[p.Payload], text: str) -> None:
    decode_fast = fast_decoder_for(cls)
    if re.search('"(price|matchSize)":""', text):
        with pytest.raises(msgspec.ValidationError, match="Invalid decimal string"):
            decode_fast(text.encode())
    elif re.search('"(ti|os|A)":[0-9]', text):  # numbers where text is usual
        with pytest.raises(msgspec.ValidationError, match=r"Expected `str \| null`, got `(int|float)`"):
            decode_fast(text.encode())
    else:
        assert decode_fast(text.encode()) == decode(cls, text)


def test_a_blank_text_stays_text_beside_other_blanks() -> None:
    text = '{"symbol":"A-B","orderId":"1","type":"open","side":"buy","price":"","clientOid":"","feeType":""}'
    order = decode(p.OrderChange, text)
    assert (order.price, order.client_oid, order.fee_type) == (None, "", "")


@pytest.mark.parametrize(
    "text",
    [
        '{"sequence":"","price":"1"}',
        '{"sequence":1,"price":""}',
        '{"sequence":1,"price":null}',
        '{"sequence":1,"price":"","size":""}',
    ],
)
def test_a_blank_where_a_value_is_needed_does_not_fit(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(p.Ticker, text)


def test_a_hidden_order_needs_its_blank_price() -> None:
    with pytest.raises(msgspec.ValidationError, match="price"):
        decode(p.Level3Open, '{"symbol":"A-B","sequence":1,"orderId":"1","side":"buy","size":"0"}')


def test_an_unknown_side_does_not_fit_but_an_unknown_status_does() -> None:
    text = '{"symbol":"A-B","orderId":"1","type":"teleported","status":"odd","side":"%s"}'
    assert decode(p.OrderChange, text % "sell").type == "teleported"
    with pytest.raises(msgspec.ValidationError, match="side"):
        decode(p.OrderChange, text % "hold")


@messages
def test_unknown_fields_are_ignored(cls: type[p.Payload], text: str) -> None:
    if issubclass(cls, Whole):
        return
    more = text[:-1] + ',"fieldOfTomorrow":{"a":[1,"",null]},"anotherOne":""}'
    assert decode(cls, more) == decode(cls, text)


@messages
def test_every_optional_field_may_be_missing(cls: type[p.Payload], text: str) -> None:
    if issubclass(cls, Whole):
        return
    required = {field.encode_name for field in msgspec.structs.fields(cls) if field.required}
    least = {name: value for name, value in json.loads(text).items() if name in required}
    decode(cls, json.dumps(least))
    for name in required:
        with pytest.raises(msgspec.ValidationError):
            decode(cls, json.dumps({key: value for key, value in least.items() if key != name}))


@pytest.mark.parametrize("cls", [p.MarginMode, p.CrossLeverage], ids=identify)
def test_a_payload_keyed_by_symbol_takes_any_symbol_and_no_other_form(cls: type[p.Payload]) -> None:
    assert decode(cls, "{}") == cls(by_symbol={})
    for text in ('{"A":true}', '{"A":null}', "[]", '"A"', '{"A":{"leverage":"x"}}'):
        with pytest.raises(msgspec.ValidationError):
            decode(cls, text)


@pytest.mark.parametrize("cls", CLASSES, ids=identify)
def test_text_that_is_no_json_is_a_decode_error(cls: type[p.Payload]) -> None:
    for data in (b"", b"{", b'{"a":}', b"\xff", b'{"price":"","x"', b'{"sequence":1,"pri'):
        with pytest.raises(msgspec.DecodeError):
            decoder_for(cls)(data)


def test_raw_slices_decode_like_bytes() -> None:
    text = b'{"sequence":1,"price":"0.5","size":""}'
    assert decoder_for(p.Ticker)(msgspec.Raw(text)) == decoder_for(p.Ticker)(text)


def test_a_decoder_is_built_once() -> None:
    assert decoder_for(p.Ticker) is decoder_for(p.Ticker)


def test_a_payload_is_read_only_and_equal_by_value() -> None:
    ticker = decode(p.Ticker, '{"sequence":1,"price":"0.5"}')
    with pytest.raises(AttributeError):
        ticker.price = D(2)
    assert ticker == p.Ticker(sequence=1, price=D("0.5"))
    assert copy.deepcopy(ticker) == ticker
    assert hash(ticker) == hash(p.Ticker(sequence=1, price=D("0.5")))


def test_fields_of_lists_fields_then_computed_ones_then_unconverted_ones() -> None:
    assert fields_of(p.Candles) == (
        "symbol", "candles", "start_ns", "open", "high", "low", "close", "volume", "turnover", "time_ns",
        "datetime", "wire_time",
    )  # fmt: skip
    assert fields_of(p.Snapshot) == ("sequence", "data", "symbol", "time_ns", "datetime")
    assert fields_of(p.MarginMode) == ("by_symbol",)
    assert fields_of(p.Match)[:3] == ("symbol", "sequence", "type")
    assert fields_of(p.Match)[-4:] == ("time_ns", "datetime", "wire_time", "wire_time_alias")


@pytest.mark.parametrize("cls", CLASSES, ids=identify)
def test_every_struct_has_a_docstring(cls: type[p.Payload]) -> None:
    assert cls.__doc__
    assert set(fields_of(cls)) >= set(cls.__struct_fields__)


tricky = st.sampled_from(
    ["", "0", "1.5", "-7", "NaN", "sNaN", "-Infinity", "1e400", "1" * 5000, "buy", "9.5,sell,2", "9,sell",
     "true", "null"]
)  # fmt: skip
numbers = st.integers() | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8) | tricky
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def decodes_or_is_refused(cls: type[p.Payload], value: object) -> None:
    try:
        payload = decoder_for(cls)(json.dumps(value).encode())
    except msgspec.DecodeError:
        return
    for name in fields_of(cls):
        getattr(payload, name)


@pytest.mark.parametrize("cls", CLASSES, ids=identify)
@settings(max_examples=examples(20), deadline=None)
@given(value=values)
def test_any_json_decodes_or_is_refused(cls: type[p.Payload], value: object) -> None:
    decodes_or_is_refused(cls, value)


@pytest.mark.parametrize(("cls", "text"), spread([shape[:2] for shape in SHAPES], 4), ids=identify)
@settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_a_message_with_any_values_swapped_decodes_or_is_refused(
    cls: type[p.Payload], text: str, data: st.DataObject
) -> None:
    message = json.loads(text)
    if not isinstance(message, dict):
        return
    swapped = data.draw(st.dictionaries(st.sampled_from(sorted(message)), values, max_size=3))
    decodes_or_is_refused(cls, {**message, **swapped})


ESCAPES = [
    r"\ud83d",
    r"\uDBFF",
    r"\ude00",
    r"\uDC00",
    r"\u0041",
    r"\ue000",
    r"\n",
    "\\\\",
    r"\"",
    "u",
    "d83d",
    "a",
    "größe",
]


@given(st.lists(st.sampled_from(ESCAPES), max_size=8).map("".join))
@settings(max_examples=examples(400))
def test_half_a_character_is_replaced_and_nothing_else(inside: str) -> None:
    text = f'"{inside}"'
    halves = re.compile("[\ud800-\udfff]")  # of what Python reads, where pairs are one character
    assert plain(text.encode()) == halves.sub("\ufffd", json.loads(text))


def test_a_ticker_takes_numbers_where_text_is_usual_and_no_other_text() -> None:
    decode = decoder_for(p.Ticker)
    ticker = decode(b'{"sequence":1,"price":0.1,"size":2.50,"bestBid":-1e-3,"bestAsk":"","bestAskSize":null}')
    assert (ticker.price, ticker.size, ticker.best_bid) == (Decimal("0.1"), Decimal("2.50"), Decimal("-0.001"))
    assert ticker.best_ask is ticker.best_ask_size is ticker.best_bid_size is None
    for text in (b"much", b"NaN", b"-nan", b"sNaN", b"Infinity", b"-inf"):
        payload = decode(b'{"sequence":1,"price":"1","size":"2","bestAsk":"%b"}' % text)
        assert (payload.best_ask, payload.size, payload.price) == (None, 2, 1)


@pytest.mark.parametrize("word", ["NaN", "-nan", "sNaN", "Infinity", "-inf"])
def test_no_word_is_a_number_where_fields_are_read_one_by_one(word: str) -> None:
    reading = reader_for(p.Ticker)(b'{"sequence":"much","price":"%b"}' % word.encode())
    assert (reading.payload.price, reading.payload.extra) == (None, {"sequence": "much", "price": word})
    assert [each.lost for each in reading.mismatches] == [True, True]


def test_a_payload_shows_its_public_properties() -> None:
    ticker = decoder_for(p.Ticker)(b'{"sequence":"5","price":"1.50","bestAsk":"1.6","time":1712000000123}')
    assert repr(ticker) == (
        "Ticker(price=Decimal('1.50'), sequence=5, size=None, best_bid=None, best_bid_size=None, "
        "best_ask=Decimal('1.6'), best_ask_size=None, time_ns=1712000000123000000)"
    )
    assert ticker.to_dict() == {
        "price": D("1.50"), "sequence": 5, "size": None, "best_bid": None, "best_bid_size": None, "best_ask": D("1.6"),
        "best_ask_size": None, "time_ns": 1712000000123000000,
    }  # fmt: skip


def test_parts_are_dicts_and_levels_stay_tuples() -> None:
    candle = decoder_for(p.Candles)(b'{"symbol":"A-B","candles":["1712000000","1","2","3","0.5","7","8"],"time":0}')
    shown = candle.to_dict()
    assert shown["start_ns"] == shown["candles"]["start_ns"] == 1712000000 * 10**9
    assert shown["candles"]["turnover"] == D(8)
    depth = decoder_for(p.Depth)(b'{"asks":[["2","1"]],"bids":[],"timestamp":1712000000123}')
    assert depth.to_dict()["asks"] == [Level(D(2), D(1))] and depth.to_dict()["bids"] == []
    modes = decoder_for(p.CrossLeverage)(b'{"ETHUSDTM":{"leverage":"8"}}')
    assert modes.to_dict() == {"by_symbol": {"ETHUSDTM": {"leverage": D(8)}}}


def test_what_no_property_has_is_shown_as_extra() -> None:
    ticker = p.reader_for(p.Ticker)(b'{"sequence":"5","price":"1","new":[1]}').payload
    assert ticker.to_dict()["extra"] == {"new": [1]}
    assert repr(ticker).endswith("time_ns=0, extra={'new': [1]})")
    assert ticker.__rich_repr__()[-1] == ("extra", {"new": [1]})
