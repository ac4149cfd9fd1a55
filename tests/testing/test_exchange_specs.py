"""Terms of symbols, known and made up, and the ids given out under them."""

import pytest

from kucoin_sync.testing.exchange.ids import Ids
from kucoin_sync.testing.exchange.specs import spec_for


def test_known_symbols_start_where_the_real_market_was() -> None:
    prices = {s: spec_for(s).start_price / 10 ** spec_for(s).price_scale for s in ("BTC-USDT", "KCS-BTC", "XBTUSDTM")}
    assert prices == {"BTC-USDT": 67_000, "KCS-BTC": 0.00014, "XBTUSDTM": 67_000}


@pytest.mark.parametrize(
    ("symbol", "futures", "base", "quote"),
    [("S17-USDT", False, "S17", "USDT"), ("DOT-BTC", False, "DOT", "BTC"), ("SOLUSDTM", True, "SOL", "USDT")],
)
def test_unknown_symbols_get_made_up_terms(symbol: str, futures: bool, base: str, quote: str) -> None:
    spec = spec_for(symbol)
    assert (spec.symbol, spec.futures, spec.base, spec.quote) == (symbol, futures, base, quote)


@pytest.mark.parametrize("symbol", ["", "BTC", "BTC-", "-USDT", "USDTM", "XBTUSDM"])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        spec_for(symbol)


def test_spot_order_ids_have_24_hexadecimal_digits_and_trade_ids_are_large_numbers() -> None:
    ids = Ids(spec_for("BTC-USDT"), 0, 0x2A, 1_730_000_000_000_000_000)
    made = [ids.client_oid(), ids.order(), ids.client_oid(), ids.order()]
    assert len(set(made)) == 4
    assert all(len(id) == 24 and int(id, 16) >= 0 for id in made)
    assert 2**53 < ids.trade_number(1) < ids.trade_number(2) - 1  # with holes between neighbours, as KuCoin's
    assert ids.trade(1) == str(ids.trade_number(1))


def test_futures_order_ids_are_decimal_and_trade_ids_are_trade_numbers() -> None:
    ids = Ids(spec_for("XBTUSDTM"), 3, 7, 1_730_000_000_000_000_000)
    assert len(ids.order()) == 18
    assert ids.order().isdecimal()
    assert ids.trade(1_790_000_000_001) == "1790000000001"
