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

__all__ = ["Export", "export"]

_GROUP = 50_000
_EPOCH = dt.datetime(1970, 1, 1)
_DIGITS, _DECIMALS = 38, 18


class Export:
    """What came of an export.

    Attributes:
        rows: how many messages were written.
        left_out: messages whose payload did not fit its struct.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.left_out = 0

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

    Numbers are exact in both. Times are UTC with nanoseconds: text in CSV, timestamps in Parquet.

    Raises:
        InvalidTopic: no payload is known for a topic.
        RecordingError: the file is there already or can't be made, or what writes it is not installed.
    """
    path = Path(path)
    columns = columns_of(topics)
    done = Export()
    rows = done.take(messages, columns)
    try:
        if path.suffix == ".csv":
            with open(path, "x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([column.name for column in columns])
                writer.writerows(map(_as_texts, rows, _forever(columns)))
        elif path.suffix == ".parquet":
            _to_parquet(rows, columns, path)
        else:
            raise RecordingError(f"the name of {path} has to end with .csv or .parquet")
    except FileExistsError:
        raise RecordingError(f"{path} is there already; choose another name") from None
    except OSError as error:
        raise RecordingError(f"{path} can't be written: {error.strerror or error}") from None
    return done


def _forever(columns: Sequence[Column]) -> Iterator[Sequence[Column]]:
    while True:
        yield columns


def _as_texts(row: list[Any], columns: Sequence[Column]) -> list[str]:
    return [_as_text(value, column.kind) for value, column in zip(row, columns, strict=True)]


def _as_text(value: Any, kind: Kind) -> str:
    if value is None:
        return ""
    if kind is Kind.TIME:
        seconds, rest = divmod(value, 10**9)
        return f"{_EPOCH + dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def _to_parquet(rows: Iterator[list[Any]], columns: Sequence[Column], path: Path) -> None:
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
    try:
        with open(path, "xb") as file, pq.ParquetWriter(file, schema) as writer:
            while group := list(islice(rows, _GROUP)):
                arrays = [
                    pa.array(values, each.type) for values, each in zip(zip(*group, strict=True), schema, strict=True)
                ]
                writer.write_table(pa.table(arrays, schema=schema))
    except pa.ArrowInvalid as error:
        raise RecordingError(
            f"{path} can't hold a number of more than {_DIGITS} digits or {_DECIMALS} decimals ({error}); "
            "export to .csv"
        ) from None
