"""A real redis-server in a directory of its own, for tests and benchmarks; it keeps nothing unless it is told to."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from .threads import LIMIT

__all__ = ["MISSING", "LocalRedis"]

#: Why there is no redis-server to run, "" where there is one.
MISSING = "" if shutil.which("redis-server") else "there is no redis-server on the PATH (Debian: redis-server)"


class LocalRedis:
    """One redis-server.

    Args:
        options: of its command line, beside those for where it listens.
        tls: listen on a port with TLS, too; a server that was built without it does not start with that.

    Attributes:
        url: how to get to it, as its most powerful user.
        tls_url: the same over TLS, "" without.
        speaks_tls: whether it can.
    """

    def __init__(self, options: Sequence[str] = (), *, tls: bool = False) -> None:
        self.speaks_tls = True
        self._directory = tempfile.TemporaryDirectory(prefix="redis-")
        self.directory = Path(self._directory.name)
        port = _free_port() if tls else 0
        path = self.directory / "socket"
        self.url = f"unix://{path}"
        self.tls_url = f"rediss://localhost:{port}" if tls else ""
        where = ["--port", "0", "--unixsocket", str(path)]
        if tls:
            where += ["--tls-port", str(port), "--bind", "127.0.0.1"]
        self._command = ["redis-server", *where, "--save", "", "--dir", str(self.directory), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; return when it answers."""
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline, pause = time.monotonic() + LIMIT, threading.Event()
        while not self._answers():
            if self.tls_url and self._process.poll() is not None and "tls" in log.read_text().lower():
                self.speaks_tls = False
                return
            assert self._process.poll() is None and time.monotonic() < deadline, log.read_text()
            pause.wait(0.01)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again; what it has not persisted is gone."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in the middle of whatever it is doing; it stays connected."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def call(self, *command: Any) -> Any:
        """Return its answer to a command, over a connection of its own."""
        with redis.Redis.from_url(self.url, protocol=2) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.call("PING"))
        except redis.ConnectionError:
            return False

    def __enter__(self) -> LocalRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._directory.cleanup()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
