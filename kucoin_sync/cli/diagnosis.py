"""The examination of `kucoin-sync doctor`: the connection to each market of a feed, and the API key."""

from __future__ import annotations

from collections.abc import Iterator

from .. import Credentials
from ..exceptions import KEY_REMEDIES, AuthenticationError, KucoinSyncError
from ..net.waker import Waker
from ..protocol.classic import CLASSIC
from .checks import Check, Route, Subject, remedy_of, rest_of

__all__ = ["examine"]


def examine(subject: Subject, feed: str = "classic") -> Iterator[Check]:
    """Yield the results step by step: spot, futures, then the API key, which the UTA feed takes on a third server."""
    waker = Waker()
    reached = False
    credentials, present = _key_of(subject)
    try:
        for market in ("uta-spot", "uta-futures", "uta") if feed == "uta" else ("spot", "futures"):
            route = Route(subject, market, waker, credentials)
            try:
                for check in route.steps():
                    reached |= market == "spot" and check.step == "token" and check.state == "ok"
                    yield check
            finally:
                route.rest.close()
        yield present
        if feed == "classic" and credentials is not None:
            yield from _examine_key(subject, credentials, waker, reached)
    finally:
        waker.close()


def _key_of(subject: Subject) -> tuple[Credentials | None, Check]:
    """Return the API key, if there is one, and the check of its presence."""
    try:
        credentials = subject.credentials or Credentials.from_environment()
    except AuthenticationError as error:
        return None, Check("API key", "present", "wrong", str(error), KEY_REMEDIES["400001"].full)
    if credentials is None:
        return None, Check("API key", "present", "note", "none is set; public topics need none")
    return credentials, Check("API key", "present", "ok", "key, secret and passphrase are set")


def _examine_key(subject: Subject, credentials: Credentials, waker: Waker, reached: bool) -> Iterator[Check]:
    if not reached:
        yield Check("API key", "accepted", "skipped", "not tried, because KuCoin can't be reached")
        return
    rest = rest_of(subject, waker, credentials=credentials)
    try:
        rest.servers(CLASSIC, "spot", private=True)
    except AuthenticationError as error:
        known = KEY_REMEDIES.get(error.code or "")
        remedy = "Check the key in KuCoin's API management." if known is None else known.full
        yield Check("API key", "accepted", "wrong", str(error), remedy)
    except KucoinSyncError as error:
        yield Check("API key", "accepted", "wrong", str(error), remedy_of(error))
    else:
        yield Check("API key", "accepted", "ok", "KuCoin gives it tokens for private topics")
    finally:
        rest.close()
