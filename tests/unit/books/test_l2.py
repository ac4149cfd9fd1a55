"""The level 2 book: exact in any spelling, unchanged by malformed values, equal to the exchange's at every update."""

from __future__ import annotations

import doctest
import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.books import l2, price_index
from kucoin_sync.books.codec import Level2Rows, WireLevel2Update, read_level2
from kucoin_sync.books.l2 import Level2Book
from kucoin_sync.payloads import Level
from kucoin_sync.testing.exchange import Exchange

from ...support.books import levels
from ...support.selection import first, spread

STEPS = 9_000
"""Actions of the simulated traders in a replay. The whole book is compared after every action."""

LONG = "3.00000000000000000001"  # no float distinguishes this price from 3

Model = dict[str, dict[Decimal, Decimal]]


def apply(book: Level2Book, bids: list[Any], asks: list[Any], after: int = 0) -> None:
    book.apply(WireLevel2Update(0, 0, Level2Rows(asks, bids)), after)


def loaded(switched: bool = False) -> Level2Book:
    """Return a small book; with `switched` its keys are decimals."""
    book = Level2Book()
    book.load([("2", "5"), ("1", "6")], [("3", "7"), ("4", "8")])
    if switched:
        for side in ("buy", "sell"):
            book.set(side, LONG, "1")
            book.delete(side, LONG)
    return book


books = pytest.mark.parametrize("switched", [False, True], ids=["floats", "decimals"])
ZEROS = ["0", "0.0", "0.00000000", "0e9", "-0", ".0", "00", "0."]


def test_the_examples_of_the_docstrings_are_right() -> None:
    assert doctest.testmod(l2).attempted
    assert not doctest.testmod(l2).failed


@books
def test_setting_adds_and_replaces_levels(switched: bool) -> None:
    book = loaded(switched)
    book.set("buy", "1.5", "9")
    book.set("buy", "2", "5.5")
    book.set("sell", "2.5", "0.1")
    assert book.bids() == levels(("2", "5.5"), ("1.5", "9"), ("1", "6"))
    assert book.asks() == levels(("2.5", "0.1"), ("3", "7"), ("4", "8"))
    book._check()


@books
@pytest.mark.parametrize(
    "spelling", ["2.0", "2.00000000000000000000", "20e-1", "0.2E1", "02", "+2", " 2 ", 2, 2.0, b"2.0"]
)
def test_spellings_of_a_price_are_one_level(switched: bool, spelling: Any) -> None:
    book = loaded(switched)
    book.set("buy", spelling, "9")
    assert book.bids() == levels(("2", "9"), ("1", "6"))
    book.delete("buy", spelling)
    assert book.bids() == levels(("1", "6"))
    book._check()


@books
@pytest.mark.parametrize("zero", ZEROS)
def test_size_0_deletes_in_any_spelling(switched: bool, zero: str) -> None:
    book = loaded(switched)
    book.set("buy", "2", zero)
    book.set("buy", "1.5", zero)
    book.set("sell", "4.000", zero)
    assert book.bids() == levels(("1", "6"))
    assert book.asks() == levels(("3", "7"))
    book._check()


@books
@pytest.mark.parametrize("zero", [*ZEROS, 0, Decimal(0)])
def test_price_0_changes_nothing_in_any_spelling(switched: bool, zero: Any) -> None:
    book = loaded(switched)
    for size in ("0", "5"):
        book.set("buy", zero, size)
        book.set("sell", zero, size)
    assert (book.bids(), book.asks()) == (loaded().bids(), loaded().asks())
    book._check()


@books
def test_a_size_beyond_the_smallest_float_is_not_0(switched: bool) -> None:
    book = loaded(switched)
    book.set("buy", "2", "1e-400")
    assert book.best_bid == Level(Decimal(2), Decimal("1e-400"))
    book.set("buy", "2", "0." + "0" * 400 + "1")
    assert book.bid_size(2) == Decimal("1e-401")


@books
def test_prices_beyond_the_smallest_float_are_told_apart(switched: bool) -> None:
    book = loaded(switched)
    for price in ("1.00000002e-320", "1.00000001e-320", "2e-400", "1e-400"):
        book.set("buy", price, "1")
    book.set("buy", "1.00000001e-320", "3")
    assert [level.size for level in book.bids()] == [5, 6, 1, 3, 1, 1]
    assert book.bid_size("2e-400") == 1
    book._check()


