"""Plan misbehaviour of the server's UTA feed for a test.

Most plans of `Scripting` are for both feeds. Those here are about what only the UTA feed has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .refusals import Refused
from .scripting import Planned, Scripting

__all__ = ["UtaScripting"]


class UtaScripting(Scripting):
    """The part of `KucoinServer` that plans misbehaviour, for both feeds."""

    def reset_script(self) -> None:
        """Forget every plan and every scripted snapshot."""
        super().reset_script()
        with self._script_lock:
            #: The `result` that confirms a command of the UTA feed. KuCoin's documentation also prints "true".
            self.uta_ack: Any = True
            #: Whether connections to the UTA feed that begin from now on get text frames instead of binary ones.
            self.uta_text_frames = False
            self._delays: list[Planned] = []
            self._logins: list[Planned] = []
            self._welcomes: list[Planned] = []

    def delay_snapshot(self, seconds: float | None, topic: str | None = None, *, times: int | None = 1) -> None:
        """Send the next snapshots of books `increment@10ms` of the UTA feed (with `topic`: of this one) later.

        `seconds` are on the server's clock, see `advance`; None sends no snapshot. KuCoin was observed to take up to
        6 seconds.
        """
        self._plan(self._delays, (seconds, topic), times)

    def refuse_auth(
        self, text: str | None = "Invalid KC-API-SIGN", *, member: str = "message", times: int | None = 1
    ) -> None:
        """Refuse the next logins to the UTA feed; without a text do not answer them at all.

        The text is in a `member` of the answer, which is "message", "reason" or "msg".
        """
        self._plan(self._logins, (text, member), times)

    def welcome_as(self, message: Mapping[str, Any], *, times: int | None = None) -> None:
        """Greet the next connections to the UTA feed with this message; the `sessionId` is added.

        KuCoin once announced {"data": "welcome", "pingInterval": 18000, "pingTimeout": 10000}.
        """
        self._plan(self._welcomes, message, times)

    # For the rest of the server

    def take_snapshot_delay(self, topic: str) -> float | None:
        """Return the delay of a snapshot in seconds; None for no snapshot at all."""
        planned = self._take(self._delays, lambda what: what[1] in (None, topic))
        delay: float | None = 0.0 if planned is None else planned[0]
        return delay

    def take_login(self) -> tuple[bool, Refused | None]:
        """Return whether to answer a login, and the planned refusal of it."""
        planned = self._take(self._logins)
        if planned is None:
            return True, None
        text, member = planned
        return text is not None, Refused(401, text or "", member)

    def take_welcome(self, usual: Mapping[str, Any]) -> dict[str, Any]:
        """Return the welcome for a connection; `usual` is what it is without a plan."""
        planned: Mapping[str, Any] | None = self._take(self._welcomes)
        return dict(usual) if planned is None else {"sessionId": usual["sessionId"], **planned}
