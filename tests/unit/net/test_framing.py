"""The frame buffer: any frames in any pieces come out whole, in order, and within bounds."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.net.framing import FrameBuffer

from ...support.selection import examples

LIMIT = 100_000
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ROOM = 256 * 1024


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bytes = b"") -> bytes:
    """Return one frame; the payload is not really masked, because nobody here looks at it."""
    marked = 0x80 if mask else 0
    if len(payload) < 126:
        size = bytes([marked | len(payload)])
    elif len(payload) < 65536:
        size = struct.pack("!BH", marked | 126, len(payload))
    else:
        size = struct.pack("!BQ", marked | 127, len(payload))
    return bytes([(0x80 if fin else 0) | opcode]) + size + mask + payload


def read(buffer: FrameBuffer, data: bytes) -> None:
    """Put bytes into the buffer as a socket would."""
    while data:
        room = buffer.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        buffer.added(count)
        data = data[count:]


class Others:
    """Takes the frames that are no plain text message, as the rest of RFC 6455 would."""

    def __init__(self, buffer: FrameBuffer) -> None:
        self.frames: list[bytes] = []
        self.parts = b""
        self._buffer = buffer

    def __call__(self, whole: bytes, messages: list[bytes]) -> bool:
        self.frames.append(whole)
        final, opcode = bool(whole[0] & 0x80), whole[0] & 0x0F
        if opcode in (CONTINUATION, TEXT):
            length = whole[1] & 0x7F
            self.parts += whole[{126: 4, 127: 10}.get(length, 2) :]
            self._buffer.fragments = 0 if final else len(self.parts)
            if final:
                messages.append(self.parts)
                self.parts = b""
        return True


def refuse(whole: bytes, messages: list[bytes]) -> bool:
    raise AssertionError(f"{whole[:20]!r} is a plain text message")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535])
def test_a_plain_text_message_is_cut_out_here(size: int) -> None:
    buffer = FrameBuffer(LIMIT)
    read(buffer, frame(b"x" * size))
    assert buffer.take(refuse) == [b"x" * size]
    assert not buffer.partial


@pytest.mark.parametrize("limit", [LIMIT, 200], ids=["any length", "short ones only"])
@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 200])
def test_in_a_binary_feed_a_plain_message_is_a_binary_one(size: int, limit: int) -> None:
    buffer, others = FrameBuffer(limit, binary=True), []
    read(buffer, frame(b"x" * size, BINARY))
    if limit < 65535 and size > 125:
        assert buffer.take(lambda whole, _: others.append(whole) is None) == []
        assert others == [frame(b"x" * size, BINARY)]
        return
    assert buffer.take(refuse) == [b"x" * size]
    read(buffer, frame(b"x" * size, BINARY) * 2 + frame(b"text") + frame(b"y", BINARY))
    assert buffer.take(lambda whole, _: others.append(whole) is None) == [b"x" * size, b"x" * size, b"y"]
    assert others == [frame(b"text")]


def test_many_messages_come_out_at_once_and_in_order() -> None:
    buffer = FrameBuffer(LIMIT)
    wanted = [b"%d" % number for number in range(1000)]
    read(buffer, b"".join(map(frame, wanted)))
    assert buffer.take(refuse) == wanted
    assert buffer.taken == sum(len(frame(payload)) for payload in wanted)


@pytest.mark.parametrize(
    "whole",
    [
        frame(b"x" * 65536),
        frame(b"data", BINARY),
        frame(b"beat", PING),
        frame(b"", PONG),
        frame(b"\x03\xe8Bye", CLOSE),
        frame(b"begin", TEXT, fin=False),
        frame(b"more", CONTINUATION),
        frame(b"masked", mask=b"abcd"),
        frame(b"m" * 200, mask=b"abcd"),
        b"\x81\x7f" + (5).to_bytes(8, "big") + b"short",
        b"\xc1\x02hi",  # a reserved bit is set
    ],
    ids=lambda whole: repr(whole[:8]),
)
def test_any_other_frame_is_passed_on_whole_with_the_messages_before_it(whole: bytes) -> None:
    buffer, seen = FrameBuffer(LIMIT), []

    def other(other_frame: bytes, messages: list[bytes]) -> bool:
        seen.append((other_frame, list(messages)))
        messages.append(b"added")
        return True

    read(buffer, frame(b"one") + whole + frame(b"two"))
    assert buffer.take(other) == [b"one", b"added", b"two"]
    assert seen == [(whole, [b"one"])]
    assert buffer.taken == len(frame(b"one") + whole + frame(b"two"))


def test_the_code_that_takes_the_other_frames_can_stop_and_go_on_later() -> None:
    buffer, close = FrameBuffer(LIMIT), frame(b"", CLOSE)
    read(buffer, frame(b"one") + close + frame(b"two") + frame(b"three"))
    assert buffer.take(lambda whole, messages: False) == [b"one"]
    assert buffer.ripe
    assert buffer.partial
    assert buffer.taken == len(frame(b"one") + close)
    assert buffer.take(refuse) == [b"two", b"three"]


def test_while_a_fragmented_message_is_under_way_text_frames_are_passed_on_too() -> None:
    buffer, seen = FrameBuffer(LIMIT), []
    buffer.fragments = 3
    for payload in (b"short", b"x" * 300):
        read(buffer, frame(payload))
        assert buffer.take(lambda whole, messages: seen.append(whole) is None) == []
    assert seen == [frame(b"short"), frame(b"x" * 300)]


@pytest.mark.parametrize(
    "whole", [frame(b"abc"), frame(b"y" * 300), frame(b"z" * 70000), frame(b"beat", PING, mask=b"1234")]
)
@pytest.mark.parametrize("before", [[], [b"before"]])
def test_part_of_a_frame_stays_until_the_rest_is_there(whole: bytes, before: list[bytes]) -> None:
    buffer = FrameBuffer(LIMIT)
    others = Others(buffer)
    for cut in sorted({1, 2, 3, 4, 9, 10, 11, len(whole) // 2, len(whole) - 1} & set(range(1, len(whole)))):
        read(buffer, b"".join(map(frame, before)) + whole[:cut])
        assert buffer.take(others) == before
        assert buffer.partial
        assert not buffer.ripe
        read(buffer, whole[cut:])
        assert buffer.ripe
        messages = buffer.take(others)
        assert not buffer.partial
        assert len(messages) + len([other for other in others.frames if other[0] & 0x0F == PING]) == 1
        others.frames.clear()


def test_it_is_ripe_only_when_the_whole_frame_is_there() -> None:
    buffer = FrameBuffer(LIMIT)
    assert not buffer.ripe
    read(buffer, frame(b"x" * 1000)[:500])
    assert buffer.ripe  # its length was not looked at yet
    assert buffer.take(refuse) == []
    read(buffer, b"x" * 503)
    assert not buffer.ripe
    read(buffer, b"x")
    assert buffer.ripe


def test_the_smallest_frame_is_ripe_wherever_it_is() -> None:
    buffer, ping = FrameBuffer(LIMIT), frame(b"", PING)
    read(buffer, ping)
    assert buffer.ripe
    assert buffer.take(lambda whole, messages: True) == []
    read(buffer, ping + frame(b""))
    assert buffer.take(lambda whole, messages: False) == []
    assert buffer.ripe
    assert buffer.take(refuse) == [b""]


def test_what_was_read_early_is_the_beginning() -> None:
    early = b"".join(frame(b"%d" % number) for number in range(3))
    assert FrameBuffer(LIMIT, early).take(refuse) == [b"0", b"1", b"2"]
    buffer = FrameBuffer(LIMIT, early[:-1])
    assert buffer.partial
    assert buffer.take(refuse) == [b"0", b"1"]


def test_much_that_was_read_early_still_leaves_room() -> None:
    early = frame(b"x" * 65535) * 8
    buffer = FrameBuffer(LIMIT, early)
    assert len(buffer.room()) == len(early)
    assert buffer.take(refuse) == [b"x" * 65535] * 8


def test_a_message_of_the_limit_is_taken_and_one_byte_more_is_the_excess() -> None:
    for size, opcode in ((2, TEXT), (100, TEXT), (125, TEXT), (1000, TEXT), (70000, TEXT), (2, BINARY), (1000, BINARY)):
        buffer = FrameBuffer(size)
        others = Others(buffer)
        read(buffer, frame(b"x" * size, opcode))
        buffer.take(others)
        assert buffer.excess == 0
        assert not buffer.partial
        read(buffer, frame(b"ok") + frame(b"x" * (size + 1), opcode) + frame(b"never"))
        assert buffer.take(others) == [b"ok"]
        assert buffer.excess == size + 1
        assert not buffer.ripe
        assert buffer.take(others) == []


def test_the_excess_shows_as_soon_as_the_length_is_there() -> None:
    buffer = FrameBuffer(LIMIT)
    read(buffer, b"\x81\x7f" + (2**62).to_bytes(8, "big"))
    assert buffer.take(refuse) == []
    assert buffer.excess == 2**62


def test_fragments_count_together_towards_the_limit() -> None:
    buffer = FrameBuffer(1000)
    buffer.fragments = 900
    read(buffer, frame(b"x" * 100, CONTINUATION))
    assert buffer.take(lambda whole, messages: True) == []
    assert buffer.excess == 0
    read(buffer, frame(b"x" * 101, CONTINUATION))
    assert buffer.take(refuse) == []
    assert buffer.excess == 1001


def test_a_control_frame_between_fragments_is_no_part_of_their_message() -> None:
    buffer, seen = FrameBuffer(1000), []
    buffer.fragments = 990
    read(buffer, frame(b"p" * 100, PING))
    assert buffer.take(lambda whole, messages: seen.append(whole) is None) == []
    assert buffer.excess == 0
    assert seen == [frame(b"p" * 100, PING)]


def test_fragments_under_way_make_the_buffer_partial() -> None:
    buffer = FrameBuffer(LIMIT)
    assert not buffer.partial
    buffer.fragments = 1
    assert buffer.partial


def test_a_length_alone_claims_little_memory() -> None:
    buffer = FrameBuffer(1 << 40)
    read(buffer, b"\x81\x7f" + (1 << 30).to_bytes(8, "big"))
    assert buffer.take(refuse) == []
    assert len(buffer.room()) <= 2 * ROOM


def test_room_grows_with_what_is_read_and_shrinks_back_afterwards() -> None:
    buffer = FrameBuffer(1 << 30)
    whole = frame(b"x" * 3_000_000)
    others = Others(buffer)
    for start in range(0, len(whole), 50_000):
        read(buffer, whole[start : start + 50_000])
        assert len(buffer.room()) >= 1
        if buffer.ripe:
            messages = buffer.take(others)
    assert messages == [b"x" * 3_000_000]
    assert len(buffer.room()) == ROOM


def test_there_is_always_room() -> None:
    buffer = FrameBuffer(1 << 30)
    read(buffer, b"\x81")
    for _ in range(4):
        room = buffer.room()
        assert len(room) > 0
        buffer.added(len(room))
    assert len(buffer.room()) == 8 * ROOM


PAYLOADS = st.one_of(
    st.binary(max_size=130), st.sampled_from([b"q" * 126, b"q" * 1000, b"q" * 65535, b"q" * 65536, b"q" * 90000])
)
CONTROLS = st.builds(
    frame, st.binary(max_size=125), st.sampled_from([PING, PONG, BINARY]), mask=st.sampled_from([b"", b"wxyz"])
)


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Draw frames, and the messages and other frames that they are."""
    frames: list[bytes] = []
    messages: list[bytes] = []
    controls: list[bytes] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["text", "text", "control", "fragments"]))
        if kind == "control":
            controls.append(draw(CONTROLS))
            frames.append(controls[-1])
            continue
        parts: Sequence[bytes] = [draw(PAYLOADS)]
        if kind == "fragments":
            parts = draw(st.lists(st.binary(max_size=300), min_size=2, max_size=4).filter(lambda parts: parts[0]))
        messages.append(b"".join(parts))
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            frames.append(frame(part, TEXT if index == 0 else CONTINUATION, fin=last))
            if not last and draw(st.booleans()):
                controls.append(draw(CONTROLS.filter(lambda whole: whole[0] & 0x0F != BINARY)))
                frames.append(controls[-1])
    return frames, messages, controls