@books
def test_prices_that_differ_in_the_last_of_many_digits_are_two_levels(switched: bool) -> None:
    book = loaded(switched)
    book.set("buy", "2.00000000000000000001", "1")
    book.set("buy", "1.99999999999999999999", "3")
    assert book.bids() == levels(
        ("2.00000000000000000001", "1"), ("2", "5"), ("1.99999999999999999999", "3"), ("1", "6")
    )
    book.delete("buy", "2.0")
    assert book.bids(2) == levels(("2.00000000000000000001", "1"), ("1.99999999999999999999", "3"))
    book._check()


NONSENSE = ["", "x", "-1", "-0.1", "nan", "-nan", "inf", "Infinity", "-inf", "1_0", "1,5", "1e1000", "\u0663", "\ud800"]


@books
@pytest.mark.parametrize("nonsense", [*NONSENSE, None, True, [], float("nan"), float("inf"), -1, Decimal("-Infinity")])
def test_malformed_values_are_refused_and_change_nothing(switched: bool, nonsense: Any) -> None:
    book = loaded(switched)
    for price, size in (
        (nonsense, "1"),
        ("2", nonsense),
        ("1.5", nonsense),
        (nonsense, "0"),
        ("0", nonsense),
        (nonsense, nonsense),
    ):
        with pytest.raises(ValueError):
            book.set("buy", price, size)
    with pytest.raises(ValueError):
        book.delete("sell", nonsense)
    assert (book.bids(), book.asks()) == (loaded().bids(), loaded().asks())
    book._check()


@books
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_an_update_with_one_malformed_row_changes_nothing(switched: bool, nonsense: str) -> None:
    for bad in ((nonsense, "1", 9), ("3", nonsense, 9)):
        book = loaded(switched)
        with pytest.raises(ValueError):
            apply(book, [("2", "1", 7), ("1", "0", 8)], [("3", "1", 7), bad])
        with pytest.raises(ValueError):
            apply(book, [bad, ("2", "1", 7)], [])
        with pytest.raises(ValueError):
            apply(book, [bad], [])
        assert (book.bids(), book.asks()) == (loaded().bids(), loaded().asks())


def test_a_side_has_one_of_two_names() -> None:
    book = loaded()
    with pytest.raises(ValueError, match="not 'bids'"):
        book.set("bids", "1", "1")  # type: ignore[arg-type]


@books
def test_rows_up_to_a_sequence_are_skipped(switched: bool) -> None:
    book = loaded(switched)
    apply(book, [("2", "1", 5), ("1", "1", 6)], [("3", "1", 5)], after=5)
    assert book.bids() == levels(("2", "5"), ("1", "1"))
    assert book.best_ask == Level(Decimal(3), Decimal(7))
    apply(book, [("2", "nonsense", 5), ("1", "2", 6)], [], after=5)
    assert book.bids() == levels(("2", "5"), ("1", "2"))
    apply(book, [], [], after=5)
    apply(book, [("2", "1", 5)], [], after=5)
    assert book.bids() == levels(("2", "5"), ("1", "2"))


@books
def test_rows_are_applied_in_the_order_of_their_sequences(switched: bool) -> None:
    book = loaded(switched)
    bids = [("2", "0", 9), ("2", "7", 8), ("1", "3", 7)]
    apply(book, bids, [("3.0", "5", 3), ("4", "2", 5), ("3", "0", 4)])
    assert book.bids() == levels(("1", "3"))
    assert book.asks() == levels(("4", "2"))
    assert bids == [("2", "0", 9), ("2", "7", 8), ("1", "3", 7)]


@books
def test_unusual_spellings_in_an_update_of_several_rows_are_accepted(switched: bool) -> None:
    book = loaded(switched)
    apply(
        book, [("+2", "1", 1), (".5", "2.", 2), (LONG, "01", 3), ("1.5", "1e-400", 4), ("1", "-0", 5)], [("-0", "3", 6)]
    )
    assert book.bids() == levels((LONG, "1"), ("2", "1"), ("1.5", "1e-400"), ("0.5", "2"))
    book._check()


