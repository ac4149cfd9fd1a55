"""Keep a book of a feed that pushes its snapshots, too: no snapshot is fetched.

The rules are those of `calibration`, with these for the pushed snapshots:

1. While the book is not live, a pushed snapshot is taken as a fetched one. If it does not fit, or if none comes, the
   owner has the topic unsubscribed and subscribed again, which brings another one.
2. A snapshot that comes while the book is live is not needed unless it is ahead of the book. Then updates may be
   missing: the book starts again from it.
3. A snapshot that is older than the book was is refused. If three in a row are older, each newer than the one before,
   the exchange numbers the book anew, and the third is taken. It is refused all the same if updates show that the
   numbering has not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .calibration import B, Calibration, U
from .codec import Data

__all__ = ["PushedCalibration"]

_BELIEVED = 3  # snapshots in a row that are older than the book was


class PushedCalibration(Calibration[B, U]):
    """Keeps one book equal to the exchange's from pushes alone; see `Calibration` and the module."""

    _limited = True
    _push_delta = Calibration.push
    _older_count = 0  # snapshots in a row that were older than the book was, each newer than the one before
    _older_sequence = -1  # of the last of them

    def push(self, data: Data | U, subject: str | None = None) -> Sequence[U]:
        """Take a push; return the updates that were applied to the book, which is at most one unless it was a snapshot.

        Args:
            data: a whole push as JSON text or decoded, or the struct that the feed's `read` returned for it.
            subject: ignored.
        """
        update: Any = data
        if not isinstance(data, self._update_type):
            try:
                update = self._feed.read(data, subject)  # type: ignore[arg-type]  # mypy takes it for an update still
            except ValueError as error:
                self._restart(f"an update could not be read: {error}")
                return ()
        if not update.is_snapshot:
            return self._push_delta(update)
        sequence = update.sequence_end
        if self.state == "live":
            if sequence <= self.sequence:
                return ()
            self._restart(f"a snapshot of {sequence} came before the updates to it")
        return self._load(sequence, update.bid_rows, update.ask_rows, None)

    def _snapshot_problem(self, sequence: int) -> str:
        problem = super()._snapshot_problem(sequence)
        if not problem or sequence >= self.min_sequence or self._buffer_end > self.min_sequence:
            self._older_count, self._older_sequence = 0, -1
            return problem
        if sequence != self._older_sequence:
            self._older_count = self._older_count + 1 if sequence > self._older_sequence else 1
            self._older_sequence = sequence
        if self._older_count < _BELIEVED:
            return problem
        self._older_count, self._older_sequence = 0, -1
        return ""
