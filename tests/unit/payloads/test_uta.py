"""The payloads of the UTA feed: odd values in each place, words and units that wander, exact ids."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from kucoin_sync import payloads as p
from kucoin_sync.payloads import decoder_for, reader_for

from .uta_shapes import UTA_SHAPES

ODDITIES: list[Any] = [
    None, "", "much", "1", "1.5", "-1", " BUY ", 7, 0, -1, 1.5, 1e300, 10**30, True, False, [], [1], [["1", "2"]], [[]],
    {}, {"a": 1},
]  # fmt: skip
every_shape = pytest.mark.parametrize(("cls", "text"), [shape[:2] for shape in UTA_SHAPES])


def decode(cls: type[p.Payload], data: Any) -> Any:
    return decoder_for(cls)(json.dumps(data).encode())


def properties(payload: Any) -> dict[str, Any]:
    """Return everything that a payload has; none of it may raise."""
    return {name: getattr(payload, name) for name in dir(payload) if not name.startswith("_")}


def objects(data: Any) -> Iterator[dict[str, Any]]:
    yield from data if isinstance(data, list) else [data]


@every_shape
def test_an_odd_value_costs_its_own_property_only(cls: type[p.Payload], text: str) -> None:
    read = reader_for(cls)
    usual = read(text.encode())
    assert (usual.mismatches, usual.payload.extra) == ((), {})
    told = 0
    for name in next(objects(json.loads(text))):
        for value in ODDITIES:
            odd = copy.deepcopy(json.loads(text))
            next(objects(odd))[name] = value
            found = read(json.dumps(odd).encode())
            assert isinstance(found.payload, cls)
            told += len(found.mismatches)
            before, after = (_members(each.payload) for each in (usual, found))
            assert {key for key in before if before[key] != after[key]} <= {name}, (name, value)
            properties(found.payload)
    assert told > 10


def _members(payload: Any) -> dict[str, Any]:
    """Return the fields of a payload by KuCoin's names; those of the first object of a list."""
    if isinstance(payload, p.UtaFundingRates):
        payload = payload.rates[0]
    names = (name for name in payload.__struct_fields__ if name != "unread")
    keys = (key for key in payload.__struct_encode_fields__ if key != "~unread")
    return {key: getattr(payload, name) for name, key in zip(names, keys, strict=True)}


@every_shape
def test_a_member_that_kucoin_adds_is_in_extra(cls: type[p.Payload], text: str) -> None:
    data = json.loads(text)
    if isinstance(data, list):
        data[0]["ofTomorrow"] = 7
        assert decode(cls, data).rates[0].extra == {"ofTomorrow": 7}
    else:
        assert decode(cls, {**data, "ofTomorrow": [7]}).extra == {"ofTomorrow": [7]}
        assert decode(cls, {**data, "ofTomorrow": [7]}) == decode(cls, data)


@pytest.mark.parametrize(
    ("word", "side"), [("BUY", "buy"), ("buy", "buy"), ("Sell", "sell"), ("HOLD", "hold"), ("", None)]
)
def test_a_side_is_in_lower_case_as_in_the_classic_feed(word: str, side: str | None) -> None:
    assert decode(p.UtaTrade, {"s": "A-B", "p": "1", "q": "1", "S": word}).side == side
    assert decode(p.UtaOrder, {"s": "A-B", "oi": "1", "eT": "OPEN", "S": word}).side == side


@pytest.mark.parametrize(
    ("sent", "status"),
    [(0, "notTriggered"), (1, "triggered"), (2, "live"), (3, "filled"), (4, "partialFilled"), (5, "canceled"),
     (6, "partialCanceled"), ("2", "live"), (9, "9"), ("live", "live"), (None, None)],
)  # fmt: skip
def test_a_status_is_kucoins_word(sent: object, status: str | None) -> None:
    assert decode(p.UtaOrder, {"s": "A-B", "oi": "1", "eT": "OPEN", "os": sent}).status == status


def test_what_does_not_apply_to_an_order_is_none() -> None:
    blank = dict.fromkeys(("p", "aP", "lS", "tP", "pP", "lP", "lR", "oT", "os", "ti", "toi"), "")
    order = decode(p.UtaOrder, {"s": "A-B", "oi": "1", "eT": "OPEN", "q": "0.5", **blank})
    assert (order.price, order.average_price, order.match_size, order.trigger_price) == (None, None, None, None)
    assert (order.liquidity, order.order_type, order.size) == (None, None, Decimal("0.5"))
    assert (order.status, order.trade_id, order.parent_order_id) == (None, None, None)
    assert order.extra == {}


@pytest.mark.parametrize("sent", ["24021490985222145", 24021490985222145, "0007"])
def test_ids_are_exact_text(sent: object) -> None:
    assert decode(p.UtaTrade, {"s": "A-B", "p": "1", "q": "1", "ti": sent}).trade_id == str(sent)
    assert decode(p.UtaOrder, {"s": "A-B", "eT": "OPEN", "oi": sent, "toi": sent}).parent_order_id == str(sent)


@pytest.mark.parametrize("sent", [1770116995058, "1770116995058", 1770116995058000000, "1770116995058000", 1770116995])
def test_a_time_is_read_by_its_size(sent: object) -> None:
    read = decode(p.UtaBalance, {"c": "BTC", "U": sent}).time_ns
    assert read // 10**9 == 1770116995
    assert read % 10**9 in (0, 58_000_000)


def test_rows_of_a_book_may_have_a_third_column_which_is_in_extra() -> None:
    """A third column, the size of orders for retail price improvement, comes only where a client has asked for it."""
    data = {"s": "XBTUSDTM", "O": 7, "C": 7, "a": [["84516.3", "457", "0"]], "b": []}
    found = reader_for(p.UtaBook)(json.dumps(data).encode())
    assert found.payload.asks == (p.Level(Decimal("84516.3"), Decimal(457)),)
    assert found.payload.extra == {"a": [["84516.3", "457", "0"]]}
    assert [each.text for each in found.mismatches] == ["a[0] has 3 columns where 2 are usual"]


@pytest.mark.parametrize("cls", [p.UtaSpotTicker, p.UtaFuturesTicker])
def test_the_tickers_of_both_markets_differ_in_their_order_only(cls: type[p.UtaTicker]) -> None:
    fields = {field.encode_name: (field.name, field.type) for field in msgspec.structs.fields(cls)}
    assert fields == {field.encode_name: (field.name, field.type) for field in msgspec.structs.fields(p.UtaSpotTicker)}
    assert issubclass(cls, p.UtaTicker)
