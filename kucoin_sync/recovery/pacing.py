"""When REST is asked for what was missed, and for how long pushes may wait for it. Pure.

Rules:
1. REST is asked at the cut, when the server has confirmed the topic again, and when the first push comes.
2. Pushes that wait: once a second. No connection: as often, and less often while answers bring little. No push since
   the confirmation: a few more times, as REST lags behind the pushes.
3. Pushes wait for at most 10 seconds.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["HOLD_SECONDS", "MAX_HELD", "PacedJoin"]

HOLD_SECONDS = 10.0
"""The longest time for which pushes are held."""
MAX_HELD = 10_000
"""The largest number of pushes that are held for one topic."""
_INTERVAL, _LONGEST_INTERVAL = 1.0, 8.0  # seconds between two requests
_QUIET_TRIES = 5  # answers after the confirmation, while no push comes


class PacedJoin:
    """The base of the joins; see `trades` and `candles`. `now` is the instant of the cut.

    Attributes:
        done: the pushes go on, and need no join any more.
        failure: why REST does not answer, for the reason of a gap.
    """

    def __init__(self, now: float) -> None:
        self.done = False
        self.failure = ""
        self._held_since = math.inf
        self._carried_at = math.inf
        self._answers = 0  # to requests after the confirmation
        self._interval = _INTERVAL
        self._fetch_at = now

    @property
    def fetch_at(self) -> float:
        """The instant of the next request; infinite if there is none."""
        return math.inf if self.done else self._fetch_at

    @property
    def deadline(self) -> float:
        """The instant at which `give_up` is to be called."""
        return math.inf if self.done else self._held_since + HOLD_SECONDS

    def lost(self, now: float) -> list[Any]:
        """Note that the topic is not pushed any more."""
        self._carried_at = math.inf
        self._fetch_soon(now)
        return []

    def carried(self, now: float) -> list[Any]:
        """Note that the server has confirmed the topic."""
        if self._carried_at == math.inf:
            self._carried_at, self._answers = now, 0
            self._fetch_soon(now)
        return []

    def failed(self, reason: str, retry_at: float) -> None:
        """Note why a request has failed; another follows at `retry_at`."""
        self.failure = reason
        self._fetch_at = retry_at

    def _note_answer(self, asked_at: float) -> None:
        """Note an answer to a request of the instant `asked_at`."""
        self.failure = ""
        self._answers += asked_at >= self._carried_at

    def _fetch_soon(self, now: float) -> None:
        self._fetch_at, self._interval = now, _INTERVAL

    def _fetch_again(self, now: float, *, waited_for: bool, brought_little: bool) -> None:
        """Choose the instant of the next request after an answer, for which pushes may wait."""
        self._interval = min(2 * self._interval, _LONGEST_INTERVAL) if brought_little else _INTERVAL
        if waited_for:
            self._fetch_at = now + _INTERVAL
        elif self._carried_at < math.inf:
            self._fetch_at = now + _INTERVAL if self._answers < _QUIET_TRIES else math.inf
        else:
            self._fetch_at = now + self._interval