@settings(max_examples=examples(120), deadline=None)
@given(traffic=traffic(), data=st.data())
def test_any_frames_in_any_pieces_give_the_same_messages(
    traffic: tuple[list[bytes], list[bytes], list[bytes]], data: st.DataObject
) -> None:
    frames, messages, controls = traffic
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    early, *pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    buffer = FrameBuffer(LIMIT, early)
    others = Others(buffer)
    came: list[bytes] = []
    for piece in [b"", *pieces]:
        read(buffer, piece)
        if buffer.ripe:
            came += buffer.take(others)
        assert not buffer.ripe, "what is complete must be taken at once"
    assert came == messages
    assert [whole for whole in others.frames if whole[0] & 0x0F in (BINARY, PING, PONG)] == controls
    assert buffer.taken == len(stream)
    assert not buffer.partial
    assert not buffer.excess


REGULAR = [b"r" * 150, b"s" * 100, b"t" * 260]


@settings(max_examples=examples(60), deadline=None)
@given(traffic=traffic(), data=st.data())
def test_any_frames_among_many_plain_text_messages_come_out_in_order(
    traffic: tuple[list[bytes], list[bytes], list[bytes]], data: st.DataObject
) -> None:
    """The same traffic comes again and again among plain text messages, in any pieces."""
    buffer = FrameBuffer(LIMIT)
    frames, messages, _ = traffic
    counts = data.draw(st.lists(st.integers(0, 40), min_size=4, max_size=4))
    stream, wanted = b"", []
    for count in counts:
        stream += b"".join(map(frame, REGULAR)) * count + b"".join(frames)
        wanted += REGULAR * count + messages
    others, came = Others(buffer), []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read(buffer, stream[begin:end])
        if buffer.ripe:
            came += buffer.take(others)
    assert came == wanted
    assert not buffer.partial


