"""The faults that a test sets on one direction of a fault proxy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Faults", "Limit", "Settings"]


@dataclass(frozen=True, eq=False)
class Limit:
    """What happens to each connection after `count` more bytes: "hold", "close" or "reset"."""

    count: int
    then: str


@dataclass(frozen=True)
class Settings:
    """All faults of one direction; a change replaces the object."""

    delay: float = 0.0
    piece: int | None = None
    pause: float = 0.0
    rate: float | None = None
    held: bool = False
    close_delay: float = 0.0
    limit: Limit | None = None


class Faults:
    """The faults of one direction: `to_client` or `to_server` of a `FaultProxy`.

    A fault applies to open and new connections from the moment it is set until `clear`. All methods may be called from
    any thread. Times are in seconds.

    Attributes:
        settings: the current faults.
    """

    def __init__(self, changed: Callable[[], None], lock: AbstractContextManager[Any] | None = None) -> None:
        self.settings = Settings()
        self._changed = changed
        self._lock = lock or nullcontext()  # the proxy holds it while it passes bytes on
        self._passed = 0

    def __repr__(self) -> str:
        found = [f"{name}={value}" for name, value in vars(self.settings).items() if value]
        return f"<Faults: {', '.join(found) or 'none'}>"

    @property
    def passed(self) -> int:
        """Bytes passed on so far over all connections. A client has received at most as many."""
        with self._lock:
            return self._passed

    def count(self, sent: int) -> None:
        """Add to the bytes passed on. The proxy calls this with its lock held."""
        self._passed += sent

    def clear(self) -> None:
        """Clear all faults; held bytes pass."""
        self.settings = Settings()
        self._changed()

    def delay(self, seconds: float) -> None:
        """Delay all bytes, and the end of a connection, by `seconds`."""
        self._set(delay=seconds)

    def slice(self, piece: int, pause: float = 0.0) -> None:
        """Pass at most `piece` bytes at once, and wait `pause` seconds before the next ones."""
        if piece < 1:
            raise ValueError(f"a piece has at least 1 byte, not {piece}")
        self._set(piece=piece, pause=pause)

    def limit_rate(self, bytes_per_second: float) -> None:
        """Pass at most so many bytes a second on each connection."""
        if not bytes_per_second > 0:
            raise ValueError(f"a rate is a positive number of bytes per second, not {bytes_per_second!r}")
        self._set(rate=bytes_per_second)

    def hold(self) -> None:
        """Accept connections but pass nothing on, not even the end of a connection."""
        self._set(held=True)

    def delay_close(self, seconds: float) -> None:
        """Delay the end of a connection by `seconds`."""
        self._set(close_delay=seconds)

    def hold_after(self, count: int) -> None:
        """Let each connection pass `count` more bytes, then nothing, for example half a frame."""
        self._set(limit=_limit(count, "hold"))

    def close_after(self, count: int) -> None:
        """Let each connection pass `count` more bytes, then close it on both sides."""
        self._set(limit=_limit(count, "close"))

    def reset_after(self, count: int) -> None:
        """Let each connection pass `count` more bytes, then reset it on both sides.

        Bytes that an end has not received by then are lost, as with any reset.
        """
        self._set(limit=_limit(count, "reset"))

    def _set(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)
        self._changed()


def _limit(count: int, then: str) -> Limit:
    if count < 0:
        raise ValueError(f"a number of bytes is not negative, unlike {count}")
    return Limit(count, then)
