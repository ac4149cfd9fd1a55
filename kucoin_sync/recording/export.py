"""Tables from messages: CSV with the standard library, Parquet with pyarrow (`pip install 'kucoin-sync[export]'`)."""

from __future__ import annotations

import csv
import datetime as dt
import os
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from ..messages import Message
from ..payloads import Payload
from .columns import Column, Kind, columns_of
from .errors import RecordingError
from .whole import beside

__all__ = ["Export", "export"]

_GROUP = 50_000
_EPOCH = dt.datetime(1970, 1, 1)
_DIGITS, _DECIMALS = 38, 18
_LONGEST = 1000
"""Digits up to which a number is spelled without an exponent."""


class Export:
    """What came of an export.

    Attributes:
        rows: how many messages were written.
        left_out: messages for which no struct is known.
        emptied: values that the table can't hold, such as a time of the year 2462 in Parquet: their cells are empty.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.left_out = 0
        self.emptied = 0

    def take(self, messages: Iterable[Message], columns: Sequence[Column]) -> Iterator[list[Any]]:
        """Yield a row for each message."""
        for message in messages:
            if not isinstance(message.payload, Payload):
                self.left_out += 1
                continue
            self.rows += 1
            yield [column.value(message) for column in columns]


def export(messages: Iterable[Message], topics: Iterable[str], path: str | os.PathLike[str]) -> Export:
    """Write messages of these topics as a table to a new file, `.csv` or `.parquet`; return what came of it.

    Numbers are exact in both. Times are UTC with nanoseconds: text in CSV, timestamps in Parquet, which hold the years
    1677 to 2262; a time beyond these is empty there. Text is as it came, except for the character NUL (U+0000) in CSV:
    not every reader takes it, and it stands there as U+FFFD. The file is there when it is whole, and not before.

    Raises:
        InvalidTopic: no payload is known for a topic.
        RecordingError: the file is there already or can't be made, what writes it is not installed, or it can't hold
            a number.
    """
    path = Path(path)
    columns = columns_of(topics)
    done = Export()
    rows = done.take(messages, columns)
    write = {".csv": _to_csv, ".parquet": _to_parquet}.get(path.suffix)
    if write is None:
        raise RecordingError(f"the name of {path} has to end with .csv or .parquet")
    try:
        with beside(path) as temporary:
            write(rows, columns, temporary, path, done)
    except FileExistsError:
        raise RecordingError(f"{path} is there already; choose another name") from None
    except OSError as error:
        raise RecordingError(f"{path} can't be written: {error.strerror or error}") from None
    except MemoryError:
        raise RecordingError(f"{path} can't be written: there is not enough memory") from None
    return done


def _to_csv(rows: Iterator[list[Any]], columns: Sequence[Column], file_path: Path, _: Path, done: Export) -> None:
    with open(file_path, "x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow([column.name for column in columns])
        kinds = [column.kind for column in columns]
        for row in rows:
            cells = [_as_text(value, kind, done) for value, kind in zip(row, kinds, strict=True)]
            # Before Python 3.13 the writer leaves "\r" unquoted, and a reader would begin a new row there.
            (quoting if any("\r" in cell for cell in cells) else writer).writerow(cells)


def _as_text(value: Any, kind: Kind, done: Export) -> str:
    if value is None:
        return ""
    if kind is Kind.TIME:
        seconds, rest = divmod(value, 10**9)
        try:
            return f"{_EPOCH + dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
        except OverflowError:
            done.emptied += 1
            return ""
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) < _LONGEST else str(value)
    return str(value).replace("\0", "\ufffd")  # the writer of Python 3.10 does not take NUL


def _to_parquet(
    rows: Iterator[list[Any]], columns: Sequence[Column], file_path: Path, path: Path, done: Export
) -> None:
    try:
        pa: Any = import_module("pyarrow")
        pq: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise RecordingError("Parquet needs a library: pip install 'kucoin-sync[export]', or export to .csv") from None
    types = {
        Kind.NUMBER: pa.decimal128(_DIGITS, _DECIMALS),
        Kind.WHOLE: pa.int64(),
        Kind.TIME: pa.timestamp("ns", tz="UTC"),
        Kind.FLAG: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    with open(file_path, "xb") as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            arrays = []
            for column, values in zip(columns, zip(*group, strict=True), strict=True):
                held = [_held(value, column.kind, done) for value in values]
                try:
                    arrays.append(pa.array(held, types[column.kind]))
                except (pa.ArrowException, OverflowError, ValueError) as error:
                    raise RecordingError(
                        f"{path} can't hold a number of the column {column.name}: Parquet takes no more than 64 bits "
                        f"for a whole number, and {_DIGITS} digits with {_DECIMALS} decimals for others ({error}); "
                        "export to .csv"
                    ) from None
            writer.write_table(pa.table(arrays, schema=schema))


def _held(value: Any, kind: Kind, done: Export) -> Any:
    """Return a value as Parquet takes it, None for what none of its columns can hold."""
    unheld = (kind is Kind.TIME and value is not None and not -(2**63) <= value < 2**63) or (
        kind is Kind.NUMBER and value is not None and not value.is_finite()
    )
    done.emptied += unheld
    return None if unheld else value
