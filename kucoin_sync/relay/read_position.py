"""Detect missing and duplicate messages of a topic, from the sequence, run and fencing token of each record.

Rules:
1. Same token: a record whose sequence is not above the last one is a duplicate. Skipped numbers are lost messages, and
   the epoch rises: Redis trimmed them before they were read, or the relay dropped them.
2. New run: the relay lost its connection to KuCoin, or subscribed the topic again. The epoch rises.
3. New token: another relay took over, and it is unknown what KuCoin sent meanwhile. The epoch rises, and skipped
   numbers are lost messages. A lower sequence means that Redis has lost its data. If the record lists the older token
   as tried, rule 1 applies instead.
4. Records with an older token are ignored.
5. Before the first message, records of a holder that took over after `join` have lost nothing.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .codec import Record

__all__ = ["ReadPosition"]


class ReadPosition:
    """The position of a reader in one topic.

    Args:
        epochs: yields rising epoch numbers.

    Attributes:
        epoch: the epoch of the last message; 0 before the first.
        joined: whether `join` was called.
        token, run, sequence: those of the last record.
    """

    __slots__ = ("_epochs", "epoch", "joined", "run", "sequence", "token")

    def __init__(self, epochs: Iterator[int]) -> None:
        self._epochs = epochs
        self.epoch = 0
        self.joined = False
        self.token = 0
        self.run = 0
        self.sequence = 0

    def __repr__(self) -> str:
        return f"<ReadPosition {self.sequence} of run {self.run} of holder {self.token}: epoch {self.epoch}>"

    def join(self, token: int, sequence: int) -> None:
        """Begin after the record `sequence`, the last one that the holder `token` had written."""
        self.joined, self.token, self.sequence = True, token, sequence

    def lost_before(self, token: int, record: Record, epoch: int, tried: Sequence[int] = ()) -> int | None:
        """Advance to a record; return how many messages are missing before it, or None if it is to be ignored.

        Args:
            epoch: the epoch of the record's run; a record after lost messages gets a new one instead.
            tried: older tokens that the same record may have been written with; see `codec.Entry`.
        """
        sequence = record.sequence
        same_count = token == self.token or self.token in tried
        if token < self.token or (same_count and sequence <= self.sequence):
            return None
        first = not self.epoch
        lost = 0 if first and token != self.token else max(0, sequence - self.sequence - 1)
        if first:
            self.epoch = epoch
        elif lost or token != self.token or record.run != self.run:
            self.epoch = epoch if epoch > self.epoch and not lost else next(self._epochs)
        self.token, self.run, self.sequence = token, record.run, sequence
        return lost
