"""The objects that the parts of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from .accounts import Accounts
from .catalogue import Catalogue
from .connection import Connection
from .index import Index
from .limits import Admission, Clock, ServerLimits
from .pacing import ExchangeFeed
from .refusals import Refused
from .rest import Rest
from .state import State
from .tokens import Tokens
from .uta_scripting import UtaScripting

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """The parts and settings of a server; durations are in seconds."""

    state: State
    index: Index
    clock: Clock
    limits: ServerLimits
    admission: Admission
    catalogue: Catalogue
    accounts: Accounts
    tokens: Tokens
    script: UtaScripting
    rest: Rest
    ping_interval: float
    ping_timeout: float
    feed: ExchangeFeed | None
    idle_timeout: float | None
    send_timeout: float
    refuse_in_handshake: bool
    """Answer a bad token with HTTP 401 instead of an error frame."""

    def admit(self, connection: Connection) -> Refused | None:
        """Accept a connection, or return the reason for its refusal."""
        with self.state.lock:
            # A connection to the UTA feed is nobody's before the login.
            same = sum(
                other.user == connection.user and not other.market.startswith("uta")
                for other in self.state.connections()
            )
            of_uta = connection.market.startswith("uta")
            error = self.admission.check(None if of_uta else same, self.clock.now())
            connection.accepted = error is None
            self.state.add(connection)
            return error
