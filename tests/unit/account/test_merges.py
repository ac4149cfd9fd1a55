from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from kucoin_sync.account.merges import completed, later, rank, stable, with_sizes
from kucoin_sync.account.values import AccountFill, AccountOrder, AccountPosition

ORDER = AccountOrder(
    order_id="1", symbol="BTC-USDT", side="buy", size=Decimal(10), filled_size=Decimal(2), remaining_size=Decimal(8),
    canceled_size=Decimal(0), time_ns=3,
)  # fmt: skip
FILLED = msgspec.structs.replace(
    ORDER, filled_size=Decimal(10), remaining_size=Decimal(0), active=False, ending="filled"
)


def test_a_report_without_sizes_has_those_that_were_known() -> None:
    row = msgspec.structs.replace(ORDER, canceled_size=None, remaining_size=None)
    reduced = msgspec.structs.replace(ORDER, canceled_size=Decimal(3))
    assert with_sizes(row, reduced).remaining_size == 5
    assert with_sizes(row, None).remaining_size == 8
    assert with_sizes(msgspec.structs.replace(row, size=None), None).remaining_size is None
    assert with_sizes(reduced, ORDER) is reduced


@pytest.mark.parametrize(
    ("known", "new", "news"), [(ORDER, FILLED, True), (FILLED, ORDER, False), (ORDER, ORDER, False)]
)
def test_the_later_order_is_the_one_with_more_progress(known: AccountOrder, new: AccountOrder, news: bool) -> None:
    found, is_new = later(known, new)
    assert is_new is news
    assert found.filled_size == max(known.filled_size, new.filled_size)


def test_the_later_order_keeps_the_larger_size() -> None:
    known = msgspec.structs.replace(ORDER, size=Decimal(12))
    assert later(known, FILLED)[0].size == 12
    assert later(ORDER, msgspec.structs.replace(FILLED, size=None))[0].size == 10


def test_an_open_order_counts_before_an_ended_one_and_a_younger_one_before_an_older_one() -> None:
    assert rank(ORDER) > rank(msgspec.structs.replace(FILLED, created_ns=9))
    assert rank(msgspec.structs.replace(ORDER, created_ns=4)) > rank(ORDER)


def test_what_one_value_lacks_comes_from_the_other() -> None:
    fill = AccountFill(symbol="S", trade_id="1", order_id="1", side="buy", price=Decimal(1), size=Decimal(2))
    row = msgspec.structs.replace(fill, fee=Decimal("0.1"), price=Decimal(9), time_ns=7)
    found = completed(fill, row)
    assert (found.fee, found.price, found.time_ns) == (Decimal("0.1"), 1, 7)
    assert completed(row, fill) is row
    assert completed(ORDER, FILLED).ending is None


def test_a_move_of_the_mark_price_leaves_a_position_stable() -> None:
    position = AccountPosition(symbol="S", side="long", size=Decimal(2))
    assert stable(msgspec.structs.replace(position, mark_price=Decimal(5), time_ns=9)) == stable(position)
    assert stable(msgspec.structs.replace(position, size=Decimal(3))) != stable(position)