def test_a_connection_that_fills_the_buffer_gets_a_larger_one() -> None:
    buffer = FrameBuffer(1 << 30)
    stream = frame(b"x" * 1000) * 10_000
    rooms = []
    for _ in range(4):
        rooms.append(len(buffer._buffer))
        room = len(buffer.room())
        read(buffer, stream[:room])
        stream = stream[room:]
        assert set(buffer.take(refuse)) == {b"x" * 1000}
    assert rooms == [ROOM, 8 * ROOM, 8 * ROOM, 8 * ROOM]


def test_while_a_fragmented_message_is_under_way_no_text_frame_of_many_is_cut_out_here() -> None:
    buffer, seen = FrameBuffer(LIMIT), []
    buffer.fragments = 3
    read(buffer, frame(b"x" * 200) * 100)
    assert buffer.take(lambda whole, messages: seen.append(whole) is None) == []
    assert seen == [frame(b"x" * 200)] * 100


@pytest.mark.parametrize("first", [ROOM, 10 * ROOM], ids=["taken in between", "taken at the end"])
def test_a_large_message_is_no_reason_for_a_larger_buffer(first: int) -> None:
    buffer, whole = FrameBuffer(1 << 30), frame(b"x" * 10 * ROOM)
    read(buffer, whole[:first])
    assert buffer.take(refuse) == []
    read(buffer, whole[first:])
    assert buffer.take(lambda whole, messages: True) == []
    assert len(buffer._buffer) == ROOM


