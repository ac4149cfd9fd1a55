"""One part of an account that follows the exchange: its subscriptions, its reconciliation, and whether it can be read.

Only the keeper's thread calls this, with the account's lock held where the state changes. It does no I/O itself: it
asks for REST calls and takes pushes out of its subscriptions' queues.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..delivery.queue import MessageQueue
from ..delivery.subscription import Subscription
from ..exceptions import KucoinSyncError
from ..internal import backoff
from ..internal.guard import log
from ..internal.timed_queue import TimedQueue
from ..protocol.message import UNREADABLE, Message
from .part import AccountPart
from .reconciliation import PUSHES_WAIT, RETRIES, Run, Until, reconcile
from .rest_calls import RestCalls

__all__ = ["PartFollower", "Release"]

_PUSHES_PER_JOB = 256
_NOT_CONFIRMED = "the server has not confirmed its topics yet"
_UNUSUAL = (*UNREADABLE, KeyError, TypeError, ValueError, ArithmeticError, AttributeError)
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0  # seconds before a reconciliation that failed begins anew
_LAGS_OF_RESTARTS = 3  # for so many times `rest_lag` each missing push makes a reconciliation begin anew
_PUSHES = "pushes"  # the key of a doubt


class PartFollower:
    """Keeps one part in step.

    Args:
        part: the part.
        rest_lag: by how many seconds REST may lag behind.
        calls: makes REST calls.
        answered: called, from any thread, when the answers to a batch of calls are there: the number of the run, and
            the answers.

    Attributes:
        reason: why the part can't be read, "" if it can.
        unseen: the error because of which the part can't be seen at all, None if it can.
        deadline: when `act` is due, by the monotonic clock.
        subscriptions: one for each topic, so that it is seen when one of them ends.
    """

    def __init__(
        self,
        part: AccountPart,
        rest_lag: float,
        calls: RestCalls,
        answered: Callable[[PartFollower, int, list[Any]], None],
    ) -> None:
        self.part = part
        self.reason = _NOT_CONFIRMED
        self.unseen: Exception | None = None
        self.deadline = math.inf
        self.subscriptions: list[Subscription[Any]] = []
        self._rest_lag = rest_lag
        self._calls = calls
        self._answered = answered
        self._carried: set[str] = set()
        self._run: Run | None = None
        self._number = 0  # of the run
        self._batch: object = None
        self._began = 0.0
        self._pushes_wait = True
        self._pushes_due = math.inf
        self._restarts_until = 0.0
        self._again = ""  # why another run follows the present one
        self._waited_for: set[str] = set()  # the orders whose fills have some time to come
        self._delays = backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)

    @property
    def live(self) -> bool:
        """Whether the part is in step with the exchange."""
        return not self.reason and self.unseen is None

    @property
    def settled(self) -> bool:
        """Whether the part is in step or is known to be unseen."""
        return self.live or self.unseen is not None

    def why(self) -> str:
        """Return why the part can't be read."""
        late = "" if self._batch is None else self._calls.obstacle(self._batch)
        return f"{self.reason}; {late}" if late else self.reason

    @property
    def queues(self) -> list[MessageQueue]:
        """The message queues of its subscriptions."""
        return [subscription.message_queue for subscription in self.subscriptions]

    # The connection

    def carried(self, topics: Iterable[str], now: float) -> None:
        """Note that the server has confirmed topics. What could not be seen before may be seen now."""
        before = len(self._carried)
        self._carried.update(topics)
        if len(self._carried) == len(self.part.topics) > before:
            self.unseen = None
            self._restarts_until = now + _LAGS_OF_RESTARTS * self._rest_lag
            self._begin(now)

    def lost(self, topics: Iterable[str], reason: str, pushes: Iterable[Message]) -> None:
        """Note that topics are not carried any more, after the given pushes."""
        self._carried.difference_update(topics)
        if self.unseen is None:
            self._apply(pushes)
            self._stop(reason)

    def restart(self, reason: str, now: float) -> None:
        """Reconcile again, although the connection is open."""
        if self.live:
            self._restarts_until = now + _LAGS_OF_RESTARTS * self._rest_lag
        self._stop(reason)
        if len(self._carried) == len(self.part.topics):
            self._begin(now)

    def _stop(self, reason: str) -> None:
        self.part.cut()
        self._end_run()
        self.reason = reason
        self._again = ""
        self._pushes_wait = True

    def _begin(self, now: float) -> None:
        self._end_run()
        self.reason = "it is being reconciled with what REST tells"
        self.part.unseen = {}
        self._pushes_wait, self._pushes_due = True, now + PUSHES_WAIT
        self._start_run(now)

    def _start_run(self, now: float) -> None:
        self.part.now_ns = time.time_ns()
        self._run = reconcile(self.part, self._rest_lag)
        self._began = now
        self._advance(None, now)

    def _miss(self, reason: str, now: float) -> None:
        """Note that a push is missing, or can't be read.

        Where that happens again and again, no run would ever be late enough for all of them. So after some time the
        present run goes on, the part is read with a doubt, and another run follows.
        """
        if self.live if self._run is None else now < self._restarts_until:
            self.restart(reason, now)
        elif self._run is not None:
            self._again = reason
            self.part.missed()

    def _end_in_doubt(self, now: float) -> None:
        """Go on with another run, while the part can be read."""
        self.part.state.note_doubt(
            _PUSHES, f"{self.part.market}: what some pushes told is known later, as they are missing: {self._again}"
        )
        self._again = ""
        self.part.cut()
        self._start_run(now)

    def _end_run(self) -> None:
        self._number += 1
        if self._run is not None:
            self._run.close()
            self._run = None
        if self._batch is not None:
            self._calls.drop(self._batch)
            self._batch = None
        self.deadline = self._pushes_due = math.inf

    # The run

    def answers(self, number: int, answers: list[Any], now: float) -> None:
        """Take the answers to the calls of a run."""
        if number == self._number and self._run is not None:
            self._batch = None
            self._advance(answers, now)

    def act(self, now: float) -> bool:
        """Do what is due; return whether pushes may have to be taken now."""
        if self._pushes_due <= now:
            self._pushes_wait, self._pushes_due = False, math.inf
        if self.deadline <= now and self._batch is None:
            self.deadline = math.inf
            if self._run is not None:
                self._advance(None, now)
            elif not self.live:
                self._begin(now)
            elif self.part.state.lacks(self._waited_for):
                self.restart("the push of a fill is missing", now)
            else:
                self._wait_for_fills(now)
        return not self._pushes_wait

    def _wait_for_fills(self, now: float) -> None:
        """Give orders that lack fills some time: KuCoin may push an ending before the last fill."""
        state = self.part.state
        if state.lacking and self.live and self.deadline == math.inf:
            self._waited_for, state.lacking = state.lacking, set()
            self.deadline = now + RETRIES[0]

    @property
    def next_deadline(self) -> float:
        """When `act` is due."""
        return min(self.deadline, self._pushes_due)

    def _advance(self, answers: list[Any] | None, now: float) -> None:
        """Go on with the run until it waits for something. One that finds an unreadable answer begins anew later.

        Raises:
            AuthenticationError: KuCoin has refused the key.
        """
        assert self._run is not None
        try:
            step = self._run.send(answers)
            while step == []:
                step = self._run.send([])
        except StopIteration:
            self._run, self.reason = None, ""
            self._pushes_wait, self._pushes_due = False, math.inf
            self._delays = backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)
            if self._again:
                self._end_in_doubt(now)
            else:
                self.part.state.doubts.pop(_PUSHES, None)
            return
        except KucoinSyncError as error:
            self.give_up(error)
            return
        except _UNUSUAL as error:
            self._end_run()
            self.reason = f"an answer of REST can't be read ({error!r})"
            self._pushes_wait, self.deadline = False, now + next(self._delays)
            log(logging.WARNING, "the account is reconciled again soon: %s", self.reason, error=error)
            return
        if isinstance(step, Until):
            if step.gathered:
                self._pushes_wait, self._pushes_due = False, math.inf
            self.deadline = self._began + step.seconds
            return
        number = self._number
        self._batch = self._calls.ask(step, lambda found: self._answered(self, number, found))

    def give_up(self, error: Exception) -> None:
        """Leave the part out, because it can't be seen; raise the error if it is about the key itself."""
        self._end_run()
        market = self.part.market
        self.part.hide(market, error)
        self.part.unseen = {market: self.part.unseen[market]}  # one reason for all that it has
        self.unseen = error

    # Pushes

    def take(self, now: float) -> bool:
        """Apply some pushes that wait in the queue; return whether there may be more."""
        if self._pushes_wait:
            return False
        lost = ""
        for message_queue in self.queues:
            unreadable = message_queue.decoder.unreadable
            lost = self._apply(message_queue.take_messages(_PUSHES_PER_JOB)) or lost
            if message_queue.decoder.unreadable > unreadable:
                lost = lost or "a push can't be read"
            while message_queue.alert and (notice := message_queue.notice()) is not None:
                lost = lost or str(notice)
        if lost:
            self._miss(lost, now)
        self._wait_for_fills(now)
        return any(map(len, self.queues)) and not self._pushes_wait

    def _apply(self, pushes: Iterable[Message]) -> str:
        """Apply pushes; return what is missing, "" for nothing."""
        missing = ""
        for message in pushes:
            if message.lost:
                missing = f"{message.lost} pushes came faster than they could be applied and were dropped"
            try:
                data = message.data
                self.part.state.push(message.topic or "", data)
            except _UNUSUAL as error:
                log(
                    logging.WARNING, "a push of %s can't be read; the account is reconciled", message.topic, error=error
                )
                missing = missing or f"a push of {message.topic} can't be read ({error})"
        return missing

    def drain(self) -> deque[Message]:
        """Return all pushes that wait, on the thread that will not deliver any more."""
        found: deque[Message] = deque()
        for message_queue in self.queues:
            while len(message_queue):
                found.extend(message_queue.take_messages(len(message_queue)))
        return found


class Release:
    """Has a job done when a message queue releases it."""

    __slots__ = ("_job", "_queue")

    def __init__(self, jobs: TimedQueue[Callable[[float], object]], job: Callable[[float], object]) -> None:
        self._queue = jobs
        self._job = job

    def release(self) -> None:
        self._queue.put(self._job)
