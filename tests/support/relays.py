"""What tests of the relay share: its account, a relay in a process of its own, and the types of fixtures."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.testing import KucoinServer

from .redis import LocalRedis
from .threads import LIMIT, until

__all__ = ["KEY", "MakeReader", "MakeRelay", "RelayProcess"]

MakeRelay = Callable[..., Relay]
MakeReader = Callable[..., RelayStream]
KEY = ("relay-key", "relay-secret", "relay-passphrase")


class RelayProcess:
    """A relay in a process of its own, as the command line makes it."""

    def __init__(self, url: str, server: KucoinServer, *arguments: str) -> None:
        command = [sys.executable, "-m", "kucoin_sync", "relay", "--redis", url, *arguments]
        where = ["--rest-url", server.rest_url, "--futures-rest-url", server.futures_rest_url]
        self._process = subprocess.Popen([*command, *where], stderr=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def holds(self, redis: LocalRedis) -> bool:
        """Whether it holds the lease."""
        lease = redis.call("GET", "{kucoin-sync}:1:lease")
        return lease is not None and lease.decode().find(f':{self.pid}"') > 0

    def wait_lease(self, redis: LocalRedis) -> None:
        """Wait until it holds the lease."""
        until(lambda: self.holds(redis), "the relay's process does not hold the lease")

    def send(self, signal_number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(signal_number)

    def says(self, what: str) -> str:
        """Wait for a line with `what` in it on its standard error; return it."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if what in line:
                return line
        raise AssertionError(f"the relay's process has ended without saying {what!r}")

    def exit_code(self) -> int:
        """Wait for it to end by itself; return its exit code."""
        return self._process.wait(LIMIT)

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self._process.kill()
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate()