def test_an_update_may_switch_the_keys_to_decimals_in_its_middle() -> None:
    book = loaded()
    apply(book, [("2", "1", 1), (LONG, "2", 2), ("2.0", "3", 3), ("1", "0", 4), ("2.5", "4", 5)], [])
    assert book.bids() == levels((LONG, "2"), ("2.5", "4"), ("2", "3"))
    book._check()


def test_a_price_is_not_confused_with_a_nearly_equal_float() -> None:
    book = Level2Book()
    book.set("buy", "0.1", "1")
    assert book.bids() == levels(("0.1", "1"))
    exact = f"{Decimal.from_float(0.1)}"
    book.set("buy", exact, "2")
    assert book.bids() == levels((exact, "2"), ("0.1", "1"))
    assert book.bid_size("0.1") == 1
    book._check()


def test_loading_replaces_everything() -> None:
    book = loaded()
    book.load([["1.50", 2.5], ("1", "0"), ("0", "4"), (3, Decimal("0.5"), "more")], [])
    assert book.bids() == levels(("3", "0.5"), ("1.5", "2.5"))
    assert book.asks() == []
    book._check()


@pytest.mark.parametrize("bad", [("2.0", "1"), ("x", "1"), ("5", "-1"), ("5", None), ("5",)])
def test_a_snapshot_with_one_malformed_row_is_refused_and_changes_nothing(bad: Any) -> None:
    book = loaded()
    with pytest.raises(ValueError):
        book.load([("9", "9")], [("2", "1"), bad])
    assert (book.bids(), book.asks()) == (loaded().bids(), loaded().asks())


def test_a_level_is_made_once_until_it_changes() -> None:
    book = loaded()
    before = book.bids()
    book.set("buy", "1", "9")
    after = book.bids()
    assert after[0] is before[0]
    assert (before[1].size, after[1].size) == (6, 9)


def test_the_price_caches_do_not_outgrow_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(l2, "_SPARE", 3)
    book = Level2Book()
    for number in range(1, 100):
        book.set("buy", str(number), "1")
        assert book.best_bid == Level(Decimal(number), Decimal(1))
        assert book.bids() == levels((str(number), "1"), *((str(number - 1), "1"),) * (number > 1))
        book.delete("buy", f"{number - 1}.0")
        assert len(book._bids._keys) <= 2 * 2 + 3 + 1
        assert len(book._bids._prices) <= 2 * 2 + 1
        book._check()
    book.delete("buy", "99")
    assert book.best_bid is None


def test_results_do_not_depend_on_the_callers_decimal_precision() -> None:
    book = Level2Book()
    with localcontext() as context:
        context.prec = 3
        book.set("buy", "123456.789", "0.123456789")
        book.set("sell", "1234567890.123456789012345", "9876543210.123456789")
        assert book.best_bid == levels(("123456.789", "0.123456789"))[0]
        assert book.best_ask == levels(("1234567890.123456789012345", "9876543210.123456789"))[0]
        book._check()


# Against models


def spell(draw: random.Random, number: Decimal) -> str:
    """Return a random spelling of a number."""
    text = f"{number:f}"
    whole, _, rest = text.partition(".")
    return draw.choice(
        [
            text,
            text,
            text if rest else whole + ".0",
            f"{whole}.{rest}000",
            f"{whole}.{rest:0<20}",
            f"{number:e}",
            f"{number:E}",
            "0" + text,
            str(number.normalize()),
        ]
    )


@pytest.mark.parametrize("seed", spread(range(6)))
def test_random_actions_keep_the_invariants(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_index, "_CHUNK_SIZE", 8)
    draw = random.Random(seed)
    book = Level2Book()
    model: Model = {"buy": {}, "sell": {}}
    digits = 25 if seed % 2 else 2
    for step in range(500):
        side = draw.choice(["buy", "sell"])
        if draw.random() < 0.4 and model[side]:
            price = draw.choice([min(model[side]), max(model[side]), draw.choice(list(model[side]))])
        else:
            price = Decimal(draw.randrange(1, 40)) + Decimal(draw.randrange(3)).scaleb(-digits)
        size = (
            Decimal(0)
            if draw.random() < (0.3 if step % 200 < 130 else 0.9)
            else Decimal(draw.randrange(1, 900)).scaleb(-2)
        )
        book.set(side, spell(draw, price), spell(draw, size))
        model[side][price] = size
        if not size:
            del model[side][price]
        book._check()
        n = draw.randrange(12)
        assert book.bids(n) == sorted(model["buy"].items(), reverse=True)[:n]
        assert book.asks(n) == sorted(model["sell"].items())[:n]
        assert (book.bid_count, book.ask_count) == (len(model["buy"]), len(model["sell"]))


