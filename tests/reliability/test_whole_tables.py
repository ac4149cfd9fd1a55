"""A table is whole or not there: whatever ends an export, the folder is as it was before, and a sentence says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Message
from kucoin_sync.cli import main
from kucoin_sync.recording import RecordingError, ReplayStream
from kucoin_sync.recording.export import export

from ..support.recordings import rows_of, write
from ..support.selection import first, spread

TOPIC = "/market/match:BTC-USDT"
TRADE = {
    "makerOrderId": "m", "price": "7.5", "sequence": "7", "side": "buy", "size": "3", "symbol": "BTC-USDT",
    "takerOrderId": "t", "time": "1730000000013736739", "tradeId": "i", "type": "match",
}  # fmt: skip
FORMS = ("csv", "parquet")
MANY = {"csv": 1_000, "parquet": 50_010}
"""Rows of which some are written before the others are read."""


def frame(data: Any) -> bytes:
    return json.dumps({"topic": TOPIC, "type": "message", "subject": "trade.l3match", "data": data}).encode()


def recording(folder: Path, *trades: dict[str, Any]) -> Path:
    return write(folder / "day.jsonl", [frame({**TRADE, **each}) for each in trades], topics=[TOPIC])


def folder_as_it_is(folder: Path) -> dict[str, bytes]:
    """Return the names and contents of all files; a temporary one would be among them."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


# What may end an export


def then(message: Message, count: int, error: BaseException) -> Iterator[Message]:
    """Yield a message so many times, and raise then."""
    for _ in range(count):
        yield message
    raise error


class Interrupted(BaseException):
    """As a signal's handler may raise it."""


