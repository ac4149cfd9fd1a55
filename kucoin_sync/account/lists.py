"""Read KuCoin's lists of orders and fills to their end, page by page.

Source: KuCoin's documentation ("Get Open Orders By Page", "Get Closed Orders", "Get Trade History"). Lists that are
paged by `lastId` come newest first, and the next page has what is older.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exceptions import RestError
from .calls import Call, Plan, one
from .rows import Row, items

__all__ = ["by_last_id", "by_page"]

_LIMIT = 100
_MOST_PAGES = 1_000


def by_page(call: Call, *, number: str = "currentPage", size: int = 50) -> Plan[list[Row]]:
    """Read all pages of a list; begin again if rows came or went meanwhile."""
    found: list[Row] = []
    page, total = 1, None
    for _ in range(_MOST_PAGES):
        query = (*call.query, (number, str(page)), ("pageSize", str(size)))
        data = yield from one(call._replace(query=query))
        if isinstance(data, list):  # all at once
            return items(data)
        if total not in (None, data.get("totalNum")):
            found, page, total = [], 1, None
            continue
        total = data.get("totalNum")
        found += items(data)
        if page >= int(data.get("totalPage") or 0) or not items(data):
            return found
        page += 1
    raise _endless(call)


def by_last_id(call: Call, since_ns: int, moment: Callable[[Row], int], *, limit: int = _LIMIT) -> Plan[list[Row]]:
    """Read a list from its newest row back to the first page that reaches `since_ns`.

    Args:
        moment: returns the time of a row.
    """
    found: list[Row] = []
    last: Any = None
    for _ in range(_MOST_PAGES):
        query = (*call.query, ("limit", str(limit)), *((("lastId", str(last)),) if last else ()))
        data = yield from one(call._replace(query=query))
        page = items(data)
        found += [row for row in page if moment(row) >= since_ns]
        after = data.get("lastId") if isinstance(data, dict) else page[-1].get("id") if page else None
        if len(page) < limit or not after or after == last or any(moment(row) < since_ns for row in page):
            return found
        last = after
    raise _endless(call)


def _endless(call: Call) -> RestError:
    return RestError("200000", f"more than {_MOST_PAGES} pages, which are not read", where=str(call))
