"""Recording files: each compression, truncated files, several parts, a full disk."""

from __future__ import annotations

import errno
import random
import sys
from pathlib import Path

import pytest

from kucoin_sync.recording import RecordingError
from kucoin_sync.recording.compression import SUFFIXES, compression_for
from kucoin_sync.recording.format import Dropped, End, Header, line_as_text
from kucoin_sync.recording.index import RecordingIndex
from kucoin_sync.recording.rotating_files import File, RotatingFiles, numbered, open_new, part_of

from ..support.recordings import SECOND, START, frames_in, push, recorded, write

every_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


@every_suffix
def test_written_frames_are_read_back(tmp_path: Path, suffix: str) -> None:
    frames = [[push(number) for number in range(start, start + 50)] for start in range(0, 500, 50)]
    path = write(tmp_path / f"a{suffix}", *frames)
    index = RecordingIndex(path)
    assert frames_in(index.read()) == [frame for block in frames for frame in block]
    assert (index.begin_ns, index.end_ns, index.torn) == (START, START + 11 * SECOND, [])
    assert index.topics == {("spot", False): {("/market/match:BTC-USDT", None)}}


@every_suffix
def test_a_file_truncated_anywhere_is_read_up_to_its_last_whole_frame(tmp_path: Path, suffix: str) -> None:
    frames = [push(number) for number in range(300)]
    path = write(tmp_path / f"a{suffix}", *([frame] for frame in frames))
    whole = path.read_bytes()
    compress = compression_for(path).compress
    draw = random.Random(7)
    head = len(compress(line_as_text(Header(1, "0", START, 1)))) if suffix != ".jsonl" else 300
    for place in [len(whole) - 1, *(draw.randrange(head + 300, len(whole)) for _ in range(60))]:
        path.write_bytes(whole[:place])
        index = RecordingIndex(path)
        read = frames_in(index.read())
        assert read == frames[: len(read)]
        assert index.torn == [path]
        if suffix == ".jsonl":
            assert len(read) == sum(frame + b"\n" in whole[:place] for frame in frames)


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_reading_stops_before_a_damaged_block(tmp_path: Path, suffix: str) -> None:
    frames = [push(number) for number in range(30)]
    path = write(tmp_path / f"a{suffix}", *([frame] for frame in frames))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(data)
    read = recorded(path)
    assert read == frames[: len(read)]
    assert 5 < len(read) < 25


