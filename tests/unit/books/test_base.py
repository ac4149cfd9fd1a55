"""Reads of a book: levels 2 and 3 return the same exact answers, and a partial book says what it does not know."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest

from kucoin_sync.books.base import Book
from kucoin_sync.books.l2 import Level2Book
from kucoin_sync.books.l3 import Level3Book
from kucoin_sync.payloads import Level

from ...support.books import levels

Rows = list[tuple[str, str]]
Make = Callable[[Rows, Rows], Book[Any]]

BIDS = [("99.5", "2"), ("99", "1.5"), ("98.25", "10")]
ASKS = [("100.5", "1"), ("101", "3"), ("103", "0.25")]


def level2(bids: Rows, asks: Rows) -> Level2Book:
    book = Level2Book()
    book.load(bids, asks)
    return book


def level3(bids: Rows, asks: Rows) -> Level3Book:
    """Return a book of orders that make up these levels, two at each price."""
    halves = [
        [
            (f"{side}{place}", price, str(Decimal(size) / 2), 0)
            for price, size in rows
            for place in (f"{price}-1", f"{price}-2")
        ]
        for side, rows in (("b", bids), ("a", asks))
    ]
    book = Level3Book()
    book.load(*halves)
    return book


both = pytest.mark.parametrize("make", [level2, level3])


def best_of(*rows: tuple[str, str], depth: int | None = None) -> Level2Book:
    """Return a book with `rows` as the best `depth` levels of both sides, mirrored at 100."""
    book = Level2Book()
    book.load(
        [(str(100 - Decimal(far)), size) for far, size in rows],
        [(str(100 + Decimal(far)), size) for far, size in rows],
        depth,
    )
    return book


@both
def test_an_empty_book_has_nothing_to_read(make: Make) -> None:
    book = make([], [])
    assert book.best_bid is book.best_ask is book.spread is book.mid is None
    assert book.bids() == book.asks(5) == book.cumulative_bids() == book.cumulative_asks(5) == []
    assert book.bid_count == book.ask_count == 0
    assert book.price_to_buy(1) is book.price_to_sell(1) is None
    assert book.bid_size(1) == book.ask_size(1) == 0
    assert not book.partial
    assert not book.exhausted
    assert repr(book) == f"<{type(book).__name__}: 0 bids, best None; 0 asks, best None>"
    book._check()


@both
def test_levels_are_best_first(make: Make) -> None:
    book = make(BIDS[::-1], [ASKS[2], ASKS[0], ASKS[1]])
    assert book.best_bid == book.bids()[0] == Level(Decimal("99.5"), Decimal(2))
    assert book.best_ask == book.asks()[0] == Level(Decimal("100.5"), Decimal(1))
    assert book.bids() == book.bids(3) == book.bids(100) == levels(*BIDS)
    assert book.asks() == book.asks(3) == book.asks(100) == levels(*ASKS)
    assert book.bids(2) == levels(*BIDS[:2])
    assert book.asks(0) == []
    assert (book.bid_count, book.ask_count) == (3, 3)
    assert f"3 bids, best {book.bids()[0].size} at 99.5; 3 asks" in repr(book)
    book._check()


@both
def test_a_negative_number_of_levels_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="-1"):
        make(BIDS, ASKS).bids(-1)


@both
def test_cumulative_depth_adds_up_from_the_best(make: Make) -> None:
    book = make(BIDS, ASKS)
    assert book.cumulative_bids() == levels(("99.5", "2"), ("99", "3.5"), ("98.25", "13.5"))
    assert book.cumulative_asks(2) == levels(("100.5", "1"), ("101", "4"))
    assert book.bids() == levels(*BIDS)


@both
def test_spread_and_mid_lie_between_the_best_prices(make: Make) -> None:
    book = make(BIDS, ASKS)
    assert book.spread == Decimal(1)
    assert book.mid == Decimal(100)
    crossed = make([("101", "1")], [("100", "1")])
    assert crossed.spread == -1
    assert make(BIDS, []).spread is make([], ASKS).mid is None


@both
def test_the_micro_price_is_nearer_to_the_side_of_less_size(make: Make) -> None:
    assert make([("99", "3")], [("101", "1")]).micro_price == Decimal("100.5")
    assert make([("99", "1")], [("101", "1")]).micro_price == 100
    assert str(make([("99", "1")], [("101", "2")]).micro_price) == "99.66666666666666666666666667"
    assert make(BIDS, []).micro_price is make([], ASKS).micro_price is None


@both
def test_the_imbalance_is_of_the_sizes_of_the_best_levels(make: Make) -> None:
    book = make([("99", "3"), ("98", "5")], [("101", "1"), ("102", "1")])
    assert book.imbalance() == Decimal("0.5")
    assert book.imbalance(2) == book.imbalance(9) == Decimal("0.6")
    assert make(BIDS, []).imbalance() == 1
    assert make([], ASKS).imbalance(5) == -1
    assert make([], []).imbalance() is None
    with pytest.raises(ValueError, match="n is 0; an imbalance is of at least 1 level"):
        book.imbalance(0)


def test_the_imbalance_of_levels_that_are_not_known_is_none() -> None:
    book = Level2Book()
    book.load([("99", "3"), ("98", "5")], [("101", "1"), ("102", "1")], 2)
    assert book.imbalance(2) == Decimal("0.6")
    assert book.imbalance(3) is None


@both
def test_the_price_for_a_size_is_the_average_over_the_levels_that_it_takes(make: Make) -> None:
    book = make(BIDS, ASKS)
    assert book.price_to_buy("1") == Decimal("100.5")
    assert book.price_to_buy(2) == Decimal("100.75")
    assert book.price_to_buy(Decimal("4.25")) == (Decimal("100.5") + 303 + Decimal("25.75")) / Decimal("4.25")
    assert book.price_to_buy("4.26") is None
    assert book.price_to_sell(0.5) == Decimal("99.5")
    assert book.price_to_sell("3.5") == (199 + Decimal("148.5")) / Decimal("3.5")
    assert book.price_to_sell("13.50000001") is None


@both
@pytest.mark.parametrize("size", ["0", "-1", "x", "nan", Decimal("Infinity"), 0.0])
def test_the_price_for_a_size_that_is_not_positive_raises(make: Make, size: Any) -> None:
    with pytest.raises(ValueError):
        make(BIDS, ASKS).price_to_buy(size)


@both
@pytest.mark.parametrize("price", ["99.0", 99, 99.0, Decimal("99.00"), "9.9e1"])
def test_the_size_at_a_price_is_found_in_any_spelling(make: Make, price: Any) -> None:
    book = make(BIDS, ASKS)
    assert book.bid_size(price) == Decimal("1.5")
    assert book.ask_size(price) == 0
    assert book.ask_size("103.0") == Decimal("0.25")
    assert book.bid_size("99.00000000000000000001") == 0
    with pytest.raises(ValueError):
        book.bid_size("x")


@both
def test_results_do_not_depend_on_the_callers_decimal_precision(make: Make) -> None:
    bids = [("1.0000000000000000000000000000000000001", "0.1234567890123456789012345678901234567")]
    asks = [("2.0000000000000000000000000000000000004", "1")]
    with localcontext() as context:
        context.prec = 2
        book = Level2Book() if make is level2 else Level3Book()
        if isinstance(book, Level2Book):
            book.load(bids, asks)
        else:
            book.load([("b", *bids[0], 1)], [("a", *asks[0], 2)])
        assert book.best_bid == levels(*bids)[0]
        assert book.spread is not None
        assert str(book.spread) == "1.0000000000000000000000000000000000003"
        assert str(book.mid) == "1.50000000000000000000000000000000000025"
        assert str(book.price_to_buy("0.3")) == "2.000000000000000000000000000"
        assert book.cumulative_bids() == levels(*bids)
        book._check()


@both
def test_all_levels_of_a_complete_book_are_reliable(make: Make) -> None:
    book = make(BIDS, ASKS)
    assert book.bids_complete_to is book.asks_complete_to is None
    assert not book.partial
    for read in (book.bids(), book.asks(2), book.bids(50), book.cumulative_bids(), book.cumulative_asks(9)):
        assert (read.reliable_count, read.partial) == (len(read), False)


@pytest.mark.parametrize("depth", [None, 3])
def test_a_side_with_fewer_levels_than_requested_is_complete(depth: int | None) -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=depth)
    assert not book.partial
    assert not book.bids().partial


def test_a_partial_book_knows_the_price_to_which_it_is_complete() -> None:
    book = best_of(("1", "1"), ("2.5", "1"), depth=2)
    assert book.partial
    assert book.bids_complete_to == Decimal("97.5")
    assert book.asks_complete_to == Decimal("102.5")
    book._check()


@pytest.mark.parametrize(("depth", "complete_to"), [(1999, 1), (2000, 1), (2001, None), (None, None)])
def test_a_deep_limited_snapshot_makes_a_partial_side(depth: int | None, complete_to: int | None) -> None:
    book = Level2Book()
    book.load([(str(price), "1") for price in range(1, 2001)], [], depth)
    assert book.bids_complete_to == complete_to
    assert book.bids().partial == (complete_to is not None)
    assert book.bids().reliable_count == 2000


def test_one_side_may_be_partial_and_the_other_complete() -> None:
    book = Level2Book()
    book.load([("99", "1")], [("101", "1"), ("102", "1")], 2)
    assert book.bids_complete_to is None
    assert book.asks_complete_to == Decimal(102)
    assert book.partial
    book.load([("99", "1"), ("98", "1")], [("101", "1")], 2)
    assert book.partial


def test_reads_below_the_known_depth_are_partial() -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    book.set("buy", "95", "4")
    book.set("buy", "98.5", "5")
    reads = [(n, len(book.bids(n)), book.bids(n).reliable_count, book.bids(n).partial) for n in (1, 3, 4, 5, None)]
    assert reads == [(1, 1, 1, False), (3, 3, 3, False), (4, 4, 3, True), (5, 4, 3, True), (None, 4, 3, True)]
    assert (book.asks(2).reliable_count, book.asks(2).partial) == (2, False)
    assert (book.asks(3).reliable_count, book.asks(3).partial) == (2, True)
    assert (book.cumulative_bids().reliable_count, book.cumulative_bids(2).partial) == (3, False)
    assert book.bids().reliable_count == len([price for price, _ in book.bids() if price >= 98])
    book._check()


def test_a_partial_book_does_not_guess_sizes_below_its_depth() -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    book.set("buy", "95", "4")
    assert [book.bid_size(price) for price in ("98", "98.5", "97.9", "95", "94", "99.1")] == [1, 0, None, 4, None, 0]
    assert [book.ask_size(price) for price in ("102", "101.5", "102.1", "105")] == [1, 0, None, None]
    assert book.bid_size("0.00000000000000000000001") is None


def test_a_partial_book_has_no_price_for_a_size_beyond_its_depth() -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    book.set("buy", "95", "4")
    assert book.price_to_sell(2) == Decimal("98.5")
    assert book.price_to_sell("2.1") is None


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_side_is_exhausted_when_the_levels_it_began_with_are_gone(side: Any) -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    sign = -1 if side == "buy" else 1
    book.set(side, 100 + sign * 5, "1")
    book.delete(side, 100 + sign)
    assert not book.exhausted
    book.delete(side, 100 + sign * 2)
    assert book.exhausted
    book.set(side, str(100 + sign * Decimal("1.5")), "1")
    assert not book.exhausted
    book.delete(side, str(100 + sign * Decimal("1.5")))
    book.delete(side, 100 + sign * 5)
    assert book.exhausted
    book._check()


def test_the_known_depth_survives_the_switch_to_decimal_keys() -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    book.set("buy", "98.00000000000000000001", "3")
    book.set("buy", "97.99999999999999999999", "3")
    assert book.bids_complete_to == Decimal(98)
    assert (book.bids().reliable_count, len(book.bids())) == (3, 4)
    assert book.bid_size("97.999999999999999999999") is None
    book._check()


def test_a_copy_of_levels_keeps_its_attributes() -> None:
    book = best_of(("1", "1"), ("2", "1"), depth=2)
    for twin in (copy.copy(book.bids()), pickle.loads(pickle.dumps(book.bids()))):
        assert twin == book.bids()
        assert (twin.reliable_count, twin.partial) == (2, True)


@both
def test_a_side_is_named_buy_or_sell(make: Make) -> None:
    book = make(BIDS, ASKS)
    assert book._side("buy").best() == book.best_bid
    assert book._side("sell").best() == book.best_ask
    with pytest.raises(ValueError, match="not 'bids'"):
        book._side("bids")  # type: ignore[arg-type]
