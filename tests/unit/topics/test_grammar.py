"""The grammar of topics: check, split, join, build and look up."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.exceptions import InvalidTopic
from kucoin_sync.topics.grammar import (
    argument_of,
    build,
    dialect_of,
    is_private,
    join,
    market_of,
    row_of,
    split,
    symbol_of,
)
from kucoin_sync.topics.name import TopicName
from kucoin_sync.topics.table import CANDLE_TYPES, FUTURES_CANDLE_TYPES, TABLE, Argument, Topic

from ...support.selection import examples

EXAMPLES = {
    Argument.NONE: None,
    Argument.ALL: "all",
    Argument.SYMBOLS: "BTC-USDT",
    Argument.SYMBOL: "BTC-USDT",
    Argument.MARKET: "BTC",
    Argument.CURRENCIES: "BTC",
    Argument.CURRENCY: "BTC",
    Argument.CANDLES: "BTC-USDT_1hour",
    Argument.CONTRACT: "XBTUSDTM",
    Argument.CONTRACT_CANDLES: "XBTUSDTM_1hour",
    Argument.CONTRACTS: "XBTUSDTM",
    Argument.DEPTH: "BTC-USDT_5",
    Argument.CONTRACT_DEPTH: "XBTUSDTM_increment@10ms",
    Argument.ANY_SYMBOL: "XBTUSDTM",
}


def example(row: Topic) -> str:
    argument = EXAMPLES[row.argument]
    return row.prefix if argument is None else f"{row.prefix}:{argument}"


def row(helper: str) -> Topic:
    return next(row for row in TABLE if row.helper == helper)


def test_a_single_topic_is_not_split() -> None:
    assert split("/market/ticker:BTC-USDT") == ("/market/ticker:BTC-USDT",)
    assert split("/account/balance") == ("/account/balance",)
    assert split("/market/ticker:all") == ("/market/ticker:all",)


def test_a_list_is_split_in_order_without_duplicates_and_blanks() -> None:
    assert split("/market/ticker:BTC-USDT, ETH-USDT,BTC-USDT") == (
        "/market/ticker:BTC-USDT",
        "/market/ticker:ETH-USDT",
    )


def test_a_list_may_be_of_any_length() -> None:
    symbols = [f"A{number}-USDT" for number in range(5000)]
    assert split("/market/ticker:" + ",".join(symbols)) == tuple(f"/market/ticker:{symbol}" for symbol in symbols)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_every_row_takes_its_example_and_is_found_by_it(row: Topic) -> None:
    topic = example(row)
    assert split(topic) == (topic,)
    assert row_of(topic) is row
    assert is_private(topic) is row.private
    assert market_of(topic) == ("spot" if row.market == "margin" else row.market)
    assert dialect_of(market_of(topic)) == row.dialect


@pytest.mark.parametrize("value", [None, 7, b"/market/ticker:BTC-USDT", ["/market/ticker:BTC-USDT"]])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidTopic, match=f"a topic is text .*, not {type(value).__name__}"):
        split(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "ticker",
        "market/ticker:BTC-USDT",
        "/market",
        "/market/",
        "//ticker:BTC-USDT",
        "/market/ticker/:BTC-USDT",
        "/market/tick er:BTC-USDT",
        "/1market/ticker:BTC-USDT",
        "/a/b/c/d/e:x",
        "/market/ticker\n:BTC-USDT",
        ":BTC-USDT",
        "BTC-USDT",
    ],
)
def test_text_without_the_form_of_a_topic_is_refused_with_an_example(topic: str) -> None:
    with pytest.raises(InvalidTopic, match="is not a topic: one begins with a path such as /market/ticker"):
        split(topic)


def test_an_error_about_a_very_long_topic_stays_short() -> None:
    with pytest.raises(InvalidTopic) as caught:
        split("x" * 100_000)
    assert len(str(caught.value)) < 500
    with pytest.raises(InvalidTopic) as caught:
        split("/market/ticker:" + "x" * 100_000)
    assert len(str(caught.value)) < 500
    with pytest.raises(InvalidTopic) as caught:
        split("/unknown/topic:" + "x" * 100_000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("topic", ["/new/topic", "/new/topic:anything!", "/new/topic:a,b", "/new/one/more/level:x"])
def test_a_topic_that_is_not_in_the_table_is_accepted(topic: str) -> None:
    prefix, _, arguments = topic.partition(":")
    assert split(topic) == (tuple(f"{prefix}:{part}" for part in arguments.split(",")) if arguments else (topic,))
    assert row_of(topic) is None
    assert not is_private(topic)


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("/uta/tickr.SPOT:BTC-USDT", "did you mean /uta/ticker.SPOT?"),
        ("/uta/Ticker.spot:BTC-USDT", "did you mean /uta/ticker.SPOT?"),
        ("/uta/ticker:BTC-USDT", "did you mean /uta/ticker.SPOT?"),
        ("/uta/markPrice:XBTUSDTM", "did you mean /uta/mark-price?"),
        ("/uta/xyz", "there are /uta/balance.FUNDING, .*, /uta/trade.SPOT$"),
        ("/uta/:BTC-USDT", "there are /uta/balance.FUNDING, "),
        ("/uta/ticker.SPOT:btc-usdt", "did you mean BTC-USDT?"),
        ("/uta/obu.SPOT:btc-usdt_increment@10ms", r"did you mean BTC-USDT_increment@10ms\?"),
        ("/uta/ticker.SPOT:XBTUSDTM", "did you mean /uta/ticker.FUTURES:XBTUSDTM?"),
        ("/uta/obu.FUTURES:BTC-USDT_5", "did you mean /uta/obu.SPOT:BTC-USDT_5?"),
        ("/uta/obu.SPOT:BTC-USDT_20", r"depths: 1, 5, 50, increment@10ms\)$"),
        ("/uta/obu.SPOT:BTC-USDT_increment", r"depths: 1, 5, 50, increment@10ms\)$"),
        ("/uta/kline.SPOT:BTC-USDT_1mn", "did you mean BTC-USDT_1min?"),
        ("/uta/kline.FUTURES:XBTUSDTM_6hour", "did you mean XBTUSDTM_8hour?"),
        ("/uta/order.UNIFIED", "needs something after a colon: a symbol such as BTC-USDT or XBTUSDTM"),
        ("/uta/orderAll.UNIFIED:BTC-USDT", "what follows the colon is nothing"),
    ],
)
def test_a_topic_of_the_uta_feed_must_be_in_the_table(topic: str, hint: str) -> None:
    with pytest.raises(InvalidTopic, match=hint.replace("?", r"\?")):
        split(topic)


def test_a_list_of_a_uta_topic_is_split_and_joined_where_its_channel_takes_lists() -> None:
    singles = split("/uta/ticker.SPOT:BTC-USDT, ETH-USDT")
    assert list(join(singles)) == [("/uta/ticker.SPOT:BTC-USDT,ETH-USDT", singles)]
    singles = split("/uta/obu.SPOT:BTC-USDT_5,ETH-USDT_increment@10ms")
    assert list(join(singles)) == [(single, (single,)) for single in singles]


@pytest.mark.parametrize("argument", ["", "a,,b", "x" * 65, "two words", "ümlaut", "a\tb"])
def test_an_unknown_topic_still_needs_a_printable_argument(argument: str) -> None:
    with pytest.raises(InvalidTopic, match=r"/new/topic:.* has an empty, overlong or unprintable part"):
        split(f"/new/topic:{argument}")


@pytest.mark.parametrize(
    ("topic", "complaint"),
    [
        (
            "/market/ticker",
            r"/market/ticker needs something after a colon: a symbol such as BTC-USDT, .* or the word all",
        ),
        ("/market/ticker:", "/market/ticker does not take '': what follows the colon is a symbol such as BTC-USDT"),
        ("/market/ticker:BTC-USDT,", "does not take ''"),
        ("/market/ticker:BTCUSDT", "does not take 'BTCUSDT'"),
        ("/market/ticker:BTC-USDT:ETH-USDT", "does not take 'BTC-USDT:ETH-USDT'"),
        ("/account/balance:BTC", "/account/balance does not take 'BTC': what follows the colon is nothing"),
        ("/account/balance:", "/account/balance does not take ''"),
        ("/contractMarket/tickerV2:BTC-USDT", "a futures symbol such as XBTUSDTM"),
        ("/contractMarket/tradeOrders:btc usd", "is a futures symbol such as XBTUSDTM or nothing"),
        ("/margin/loan:BTC-USDT", "a currency such as BTC$"),
        ("/market/snapshot:-", "a symbol such as BTC-USDT or a market such as BTC"),
        ("/market/candles:BTC-USDT", r"_1hour \(types: 1min, 3min, .*1month\)$"),
        ("/contractMarket/limitCandle:XBTUSDTM", r"XBTUSDTM_1min \(types: 1min, .*1month\)$"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_right_form(topic: str, complaint: str) -> None:
    with pytest.raises(InvalidTopic, match=complaint):
        split(topic)


@pytest.mark.parametrize(
    ("topic", "guess"),
    [
        ("/market/ticker:btc-usdt", "BTC-USDT"),
        ("/market/level2:BTC-usdt", "BTC-USDT"),
        ("/contractMarket/tickerV2:xbtusdtm", "XBTUSDTM"),
        ("/margin/loan:btc", "BTC"),
    ],
)
def test_lower_case_is_refused_with_a_guess(topic: str, guess: str) -> None:
    with pytest.raises(InvalidTopic, match=f"did you mean {guess}\\? KuCoin's names are in upper case"):
        split(topic)


@pytest.mark.parametrize(
    ("topic", "guess"),
    [
        ("/market/candles:BTC-USDT_1hr", "BTC-USDT_1hour"),
        ("/market/candles:BTC-USDT_1minute", "BTC-USDT_1min"),
        ("/market/candles:btc-usdt_1hour", "BTC-USDT_1hour"),
        ("/market/candles:btc-usdt_1hours", "BTC-USDT_1hour"),
        ("/contractMarket/limitCandle:xbtusdtm_1min", "XBTUSDTM_1min"),
        ("/contractMarket/limitCandle:XBTUSDTM_6hour", "XBTUSDTM_8hour"),
    ],
)
def test_a_wrong_candle_is_refused_with_one_that_exists(topic: str, guess: str) -> None:
    with pytest.raises(InvalidTopic, match=f"; did you mean {guess}\\?$"):
        split(topic)
    assert split(f"{topic.partition(':')[0]}:{guess}")


@pytest.mark.parametrize("topic", ["/market/candles:BTC-USDT_zzz", "/market/candles:nonsense_1hour"])
def test_an_error_without_a_close_match_has_no_guess(topic: str) -> None:
    with pytest.raises(InvalidTopic) as caught:
        split(topic)
    assert "did you mean" not in str(caught.value)


def test_candles_of_spot_and_futures_have_their_own_types() -> None:
    for candle in CANDLE_TYPES:
        split(f"/market/candles:BTC-USDT_{candle}")
    for candle in FUTURES_CANDLE_TYPES:
        split(f"/contractMarket/limitCandle:XBTUSDTM_{candle}")
    with pytest.raises(InvalidTopic):
        split("/contractMarket/limitCandle:BTC-USDT_1min")
    with pytest.raises(InvalidTopic):
        split("/market/candles:XBTUSDTM_1min")


@pytest.mark.parametrize(
    ("topic", "helper"),
    [
        ("/market/ticker:all", "ticker_all"),
        ("/market/ticker:ALL-USDT", "ticker"),
        ("/market/snapshot:BTC-USDT", "snapshot"),
        ("/market/snapshot:BTC", "market_snapshot"),
        ("/market/snapshot:Asset Backed", "market_snapshot"),
        ("/contractMarket/tradeOrders", "futures.orders"),
        ("/contractMarket/tradeOrders:XBTUSDTM", "futures.orders"),
        ("/indicator/index:.KXBT-USDT", "index_price"),
        ("/contract/instrument:.KXBT", "futures.instrument"),
        ("/margin/fundingBook:BTC", "funding_book"),
    ],
)
def test_the_row_depends_on_the_argument(topic: str, helper: str) -> None:
    found = row_of(topic)
    assert found is not None
    assert found.helper == helper
    assert (found.argument is Argument.NONE) is (":" not in topic)


@pytest.mark.parametrize("topic", ["/market/ticker", "/market/ticker:btc", "/account/balance:x", "/no/such:thing", ""])
def test_a_topic_that_fits_no_row_has_none(topic: str) -> None:
    assert row_of(topic) is None


def test_the_argument_is_the_part_after_the_first_colon() -> None:
    assert argument_of("/a/b:c") == "c"
    assert argument_of("/a/b:c:d") == "c:d"
    assert argument_of("/a/b") == ""


@pytest.mark.parametrize(
    ("topic", "market", "private"),
    [
        ("/market/ticker:BTC-USDT", "spot", False),
        ("/indicator/index:BTC-USDT", "spot", False),
        ("/margin/position", "spot", True),
        ("/account/balance", "spot", True),
        ("/contractMarket/tickerV2:XBTUSDTM", "futures", False),
        ("/contractAccount/wallet", "futures", True),
        ("/contract/position:XBTUSDTM", "futures", True),
        ("/contractMarket/newTopic:X", "futures", False),
    ],
)
def test_the_name_determines_market_and_privacy(topic: str, market: str, private: bool) -> None:
    assert (market_of(topic), is_private(topic)) == (market, private)


def test_joining_makes_one_command_of_topics_that_take_lists() -> None:
    singles = ["/market/ticker:A-B", "/market/level2:A-B", "/market/ticker:C-D"]
    assert list(join(singles)) == [
        ("/market/ticker:A-B,C-D", ("/market/ticker:A-B", "/market/ticker:C-D")),
        ("/market/level2:A-B", ("/market/level2:A-B",)),
    ]


def test_topics_without_lists_have_a_command_each() -> None:
    singles = [
        "/market/ticker:all",
        "/market/snapshot:A-B",
        "/market/candles:A-B_1min",
        "/contractMarket/tickerV2:XBTUSDTM",
        "/account/balance",
        "/unknown/topic:a",
        "/unknown/topic:b",
    ]
    assert list(join(singles)) == [(single, (single,)) for single in singles]


def test_currencies_share_a_command_too() -> None:
    assert [topic for topic, _ in join(["/margin/fundingBook:BTC", "/margin/fundingBook:KCS"])] == [
        "/margin/fundingBook:BTC,KCS"
    ]


def test_a_command_has_at_most_the_limit_of_topics() -> None:
    singles = [f"/market/ticker:A{number}-USDT" for number in range(250)]
    batches = list(join(singles))
    assert [len(batch) for _, batch in batches] == [100, 100, 50]
    assert [len(batch) for _, batch in join(singles, limit=1)] == [1] * 250
    assert list(chain.from_iterable(batch for _, batch in batches)) == singles


def test_joining_nothing_makes_no_command() -> None:
    assert list(join([])) == []


def test_build_makes_a_name_that_is_plain_text() -> None:
    topic = build(row("ticker"), "BTC-USDT", "ETH-USDT")
    assert topic == "/market/ticker:BTC-USDT,ETH-USDT"
    assert isinstance(topic, TopicName)
    assert not hasattr(topic, "__dict__")


def test_build_refuses_an_argument_of_another_row_of_the_same_prefix() -> None:
    assert build(row("snapshot"), "BTC-USDT") == "/market/snapshot:BTC-USDT"
    with pytest.raises(InvalidTopic, match=r"/market/snapshot does not take 'BTC': .* a symbol such as BTC-USDT$"):
        build(row("snapshot"), "BTC")
    with pytest.raises(InvalidTopic, match=r"does not take 'BTC-USDT': .* a market such as BTC$"):
        build(row("market_snapshot"), "BTC-USDT")


def test_build_ignores_arguments_where_a_topic_takes_none() -> None:
    assert build(row("account_balance")) == "/account/balance"
    assert build(row("ticker_all")) == "/market/ticker:all"


def test_build_needs_an_argument_where_a_topic_takes_one() -> None:
    with pytest.raises(InvalidTopic, match="/margin/loan needs a currency such as BTC"):
        build(row("margin_loan"))
    with pytest.raises(InvalidTopic, match="/margin/loan needs something after a colon"):
        build(row("margin_loan"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", [5, "", "BTC-USDT,ETH-USDT", "btc-usdt", ["BTC-USDT"]])
def test_build_refuses_arguments_that_do_not_fit(argument: object) -> None:
    with pytest.raises(InvalidTopic, match="/market/ticker does not take"):
        build(row("ticker"), "BTC-USDT", argument)  # type: ignore[arg-type]
    with pytest.raises(InvalidTopic, match="/market/candles does not take"):
        build(row("candles"), argument)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("single", "symbol"),
    [
        ("/market/ticker:BTC-USDT", "BTC-USDT"),
        ("/market/candles:BTC-USDT_1hour", "BTC-USDT"),
        ("/contractMarket/limitCandle:XBTUSDTM_1min", "XBTUSDTM"),
        ("/contract/announcement:XBTUSDTM", "XBTUSDTM"),
        ("/uta/obu.SPOT:BTC-USDT_increment@10ms", "BTC-USDT"),
        ("/uta/order.UNIFIED:XBTUSDTM", "XBTUSDTM"),
        ("/market/ticker:all", None),
        ("/market/snapshot:BTC", None),
        ("/margin/fundingBook:BTC", None),
        ("/account/balance", None),
        ("/contract/announcement", None),
        ("/new/topic:BTC-USDT", None),
        ("", None),
    ],
)
def test_symbol_of_reads_the_symbol_from_a_topic(single: str, symbol: str | None) -> None:
    assert symbol_of(single) == symbol


SYMBOLS = st.from_regex(r"[A-Z0-9]{1,6}-[A-Z0-9]{1,6}", fullmatch=True)
SINGLES = st.one_of(
    st.sampled_from([example(row) for row in TABLE]),
    st.builds("{}:{}".format, st.sampled_from(["/market/ticker", "/market/match", "/market/snapshot"]), SYMBOLS),
    st.builds("/new/topic:{}".format, st.sampled_from("abc")),
)


@settings(max_examples=examples(150), deadline=None)
@given(singles=st.lists(SINGLES, max_size=30), limit=st.integers(1, 8))
def test_splitting_what_was_joined_gives_the_same_topics(singles: list[str], limit: int) -> None:
    commands = list(join(singles, limit))
    assert sorted(chain.from_iterable(batch for _, batch in commands)) == sorted(singles)
    for topic, batch in commands:
        assert 1 <= len(batch) <= limit
        assert split(topic) == tuple(dict.fromkeys(batch))


@settings(max_examples=examples(200), deadline=None)
@given(topic=st.one_of(st.text(max_size=40), st.builds("/market/ticker:{}".format, st.text(max_size=20))))
def test_any_text_is_split_or_refused(topic: str) -> None:
    try:
        singles = split(topic)
    except InvalidTopic:
        return
    assert singles
    for single in singles:
        assert split(single) == (single,)
        assert single.isprintable()
