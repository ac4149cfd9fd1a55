"""One reader's process in the long run: `python -m tests.benchmarks.relay_reader URL JSON`.

It reads numbered messages of many topics, and keeps books. Of each topic it checks that what is missing is told of in
place: `lost` where the epoch stays, and where it rises at least that. It prints "ready" when all is subscribed, then
its account as one line of JSON when the last message of each topic has come.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from typing import Any

from kucoin_sync import BookNotReady, LocalBook, Message
from kucoin_sync.relay import RelayStream

__all__ = ["Account", "digest"]


def digest(sequence: int, bids: Any, asks: Any) -> str:
    """Return what stands for the contents of a book."""
    text = repr((sequence, [tuple(level) for level in bids], [tuple(level) for level in asks]))
    return hashlib.sha256(text.encode()).hexdigest()


class Account:
    """What one reader got of its topics.

    Attributes:
        delivered: messages.
        lost: messages that `lost` told of.
        at_epochs: messages that are missing, beyond `lost`, where the epoch rose.
        silent: messages that are missing without a trace, or came twice, or in the wrong order.
    """

    def __init__(self, topics: list[str]) -> None:
        self.delivered = self.lost = self.at_epochs = self.silent = 0
        self.waiting = set(topics)
        self._last = dict.fromkeys(topics, (-1, 0))

    def take(self, message: Message) -> None:
        """Note a message."""
        topic, number = message.topic, message.data["n"]
        assert topic is not None
        last, epoch = self._last[topic]
        self._last[topic] = number, message.epoch
        self.delivered += 1
        missing, lost = number - last - 1, message.lost
        self.lost += lost
        if missing != lost:
            if missing < lost or message.epoch <= epoch:
                self.silent += abs(missing - lost)
            else:
                self.at_epochs += missing - lost
        if message.data.get("last"):
            self.waiting.discard(topic)


def _books_at(books: list[LocalBook], sequences: dict[str, int], timeout: float) -> dict[str, str]:
    """Return what the books hold when they have come to sequences; "" for one that does not come to it."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    found: dict[str, str] = {}
    for book in books:
        found[book.symbol] = ""
        while time.monotonic() < deadline:
            try:
                snapshot = book.snapshot()
            except BookNotReady:
                pass
            else:
                if snapshot.sequence >= sequences[book.symbol]:
                    found[book.symbol] = digest(snapshot.sequence, snapshot.bids, snapshot.asks)
                    break
            pause.wait(0.05)
    return found


def main(url: str, topics: list[str], symbols: list[str]) -> None:
    """Read until the last message of each topic; then wait on standard input for the books' sequences."""
    account = Account(topics)
    with RelayStream(url) as stream:
        subscription = stream.subscribe(*topics, maxsize=10**7, timeout=60)
        books = [stream.book(symbol) for symbol in symbols]
        for book in books:
            book.wait_ready(timeout=60)
        print("ready", flush=True)
        for message in subscription:
            account.take(message)
            if not account.waiting:
                break
        sequences = json.loads(sys.stdin.readline())
        numbers = {name: getattr(account, name) for name in ("delivered", "lost", "at_epochs", "silent")}
        found = _books_at(books, sequences, 30)
        resyncs = sum(book.resyncs for book in books)
        print(json.dumps({**numbers, "books": found, "resyncs": resyncs}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], **json.loads(sys.argv[2]))
