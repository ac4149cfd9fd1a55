"""Streams made in programs that fork their workers: gunicorn, with and without --preload, and Celery."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync.testing import KucoinServer, ServerLimits

from ..support.processes import Program
from ..support.selection import first
from ..support.threads import LIMIT, Task, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

TOPIC = "/market/ticker:BTC-USDT"
WORKERS = 4

APP = f"""
import json, os
from kucoin_sync import Stream

made_in = os.getpid()
stream = Stream()
ticker = stream.subscribe("{TOPIC}", overflow="latest")
called = set()
stream.subscribe("{TOPIC}", callback=lambda message: called.add(message.epoch))

def app(environ, start_response):
    message = ticker.get(timeout=20)
    start_response("200 OK", [("Content-Type", "application/json"), ("Connection", "close")])
    answer = dict(pid=os.getpid(), preloaded=made_in != os.getpid(), epoch=message.epoch, n=message["data"]["n"],
                  called=message.epoch in called)
    return [json.dumps(answer).encode()]
"""

# In the master a thread goes on reading, as its program might; a file tells what it saw.
CONFIGURATION = """
import json, os, threading

def when_ready(server):
    import sys
    application = sys.modules.get("application")
    if application is None:
        return  # not preloaded

    def read():
        for message in application.ticker:
            text = json.dumps([message.epoch, message["data"]["n"], application.stream.stats()["disconnects"]])
            with open("master.new", "w") as file:
                file.write(text)
            os.replace("master.new", "master.json")

    threading.Thread(target=read, daemon=True).start()

def post_fork(server, worker):
    from application import stream; stream.resume()
"""


@pytest.fixture
def pushing_server() -> Iterator[KucoinServer]:
    """A local KuCoin that pushes numbered tickers all the time."""
    over = threading.Event()

    def push() -> None:
        number = 0
        while not over.wait(0.02):
            server.publish(TOPIC, {"n": number})
            number += 1

    with KucoinServer(limits=ServerLimits(connections_per_minute=None)) as server:
        pushing = Task(push)
        yield server
        over.set()
        pushing.result()


@contextmanager
def gunicorn(directory: Path, feed: KucoinServer, *options: str) -> Iterator[str]:
    """Run the application in gunicorn; yield its URL."""
    (directory / "application.py").write_text(APP)
    (directory / "gunicorn.conf.py").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", str(WORKERS)]
    with Program([*command, *options, "application:app"], directory, KUCOIN_SYNC_REST_URL=feed.rest_url) as program:
        yield program.printed(r"Listening at: (http://[\d.:]+)")


def ask(url: str) -> dict[str, Any]:
    """Return an answer of the application, once it gives one."""

    def answer() -> Any:
        try:
            with urllib.request.urlopen(url, timeout=LIMIT) as response:
                return json.load(response)
        except OSError:
            return None  # not yet listening, or a worker that was killed meanwhile

    answer_: dict[str, Any] = until(answer, "no answer came")
    return answer_


def workers(url: str, but: frozenset[int] = frozenset()) -> dict[int, dict[str, Any]]:
    """Return an answer of each worker, without those that are no more."""
    answers: dict[int, dict[str, Any]] = {}

    def all_have_answered() -> bool:
        got = ask(url)
        if got["pid"] not in but:
            answers[got["pid"]] = got
        return len(answers) == WORKERS

    until(all_have_answered, "a worker has not answered")
    return answers


@pytest.mark.parametrize("preload", first(True, False), ids=["preload", "no preload"])
@pytest.mark.parametrize("kind", first("gthread", "sync"))
def test_every_worker_of_gunicorn_serves_live_data_and_so_do_those_that_come_back(
    pushing_server: KucoinServer, tmp_path: Path, kind: str, preload: bool
) -> None:
    options = ["--worker-class", kind, *(["--threads", "4"] if kind == "gthread" else [])]
    with gunicorn(tmp_path, pushing_server, *options, *(["--preload"] if preload else [])) as url:
        first = workers(url)
        assert {answer["preloaded"] for answer in first.values()} == {preload}
        assert all(answer["epoch"] == (2 if preload else 1) for answer in first.values())
        if preload:
            parents, seen = pushing_server.connections[0], master(tmp_path)
        killed = frozenset(list(first)[:2])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        second = workers(url, killed)
        assert len(second.keys() - first.keys()) == 2, "those that were killed came back"
        newest = max(answer["n"] for answer in first.values())
        until(lambda: all(answer["n"] > newest for answer in workers(url, killed).values()), "a worker's data stays")
        until(lambda: all(answer["called"] for answer in workers(url, killed).values()), "a callback was not called")
        pushing_server.wait_for(lambda server: len(server.connections) == WORKERS + preload)
        if preload:
            assert pushing_server.connections[0] is parents
            until(lambda: master(tmp_path)[1] > seen[1] and master(tmp_path)[1] > newest, "the master reads no more")
            epoch, _, disconnects = master(tmp_path)
            assert (epoch, disconnects) == (1, 0)
            assert len(pushing_server.ended) == 2, "only the connections of those that were killed have ended"


def master(directory: Path) -> tuple[int, int, int]:
    """Return epoch, number and disconnects as the master last saw them."""

    def told() -> Any:
        try:
            return json.loads((directory / "master.json").read_text())
        except OSError:
            return None

    epoch, number, disconnects = until(told, "the master does not read")
    return epoch, number, disconnects


TASKS = f"""
import os
from celery import Celery
from celery.signals import worker_process_init
from kucoin_sync import Stream

app = Celery("tasks", broker="filesystem://", backend="file://results")
app.conf.broker_transport_options = dict(data_folder_in="queue", data_folder_out="queue", control_folder="control")
app.conf.worker_hijack_root_logger = False

stream = Stream()
ticker = stream.subscribe("{TOPIC}", overflow="latest")
made_in, called = os.getpid(), set()
stream.subscribe("{TOPIC}", callback=lambda message: called.add(message.epoch))

@worker_process_init.connect
def begin(**_):
    stream.resume()

@app.task
def price():
    message = ticker.get(timeout=20)
    return dict(pid=os.getpid(), forked=os.getpid() != made_in, epoch=message.epoch, called=message.epoch in called)
"""

ASKING = """
import json, sys
import tasks
tasks.stream.close()
pids = set()
while len(pids) < 2:
    answer = tasks.price.delay().get(timeout=30)
    assert answer["forked"] and answer["epoch"] == 2, answer
    if answer["called"]:
        pids.add(answer["pid"])
print(json.dumps(sorted(pids)))
"""


@pytest.mark.long
def test_tasks_of_celery_have_live_data_in_every_process_and_the_worker_itself_goes_on(
    pushing_server: KucoinServer, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    for folder in ("queue", "results", "control"):
        (tmp_path / folder).mkdir()
    environment = {"KUCOIN_SYNC_REST_URL": pushing_server.rest_url}
    command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with Program([*command, *options], tmp_path, **environment):
        pushing_server.wait_for(lambda server: len(server.connections) == 3, LIMIT, "the worker and its two processes")
        parents = pushing_server.connections[0]
        asked = subprocess.run(
            [sys.executable, "-c", ASKING],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert asked.returncode == 0, asked.stderr
        assert pushing_server.connections[0] is parents
        assert len(json.loads(asked.stdout)) == 2
