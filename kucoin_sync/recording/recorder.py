"""`Recorder`: records everything that a stream's subscriptions and books receive.

The I/O threads put received frames into a bounded queue, as text. The recorder's own thread compresses and writes the
text. A slow, full or missing disk never delays the stream: the recording loses frames instead, and notes their number
at that point. If there are too few processors, zstd compression yields to receiving. A recording holds pushed frames
and book snapshots only; no key or token is ever written.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from .. import __version__
from ..events import Connected, Disconnected, Event, UnexpectedError
from ..exceptions import ConnectionFailed, KucoinSyncError, StreamClosed
from ..internal.fork import register
from ..internal.guard import Thread, guarded, is_interrupt, log
from ..internal.resources import acquiring
from ..internal.signals import holds_no_lock, run_or_defer
from ..protocol.envelopes import FrameBatch, Pushes, RawPush, arrival_of
from ..protocol.session_events import TopicKey
from . import format
from .errors import RecordingError, RecordingFailed, RecordingResumed, reason_of
from .rotating_files import OpenFile, RotatingFiles, open_new
from .text_queue import TextBlock, TextQueue

if TYPE_CHECKING:
    from typing_extensions import Self

    from .. import Client

__all__ = ["Recorder"]

_MAX_WAITING_BYTES = 64 * 1024 * 1024
_PAUSES = (0.5, 1.0, 2.0, 5.0)
_FRAMES_PER_TEXT = 200
"""Frames that become text at a time: few enough that the text reuses memory instead of allocating fresh memory."""

_NICE = 10


class Recorder:
    """Records a stream from now until it is closed, in a thread of its own: `with Recorder(stream, "day.jsonl.zst")`.

    It records the frames that the stream's subscriptions get, each once, byte for byte, with the time of receipt and
    the epoch of its connection; connects and disconnects; and the snapshots that are fetched for the stream's books. A
    recorder subscribes nothing. If the recorder is killed, the file lacks at most the last `flush_every` seconds.

    Args:
        stream: the stream to record; it may have subscriptions already.
        path: of the file, ending with ".jsonl", ".jsonl.gz", or ".jsonl.zst" (`pip install 'kucoin-sync[zstd]'`). No
            file is ever overwritten.
        rotate_size: bytes after which a new file is started: "day.jsonl.zst" becomes "day-0001.jsonl.zst" and so on.
        rotate_time: seconds after which a new file is started.
        flush_every: longest time that a message waits before it is written, in seconds.
        most_waiting: largest number of bytes that wait for the disk; further messages are dropped and counted.

    Raises:
        RecordingError: the file can't be created, or the compression library is not installed.
        StreamClosed: the stream is closed.
        ValueError: a number is not positive.
    """

    def __init__(
        self,
        stream: Client,
        path: str | os.PathLike[str],
        *,
        rotate_size: int | None = None,
        rotate_time: float | None = None,
        flush_every: float = 1.0,
        most_waiting: int = _MAX_WAITING_BYTES,
        open_file: OpenFile = open_new,
    ) -> None:
        for name, value in (("rotate_size", rotate_size), ("rotate_time", rotate_time), ("flush_every", flush_every)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; it is a positive number")
        if stream.closed:
            raise StreamClosed(f"the stream is closed; make a new one to record it in {os.fspath(path)}")
        self._stream = stream
        self._flush_every = flush_every
        self._queue = TextQueue(most_waiting)
        self._frames = self._bytes = 0  # written so far; the thread's
        self.error: BaseException | None = None
        self._dropped_before: int | None = None  # `dropped` before the drops that were reported and go on
        self._files = RotatingFiles(Path(path), rotate_size, rotate_time, self._first_lines, time.monotonic, open_file)
        thread: Thread | None = None
        try:
            thread = self._thread = Thread(target=self._run, name="kucoin-recorder", daemon=True)
            with acquiring("the thread kucoin-recorder"):
                thread.start()
            stream.add_observer(self)
            register(self)
        except BaseException as error:  # a signal handler may raise, too
            self._begin_to_close()
            if thread is not None and thread.ident is not None:
                thread.join()  # it ends at once
            self._files.discard()
            if isinstance(error, ConnectionFailed):
                raise RecordingError(f"{self.path} can't be recorded: {error}", retriable=True) from None
            raise

    def after_fork(self) -> None:
        """Close in a forked child: the parent goes on to write the file."""
        self._queue.after_fork()
        self.error = None

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._files.path

    @property
    def dropped(self) -> int:
        """The number of messages that are missing in the recording. A snapshot that is missing counts, too."""
        return self._queue.dropped

    def stats(self) -> dict[str, Any]:
        """Return numbers: messages and their bytes, bytes written, files, messages dropped, bytes that wait."""
        return {
            "messages": self._frames,
            "bytes": self._bytes,
            "written": self._files.written,
            "files": self._files.count,
            "dropped": self._queue.dropped,
            "waiting": self._queue.size,
        }

    def close(self, timeout: float = 30.0) -> None:
        """Write all waiting messages and close the file; closing twice is allowed.

        In a finaliser or signal handler that has interrupted this package, this neither waits nor raises.

        Args:
            timeout: longest time to wait, in seconds.

        Raises:
            RecordingError: messages could not be written, now or earlier.
        """
        if not run_or_defer(self._begin_to_close):
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise RecordingError(f"{self.path} could not be completed within {timeout:g} s")
        if self.error is not None:
            raise RecordingError(
                f"{self.path} could not be completed ({reason_of(self.error)}); "
                f"{self._queue.dropped} messages are missing in it"
            )
        if self._queue.dropped:
            raise RecordingError(f"{self._queue.dropped} messages are missing in {self.path}, which says where and why")

    def _begin_to_close(self) -> None:
        """Tell the thread to write all waiting messages and to end."""
        self._stream.remove_observer(self)
        self._queue.close()

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
        return f"<Recorder of {self.path}: {state}, {self._frames} messages, {self._queue.dropped} dropped>"

    # For the stream, on its threads

    def on_messages(self, market: str, private: bool, pushes: Pushes) -> None:
        """Queue frames; count those that can't be queued."""
        left = len(pushes)
        try:
            for text, count in self._texts(market, private, pushes):
                reason = self._queue.put(text, count)
                left -= count
                if reason is not None:
                    self._report_drops(reason, self._queue.dropped - count)
        except BaseException as error:
            self._miss(left, error)

    def _miss(self, count: int, error: BaseException) -> None:
        """Count frames or other lines that can't be queued because of an error, and report that."""
        if self._queue.miss(count, f"of an error in the recorder ({reason_of(error)})"):
            log(logging.ERROR, "messages could not be recorded", error=error)
            self._stream.emit(UnexpectedError(f"the recorder of {self.path}", error))

    def _report_drops(self, reason: str, before: int) -> None:
        """Report that messages do not fit into the queue."""
        if self.error is None:  # else it is known
            self._stream.emit(RecordingFailed(str(self.path), OSError(f"{reason}; messages are dropped"), 0.0))
            self._dropped_before = before

    def _texts(self, market: str, private: bool, pushes: Pushes) -> Iterator[tuple[bytes, int]]:
        """Yield the frames as pieces of text, each with its number of frames."""
        first, last = arrival_of(pushes[0]), arrival_of(pushes[-1])
        if first is not last or not (
            isinstance(pushes, FrameBatch) or all(arrival_of(push) is first for push in pushes)
        ):
            # Frames of two connections come together while one connection is replaced.
            for _, together in groupby(pushes, key=lambda push: id(arrival_of(push))):
                yield from self._texts(market, private, list(together))
            return
        kind = format.RecoveredOrigin if first.recovered else format.FrameOrigin
        origin = kind(first.received_ns, first.epoch, market, private)
        if isinstance(pushes, FrameBatch):
            frames, one_line = pushes.frames, bool(pushes.text) and b"\n" not in pushes.text
        else:
            frames, one_line = [push.frame if isinstance(push, RawPush) else push.raw for push in pushes], False
        for start in range(0, len(frames), _FRAMES_PER_TEXT):
            share = frames[start : start + _FRAMES_PER_TEXT]
            # Every push is a JSON object.
            yield format.frames_as_text(origin, share, objects=True, lines=one_line), len(share)

    def on_subscribed(self, market: str, private: bool, keys: Iterable[TopicKey]) -> None:
        """Record confirmed topics."""
        if keys := list(keys):
            self._put_line(
                lambda: format.Subscribed(
                    time.time_ns(), market, private, tuple((key.topic, key.tunnel) for key in keys)
                )
            )

    def on_lost(self, market: str, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Record topics that no connection carries any more."""
        self._put_line(
            lambda: format.Lost(
                time.time_ns(), market, tuple(key.topic for key in keys if key.tunnel is None), str(error)
            )
        )

    def on_event(self, event: Event) -> None:
        """Record connects and disconnects."""
        if isinstance(event, Connected):
            up = event
            self._put_line(lambda: format.ConnectedLine(time.time_ns(), up.epoch, up.market, up.private, up.host))
        elif isinstance(event, Disconnected):
            down = event
            self._put_line(
                lambda: format.DisconnectedLine(
                    time.time_ns(), down.epoch, down.market, down.private, down.code, down.reason, str(down.error)
                )
            )

    def on_snapshot(self, market: str, path: str, symbol: str, data: Any) -> None:
        """Record a snapshot."""
        self._put_line(
            lambda: format.SnapshotLine(time.time_ns(), market, path, symbol, msgspec.Raw(msgspec.json.encode(data)))
        )

    def _put_line(self, make: Callable[[], format.Line]) -> None:
        """Queue a line that has no frames; count it if it can't be made or queued."""
        try:
            reason = self._queue.put(format.line_as_text(make()), 0)
            if reason is not None:
                self._report_drops(reason, self._queue.dropped - 1)
        except BaseException as error:
            self._miss(1, error)
            if is_interrupt(error):
                raise

    # The thread

    def _run(self) -> None:
        try:
            with guarded("the priority of the recorder's thread could not be lowered"):
                if self.path.suffix == ".zst":  # with low priority, gzip takes too long
                    _lower_priority()
            while not self._write_round():
                pass
        finally:
            self._queue.end()

    def _write_round(self) -> bool:
        """Wait for blocks and write them; return whether the recorder has ended."""
        try:
            return self._write_all()
        except BaseException as error:
            # Not an error of writing, which is retried elsewhere. The blocks that were taken are written next time.
            self._report_failure(error, _PAUSES[0])
            if self._queue.closing:
                with guarded("a recording could not be closed"):
                    self._files.close()
                return True
            self._queue.write_now.wait(_PAUSES[0])
            return False

    def _write_all(self) -> bool:
        queue = self._queue
        if not queue.being_written:
            queue.available.wait()
            queue.write_now.wait(self._flush_every)
        closing = queue.take()
        while queue.being_written:
            self._write(queue.being_written[0])
        if closing:
            text = queue.last_lines()
            if not self._retry_until_written(lambda: self._files.close(text)):
                self._files.close()
        return closing

    def _write(self, block: TextBlock) -> None:
        """Write a block, or count what is missing with it if that was not possible before the end."""
        lost = self._queue.lost_line()
        with block.text.getbuffer() as buffer, buffer[: block.size] as text:
            written = self._retry_until_written(lambda: self._files.write(b"".join((lost, text)) if lost else text))
        if written:
            self._frames += block.count
            self._bytes += block.size
        self._queue.done(block, written=written, reason="" if self.error is None else reason_of(self.error))
        if written and self._dropped_before is not None and not self._queue.dropping:
            before, self._dropped_before = self._dropped_before, None
            self._stream.emit(RecordingResumed(str(self.path), self._queue.dropped - before))

    def _retry_until_written(self, write: Callable[[], None]) -> bool:
        """Call `write` until it succeeds; return False if it fails after `close`."""
        pauses = iter(_PAUSES)
        pause = 0.0
        while True:
            try:
                write()
            except BaseException as error:  # any error may be temporary, such as MemoryError
                pause = next(pauses, pause)
                self._report_failure(error, pause)
                error.__traceback__ = None  # its frames refer to the block's memory, which is reused
            else:
                if self.error is not None:
                    self.error = None
                    self._stream.emit(RecordingResumed(str(self.path), self._queue.missing))
                return True
            if self._queue.closing:
                return False
            self._queue.write_now.clear()  # only `close` shortens the pause, a full queue does not
            if self._queue.closing:
                continue
            self._queue.write_now.wait(pause)

    def _report_failure(self, error: BaseException, pause: float) -> None:
        """Report that the recorder can't write, once until it can write again."""
        if self.error is None:
            self.error = error
            if not isinstance(error, OSError):
                log(logging.ERROR, "a defect in the recorder of %s, which tries again", self.path, error=error)
            self._stream.emit(RecordingFailed(str(self.path), error, pause))

    def _first_lines(self, part: int) -> bytes:
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


def _lower_priority() -> None:
    """Lower the priority of this thread, where the system has a priority for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):  # some systems do not allow it
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)
