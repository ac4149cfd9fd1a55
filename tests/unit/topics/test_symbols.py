"""Which symbol was meant by one that may be misspelled."""

from __future__ import annotations

import pytest

from kucoin_sync.topics.symbols import is_known, suggest


@pytest.mark.parametrize(
    ("symbol", "meant"),
    [
        ("BTCUSDT", "BTC-USDT"),
        ("BTC_USDT", "BTC-USDT"),
        ("btc/usdt", "BTC-USDT"),
        ("BTC-USTD", "BTC-USDT"),
        ("BTC-USD", "BTC-USDT"),
        ("XBT-USDT", "BTC-USDT"),
        ("XBTUSDT", "BTC-USDT"),
        ("ETHUSDC", "ETH-USDC"),
        ("ETH", "ETH-USDT"),
        ("NEWCOINUSDT", "NEWCOIN-USDT"),
        ("BTCUSDTM", "XBTUSDTM"),
        ("ETHUSTDM", "ETHUSDTM"),
        ("DOGEUSDM", "DOGEUSDTM"),
    ],
)
def test_a_misspelled_symbol_has_a_suggestion(symbol: str, meant: str) -> None:
    assert not is_known(symbol)
    assert suggest(symbol) == meant


@pytest.mark.parametrize("symbol", ["BTC-USDT", "KCS-BTC", "XBTUSDTM", "NEWCOIN-USDT", "USDT", "", "-", "all"])
def test_a_symbol_that_is_known_or_like_no_other_has_none(symbol: str) -> None:
    assert suggest(symbol) is None
