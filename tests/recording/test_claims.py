"""A hostile file that expands to a very large size needs no more memory than a normal recording."""

from __future__ import annotations

import gzip
import importlib
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from kucoin_sync.recording import RecordingError, ReplayStream

from ..support.selection import first

TOPIC = "/market/match:BTC-USDT"
BEGINNING = (
    b'["recording",1,"0.4.0",1729757723612000000,1]\n'
    b'["subscribed",1729757723612000000,"spot",false,[["/market/match:BTC-USDT",null]]]\n'
    b'[1729757723612000000,1,"spot",false]\n'
    b'{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{"n":1}}\n'
)
MEGABYTE = 1024 * 1024
CLAIM = 300  # megabytes
MOST = 180 * MEGABYTE


def compressor_of(suffix: str) -> Any:
    if suffix == ".jsonl.gz":
        return zlib.compressobj(1, zlib.DEFLATED, 31)
    return pytest.importorskip("zstandard").ZstdCompressor(level=1).compressobj()


def compressed(suffix: str, text: bytes) -> bytes:
    if suffix == ".jsonl":
        return text
    return gzip.compress(text) if suffix == ".jsonl.gz" else importlib.import_module("zstandard").compress(text)


def write_claim(file: BinaryIO, suffix: str, begin: bytes, unit: bytes) -> None:
    """Write a block that begins normally and then expands to a very large size."""
    if suffix == ".jsonl":
        file.write(begin)
        for _ in range(CLAIM):
            file.write(unit)
        return
    compressor = compressor_of(suffix)
    file.write(compressor.compress(begin))
    for _ in range(CLAIM):
        file.write(compressor.compress(unit))
    file.write(compressor.flush())


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


UNITS = {
    "zeros": bytes(MEGABYTE),
    "one line": b"x" * MEGABYTE,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("suffix", first(".jsonl.zst", ".jsonl", ".jsonl.gz"))
def test_a_huge_later_block_takes_bounded_memory_and_earlier_blocks_are_played(
    tmp_path: Path, peak: Callable[[], int], suffix: str, unit: str
) -> None:
    path = tmp_path / f"day{suffix}"
    with open(path, "wb") as file:
        file.write(compressed(suffix, BEGINNING))
        write_claim(file, suffix, b'[1729757723612000001,1,"spot",false]\n{"a":"', UNITS[unit])
    tracemalloc.reset_peak()
    events: list[str] = []
    with ReplayStream(path, None, on_event=lambda event: events.append(str(event))) as replay:
        subscription = replay.subscribe(TOPIC)
        replay.start()
        assert [message.data["n"] for message in subscription] == [1]
    assert peak() < MOST
    assert any(str(path) in event and "last complete message" in event for event in events), events


@pytest.mark.parametrize("suffix", first(".jsonl.zst", ".jsonl", ".jsonl.gz"))
def test_a_huge_first_block_is_an_error_that_names_the_file(
    tmp_path: Path, peak: Callable[[], int], suffix: str
) -> None:
    path = tmp_path / f"day{suffix}"
    with open(path, "wb") as file:
        write_claim(file, suffix, b'{"a":"', UNITS["one line"])
    tracemalloc.reset_peak()
    with pytest.raises(RecordingError, match="day"):
        ReplayStream(path)
    assert peak() < MOST


ORIGIN = b'[1729757723612000001,1,"spot",false]\n'
#: Blocks of many small things, each as large as one can be whose things can all be kept in little memory.
MANY = {
    "frames": [ORIGIN + b"{}\n" * 300_000],
    "snapshots": [ORIGIN + b'["snapshot",1,"","","",1]\n' * 100_000],
    "topics": [b'["subscribed",1,"spot",false,[' + b",".join([b'["a",null]'] * 400_000) + b"]]\n"],
}
MOST_OF_MANY = 14 * MEGABYTE


@pytest.mark.parametrize("shape", MANY)
def test_many_small_things_in_a_block_take_bounded_memory(tmp_path: Path, peak: Callable[[], int], shape: str) -> None:
    path = tmp_path / "day.jsonl.gz"
    path.write_bytes(b"".join(compressed(".jsonl.gz", text) for text in [BEGINNING, *MANY[shape]]))
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with ReplayStream(path, None) as replay:
        subscription = replay.subscribe(TOPIC)
        assert [message.data["n"] for message in subscription] == [1]
    assert peak() - before < MOST_OF_MANY
