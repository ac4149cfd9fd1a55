"""The long run of relays: they are killed, Redis restarts, and readers' delivered and reported missing add up.

Several relays and readers, each in a process of its own, one Redis, and here a local KuCoin with numbered messages.
Meanwhile the holder of the lease is killed twice, and Redis, which keeps nothing, is restarted once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kucoin_sync.testing import Exchange, KucoinServer, Push, ServerLimits
from tests.support.redis import LocalRedis

from .relay_reader import digest

__all__ = ["Plan", "Verdict", "run"]

_ROOT = Path(__file__).parents[2]
_TAKE_OVER = 5.0
_KEY = ("key", "secret", "passphrase")
_LEASE = "{kucoin-sync}:1:lease"


@dataclass(frozen=True)
class Plan:
    """How large the run is.

    Attributes:
        seconds: how long messages flow.
        rate: messages a second, over all topics.
        topics: of them, each book has one.
    """

    seconds: float = 60.0
    rate: int = 20_000
    topics: int = 200
    books: int = 4
    relays: int = 3
    readers: int = 8


@dataclass
class Verdict:
    """What came of it."""

    plan: Plan
    published: int = 0
    rate: float = 0.0
    take_overs: list[float] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    truth: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str, bool]]:
        """Return what was to be shown: what, figure, whether it is so."""
        sums = [each["delivered"] + each["lost"] + each["at_epochs"] for each in self.accounts]
        wrong = [
            symbol for each in self.accounts for symbol, found in each["books"].items() if found != self.truth[symbol]
        ]
        epochs = [each["at_epochs"] for each in self.accounts]
        return [
            ("messages published", f"{self.published:,} in {self.plan.topics - self.plan.books} topics", True),
            ("rate reached", f"{self.rate:,.0f} of {self.plan.rate:,} a second", True),
            ("readers that came to the end", f"{len(self.accounts)} of {self.plan.readers}",
             len(self.accounts) == self.plan.readers),
            ("delivered + reported missing", f"{min(sums, default=0):,} to {max(sums, default=0):,}",
             bool(sums) and set(sums) == {self.published}),
            ("missing without a trace", f"{sum(each['silent'] for each in self.accounts)}",
             not any(each["silent"] for each in self.accounts)),
            ("reported by number, by epoch",
             f"{sum(each['lost'] for each in self.accounts):,} in all; {min(epochs, default=0):,} to "
             f"{max(epochs, default=0):,} each", True),
            ("books that equal the exchange's", f"{sum(len(each['books']) for each in self.accounts) - len(wrong)} of "
             f"{self.plan.readers * self.plan.books}, {sum(each['resyncs'] for each in self.accounts)} begun again",
             not wrong and len(self.accounts) == self.plan.readers),
            ("take-over", ", ".join(f"{each:.1f} s" for each in self.take_overs) + f" (at most {_TAKE_OVER:g} s)",
             bool(self.take_overs) and max(self.take_overs) <= _TAKE_OVER),
        ]  # fmt: skip

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return all(good for _, _, good in self.rows())

    def table(self) -> str:
        """Return it as text."""
        return "\n".join(f"{'ok ' if good else 'BAD'}  {what:<34}{figure}" for what, figure, good in self.rows())


class _Run:
    def __init__(self, plan: Plan, server: KucoinServer, redis: LocalRedis) -> None:
        self.plan = plan
        self.server = server
        self.redis = redis
        self.topics = [f"/market/match:A{number}-USDT" for number in range(plan.topics - plan.books)]
        self.symbols = [f"B{number}-USDT" for number in range(plan.books)]
        self.wanted = {*self.topics, *(f"/market/level2:{symbol}" for symbol in self.symbols)}
        self.verdict = Verdict(plan)
        self.numbers = dict.fromkeys(self.topics, 0)
        self.relays: list[subprocess.Popen[Any]] = []

    def publish(self) -> None:
        """Have messages flow at the plan's pace, one of each topic at a time, and books change."""
        pace = self.plan.rate / len(self.topics)
        rounds = max(1, int(self.plan.seconds * pace))
        start, pause = time.monotonic(), threading.Event()
        for number in range(rounds):
            early = start + number / pace - time.monotonic()
            if early > 0:
                pause.wait(early)
            self._send()
            if number % 10 == 0:
                self.server.step_exchange(1)
        self.verdict.rate = rounds * len(self.topics) / (time.monotonic() - start)

    def _send(self, **more: object) -> None:
        pushes = []
        for topic in self.topics:
            data = {"n": self.numbers[topic], "price": "67000.1", "size": "0.00102", "side": "buy", **_PADDING, **more}
            self.numbers[topic] += 1
            pushes.append(Push(topic, "trade.l3match", data))
        self.server.publish_many(pushes)
        self.verdict.published += len(pushes)

    def holder(self) -> int:
        """Return the process id of the relay that holds the lease, 0 without one."""
        try:
            text = self.redis.call("GET", _LEASE)
        except Exception:
            return 0  # Redis is restarting
        name = json.loads(text).get("name", "") if text else ""
        return int(name.rpartition(":")[2] or 0)

    def carried(self) -> bool:
        """Whether KuCoin's side carries all that is wanted."""
        return any(connection.topics >= self.wanted for connection in self.server.connections)

    def kill_holder(self) -> None:
        """Kill the relay that works; note how long it takes until another one has subscribed everything."""
        _until(lambda: self.holder() != 0, 30)
        pid, killed = self.holder(), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        _until(lambda: not self.carried(), 30)
        _until(lambda: self.holder() not in (0, pid) and self.carried(), 60)
        self.verdict.take_overs.append(time.monotonic() - killed)

    def faults(self) -> None:
        """Let them befall the run at a quarter, a half and three quarters of its time."""
        start, pause = time.monotonic(), threading.Event()
        for place, fault in enumerate((self.kill_holder, self.redis.restart, self.kill_holder), 1):
            pause.wait(max(0.0, start + place * self.plan.seconds / 4 - time.monotonic()))
            fault()

    def end(self, readers: list[subprocess.Popen[str]]) -> None:
        """Have the last messages come, and compare."""
        _until(self.carried, 60)
        _until(lambda: self.holder() != 0, 60)
        self._send(last=True)
        with self.server.trading() as exchange:
            books = {symbol: exchange.level2(symbol) for symbol in self.symbols}
        sequences = json.dumps({symbol: book.sequence for symbol, book in books.items()})
        self.verdict.truth = {symbol: digest(*book) for symbol, book in books.items()}
        for reader in readers:
            try:
                out, _ = reader.communicate(sequences + "\n", timeout=120)
                self.verdict.accounts.append(json.loads(out.splitlines()[-1]))
            except (subprocess.TimeoutExpired, IndexError, ValueError):
                continue  # it is missing in the verdict