@every_suffix
def test_a_recording_can_be_read_from_any_block(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.recording.compression._PLAIN_BLOCK", 500)
    frames = [push(number) for number in range(40)]
    index = RecordingIndex(write(tmp_path / f"a{suffix}", *([frame] for frame in frames)))
    for number in range(40):
        read = frames_in(index.read(index.position_at(START + (number + 1) * SECOND)))
        assert read == frames[-len(read) :]
        assert len(read) >= 40 - number
        if suffix != ".jsonl":
            assert len(read) == 40 - number


def test_parts_are_read_in_the_order_of_their_creation(tmp_path: Path) -> None:
    names = iter(["z.jsonl", "a.jsonl.gz", "m.jsonl.zst"])
    for part in range(3):
        write(tmp_path / next(names), [push(part)])
    later = tmp_path / "b.jsonl"
    later.write_bytes(line_as_text(Header(1, "0", START - 1, 1)) + b'[1,1,"spot",false]\n' + push(9) + b"\n")
    assert recorded(tmp_path)[0] == push(9)
    assert len(recorded(str(tmp_path / "*.jsonl*"))) == 4
    assert recorded([later]) == [push(9)]


def test_an_error_names_a_file_that_is_not_a_recording(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"a":1}\n')
    new = tmp_path / "new.jsonl"
    new.write_bytes(line_as_text(Header(2, "9.9", START, 1)))
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder" / "a.jsonl").mkdir(parents=True)
    for path, words in (
        (other, "is not a recording"),
        (tmp_path / "empty.jsonl", "is not a recording"),
        (new, "written by kucoin-sync 9.9"),
        (tmp_path / "x", "there is no"),
        (tmp_path / "folder", "a.jsonl can't be read: Is a directory"),
    ):
        with pytest.raises(RecordingError, match=words):
            RecordingIndex(path)
    with pytest.raises(RecordingError, match="has to end with"):
        compression_for(tmp_path / "day.txt")
    with pytest.raises(RecordingError, match="no recording was named"):
        RecordingIndex([])


def test_the_error_for_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(RecordingError, match=r"pip install 'kucoin-sync\[zstd\]'"):
        compression_for(Path("a.jsonl.zst"))


# Writing


class Disk:
    """Simulates files on a disk of limited size."""

    def __init__(self, room: int) -> None:
        self.room = room

    def open(self, path: Path) -> File:
        disk, file = self, open_new(path)

        class Limited:
            def write(self, data: memoryview) -> int:
                if not disk.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                taken = file.write(data[: disk.room])
                assert taken
                disk.room -= taken
                return taken

            truncate, seek, close = file.truncate, file.seek, file.close

        return Limited()


def parts(path: Path, disk: Disk | None = None, **options: float) -> RotatingFiles:
    def beginning(part: int) -> bytes:
        return line_as_text(Header(1, "0", START + part, part))

    size, seconds = options.get("size"), options.get("seconds")
    opening = disk.open if disk else open_new
    return RotatingFiles(path, size and int(size), seconds, beginning, lambda: now[0], opening)


now = [0.0]


def block(number: int) -> bytes:
    return b'[%d,1,"spot",false]\n%b\n' % (START + number, push(number))


@every_suffix
def test_a_full_disk_damages_no_written_block_and_writing_resumes_when_there_is_space(
    tmp_path: Path, suffix: str
) -> None:
    disk = Disk(2_000)
    path = tmp_path / f"a{suffix}"
    writer = parts(path, disk)
    written = []
    for number in range(100):
        try:
            writer.write(block(number))
        except OSError:
            assert recorded(path) == [push(each) for each in written]
            if disk.room == 0 and number > 60:
                disk.room = 100_000
        else:
            written.append(number)
    assert 0 < written[0] + 1 < len(written) < 100
    writer.close(line_as_text(End(START)))
    assert recorded(path) == [push(each) for each in written]
    assert RecordingIndex(path).torn == []


def test_files_rotate_by_size_and_by_time_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    writer = parts(path, size=400)
    for number in range(12):
        writer.write(block(number))
    writer.close()
    assert writer.count > 2
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"day-{n:04d}.jsonl" for n in range(1, writer.count + 1)
    ]
    assert recorded(tmp_path) == [push(number) for number in range(12)]
    again = parts(path, seconds=10.0)
    assert again.path.name == f"day-{writer.count + 1:04d}.jsonl"
    again.write(block(0))
    now[0] += 11
    again.write(block(1))
    again.close()
    assert again.path.name == f"day-{writer.count + 2:04d}.jsonl"
    with pytest.raises(RecordingError, match="it already exists"):
        parts(numbered(path, 1))


def test_an_error_names_a_file_that_can_not_be_created(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="can't be created: No such file or directory"):
        parts(tmp_path / "none" / "day.jsonl")
    with pytest.raises(RecordingError, match="No space left"):
        parts(tmp_path / "day.jsonl", Disk(3))
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_part_has_its_number() -> None:
    path = Path("a/day.jsonl.zst")
    assert numbered(path, 12) == Path("a/day-0012.jsonl.zst")
    assert part_of(numbered(path, 12)) == ("day.jsonl.zst", 12)
    assert part_of(path) == ("day.jsonl.zst", 0)


def test_dropped_frames_are_counted(tmp_path: Path) -> None:
    index = RecordingIndex(write(tmp_path / "a.jsonl", [push(1), Dropped(START, 5, "slow"), push(2)]))
    assert index.dropped == 5