@settings(max_examples=examples(100), deadline=None)
@given(junk=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_bytes_at_all_are_taken_in_their_order(junk: bytes, cut: int) -> None:
    def other(whole: bytes, messages: list[bytes]) -> bool:
        messages.append(whole)
        return True

    buffer = FrameBuffer(LIMIT)
    position = 0
    for piece in (junk[:cut], junk[cut:]):
        read(buffer, piece)
        for message in buffer.take(other):
            position = junk.index(message, position) + len(message)
    assert position <= buffer.taken <= len(junk)


def without(buffer: FrameBuffer, count: int) -> tuple[int, int, list[int]]:
    """Return `filled` without the first `count` bytes."""
    start, end, reads = buffer.filled
    end += sum(reads)
    return (start + count, end, []) if start + count < end else (0, 0, [])


ALONE = [0, 1, 2, 3, 124, 125, 126, 4000, 4091, 4092, 5000, 65535]


@pytest.mark.parametrize("start", [0, 1000], ids=["at the front", "behind others"])
@pytest.mark.parametrize("size", ALONE)
def test_a_message_that_is_all_there_is_is_found_and_taken(size: int, start: int) -> None:
    buffer, whole = FrameBuffer(LIMIT), frame(b"x" * size)
    read(buffer, bytes(start) + whole)
    buffer.filled = without(buffer, start)
    if size >= 2:  # the usual sizes; the others are left to the owner
        assert buffer.look() == ([b"x" * size], (0, 0, []), False)
    else:
        assert buffer.look() == ([], buffer.filled, True)
    assert buffer.partial
    assert buffer.take(refuse) == [b"x" * size]
    assert (buffer.partial, buffer.ripe, buffer.taken) == (False, False, len(whole))
    assert buffer.filled == (0, 0, [])
    assert buffer.take(refuse) == []


@pytest.mark.parametrize("size", [20, 125, 126, 200])
@pytest.mark.parametrize(
    ("rest", "complete"),
    [
        (b"\x81", False),
        (b"\x81\x7e", False),
        (b"\x81\x7e\x00", False),
        (b"\x81\x7f" + bytes(7), False),
        (frame(b"x" * 200)[:-1], False),
        (frame(b"x" * 70_000)[:-1], False),
        (b"\x89", False),
        (frame(b"beat", PING)[:-1], False),
        (frame(b""), True),
        (frame(b"x"), True),
        (frame(b"x" * 65536), True),
        (frame(b"", PING), True),
        (frame(b"x", CONTINUATION) + frame(b"x" * 200), True),
        (frame(b"x" * 200, fin=False), True),
        (frame(b"x" * 200, mask=b"abcd"), True),
        (frame(b"x" * (LIMIT + 1))[:10], True),
    ],
    ids=lambda each: repr(each[:8]) if isinstance(each, bytes) else None,
)
def test_a_look_finds_the_messages_before_anything_else_and_takes_nothing(
    size: int, rest: bytes, complete: bool
) -> None:
    buffer, whole = FrameBuffer(LIMIT), frame(b"x" * size)
    for count in (0, 1, 2):
        read(buffer, whole * count + rest)
        before = buffer.filled
        assert buffer.look() == ([b"x" * size] * count, without(buffer, len(whole) * count), complete)
        assert (buffer.filled, buffer.taken, buffer.excess) == (before, 0, 0)
        buffer.filled = (0, 0, [])


@pytest.mark.parametrize("size", [20, 200])
def test_a_message_beyond_the_limit_is_not_found(size: int) -> None:
    buffer = FrameBuffer(size - 1)
    read(buffer, frame(b"x" * size))
    assert buffer.look() == ([], buffer.filled, True)
    assert buffer.take(refuse) == []
    assert buffer.excess == size


@pytest.mark.parametrize("size", [20, 200])
def test_a_message_amid_fragments_is_not_taken_alone(size: int) -> None:
    buffer, seen = FrameBuffer(LIMIT), []
    buffer.fragments = 5
    read(buffer, frame(b"x" * size))
    assert buffer.take(lambda whole, messages: seen.append(whole) is None) == []
    assert seen == [frame(b"x" * size)]


class TestDirectReads:
    """A consumer reads into the buffer without `room()` and `added()`."""

    def read(self, buffer: FrameBuffer, data: bytes) -> None:
        room = buffer.room_for_direct_read()
        assert room is not None
        view, reads = room
        view[: len(data)] = data
        reads.append(len(data))

    def test_what_was_read_counts_at_once(self) -> None:
        buffer = FrameBuffer(LIMIT)
        self.read(buffer, frame(b"one") + frame(b"two"))
        assert (buffer.partial, buffer.ripe) == (True, True)
        assert buffer.look() == ([b"one", b"two"], (0, 0, []), False)
        assert buffer.room_for_direct_read() is None, "it has to be seen to before more is read"
        read(buffer, frame(b"three"))
        assert buffer.take(refuse) == [b"one", b"two", b"three"]

    def test_what_is_taken_from_the_front_leaves_the_rest(self) -> None:
        buffer, half = FrameBuffer(LIMIT), frame(b"x" * 300)[:100]
        self.read(buffer, frame(b"one") + half)
        messages, buffer.filled, complete = buffer.look()
        assert (messages, complete) == ([b"one"], False)
        assert buffer.partial
        self.read(buffer, frame(b"x" * 300)[100:] + frame(b"two"))
        assert buffer.look()[0] == [b"x" * 300, b"two"]
        assert buffer.take(refuse) == [b"x" * 300, b"two"]

    def test_a_smaller_frame_is_ripe_after_the_one_that_was_waited_for(self) -> None:
        buffer = FrameBuffer(LIMIT)
        read(buffer, frame(b"x" * 300)[:100])
        assert buffer.take(refuse) == []
        self.read(buffer, frame(b"x" * 300)[100:] + frame(b""))
        buffer.filled = without(buffer, 304)
        assert buffer.ripe
        assert buffer.take(refuse) == [b""]

    def test_amid_fragments_and_with_little_room_there_is_none(self) -> None:
        buffer = FrameBuffer(LIMIT)
        buffer.fragments = 1
        assert buffer.room_for_direct_read() is None
        buffer.fragments = 0
        read(buffer, frame(b"x" * 65535) * 3)
        assert buffer.room_for_direct_read() is None
        assert len(buffer.room()) == ROOM - 3 * 65539

    def test_a_read_is_bounded(self) -> None:
        room = FrameBuffer(LIMIT).room_for_direct_read()
        assert room is not None
        assert len(room[0]) == ROOM // 2

    @pytest.mark.parametrize(
        ("before", "rest", "moved"),
        [
            (200_000, 100, True),
            (200_000, 0, True),
            (100, 200_000, False),
            (193_000, 5_000, True),
            (190_000, 5_000, False),
            (100_000, 100, False),
            (100_000, 100_000, True),
            (100_000, 100_001, False),  # an interrupt between the copy and the note of it must find it whole
        ],
    )
    def test_room_is_made_where_it_is_little_and_the_rest_fits_in_before_itself(
        self, before: int, rest: int, moved: bool
    ) -> None:
        buffer, data = FrameBuffer(1 << 30), bytes(range(200)) * 1000
        read(buffer, bytes(before) + data[:rest] + (b"" if rest else b"!"))
        buffer.filled = without(buffer, before)
        start, end, _ = buffer.filled
        buffer.room_for_direct_read()
        assert buffer.filled == ((0, end - start, []) if moved else (start, end, []))
        start, end, _ = buffer.filled
        assert bytes(buffer._view[start:end]) == (data[:rest] or b"!")

    def test_no_room_is_made_while_a_read_is_not_seen_to(self) -> None:
        buffer = FrameBuffer(1 << 30)
        read(buffer, bytes(180_000) + b"rest")
        buffer.filled = without(buffer, 180_000)
        self.read(buffer, b" and more")
        before = buffer.filled
        buffer.room_for_direct_read()
        assert buffer.filled is before
        assert buffer.filled == (180_000, 180_004, [9])