numbers = st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False).map(
    lambda number: f"{number:f}"
)
few = st.sampled_from(["1", "1.0", "1.00000000000000000001", "2", "0", "0.00", "1e-5", "0.00001", "1e-400"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.one_of(few, numbers), st.one_of(few, numbers)), max_size=25)
)
def test_a_book_of_any_decimal_texts_equals_a_model_of_exact_numbers(changes: list[Any]) -> None:
    book = Level2Book()
    model: Model = {"buy": {}, "sell": {}}
    for side, price, size in changes:
        book.set(side, price, size)
        if Decimal(size) and Decimal(price):
            model[side][Decimal(price)] = Decimal(size)
        elif Decimal(price):
            model[side].pop(Decimal(price), None)
    assert book.bids() == sorted(model["buy"].items(), reverse=True)
    assert book.asks() == sorted(model["sell"].items())
    book._check()


# Against the exchange


def apply_spot(book: Level2Book, data: dict[str, Any]) -> int:
    update = read_level2(data)
    book.apply(update)
    return update.sequence_end


def apply_spot_anyhow(book: Level2Book, data: dict[str, Any]) -> int:
    draw = random.Random(data["sequenceEnd"])
    for rows in data["changes"].values():
        for row in rows:
            row[:2] = [spell(draw, Decimal(text)) for text in row[:2]]
        draw.shuffle(rows)
    return apply_spot(book, data)


def apply_futures(book: Level2Book, data: dict[str, Any]) -> int:
    price, side, size = data["change"].split(",")
    book.set(side, price, size)
    return int(data["sequence"])


@pytest.mark.parametrize(
    ("topic", "apply", "steps"),
    [
        ("/market/level2:ETH-USDT", apply_spot_anyhow, STEPS // 3),
        *first(
            ("/contractMarket/level2:XBTUSDTM", apply_futures, STEPS // 3),
            ("/contractMarket/level2:XBTUSDTM", apply_futures, STEPS),
        ),
        *first(
            ("/market/level2:BTC-USDT", apply_spot, STEPS // 3),
            ("/market/level2:BTC-USDT", apply_spot, STEPS),
            ("/market/level2:KCS-BTC", apply_spot, STEPS),
        ),
    ],
)
def test_the_book_equals_the_exchanges_after_every_update(
    topic: str, apply: Callable[[Level2Book, dict[str, Any]], int], steps: int
) -> None:
    symbol = topic.partition(":")[2]
    exchange = Exchange((symbol,), seed=11, levels=10)
    exchange.wants = {topic}.__contains__
    snapshot = exchange.level2_snapshot(symbol)
    book = Level2Book()
    book.load(snapshot["bids"], snapshot["asks"])
    first = sequence = int(snapshot["sequence"])
    for step in range(steps):
        for push in exchange.step():
            sequence = apply(book, push.data)
        assert (sequence, book.bids(), book.asks()) == exchange.level2(symbol)
        if step % 50 == 0:
            book._check()
    assert sequence - first > steps


def test_a_large_book_stays_in_order() -> None:
    draw = random.Random(5)
    book = Level2Book()
    model: dict[Decimal, Decimal] = {}
    book.load([(str(price), "1") for price in range(1, 3001)], [])
    model.update((Decimal(price), Decimal(1)) for price in range(1, 3001))
    for _ in range(6000):
        price = Decimal(draw.randrange(10, 30_010)).scaleb(-1)
        size = Decimal(draw.choice([0, 0, 1, 2]))
        book.set("buy", str(price), str(size))
        model[price] = size
        if not size:
            del model[price]
    assert book.bids() == sorted(model.items(), reverse=True)
    assert book.bids(1500) == book.bids()[:1500]
    book._check()