@pytest.mark.parametrize("form", first(*FORMS))
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), "can't be written: No space left on device"),
        (MemoryError(), "can't be written: there is not enough memory"),
        (KeyboardInterrupt(), None), (Interrupted(), None), (SystemExit(1), None), (GeneratorExit(), None),
        (RuntimeError("the replay broke"), None), (RecordingError("the recording is damaged"), "is damaged"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_raised_in_the_middle_leaves_nothing(
    form: str, error: BaseException, expected: str | None, tmp_path: Path
) -> None:
    path = recording(tmp_path, {})
    with ReplayStream(path, speed=None) as replay:
        message = replay.subscribe(TOPIC).get(timeout=20)
    before = folder_as_it_is(tmp_path)
    with pytest.raises(BaseException) as raised:
        export(then(message, MANY[form], error), [TOPIC], tmp_path / f"table.{form}")
    if expected is None:
        assert raised.value is error
    else:
        assert isinstance(raised.value, RecordingError) and expected in str(raised.value)
    assert folder_as_it_is(tmp_path) == before
    assert export([message] * 3, [TOPIC], tmp_path / f"table.{form}").rows == 3  # the name is free


@pytest.mark.parametrize("form", first(*FORMS))
def test_a_value_that_no_column_holds_behind_many_good_rows_leaves_nothing(form: str, tmp_path: Path) -> None:
    good = recording(tmp_path, {}, {"price": "0.0000000000000000001"})
    with ReplayStream(good, speed=None) as replay:
        subscription = replay.subscribe(TOPIC)
        fine, odd = (subscription.get(timeout=20) for _ in range(2))
    before = folder_as_it_is(tmp_path)
    table = tmp_path / f"table.{form}"
    messages = [fine] * MANY[form] + [odd] + [fine] * 10
    if form == "csv":
        assert export(messages, [TOPIC], table).rows == len(rows_of(table)) == len(messages)
        return
    with pytest.raises(RecordingError, match=r"can't hold a number of the column price: .* export to \.csv"):
        export(messages, [TOPIC], table)
    assert folder_as_it_is(tmp_path) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_there_stays_as_it_is(form: str, tmp_path: Path) -> None:
    path = recording(tmp_path, {})
    table = tmp_path / f"table.{form}"
    with ReplayStream(path, speed=None) as replay:
        message = replay.subscribe(TOPIC).get(timeout=20)

    def late() -> Iterator[Message]:
        """Yield messages, while somebody else makes a file of that name."""
        yield message
        table.write_bytes(b"another's")

    for messages in (late(), iter([message])):
        with pytest.raises(RecordingError, match="already exists"):
            export(messages, [TOPIC], table)
        assert folder_as_it_is(tmp_path).keys() == {path.name, table.name}
        assert table.read_bytes() == b"another's"


@pytest.mark.parametrize("form", FORMS)
def test_a_file_system_without_links_gets_a_whole_table_too(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording(tmp_path, {})
    table = tmp_path / f"table.{form}"

    def link(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with ReplayStream(path, speed=None) as replay:
        message = replay.subscribe(TOPIC).get(timeout=20)
    assert export([message], [TOPIC], table).rows == len(rows_of(table)) == 1
    assert folder_as_it_is(tmp_path).keys() == {path.name, table.name}

    def late() -> Iterator[Message]:
        yield message
        (tmp_path / f"late.{form}").write_bytes(b"another's")

    with pytest.raises(RecordingError, match="already exists"):
        export(late(), [TOPIC], tmp_path / f"late.{form}")
    assert (tmp_path / f"late.{form}").read_bytes() == b"another's"


def test_without_pyarrow_there_is_a_sentence_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording(tmp_path, {})
    before = folder_as_it_is(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", str(path), "--topic", TOPIC, "-o", str(tmp_path / "table.parquet")]) == 1
    assert "pip install 'kucoin-sync[export]', or export to .csv" in capsys.readouterr().err
    assert folder_as_it_is(tmp_path) == before


FULL_DISK = """
import resource, signal, sys
sys.dont_write_bytecode = True  # the limit would cut it short
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
from kucoin_sync.cli import main
sys.exit(main(sys.argv[1:]))
"""
STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # wherever the tests are started from
signal.signal(signal.SIGHUP, HANDLER)
from kucoin_sync.cli import export, main

counted = export._counted

def stopped(*arguments):
    for number, message in enumerate(counted(*arguments)):
        if number == 1_000:
            os.kill(os.getpid(), signal.NAME)
        yield message

export._counted = stopped
sys.exit(main(sys.argv[1:]))
"""


def stopped_by(name: str, handler: str = "signal.SIG_DFL") -> str:
    """Return a program that gets a signal in the middle; `handler` is that of SIGHUP before."""
    return STOPPED.replace("NAME", name).replace("HANDLER", handler)


@pytest.mark.skipif(os.name != "posix", reason="needs limits of processes")
@pytest.mark.parametrize("form", first(*FORMS))
@pytest.mark.parametrize(
    ("program", "words"),
    [
        (FULL_DISK, "can't be written"),
        *((stopped_by(name), "was not written") for name in ("SIGINT", "SIGTERM", "SIGHUP")),
    ],
    ids=["full", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_program_that_fails_leaves_no_table_and_no_traceback(
    form: str, program: str, words: str, tmp_path: Path
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = recording(tmp_path, *({"sequence": str(number), "tradeId": f"{number:030}"} for number in range(2_000)))
    before = folder_as_it_is(tmp_path)
    command = [sys.executable, "-c", program, "export", str(path), "--topic", TOPIC]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / f"table.{form}")], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode not in (0, -signal.SIGKILL)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert folder_as_it_is(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="needs SIGHUP")
def test_a_program_that_ignores_a_closed_terminal_writes_its_table(tmp_path: Path) -> None:
    path = recording(tmp_path, *({"sequence": str(number)} for number in range(2_000)))
    command = [sys.executable, "-c", stopped_by("SIGHUP", "signal.SIG_IGN"), "export", str(path), "--topic", TOPIC]
    subprocess.run([*command, "-o", str(tmp_path / "table.csv")], timeout=50, check=True)
    assert len(rows_of(tmp_path / "table.csv")) == 2_000


# What a value may be


MEMBERS: dict[str, list[Any]] = {
    "time": [0, 1, "1", 10**11 - 1, 10**14 - 1, 10**17 - 1, 15538460812100, 2**63 - 1, 2**63, 2**64, -1, 1e300, "soon",
             "", None, 1.5],
    "sequence": [0, -1, 2**63 - 1, 2**63, "18446744073709551615", 2**64, 10**40, "1" * 5000, 1.0, "", None, "x"],
    "price": ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1e400", "1e-400", "1e999999", "-0", "0e10", "1e-18",
              "1e-19", "9" * 20, "9" * 21, "9" * 39, 1e300, 1e-300, ""],
    "tradeId": ["", "a\x00b", "a\nb", "a\rb", "\r", 'a"b', "a,b", "größe", "\U0001f600", "x" * 100_000, 10**30, -1, 1.5,
                True, None, [1]],
    "ofTomorrow": [None, 1, 2**64, 10**40, 1.5, 1e300, "a\x00b", [[{}]], {"a": 1e-7}],
}  # fmt: skip
VALUES = [{name: value} for name, values in MEMBERS.items() for value in values]


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("odd", spread(VALUES, 3), ids=lambda value: ascii(value)[:40])
def test_an_odd_value_is_in_the_table_or_empty_or_a_sentence(
    form: str, floats: bool, odd: dict[str, Any], tmp_path: Path
) -> None:
    path = recording(tmp_path, {}, odd, {})
    before = folder_as_it_is(tmp_path)
    table = tmp_path / f"table.{form}"
    with ReplayStream(path, speed=None) as replay:
        try:
            done = export(replay.subscribe(TOPIC), [TOPIC], table, floats=floats)
        except RecordingError as error:
            refused = str(error)
        else:
            refused = ""
    if refused:
        assert form == "parquet"
        assert f"of the column {next(iter(odd))}: " in refused
        assert "export to .csv" in refused
        assert folder_as_it_is(tmp_path) == before
        return
    first, middle, last = rows_of(table)
    assert {**first, "received": ""} == {**last, "received": ""}
    different = {name for name in first if name != "received" and first[name] != middle[name]}
    assert different <= {"time", "sequence", "price", "trade_id", "rest"}
    assert len(different - {"rest"}) <= 1
    assert done.rows == 3
    assert set(folder_as_it_is(tmp_path)) == {path.name, table.name}


@pytest.mark.parametrize("form", FORMS)
def test_each_character_comes_back(form: str, tmp_path: Path) -> None:
    texts = [f"{sign}{chr(code)}{sign}" for code in range(0x180) for sign in ("", "a")]
    path = recording(tmp_path, *({"tradeId": text} for text in texts))
    with ReplayStream(path, speed=None) as replay:
        export(replay.subscribe(TOPIC), [TOPIC], tmp_path / f"table.{form}")
    expected = [text.replace("\0", "\ufffd") if form == "csv" else text for text in texts]
    assert [row["trade_id"] for row in rows_of(tmp_path / f"table.{form}")] == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_time_that_is_none_is_empty(form: str, tmp_path: Path) -> None:
    path = recording(tmp_path, {"time": -1}, {"time": "soon"}, {"time": None}, {"time": 15538460812100})
    with ReplayStream(path, speed=None) as replay:
        done = export(replay.subscribe(TOPIC), [TOPIC], tmp_path / f"table.{form}")
    times = [row["time"] for row in rows_of(tmp_path / f"table.{form}")]
    far = "2462-05-24T07:06:52.100000000Z" if form == "csv" else None
    assert [time or None for time in times] == [None, None, None, far]
    assert done.emptied == (form == "parquet")


def test_what_is_no_number_is_empty_in_parquet(tmp_path: Path) -> None:
    path = recording(tmp_path, *({"price": price} for price in ("NaN", "sNaN", "Infinity", "-Infinity", "7.5")))
    with ReplayStream(path, speed=None) as replay:
        done = export(replay.subscribe(TOPIC), [TOPIC], tmp_path / "table.parquet")
    assert [row["price"] and str(row["price"]).rstrip("0") for row in rows_of(tmp_path / "table.parquet")] == [
        None, None, None, None, "7.5",
    ]  # fmt: skip
    assert done.emptied == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_snapshot_has_a_typed_column_for_each_of_its_figures(form: str, tmp_path: Path) -> None:
    topic = "/market/snapshot:BTC-USDT"
    figures = {"symbol": "BTC-USDT", "buy": 67158.1, "vol": 2227.69895852, "trading": True, "board": 1, "new": [1],
               "datetime": 1712000025011, "markets": ["USDS"], "marketChange1h": {"open": 1.5, "vol": 2}}  # fmt: skip
    frames = [
        json.dumps({"topic": topic, "type": "message", "subject": "trade.snapshot", "data": data}).encode()
        for data in ({"sequence": "7", "data": figures}, {"sequence": "8", "data": [figures, figures]}, {"sequence": 9})
    ]
    path = write(tmp_path / "day.jsonl", frames, topics=[topic])
    with ReplayStream(path, speed=None) as replay:
        export(replay.subscribe(topic), [topic], tmp_path / f"table.{form}")
    rows = rows_of(tmp_path / f"table.{form}")
    for row in rows[:2]:
        assert (row["symbol"], row["markets"]) == ("BTC-USDT", '["USDS"]')
        assert [str(row[name]).rstrip("0") for name in ("best_bid", "volume", "market_change_1h_open")] == [
            "67158.1", "2227.69895852", "1.5",
        ]  # fmt: skip
        assert str(row["trading"]) == "True"
        assert str(row["time"]) == ("1712000025011000000" if form == "parquet" else "2024-04-01T19:33:45.011000000Z")
    assert json.loads(rows[0]["rest"]) == {"data": {"new": [1]}}
    assert len(json.loads(rows[1]["rest"])["data"]) == 2
    assert [str(row["sequence"]) for row in rows] == ["7", "8", "9"]
    assert rows[2]["symbol"] == "BTC-USDT", "of the topic"
    assert not rows[2]["rest"] and "data" not in rows[2]
