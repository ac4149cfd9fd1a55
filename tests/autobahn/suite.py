"""Autobahn's fuzzing server: find a Python 2.7, install the suite for it, run the server, read its reports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Failed", "find_python", "install", "serve", "verdicts"]

HOST = "127.0.0.1"
_SUITE = "autobahntestsuite==25.10.1"  # it pins what it needs itself
_VIRTUALENV = "virtualenv<20.22"  # the last that makes environments for Python 2.7
_START_LIMIT = 30.0
_LEFT_OUT = ("12.*", "13.*")  # compression, which the client does not offer: the server could only say so


class Failed(Exception):
    """The suite could not be installed or started; the text says what was said last."""


def find_python(wanted: str | None = None) -> str | None:
    """Return the path of a Python 2.7 that runs, None where there is none."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [wanted] if wanted else ["python2.7", "python2", *map(str, root.glob("versions/2.7*/bin/python2.7"))]
    for name in found:
        path = shutil.which(name)
        # The shim of a version that is not chosen is found, and fails.
        if path and _run([path, "-c", "import sys; sys.exit(sys.version_info[:2] != (2, 7))"]).returncode == 0:
            return path
    return None


def install(python: str, folder: Path) -> Path:
    """Make a virtual environment in `folder` with the suite in it, unless it is there; return the path of `wstest`.

    Raises:
        Failed: pip or virtualenv did.
    """
    environment, tools = folder / "python2.7", folder / "virtualenv"
    wstest = environment / "bin" / "wstest"
    if not wstest.exists():
        _must([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tools), _VIRTUALENV])
        _must([sys.executable, "-m", "virtualenv", "--quiet", "--python", python, str(environment)], path=tools)
        _must([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", _SUITE])
    return wstest


@contextmanager
def serve(wstest: Path, folder: Path, cases: Sequence[str]) -> Iterator[str]:
    """Run the fuzzing server with the cases that the patterns name; yield its URL.

    Raises:
        Failed: it did not start.
    """
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    url = f"ws://{HOST}:{port}"
    specification = {"url": url, "outdir": str(folder), "cases": list(cases), "exclude-cases": list(_LEFT_OUT)}
    (folder / "cases.json").write_text(json.dumps(specification | {"exclude-agent-cases": {}}), encoding="utf-8")
    command = [str(wstest), "--mode", "fuzzingserver", "--webport", "0", "--spec", str(folder / "cases.json")]
    with open(folder / "server.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if not _listens(process, port):
                log.seek(0)
                raise Failed(f"the fuzzing server did not start: {_last_line(log.read())}")
            yield url
        finally:
            process.kill()
            process.wait()


def verdicts(folder: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the server's reports: what it says of the behaviour and of the close, by agent and case."""
    agents = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return {
        agent: {case: (report["behavior"], report["behaviorClose"]) for case, report in cases.items()}
        for agent, cases in agents.items()
    }


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    for _ in range(int(_START_LIMIT / 0.1)):
        try:
            socket.create_connection((HOST, port)).close()
            return True
        except OSError:
            pass
        try:
            process.wait(0.1)
            return False
        except subprocess.TimeoutExpired:
            pass
    return False


def _run(command: Sequence[str], path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else None
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def _must(command: Sequence[str], path: Path | None = None) -> None:
    done = _run(command, path)
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed: {_last_line(done.stderr or done.stdout)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
