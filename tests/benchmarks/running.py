"""Run one client against one blaster, each in its process; nothing of either is left afterwards."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import median

import trustme

from .load import Job, Load

__all__ = ["Failed", "Result", "import_seconds", "measure", "process", "result_of"]

Result = dict[str, float]
_ROOT = Path(__file__).parent.parent.parent


class Failed(Exception):
    """A client did not come to its end; the text says what it said last."""


def measure(client: str, load: Load, options: dict[str, float], limit: float) -> Result:
    """Return what a client measured; `limit` bounds the run in seconds.

    Raises:
        Failed: it raised, or did not read every message in time.
    """
    authority, certificate = _certificates() if load.tls else ("", "")
    with process("tests.benchmarks.blaster", json.dumps(asdict(load)), certificate) as blaster:
        assert blaster.stdout is not None
        line = blaster.stdout.readline()
        if not line:
            raise Failed("the blaster did not start")
        job = Job(load, authority=authority, options=options, **json.loads(line))
        with process("tests.benchmarks.clients", client, job.to_json()) as running:
            return result_of(running, limit)


def result_of(running: subprocess.Popen[str], limit: float) -> Result:
    """Wait up to `limit` seconds for a process to end; return the result that is its last line.

    Raises:
        Failed: it did not end in time, or without a result.
    """
    try:
        out, error = running.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"not all messages were read within {limit:g} s") from None
    if running.returncode or not out:
        raise Failed((error.strip().splitlines() or ["it said nothing"])[-1])
    result: Result = json.loads(out.splitlines()[-1])
    return result


def import_seconds(statement: str) -> Result:
    """Return how long an import takes in a fresh process, without the interpreter's own start; the median of five.

    Raises:
        Failed: the import raised.
    """
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    seconds = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Failed(done.stderr.strip().splitlines()[-1])
        seconds.append(float(done.stdout))
    return {"seconds": median(seconds)}


@contextmanager
def process(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module in a process that is killed at the end, if it has not ended itself.

    `environment` holds what its environment has beside that of this process.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@cache
def _certificates() -> tuple[str, str]:
    """Return the paths of a certificate authority and of a certificate with its key, made once."""
    directory = tempfile.TemporaryDirectory(prefix="benchmarks-")
    atexit.register(directory.cleanup)
    authority = trustme.CA()
    paths = os.path.join(directory.name, "authority.pem"), os.path.join(directory.name, "server.pem")
    authority.cert_pem.write_to_path(paths[0])
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(paths[1])
    return paths
