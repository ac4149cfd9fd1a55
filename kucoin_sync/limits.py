"""KuCoin's limits on a client, as options with safe defaults.

Source: KuCoin's documentation ("Rate limit", "Subscribe"). If its pages disagree, the default is the smaller figure.
"""

from __future__ import annotations

import math

import msgspec

__all__ = ["Limits"]

_SECONDS = ("idle_seconds", "step_timeout")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that the client keeps towards KuCoin.

    Topics are counted singly: a topic that names three symbols counts as three.
    """

    #: Topics in one subscribe command (KuCoin: 100).
    topics_per_command: int = 100
    #: Topics on one connection (KuCoin: 300 on its error page, 400 in the newest text).
    topics_per_connection: int = 300
    #: Commands and pings per 10 seconds and connection (KuCoin: 100).
    commands_per_10s: int = 90
    #: New connections per minute and process (KuCoin: 30).
    connections_per_minute: int = 25
    #: Snapshots for order books per 30 seconds and stream (KuCoin: a weight of 2000; a snapshot weighs 2 or 3).
    snapshots_per_30s: int = 200
    #: Bytes of one message, fragments joined; a larger one ends the connection with close code 1009. Also the
    #: limit of bytes buffered for a peer that does not read.
    frame_bytes: int = 16 * 1024 * 1024
    #: Seconds that a connection without topics stays open, for the next subscription.
    idle_seconds: float = 30.0
    #: Seconds that a frame may take from its first to its last byte, and that each step of connecting may take.
    step_timeout: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"the limit {name} must be a number, not {value!r}")
            if not 0 < value < math.inf:
                raise ValueError(f"the limit {name} must be positive and finite, not {value!r}")
            if isinstance(value, float) and name not in _SECONDS:
                if not value.is_integer():
                    raise ValueError(f"the limit {name} must be a whole number, not {value!r}")
                msgspec.structs.force_setattr(self, name, int(value))
        if self.commands_per_10s < 5:
            raise ValueError(
                f"commands_per_10s must be at least 5, to leave room for pings, not {self.commands_per_10s}"
            )
