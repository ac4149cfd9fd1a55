"""The price index: all spellings of a price have one key, and keys have the order of the prices."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.books import price_index as module
from kucoin_sync.books.price_index import PriceIndex

SIGNS = pytest.mark.parametrize("sign", [1, -1])
LONG = "1.00000000000000000001"  # no float distinguishes it from 1


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_SIZE", 8)


def add(ladder: PriceIndex[str], *texts: str) -> None:
    for text in texts:
        key = ladder.key_of(text)
        assert key is not None
        if key not in ladder.rows:
            ladder.insert(key)
        ladder.rows[key] = text


def drop(ladder: PriceIndex[str], text: str) -> None:
    key = ladder.find(Decimal(text))
    assert key is not None
    del ladder.rows[key]
    ladder.remove(key)


def texts(ladder: PriceIndex[str], n: int | None = None) -> list[str]:
    return [ladder.rows[key] for key in ladder.best_keys(n)]


def test_an_empty_index_has_no_best_price() -> None:
    ladder: PriceIndex[str] = PriceIndex(1)
    assert ladder.best_key() is None
    assert ladder.best_keys() == ladder.best_keys(3) == list(ladder) == []
    assert len(ladder) == 0
    ladder._check()


@pytest.mark.parametrize(("sign", "order"), [(1, ["10", "9.5", "9"]), (-1, ["9", "9.5", "10"])])
def test_the_best_price_is_the_highest_bid_and_the_lowest_ask(sign: int, order: list[str]) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    add(ladder, "9", "10", "9.5")
    assert texts(ladder) == order
    assert texts(ladder, 2) == order[:2]
    assert texts(ladder, 0) == []
    assert texts(ladder, 7) == order
    assert ladder.best_key() == ladder.best_keys(1)[0] == next(iter(ladder))
    ladder._check()


def test_a_negative_number_of_prices_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        PriceIndex[str](1).best_keys(-1)


@SIGNS
@pytest.mark.parametrize("switched", [False, True])
def test_spellings_share_a_key(sign: int, switched: bool) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    if switched:
        add(ladder, LONG)
    keys = {ladder.key_of(text) for text in ("1.5", "1.50", "15e-1", "01.5", ".15e1", "1.50000000000000000000", "+1.5")}
    assert len(keys) == 1
    assert ladder.price_of(keys.pop() or 0) == Decimal("1.5")


@SIGNS
def test_price_0_has_no_key_and_malformed_text_is_refused(sign: int) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    assert [ladder.key_of(text) for text in ("0", "0.0", "-0", "0e5", ".0")] == [None] * 5
    for text in ("-1", "x", "", "nan", "1e400x", "-1e-400"):
        with pytest.raises(ValueError):
            ladder.key_of(text)
    assert ladder.float_key_length


@SIGNS
@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ("1e-320", True),
        ("1e308", True),
        ("123456789.01234567", True),  # more than 15 digits, but its float prints as this text
        (LONG, False),
        ("1e-999", False),
        ("1e309", False),
        ("1e999", False),
        ("0.1000000000000000055511151231257827", False),  # nearly all digits of the float 0.1
    ],
)
def test_the_first_price_without_an_exact_float_switches_the_keys_to_decimals(sign: int, odd: str, told: bool) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    many = [str(number) for number in range(1, 30)]
    add(ladder, *many, "0.1")
    add(ladder, odd)
    ladder._check()
    assert texts(ladder) == sorted([*many, "0.1", odd], key=Decimal, reverse=sign > 0)
    assert bool(ladder.float_key_length) == told
    add(ladder, "2.5")
    drop(ladder, "7.0")
    ladder._check()
    assert ladder.find(Decimal(7)) is None
    assert ladder.find(Decimal("2.50")) is not None


@SIGNS
def test_finding_a_price_changes_nothing(sign: int) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    add(ladder, "1", "2")
    assert ladder.find(Decimal(LONG)) is None
    assert ladder.find(Decimal("1e999")) is None
    assert ladder.find(Decimal(0)) is None
    assert ladder.find(Decimal("2.00")) == ladder.key_of("2")
    assert ladder.float_key_length


@SIGNS
def test_sorting_orders_the_keys_of_the_rows(sign: int) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    numbers = [str(number) for number in range(1, 100)]
    random.Random(1).shuffle(numbers)
    for text in numbers:
        key = ladder.key_of(text)
        assert key is not None
        ladder.rows[key] = text
    ladder.sort()
    ladder._check()
    assert texts(ladder) == sorted(numbers, key=int, reverse=sign > 0)
    assert texts(ladder, 50) == texts(ladder)[:50]
    ladder.rows.clear()
    ladder.sort()
    ladder._check()


@SIGNS
@pytest.mark.parametrize("seed", range(6))
def test_random_actions_keep_the_invariants(sign: int, seed: int) -> None:
    draw = random.Random(seed)
    ladder: PriceIndex[str] = PriceIndex(sign)
    model: dict[Decimal, str] = {}
    for step in range(600):
        # Grow, shrink to nothing and grow again, so that chunks are split and dropped everywhere.
        growing = (step // 150) % 2 == 0
        if model and draw.random() < (0.2 if growing else 0.9):
            price = draw.choice([min(model), max(model), draw.choice(list(model))])
            del model[price]
            drop(ladder, str(price))
        else:
            text = f"{draw.randrange(1, 4000)}.{draw.randrange(10)}"
            model[Decimal(text)] = text
            add(ladder, text)
        ladder._check()
        best_first = sorted(model, reverse=sign > 0)
        n = draw.randrange(len(model) + 2)
        assert texts(ladder, n) == [model[price] for price in best_first[:n]]
        assert ladder.best_key() == (ladder.key_of(str(best_first[0])) if model else None)


decimals = st.one_of(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,22})?", fullmatch=True),
    st.from_regex(r"[1-9]([eE]-?(29|30|31)[0-9])", fullmatch=True),
)


@SIGNS
@settings(deadline=None)
@given(prices=st.lists(decimals.filter(lambda text: Decimal(text) > 0), max_size=12))
def test_any_decimal_text_has_its_own_exact_key(sign: int, prices: list[str]) -> None:
    ladder: PriceIndex[str] = PriceIndex(sign)
    add(ladder, *prices)
    ladder._check()
    assert len(ladder) == len({Decimal(price) for price in prices})
    assert [ladder.price_of(key) for key in ladder.best_keys()] == sorted(set(map(Decimal, prices)), reverse=sign > 0)
