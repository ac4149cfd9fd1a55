"""`kucoin-sync record`, `replay` and `export`, as a user meets them."""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path

import pytest

from kucoin_sync.cli import main, record, replay
from kucoin_sync.cli.numbers import duration, positive_duration
from kucoin_sync.cli.progress import ProgressLine, size
from kucoin_sync.testing import KucoinServer

from ..support.processes import EndingOnce
from ..support.recordings import push, recorded, write
from ..support.terminal import Terminal

TRADES = "/market/match:BTC-USDT"


def test_what_is_recorded_is_replayed_and_exported(
    here: list[str], market: KucoinServer, tmp_path: Path, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    path, table = tmp_path / "day.jsonl.gz", tmp_path / "trades.csv"
    first: list[int] = []

    def enough() -> bool:
        """Whether many trades have happened since the first look at a subscribed topic."""
        if any(TRADES in each.topics for each in market.connections):
            with market.trading() as exchange:
                first.extend(each.sequence for each in exchange.trades("BTC-USDT")[-1:])
        return bool(first) and first[-1] - first[0] >= 40

    arguments = [TRADES, "XBTUSDTM", "--book", "XBTUSDTM", "-o", str(path), "--every", "0.1", *ending_once(enough)]
    assert main(["record", *arguments, *here]) == 0
    out, err = capsys.readouterr()
    progress = [json.loads(line) for line in out.splitlines()]
    assert progress[-1]["messages"] > 0
    assert progress[-1]["dropped"] == 0
    assert err.startswith("kucoin-sync: ")
    assert f"messages recorded, 0 lost; {size(path.stat().st_size)} in 1 file, the last is {path}" in err
    frames = recorded(path)

    assert main(["replay", str(path), "--speed", "max"]) == 0
    out, err = capsys.readouterr()
    assert out.encode().splitlines() == frames
    assert err.startswith(f"kucoin-sync: {len(frames):,} messages in ")

    assert main(["replay", str(path), "--speed", "max", "--count", "1"]) == 0
    assert capsys.readouterr().err.startswith("kucoin-sync: 1 message in ")

    assert main(["replay", str(path), "--speed", "max", "--topic", TRADES, "--count", "2", "--from", "+0.1s"]) == 0
    assert [json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()] == [TRADES] * 2

    assert main(["export", str(path), "--topic", TRADES, "-o", str(table)]) == 0
    err = capsys.readouterr().err
    with open(table, newline="", encoding="utf-8") as file:
        prices = [row["price"] for row in csv.DictReader(file)]
    trades = [frame for frame in map(json.loads, frames) if frame["topic"] == TRADES]
    assert prices == [trade["data"]["price"] for trade in trades]
    assert f"{len(prices)} rows in {table}" in err

    assert main(["export", str(path), "--topic", TRADES, "-o", str(tmp_path / "floats.csv"), "--floats"]) == 0
    with open(tmp_path / "floats.csv", newline="", encoding="utf-8") as file:
        assert [row["price"] for row in csv.DictReader(file)] == [repr(float(price)) for price in prices]


def test_parts_are_rotated(
    here: list[str], tmp_path: Path, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.jsonl"
    ending = ending_once((tmp_path / "day-0002.jsonl").exists)
    assert main(["record", "BTC-USDT", "-o", str(path), "--rotate-time", "0.5s", "--every", "0.1", *ending, *here]) == 0
    files = sorted(each.name for each in tmp_path.iterdir())
    assert files[:2] == ["day-0001.jsonl", "day-0002.jsonl"]
    assert f"in {len(files)} files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["record", "-o", "x.jsonl", "--demo"], 2, "nothing to record"),
        (["record", "BTC-USDT", "-o", "x.txt", "--demo"], 1, "has to end with"),
        (["replay", "none.jsonl"], 1, "there is no recording none.jsonl"),
        (["export", "none.jsonl", "--topic", TRADES, "-o", "t.csv"], 1, "there is no recording"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_topic_that_was_not_recorded_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)])
    assert main(["replay", str(path), "--topic", "/market/ticker:BTC-USDT"]) == 1
    assert f"/market/ticker:BTC-USDT is not in a.jsonl, which has {TRADES}" in capsys.readouterr().err


def test_what_was_recorded_does_not_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [push(1).replace(b'"trade"', b'"\\u001b[2J"')])
    assert main(["replay", str(path), "--speed", "max", "--plain"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert f"  {TRADES}  ?[2J  " in line
    assert "\x1b" not in line


def test_a_torn_file_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], whole=False)
    assert main(["replay", str(path), "--speed", "max"]) == 0
    out, err = capsys.readouterr()
    assert out == push(1).decode() + "\n"
    assert "the recorder did not close that file" in err
    assert main(["export", str(path), "--topic", TRADES, "-o", str(tmp_path / "a.csv")]) == 0
    err = capsys.readouterr().err
    assert f"{path} was not closed by its recorder; its complete messages were exported" in err
    assert "1 rows" in err and "1 with unexpected fields" in err


def test_a_replay_as_text_has_a_line_for_each_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], [push(2)])
    assert main(["replay", str(path), "--speed", "max", "--plain"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d\d:13:21\.0{3}  " + re.escape(f'{TRADES}  trade  {{"number":1}}'), first)
    assert second.endswith('{"number":2}')


def test_books_alone_can_be_recorded_and_told_of_as_text(
    here: list[str], tmp_path: Path, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "books.jsonl"
    options = [*ending_once(lambda: path.exists() and b"/market/level2" in path.read_bytes()), "--every", "0.1"]
    assert main(["record", "--book", "BTC-USDT", "-o", str(path), *options, "--plain", *here]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "messages recorded, 0 lost" in err
    assert {json.loads(frame)["topic"] for frame in recorded(path)} == {"/market/level2:BTC-USDT"}


def test_sizes_times_and_moments_are_read() -> None:
    assert [record._size(text) for text in ("5", "1kB", "100MB", "1.5g")] == [5, 1000, 10**8, 15 * 10**8]
    assert [duration(text) for text in ("5", "90s", "30m", "1h", "1d")] == [5, 90, 1800, 3600, 86400]
    assert [replay._moment(text) for text in ("+0", "+90s", "+2h")] == [0, 90, 7200]
    assert str(replay._moment("2026-01-31T09:30Z")).startswith("2026-01-31")
    assert replay._speed("max") is None
    for wrong, read in (
        ("x", record._size), ("0", record._size), ("x", duration), ("0s", positive_duration),
        ("x", replay._moment), ("+x", replay._moment),
    ):  # fmt: skip
        with pytest.raises(argparse.ArgumentTypeError):
            read(wrong)


def test_progress_is_written_over_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = ProgressLine()
    progress.show("a" * 50)
    progress.end()
    assert capsys.readouterr().err == f"\r{'a' * 19}\r{' ' * 19}\r"
    assert [size(count) for count in (5, 1500, 2.5e6, 3e9, 4e12)] == ["5 B", "1.5 kB", "2.5 MB", "3.0 GB", "4.0 TB"]


def test_in_a_terminal_each_message_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(number).replace(b'"trade"', b'"' + b"x" * 90 + b'"') for number in (1, 2)])
    with Terminal("replay", str(path), "--speed", "max") as terminal:
        assert terminal.finish() == 0, terminal.errors()
        rows = [row for row in terminal.text.splitlines() if row]
    assert len(rows) == 2
    assert all(TRADES in row and row.endswith("x…") for row in rows)
