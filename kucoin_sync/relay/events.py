"""The events of a relay; its stream has its own."""

from __future__ import annotations

from ..events import Event

__all__ = ["LeaseLost", "LeaseTaken", "RedisFailed", "RelayDelayed"]


class LeaseTaken(Event, frozen=True):
    """This relay has taken the lease and passes the feed on from now on; `token` is its fencing token."""

    token: int

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"lease taken: this relay passes the feed on (fencing token {self.token})"


class LeaseLost(Event, frozen=True):
    """Another relay has taken the lease; this one stands by."""

    token: int

    def __str__(self) -> str:
        return f"lease lost: another relay has a newer fencing token than {self.token}; waiting"


class RelayDelayed(Event, frozen=True):
    """The relay lacks a resource, such as a thread, or met a defect; it tries again after `retry_in` seconds."""

    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"the relay is held up: {self.error}; next attempt in {self.retry_in:.1f} s"


class RedisFailed(Event, frozen=True):
    """Redis does not answer; the relay tries again after `retry_in` seconds."""

    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"{self.error}; next attempt in {self.retry_in:.1f} s"
