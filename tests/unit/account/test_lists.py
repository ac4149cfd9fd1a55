from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.account.calls import Call, Plan
from kucoin_sync.account.lists import by_last_id, by_page
from kucoin_sync.account.rows import recorded
from kucoin_sync.exceptions import RestError

CALL = Call("spot", "/list", 2, "spot", (("symbol", "BTC-USDT"),))
S = 1_000_000_000


def play(plan: Plan[Any], *pages: Any) -> tuple[Any, list[dict[str, str]]]:
    """Answer the calls of a plan with pages; return its result and the parameters of the calls."""
    queries = []
    answers = iter(pages)
    calls = next(plan)
    while True:
        queries.append(dict(calls[0].query))
        try:
            calls = plan.send([next(answers)])
        except StopIteration as ended:
            return ended.value, queries


def page(rows: list[int], number: int, pages: int, total: int) -> dict[str, Any]:
    return {"currentPage": number, "totalNum": total, "totalPage": pages, "items": [{"id": row} for row in rows]}


def ids(rows: list[Any]) -> list[Any]:
    return [row["id"] for row in rows]


def test_pages_are_read_to_the_last() -> None:
    rows, queries = play(by_page(CALL, number="pageNum", size=2), page([4, 3], 1, 2, 3), page([2], 2, 2, 3))
    assert ids(rows) == [4, 3, 2]
    assert [query["pageNum"] for query in queries] == ["1", "2"]
    assert queries[0] == {"symbol": "BTC-USDT", "pageNum": "1", "pageSize": "2"}


def test_a_list_that_changes_meanwhile_is_read_again() -> None:
    rows, queries = play(
        by_page(CALL, size=2), page([4, 3], 1, 2, 4), page([1], 2, 2, 3), page([4, 2], 1, 2, 3), page([1], 2, 2, 3)
    )
    assert ids(rows) == [4, 2, 1]
    assert [query["currentPage"] for query in queries] == ["1", "2", "1", "2"]


def test_an_empty_list_and_a_bare_one_are_read_in_one_go() -> None:
    assert play(by_page(CALL), page([], 1, 0, 0))[0] == []
    assert ids(play(by_page(CALL), [{"id": 1}, {"id": 2}])[0]) == [1, 2]


def rows_at(*seconds: int) -> list[dict[str, Any]]:
    return [{"id": second, "createdAt": (1_700_000_000 + second) * 1000} for second in seconds]


SINCE = (1_700_000_000 + 5) * S


def test_a_list_is_read_back_to_the_first_page_that_reaches_the_instant() -> None:
    rows, queries = play(
        by_last_id(CALL, SINCE, recorded, limit=2),
        {"items": rows_at(9, 8), "lastId": 8},
        {"items": rows_at(6, 4), "lastId": 4},
    )
    assert ids(rows) == [9, 8, 6]
    assert [query.get("lastId") for query in queries] == [None, "8"]


def test_it_ends_with_a_short_page_a_repeated_id_or_no_id() -> None:
    for pages in (
        [{"items": rows_at(9), "lastId": 9}],
        [{"items": rows_at(9, 8), "lastId": 0}],
        [{"items": rows_at(9, 8), "lastId": 8}, {"items": rows_at(8, 8), "lastId": 8}],
    ):
        assert play(by_last_id(CALL, SINCE, recorded, limit=2), *pages)[0]


def test_the_next_page_of_a_bare_list_begins_after_its_last_row() -> None:
    _, queries = play(by_last_id(CALL, SINCE, recorded, limit=2), rows_at(9, 8), rows_at(7))
    assert queries[1]["lastId"] == "8"


def test_a_list_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.account.lists._MOST_PAGES", 3)
    with pytest.raises(RestError, match="more than 3 pages"):
        play(by_page(CALL, size=1), *(page([1], 1, 2, total) for total in (1, 2, 1)))
    pages = ({"items": rows_at(9, 8), "lastId": number} for number in (3, 2, 1))
    with pytest.raises(RestError, match="more than 3 pages"):
        play(by_last_id(CALL, SINCE, recorded, limit=2), *pages)
