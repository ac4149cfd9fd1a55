"""Run the process that owns the connection to KuCoin for all workers: `flask kucoin feed`, `manage.py kucoin_feed`.

It passes the topics of the settings and the topics that workers request on through Redis, as `kucoin-sync relay` does.
Any number of these processes may run, on any number of hosts: one relays, the others stand by.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from .. import ConnectionFailed, Event
from .options import Options

__all__ = ["run_feed"]


def run_feed(options: Options, say: Callable[[str], object]) -> None:
    """Pass the feed on until SIGINT or SIGTERM; call `say` with each warning, and at the end with the message counts.

    On a thread other than the main one it runs until the process ends, because Python handles signals on the main
    thread only.

    Raises:
        ConnectionFailed: no Redis is configured, it refused the user, or redis-py is missing.
        InvalidTopic: a topic can't be passed on.
    """
    url = options.relay_url()
    if not url:
        raise ConnectionFailed(
            "the feed has no Redis to pass messages on through: set REDIS_URL in the settings of kucoin_sync, or "
            "KUCOIN_SYNC_REDIS_URL in the environment; without one, each process has a connection of its own",
            retriable=False,
        )
    try:
        from ..relay.command import run_relay  # imported here, because it needs redis-py
    except ImportError as error:
        raise ConnectionFailed(str(error), retriable=False) from None

    def tell(event: Event) -> None:
        if event.level >= logging.WARNING:
            say(str(event))

    with contextlib.suppress(KeyboardInterrupt), _terminable(), options.open_stream(on_event=tell) as stream:
        run_relay(
            stream,
            url,
            say,
            topics=options.topics,
            private=options.private,
            namespace=options.namespace,
            ca_certs=options.redis_ca_certs,
        )


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, even if they were ignored; restore the handlers at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
