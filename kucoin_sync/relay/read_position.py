"""How a reader sees that messages of a topic are missing: by the count that stands with each, and by who wrote it.

Rules:
1. Of one holder (token), a record that the topic's count says was had already is a duplicate; what its count leaves out
   is lost, and the epoch rises: the stream was trimmed, or the relay had to drop it.
2. A new run: the relay lost its connection to KuCoin, or took the topic up again; the epoch rises.
3. A new token: another relay took over, and nobody knows what KuCoin sent meanwhile; the epoch rises, and what the
   count leaves out is lost. A count that begins again means that Redis has lost its data; but where the holder says
   that it tried to write the same with the older token, rule 1 tells the duplicates.
4. Nothing of an older token counts any more.
5. Before the first message nobody misses anything of a holder that was not there when the topic was joined.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .codec import Record

__all__ = ["ReadPosition"]


class ReadPosition:
    """Where a reader is in one topic.

    Args:
        epochs: gives numbers of epochs, rising.

    Attributes:
        epoch: of the last message; 0 before the first.
        joined: whether `join` was called.
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
        return f"<Place {self.sequence} of run {self.run} of holder {self.token}: epoch {self.epoch}>"

    def join(self, token: int, sequence: int) -> None:
        """Begin behind a number, which a holder had come to when the topic was first asked for."""
        self.joined, self.token, self.sequence = True, token, sequence

    def lost_before(self, token: int, record: Record, epoch: int, tried: Sequence[int] = ()) -> int | None:
        """Move on to a record; return how many messages are missing before it, None for one that does not count.

        `epoch` is that of messages that come after the place's first one without a gap; `tried` are other tokens with
        which the record was perhaps written before.
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
