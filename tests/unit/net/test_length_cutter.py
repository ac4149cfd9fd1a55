"""Messages of common lengths, cut at one go: exactly those, whatever stands between them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kucoin_sync.net.length_cutter import CommonLengthCutter

from kucoin_sync.net import length_cutter as lengths_module

from .test_framing import BINARY, PING, TEXT, frame

MANY = 1024  # messages until the lengths are looked at for the first time


def knowing(*sizes: int) -> CommonLengthCutter:
    """Return what has seen messages of these lengths."""
    lengths = CommonLengthCutter()
    for _ in range(MANY // len(sizes) + 1):
        lengths.note([b"x" * size for size in sizes for _ in range(16)])
    assert lengths.known
    return lengths


def test_nothing_is_known_at_first() -> None:
    lengths = CommonLengthCutter()
    lengths.note([b"x" * 200] * (MANY - 1))
    assert not lengths.known
    lengths.note([b"x" * 200])
    assert lengths.known


@pytest.mark.parametrize("size", [126, 129, 200, 0x0A0A, 0x5C5B, 0x2929, 0x8181, 0xFFFF])
def test_messages_of_a_known_length_are_cut(size: int) -> None:
    messages = [bytes([n]) * size for n in (0, 10, 0x81, 0x7E)]
    chunk = b"".join(map(frame, messages))
    for view in (chunk, memoryview(bytearray(chunk))):
        assert knowing(size).cut(view) == (messages, len(chunk))


@pytest.mark.parametrize(
    "other",
    [
        frame(b"x" * 201),
        frame(b"x" * 125),
        frame(b"x" * 70_000),
        frame(b"x" * 200, BINARY),
        frame(b"", PING),
        frame(b"x" * 200, TEXT, fin=False),
        frame(b"x" * 200, mask=b"abcd"),
    ],
    ids=lambda other: repr(other[:6]),
)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_first_frame_of_another_kind_ends_it(other: bytes, count: int) -> None:
    before = frame(b"x" * 200) * count
    cut = knowing(200).cut(before + other + frame(b"x" * 200) * 3)
    assert cut == ([b"x" * 200] * count, len(before))


def test_a_part_of_a_frame_at_the_end_stays() -> None:
    whole = frame(b"y" * 300)
    for end in range(len(whole)):
        assert knowing(300).cut(whole + whole[:end]) == ([b"y" * 300], len(whole))


def test_cutting_can_begin_anywhere() -> None:
    chunk = frame(b"a") + frame(b"b" * 130)
    assert knowing(130).cut(chunk, len(frame(b"a"))) == ([b"b" * 130], len(frame(b"b" * 130)))
    assert knowing(130).cut(chunk) == ([], 0)


@pytest.mark.parametrize("sizes", [(5,), (70_000,), tuple(range(200, 300))], ids=["short", "long", "all different"])
def test_what_can_not_be_cut_so_or_differs_too_much_is_left_to_others(sizes: tuple[int, ...]) -> None:
    lengths = CommonLengthCutter()
    for _ in range(200):
        lengths.note([b"x" * size for size in sizes])
    assert not lengths.known


def test_other_lengths_take_the_place_of_those_before_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    pattern = lengths_module._pattern
    monkeypatch.setattr(lengths_module, "_pattern", lambda lengths: made.append(lengths) or pattern(lengths))
    lengths = CommonLengthCutter()
    for n in range(40):
        lengths.note([b"x" * (200 + n)] * MANY)
    assert 4 <= len(made) <= 6
    assert lengths.cut(frame(b"x" * made[-1][0]))[0] == [b"x" * made[-1][0]]
    for _ in range(100):
        lengths.note([b"x"] * MANY)
    assert not lengths.known


def test_the_same_lengths_are_no_reason_for_anything_new(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = knowing(200, 300)
    monkeypatch.setattr(lengths_module, "_pattern", pytest.fail)
    for _ in range(20):
        lengths.note([b"x" * 200, b"x" * 300] * MANY)
        lengths.note([b"x" * 200] * MANY)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([126, 127, 128, 200, 257, 258]), max_size=30),
    junk=st.binary(max_size=300),
    seed=st.integers(0, 9),
)
def test_whatever_follows_exactly_the_messages_of_known_lengths_are_cut(
    sizes: list[int], junk: bytes, seed: int
) -> None:
    chance = random.Random(seed)
    messages = [chance.randbytes(size) for size in sizes]
    chunk = b"".join(map(frame, messages)) + junk
    cut, end = knowing(126, 127, 200, 258).cut(chunk)
    known = next((n for n, size in enumerate(sizes) if size in (128, 257)), len(sizes))
    assert cut[: len(messages)] == messages[:known], "what follows the last of all is junk, which may be a frame, too"
    assert b"".join(map(frame, cut)) == chunk[:end]
