"""What users do most needs no call that Windows or macOS lacks: a program runs after they are taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ..support.readmes import ROOT
from ..support.selection import spread

BEGIN = """
    from tests.support.windows import take_posix_away
    take_posix_away()
    from kucoin_sync import Stream
"""


def run(program: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program without what POSIX systems alone have, in a folder, with the terminal's encoding of Windows."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", textwrap.dedent(BEGIN) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        encoding="cp1252",
        timeout=100,
        check=False,
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONIOENCODING": "cp1252",
            **environment,
        },
    )


def test_a_program_streams_keeps_books_and_records(tmp_path: Path) -> None:
    done = run(
        """
        import threading
        from kucoin_sync.recording import Recorder, ReplayStream
        from kucoin_sync.testing import local_kucoin

        TICKER = "/market/ticker:BTC-USDT"

        with local_kucoin() as server:
            with Stream(**server.stream_options) as stream, Recorder(stream, "here.jsonl"):
                print(stream.subscribe(TICKER).get(timeout=30).symbol)
                called = threading.Event()
                stream.subscribe("/market/match:BTC-USDT", callback=lambda message: called.set())
                print("called", called.wait(30))
                for feed in ("classic", "uta"):
                    book = stream.book("BTC-USDT", feed=feed)
                    book.wait_ready(timeout=30)
                    print(feed, len(book.bids(5)))
                epoch = stream.subscribe(TICKER)
                server.drop_connections()
                while epoch.get(timeout=30).epoch < 2:
                    pass
            server.check()
        with ReplayStream("here.jsonl") as replay:
            print(replay.subscribe(TICKER).get(timeout=30).symbol)
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, "an error on a thread"
    assert done.stdout.splitlines() == ["BTC-USDT", "called True", "classic 5", "uta 5", "BTC-USDT"]


@pytest.mark.parametrize(
    "command",
    spread(["watch BTC-USDT", "watch BTC-USDT --plain", "candles BTC-USDT --type 1s --plain", "book BTC-USDT --plain"]),
)
def test_a_command_runs(command: str, tmp_path: Path) -> None:
    arguments = [*command.split(), "--demo", "--count", "1"]
    done = run(f"from kucoin_sync.cli import main; raise SystemExit(main({arguments!r}))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BTC-USDT" in done.stdout
    assert "lost" in done.stderr


def test_what_is_taken_away_is_missing_and_a_file_needs_an_encoding(tmp_path: Path) -> None:
    done = run(
        """
        import os, select, signal, socket, sys
        print([name for module, name in ((os, "fork"), (select, "poll"), (signal, "SIGPIPE"), (socket, "AF_UNIX"))
               if hasattr(module, name)])
        print(socket.socketpair()[0].family == socket.AF_INET)
        try:
            import fcntl
        except ImportError:
            print("no fcntl")
        exec(compile("open('here', 'w')", "here.py", "exec"), {"__name__": "kucoin_sync.here"})
        """,
        tmp_path,
    )
    assert done.stdout.splitlines() == ["[]", "True", "no fcntl"]
    assert "EncodingWarning" in done.stderr
