"""Export messages as a table: CSV, or Parquet with pyarrow (`pip install 'kucoin-sync[export]'`)."""

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

from ..internal.signals import holds_no_lock
from ..payloads import Payload
from ..protocol.message import Message
from .atomic_file import atomic_write
from .columns import ExportColumn, Kind, columns_of
from .errors import RecordingError

__all__ = ["Export", "export"]

_ROWS_PER_GROUP = 50_000
_EPOCH = dt.datetime(1970, 1, 1)
_DIGITS, _DECIMALS = 38, 18
_MAX_DIGITS = 1000
"""Numbers with an exponent of at least this size are written in scientific notation."""


class Export:
    """The counts of an export.

    Attributes:
        rows: messages that were written.
        left_out: messages without a payload struct, which were not written.
        emptied: values that the format can't hold, such as a time in the year 2462 in Parquet. Their cells are empty.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.left_out = 0
        self.emptied = 0

    @holds_no_lock
    def rows_of(self, messages: Iterable[Message], columns: Sequence[ExportColumn]) -> Iterator[list[Any]]:
        """Yield a row for each message that has a payload struct; count both kinds."""
        for message in messages:
            if not isinstance(message.payload, Payload):
                self.left_out += 1
                continue
            self.rows += 1
            yield [column.value(message) for column in columns]


def export(
    messages: Iterable[Message], topics: Iterable[str], path: str | os.PathLike[str], *, floats: bool = False
) -> Export:
    """Write messages of these topics as a table to a new file, `.csv` or `.parquet`; return the counts.

    Numbers are exact in both formats, or the nearest floats with `floats`, which other programs read faster. Times are
    UTC with nanoseconds: text in CSV, timestamps in Parquet. Parquet timestamps cover the years 1677 to 2262; a time
    outside this range is an empty cell. Text is unchanged, except that CSV has U+FFFD in place of the character NUL
    (U+0000), which some CSV readers reject. The file appears under its name only when it is complete.

    Raises:
        InvalidTopic: no payload struct is known for a topic.
        RecordingError: the file exists, can't be created, or can't hold a number; or pyarrow is not installed.
    """
    path = Path(path)
    columns = [column.as_float() for column in columns_of(topics)] if floats else columns_of(topics)
    done = Export()
    rows = done.rows_of(messages, columns)
    write = {".csv": _to_csv, ".parquet": _to_parquet}.get(path.suffix)
    if write is None:
        raise RecordingError(f"the name of {path} has to end with .csv or .parquet")
    try:
        with atomic_write(path) as temporary:
            write(rows, columns, temporary, path, done)
    except FileExistsError:
        raise RecordingError(f"{path} already exists; choose another name") from None
    except OSError as error:
        raise RecordingError(f"{path} can't be written: {error.strerror or error}") from None
    except MemoryError:
        raise RecordingError(f"{path} can't be written: there is not enough memory") from None
    return done


def _to_csv(rows: Iterator[list[Any]], columns: Sequence[ExportColumn], file_path: Path, _: Path, done: Export) -> None:
    with open(file_path, "x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow([column.name for column in columns])
        kinds = [column.kind for column in columns]
        for row in rows:
            cells = [_as_text(value, kind, done) for value, kind in zip(row, kinds, strict=True)]
            # Before Python 3.13 the writer does not quote "\r", and a reader would start a new row there.
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
        return f"{value:f}" if abs(value.adjusted()) < _MAX_DIGITS else str(value)
    return str(value).replace("\0", "\ufffd")  # csv.writer rejects NUL in Python 3.10


def _to_parquet(
    rows: Iterator[list[Any]], columns: Sequence[ExportColumn], file_path: Path, path: Path, done: Export
) -> None:
    try:
        pa: Any = import_module("pyarrow")
        pq: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise RecordingError("Parquet needs a library: pip install 'kucoin-sync[export]', or export to .csv") from None
    types = {
        Kind.NUMBER: pa.decimal128(_DIGITS, _DECIMALS),
        Kind.FLOAT: pa.float64(),
        Kind.WHOLE: pa.int64(),
        Kind.TIME: pa.timestamp("ns", tz="UTC"),
        Kind.FLAG: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    with open(file_path, "xb") as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _ROWS_PER_GROUP)):
            arrays = []
            for column, values in zip(columns, zip(*group, strict=True), strict=True):
                held = [_parquet_value(value, column.kind, done) for value in values]
                try:
                    arrays.append(pa.array(held, types[column.kind]))
                except (pa.ArrowException, OverflowError, ValueError) as error:
                    raise RecordingError(
                        f"{path} can't hold a number of the column {column.name}: Parquet takes no more than 64 bits "
                        f"for a whole number, and {_DIGITS} digits with {_DECIMALS} decimals for others ({error}); "
                        "export to .csv"
                    ) from None
            writer.write_table(pa.table(arrays, schema=schema))


def _parquet_value(value: Any, kind: Kind, done: Export) -> Any:
    """Return a value for Parquet, or None if its column type can't hold the value."""
    unsupported = (kind is Kind.TIME and value is not None and not -(2**63) <= value < 2**63) or (
        kind is Kind.NUMBER and value is not None and not value.is_finite()
    )
    done.emptied += unsupported
    return None if unsupported else value