_PADDING = {
    "makerOrderId": "5c35c02709e4f67d5266954e",
    "takerOrderId": "5c35c02703aa673ceec2a168",
    "time": "1545913818099033203",
    "type": "match",
}


def run(plan: Plan, say: Callable[[str], object] = lambda line: None) -> Verdict:
    """Return what came of a run."""
    exchange = Exchange([f"B{number}-USDT" for number in range(plan.books)], seed=1, levels=50)
    limits = ServerLimits(messages_per_10s=None)
    with (
        LocalRedis() as redis,
        KucoinServer(exchange=exchange, credentials=_KEY, limits=limits) as server,
        contextlib.ExitStack() as processes,
    ):
        server.allow_topic("/market/match")
        work = _Run(plan, server, redis)
        for _ in range(plan.relays):
            processes.enter_context(_relay(server, redis))
        _until(lambda: work.holder() != 0, 60)
        what = json.dumps({"topics": work.topics, "symbols": work.symbols})
        readers = [
            processes.enter_context(_process("tests.benchmarks.relay_reader", redis.url, what))
            for _ in range(plan.readers)
        ]
        for reader in readers:
            assert reader.stdout is not None
            if reader.stdout.readline() != "ready\n":
                raise RuntimeError("a reader did not come to subscribe everything")
        say(f"{plan.relays} relays and {plan.readers} readers of {plan.topics} topics run; messages flow")
        publishing = threading.Thread(target=work.publish, name="soak-publisher")
        publishing.start()
        try:
            work.faults()
        finally:
            publishing.join()
        say("all was sent; waiting for the readers")
        work.end(readers)
        server.check()
    return work.verdict


def _until(true: Callable[[], bool], seconds: float) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"something did not happen within {seconds:g} s")
        pause.wait(0.02)


@contextlib.contextmanager
def _relay(server: KucoinServer, redis: LocalRedis) -> Iterator[None]:
    where = ["--rest-url", server.rest_url, "--futures-rest-url", server.futures_rest_url]
    with _process("kucoin_sync", "relay", *where, redis=redis.url):
        yield


@contextlib.contextmanager
def _process(module: str, *arguments: str, redis: str = "") -> Iterator[subprocess.Popen[str]]:
    names = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE")
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "KUCOIN_SYNC_REDIS_URL": redis, **dict(zip(names, _KEY, strict=True))},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
