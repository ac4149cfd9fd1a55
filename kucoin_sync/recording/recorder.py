"""`Recorder`: writes down all that a stream's subscriptions and books get.

The I/O threads put what comes into a bounded queue as text; a thread of the recorder's own packs and writes it. A disk
that is slow, full or gone costs the stream nothing: it costs frames of the recording, which tells how many, in
their place. Where there are too few processors for both, zstd waits for reading. No key and no token comes near a
recording: it has what the server pushed, and book snapshots.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from .. import __version__
from ..events import Connected as ConnectedEvent
from ..events import Disconnected as DisconnectedEvent
from ..events import Event, UnexpectedError
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal.guard import guarded, log
from ..internal.resources import start_thread
from ..internal.signals import holds_no_lock, run_or_defer
from ..protocol.envelopes import FrameBatch, Push, Pushes, RawPush
from ..protocol.session_events import TopicKey
from . import format
from .compression import LARGEST
from .errors import RecordingError, RecordingFailed, RecordingResumed, reason_of
from .rotating_files import OpenFile, RotatingFiles, open_new

if TYPE_CHECKING:
    from typing_extensions import Self

    from .. import Client

__all__ = ["Recorder"]

_BLOCK = 2 * 1024 * 1024
_WAITING = 64 * 1024 * 1024
_PAUSES = (0.5, 1.0, 2.0, 5.0)
_SHARE = 200
"""Frames that become text together: so few that their text is made in memory that is in use already."""

_NICE = 10

_SLOW = "the disk was too slow"
_LONG = "one was too long for a recording"


class _Block:
    """Lines that wait for the disk. Its memory is used again: fresh memory costs more than what is done with it."""

    __slots__ = ("count", "size", "text")

    def __init__(self) -> None:
        self.text = io.BytesIO()
        self.size = 0
        self.count = 0  # frames in it

    def add(self, text: bytes, count: int) -> None:
        """Add lines."""
        self.text.write(text)
        self.size += len(text)
        self.count += count

    def clear(self) -> bool:
        """Empty it; whether it is worth keeping."""
        worth = self.size < 4 * _BLOCK
        self.text.seek(0)
        self.size = self.count = 0
        return worth


class Recorder:
    """Records a stream from now until it is closed, in a thread of its own: `with Recorder(stream, "day.jsonl.zst")`.

    What is recorded is what the stream's subscriptions get, each frame once, byte for byte, with the time at which it
    was received and the number of its connection; what becomes of the connections; and the snapshots that are
    fetched for the stream's books. A recorder subscribes nothing. A recorder that is killed leaves a file that can be
    replayed up to `flush_every` seconds before.

    Args:
        stream: what to record; it may have subscriptions already.
        path: of the file, ending with ".jsonl", ".jsonl.gz", or ".jsonl.zst" (`pip install 'kucoin-sync[zstd]'`). No
            file is ever overwritten.
        rotate_size: bytes after which another file is begun: "day.jsonl.zst" becomes "day-0001.jsonl.zst" and so on.
        rotate_time: seconds after which another file is begun.
        flush_every: seconds that a message may wait for others before it is written.
        most_waiting: bytes that may wait for the disk; beyond, messages are dropped and counted.

    Raises:
        RecordingError: the file can't be made, or what packs it is not installed.
        ValueError: a number makes no sense.
    """

    def __init__(
        self,
        stream: Client,
        path: str | os.PathLike[str],
        *,
        rotate_size: int | None = None,
        rotate_time: float | None = None,
        flush_every: float = 1.0,
        most_waiting: int = _WAITING,
        open_file: OpenFile = open_new,
    ) -> None:
        for name, value in (("rotate_size", rotate_size), ("rotate_time", rotate_time), ("flush_every", flush_every)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; it is a positive number")
        self._stream = stream
        self._flush_every = flush_every
        self._most = most_waiting
        self._lock = threading.Lock()  # guards all of the following but for what is the thread's
        self._blocks: list[_Block] = []  # what waits; the last is being filled
        self._taken: deque[_Block] = deque()  # what the thread has taken from there, and not written yet
        self._spare: deque[_Block] = deque(maxlen=2)  # to be filled again; of any thread
        self._size = 0  # of what waits
        self._missing = 0  # frames that were dropped since the last that was taken
        self._why = _SLOW  # the reason why
        self._dropped = 0
        self._closing = False
        self._over = False  # whether the thread has ended
        self._some = threading.Event()  # there is something to write, or the end has come
        self._urgent = threading.Event()  # and it is not to wait for more
        self._frames = self._bytes = 0  # written so far; the thread's
        self.error: BaseException | None = None
        self._parts = RotatingFiles(Path(path), rotate_size, rotate_time, self._beginning, time.monotonic, open_file)
        try:
            self._thread = start_thread(self._run, name="kucoin-recorder")
        except BaseException as error:
            self._parts.discard()
            if isinstance(error, ConnectionFailed):
                raise RecordingError(f"{self.path} can't be recorded: {error}", retriable=True) from None
            raise
        stream.add_tap(self)

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._parts.path

    @property
    def dropped(self) -> int:
        """Messages that are missing in the recording."""
        return self._dropped

    def stats(self) -> dict[str, Any]:
        """Return plain numbers: messages and their bytes, bytes written, files, messages dropped, bytes that wait."""
        return {
            "messages": self._frames,
            "bytes": self._bytes,
            "written": self._parts.written,
            "files": self._parts.count,
            "dropped": self._dropped,
            "waiting": self._size,
        }

    def close(self, timeout: float = 30.0) -> None:
        """Write what waits, and close the file; closing twice is allowed.

        A finaliser or handler that has interrupted this package does not wait for that, and is told of no error.

        Args:
            timeout: seconds that this may take.

        Raises:
            RecordingError: messages could not be written.
        """
        if not run_or_defer(self._begin_to_close):
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise RecordingError(f"{self.path} could not be written to its end within {timeout:g} s")
        if self.error is not None:
            raise RecordingError(
                f"{self.path} could not be written to its end ({reason_of(self.error)}); "
                f"{self._dropped} messages are missing in it"
            )

    def _begin_to_close(self) -> None:
        """Have the thread write what waits, and end."""
        self._stream.remove_tap(self)
        with self._lock:
            self._closing = True
        self._urgent.set()
        self._some.set()

    def __enter__(self) -> Self:
        return self

    @holds_no_lock
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RecordingError:
            if kind is None:
                raise

    def __repr__(self) -> str:
        state = "recording" if self._thread.is_alive() else "closed"
        return f"<Recorder of {self.path}: {state}, {self._frames} messages, {self._dropped} dropped>"

    # For the stream, on its threads

    def brought(self, market: str, private: bool, pushes: Pushes) -> None:
        """Queue frames; what can't be queued is counted."""
        left = len(pushes)
        try:
            for text, count in self._texts(market, private, pushes):
                self._put(text, count)
                left -= count
        except BaseException as error:
            self._miss(left, error)

    def _texts(self, market: str, private: bool, pushes: Pushes) -> Iterator[tuple[bytes, int]]:
        """Yield frames as text, with their number."""
        first, last = _batch_of(pushes[0]), _batch_of(pushes[-1])
        if first is not last or not (
            isinstance(pushes, FrameBatch) or all(_batch_of(push) is first for push in pushes)
        ):
            # such as those of two connections, while one is replaced
            for _, together in groupby(pushes, key=lambda push: id(_batch_of(push))):
                yield from self._texts(market, private, list(together))
            return
        origin = format.Origin(first.received_ns, first.epoch, market, private)
        if isinstance(pushes, FrameBatch):
            frames, one_line = pushes.frames, bool(pushes.text) and b"\n" not in pushes.text
        else:
            frames, one_line = [push.frame if isinstance(push, RawPush) else push.raw for push in pushes], False
        for start in range(0, len(frames), _SHARE):
            share = frames[start : start + _SHARE]
            yield (
                format.frames_as_text(origin, share, objects=True, lines=one_line),
                len(share),
            )  # nothing else is a push

    def carried(self, market: str, private: bool, keys: Iterable[TopicKey]) -> None:
        """Note confirmed topics."""
        topics = tuple((key.topic, key.tunnel) for key in keys)
        if topics:
            self._note(format.Subscribed(time.time_ns(), market, private, topics))

    def lost(self, market: str, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Note topics that nothing carries."""
        topics = tuple(key.topic for key in keys if key.tunnel is None)
        self._note(format.Lost(time.time_ns(), market, topics, str(error)))

    def told(self, event: Event) -> None:
        """Note what becomes of connections."""
        now = time.time_ns()
        if isinstance(event, ConnectedEvent):
            self._note(format.Connected(now, event.epoch, event.market, event.private, event.host))
        elif isinstance(event, DisconnectedEvent):
            self._note(
                format.Disconnected(
                    now, event.epoch, event.market, event.private, event.code, event.reason, str(event.error)
                )
            )

    def fetched(self, market: str, path: str, symbol: str, data: Any) -> None:
        """Note a snapshot."""
        text = msgspec.Raw(msgspec.json.encode(data))
        self._note(format.Snapshot(time.time_ns(), market, path, symbol, text))

    def _note(self, line: format.Line) -> None:
        self._put(format.line_as_text(line), 0)

    def _put(self, text: bytes, count: int) -> None:
        """Queue lines for the thread, or count the frames in them where there is no room."""
        with self._lock:
            if self._closing:
                return
            too_long = len(text) > LARGEST - 2 * _BLOCK  # nobody could read it
            if self._over or too_long or self._size + len(text) > self._most:
                if too_long and self._why is _SLOW:
                    self._why = _LONG
                self._missing += count
                self._dropped += count
                return
            if self._missing:
                text = format.line_as_text(format.Dropped(time.time_ns(), self._missing, self._why)) + text
            first = not self._blocks
            if first or self._blocks[-1].size >= _BLOCK:
                block = self._spare.pop() if self._spare else _Block()
                block.add(text, count)
                self._blocks.append(block)
            else:
                self._blocks[-1].add(text, count)
            self._missing, self._why = 0, _SLOW
            self._size += len(text)
            urgent = self._size >= _BLOCK
        if first:
            self._some.set()
        if urgent:
            self._urgent.set()

    def _miss(self, count: int, error: BaseException) -> None:
        """Count frames that could not be queued; tell of it once, until others are queued."""
        with self._lock:
            if self._closing:
                return
            self._missing += count
            self._dropped += count
            told, self._why = self._why not in (_SLOW, _LONG), f"of an error in the recorder ({reason_of(error)})"
        if not told:
            log(logging.ERROR, "messages could not be recorded", error=error)
            self._stream.emit(UnexpectedError(f"the recorder of {self.path}", error))

    # The thread

    def _run(self) -> None:
        try:
            with guarded("the recorder's thread could not give way to others"):
                if self.path.suffix == ".zst":  # gzip takes too long for what is left over
                    _give_way()
            while not self._round():
                pass
        finally:
            self._over = True
            with self._lock:  # what is left where a round has failed at the end
                self._dropped += sum(block.count for block in (*self._taken, *self._blocks))

    def _round(self) -> bool:
        """Write what waits, once there is something; return whether that was the end."""
        try:
            return self._write_all()
        except (
            BaseException
        ) as error:  # not of writing, which insists: what was taken and is not written is tried again
            self._tell_failed(error, _PAUSES[0])
            if self._closing:
                with guarded("a recording could not be closed"):
                    self._parts.close()
                return True
            self._urgent.wait(_PAUSES[0])
            return False

    def _write_all(self) -> bool:
        if not self._taken:
            self._some.wait()
            self._urgent.wait(self._flush_every)
        with self._lock:
            self._taken.extend(self._blocks)
            self._blocks = []
            closing = self._closing
            if not closing:
                self._some.clear()
                self._urgent.clear()
        written = True
        while self._taken:
            written = self._write(self._taken[0]) and written
        if closing:
            self._end(written)
        return closing

    def _write(self, block: _Block) -> bool:
        """Write a block; False where that was not possible before the end."""
        with block.text.getbuffer() as buffer, buffer[: block.size] as text:
            written = self._insist(lambda: self._parts.write(text))
        with self._lock:
            self._taken.popleft()
            self._size -= block.size
            if not written:
                self._dropped += block.count
        if written:
            self._frames += block.count
            self._bytes += block.size
        if block.clear():
            self._spare.append(block)
        return written

    def _insist(self, write: Callable[[], None]) -> bool:
        """Write until it succeeds; False where it does not and the end has come."""
        pauses = iter(_PAUSES)
        pause = 0.0
        while True:
            try:
                write()
            except BaseException as error:  # such as MemoryError: for all that is known, it passes
                pause = next(pauses, pause)
                self._tell_failed(error, pause)
                error.__traceback__ = None  # its frames hold on to the memory that blocks use again
            else:
                if self.error is not None:
                    self.error = None
                    self._stream.emit(RecordingResumed(str(self.path), self._missing))
                return True
            if self._closing:
                return False
            self._urgent.clear()  # a full queue is no reason to try again sooner; the end is
            if self._closing:
                continue
            self._urgent.wait(pause)

    def _tell_failed(self, error: BaseException, pause: float) -> None:
        """Tell that the recorder can't write, once until it can."""
        if self.error is None:
            self.error = error
            if not isinstance(error, OSError):
                log(logging.ERROR, "a defect in the recorder of %s, which tries again", self.path, error=error)
            self._stream.emit(RecordingFailed(str(self.path), error, pause))

    def _end(self, written: bool) -> None:
        if written:
            now = time.time_ns()
            text = format.line_as_text(format.End(now))
            if self._missing:
                text = format.line_as_text(format.Dropped(now, self._missing, self._why)) + text
            if self._insist(lambda: self._parts.close(text)):
                return
        self._parts.close()

    def _beginning(self, part: int) -> bytes:
        """Return the first lines of a file."""
        now = time.time_ns()
        header = format.Header(format.FORMAT, __version__, now, part)
        first: list[format.Line] = [header]
        first += [
            format.Subscribed(now, market, private, tuple((key.topic, key.tunnel) for key in keys))
            for (market, private), keys in self._stream.carrying().items()
            if keys
        ]
        return b"".join([format.line_as_text(line) for line in first])


def _give_way() -> None:
    """Let this thread run where nobody else wants to, as far as the system has a priority for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):  # not everywhere is a thread allowed to
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)


def _batch_of(push: Push) -> Any:
    return push.batch if isinstance(push, RawPush) else push.origin.batch
