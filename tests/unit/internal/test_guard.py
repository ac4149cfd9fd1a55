"""Errors of log handlers, of guarded blocks and of threads are reported and go no further."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import kucoin_sync
from kucoin_sync.internal.guard import Thread, guarded, log

from ...support.threads import LIMIT, Task

ROOT = Path(kucoin_sync.__file__).parent
ERRORS = [
    RuntimeError,
    MemoryError,
    StopIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    type("Failed", (BaseException,), {}),
]
every_error = pytest.mark.parametrize("error", ERRORS)


class Raising(logging.Handler):
    """A handler whose `emit` raises, such as one that posts to a server that is down."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error("of the handler")


@pytest.fixture
def raising(request: pytest.FixtureRequest) -> Iterator[Raising]:
    handler = Raising(request.getfixturevalue("error"))
    logging.getLogger("kucoin_sync").addHandler(handler)
    yield handler
    logging.getLogger("kucoin_sync").removeHandler(handler)


@every_error
def test_an_error_of_a_log_handler_is_printed_and_not_raised(
    raising: Raising, capsys: pytest.CaptureFixture[str], error: type[BaseException]
) -> None:
    Task(lambda: log(logging.ERROR, "what happened to %s", "it", error=ValueError("why"))).result()
    printed = capsys.readouterr().err
    assert printed.startswith("--- Logging error ---\nTraceback")
    assert f"{error.__name__}: of the handler" in printed


@every_error
def test_an_interrupt_passes_through_on_the_main_thread(
    raising: Raising, capsys: pytest.CaptureFixture[str], error: type[BaseException]
) -> None:
    if issubclass(error, Exception):
        log(logging.ERROR, "something")
        assert "of the handler" in capsys.readouterr().err
        with guarded("something"):
            raise error
    else:
        with pytest.raises(error):
            log(logging.ERROR, "something")
        with pytest.raises(error), guarded("something"):
            raise error


@pytest.mark.parametrize("stderr", [None, "closed", "raising"])
def test_a_missing_or_broken_stderr_is_ignored(monkeypatch: pytest.MonkeyPatch, stderr: str | None) -> None:
    class Stderr:
        def write(self, _: str) -> None:
            raise SystemExit if stderr == "raising" else ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", None if stderr is None else Stderr())
    handler = Raising(RuntimeError)
    logging.getLogger("kucoin_sync").addHandler(handler)
    try:
        Task(lambda: log(logging.ERROR, "something")).result()
    finally:
        logging.getLogger("kucoin_sync").removeHandler(handler)


def test_a_line_is_logged_with_the_traceback_and_its_source_location(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("why")
    log(logging.WARNING, "what happened to %s", "it", error=error)
    [record] = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("kucoin_sync", "WARNING", "what happened to it")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.filename == Path(__file__).name


@every_error
def test_a_guarded_error_is_logged_and_the_code_after_it_runs(
    caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    done = []

    def run() -> None:
        with guarded("%s has failed", "it"):
            raise error
        done.append(True)

    Task(run).result()
    assert done == [True]
    assert [record.getMessage() for record in caplog.records] == ["it has failed"]


@every_error
def test_an_error_that_ends_a_thread_is_logged(caplog: pytest.LogCaptureFixture, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    thread = Thread(target=fail, name="kucoin-example", daemon=True)
    thread.start()
    thread.join(LIMIT)
    [record] = caplog.records
    assert "the thread kucoin-example was ended" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is error


def test_a_thread_is_waited_for_no_longer_than_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    monkeypatch.setattr(threading.Thread, "join", lambda _, timeout=None: waits.append(timeout))
    thread = Thread(target=print, daemon=True)
    for timeout in (None, 1.5, float("inf")):
        thread.join(timeout)
    assert waits == [None, 1.5, threading.TIMEOUT_MAX]


def test_ctrl_c_during_logging_reaches_the_program() -> None:
    script = """
import logging, signal, sys
from kucoin_sync.internal.guard import log


class Interrupted(logging.Handler):
    def emit(self, record):
        signal.raise_signal(signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
logging.getLogger().addHandler(Interrupted())
try:
    log(logging.ERROR, "something")
except KeyboardInterrupt:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=50).returncode == 7


# The local server's threads keep their errors for `check` and log nothing.
TESTING = ROOT / "testing"


def test_the_package_logs_in_one_place_and_all_its_threads_are_guarded() -> None:
    paths = [path for path in ROOT.rglob("*.py") if TESTING not in path.parents and path.name != "guard.py"]
    assert len(paths) > 200
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "threading.Thread(" not in text, f"use guard.Thread in {path}"
        assert "logging.getLogger(" not in text or path.parent.name == "cli", f"use guard.log in {path}"
