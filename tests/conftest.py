"""What holds for all tests, and the fixtures that several files use.

Each fixture has one definition in all tests, so that its name means one thing. Where a file needs a local KuCoin of its
own kind, it overrides `server_options`.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import settings

from kucoin_sync import Stream
from kucoin_sync.net.connect_pace import connect_pace
from kucoin_sync.testing import FaultProxy, KucoinServer, local_kucoin

from .reliability.feed import CANARIES, CLASSIC, TOKEN, UTA, Feed
from .support.processes import EndingOnce
from .support.selection import examples, first, sample_of_rows
from .support.sockets import open_descriptors
from .support.streams import Events, MakeProxy, MakeServer, MakeStream
from .support.threads import until

#: The fixtures that every test in a folder uses.
USED_IN = {
    "contrib": ["nothing_left_behind"],
    "end_to_end": ["nothing_left_behind"],
    "relay": ["nothing_left_behind"],
    "reliability": ["nothing_left_behind", "no_secret_gets_out"],
}

settings.register_profile("tests", max_examples=examples(100), deadline=None)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Let Python keep bytecode: tests start many programs, each of which would compile the package again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Have the tests in a folder use its fixtures."""
    if isinstance(collector, pytest.Package) and collector.path.parent == Path(__file__).parent:
        for name in USED_IN.get(collector.path.name, ()):
            collector.add_marker(pytest.mark.usefixtures(name))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the test files, each worker from another file on.

    pytest rewrites the assertions of a test file at its first import, and keeps the result on disk for all processes.
    This takes longer than all else that an import does. Workers that import in one order rewrite each file all at the
    same moment. With an order of its own, each worker rewrites a part, and finds the others' parts on disk.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    arguments = [Path(argument.partition("::")[0]).resolve() for argument in session.config.args]
    files = sorted({file for path in arguments for file in [path, *path.rglob("test_*.py")] if file.suffix == ".py"})
    start = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in [*files[start:], *files[:start]]:
        # What fails here fails again where pytest collects the file, and is told there.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(session.config.rootpath).with_suffix("").parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the rows of long walks that only a thorough run visits."""
    kept = sample_of_rows(items)
    left_out = [item for item in items if item not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item in kept]


def threads_of_ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("kucoin-")}


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread of ours or a socket behind; count connects for each test by itself."""
    connect_pace._windows.clear()  # a server may have the port of an earlier test's
    threads, sockets = threads_of_ours(), open_descriptors()
    yield
    # A finaliser of an earlier test's object may run at any time, and have a call made that nobody waits for. Nor does
    # `close` wait for a thread whose callback took so long that another thread has replaced it, or for the lookup of an
    # address.
    unjoined = {"kucoin-deferred", "kucoin-callbacks", "kucoin-dial"}

    def names() -> list[str]:
        return [thread.name for thread in threads_of_ours() - threads]

    until(lambda: not unjoined & {*names()}, "deferred calls, callbacks or lookups do not end")
    assert not names(), f"threads left behind: {names()}"
    left = open_descriptors() - sockets
    assert not left, f"descriptors left behind: {left}"


@pytest.fixture
def server_options() -> dict[str, Any]:
    """The options of `server`; a file or a class overrides this if its local KuCoin is of another kind."""
    return {}


@pytest.fixture
def servers() -> list[KucoinServer]:
    """All that a test started."""
    return []


@pytest.fixture
def make_server(nothing_left_behind: None, servers: list[KucoinServer]) -> Iterator[MakeServer]:
    """Start local KuCoins, with KuCoin's own timeouts; errors inside them fail the test."""

    def make(**options: Any) -> KucoinServer:
        servers.append(KucoinServer(**options))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        server.check()


@pytest.fixture
def server(make_server: MakeServer, server_options: dict[str, Any]) -> KucoinServer:
    return make_server(**server_options)


@pytest.fixture
def make_proxy(nothing_left_behind: None) -> Iterator[MakeProxy]:
    """Put fault proxies in front of servers, whose connect tokens name them from then on."""
    proxies: list[FaultProxy] = []

    def make(server: KucoinServer) -> FaultProxy:
        proxies.append(FaultProxy(*server.address))
        proxies[-1].start()
        server.announce(*proxies[-1].address)
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()
    for proxy in proxies:
        proxy.check()


@pytest.fixture
def proxy(server: KucoinServer, make_proxy: MakeProxy) -> FaultProxy:
    """What stands between the server and every connection to its feeds."""
    return make_proxy(server)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def streams() -> list[Stream]:
    """All that a test made."""
    return []


@pytest.fixture
def make_stream(
    request: pytest.FixtureRequest, server: KucoinServer, events: Events, streams: list[Stream]
) -> Iterator[MakeStream]:
    """Make streams, with default settings where the test says nothing else; they are closed after the test.

    In a test with a `proxy` they connect through it.
    """
    if "proxy" in request.fixturenames:  # before the first stream, which has the addresses of the UTA feed from then on
        request.getfixturevalue("proxy")

    def make(to: KucoinServer = server, **options: Any) -> Stream:
        streams.append(Stream(**{**to.stream_options, "on_event": events, **options}))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


@pytest.fixture
def stream(make_stream: MakeStream) -> Stream:
    return make_stream()


@pytest.fixture
def no_secret_gets_out(
    servers: list[KucoinServer],
    streams: list[Stream],
    events: Events,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[None]:
    """After a test, look for key, secret, passphrase and tokens in all that was logged, told, printed or warned."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        yield
    assert not warned, [str(warning.message) for warning in warned]
    said = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    said += capsys.readouterr()
    for event in events.all:
        said += [str(event), repr(event), *traceback.format_exception(getattr(event, "error", None))]
    for stream in streams:
        said += [repr(stream), str(stream.stats())]
    tokens = [handshake.query.get("token", "") for server in servers for handshake in server.handshakes]
    key = (KucoinServer.KEY, KucoinServer.SECRET, KucoinServer.PASSPHRASE)
    for secret in filter(None, (*key, *CANARIES, TOKEN, *tokens)):
        for form in (secret, quote(secret, safe="")):
            assert not [text for text in said if form in text], "a secret got out"


@pytest.fixture(params=first(CLASSIC, UTA), ids=str)
def feed(request: pytest.FixtureRequest) -> Feed:
    """The feed of a test that runs on both."""
    found: Feed = request.param
    return found


@pytest.fixture
def rng() -> random.Random:
    """Chance that can be had again: its seed is printed, and follows from that of the whole run."""
    seed = random.getrandbits(32)
    print(f"the test's own seed is {seed}")
    return random.Random(seed)


@pytest.fixture
def market(nothing_left_behind: None) -> Iterator[KucoinServer]:
    """A local KuCoin on which spot and futures are traded."""
    with local_kucoin("BTC-USDT", "XBTUSDTM") as server:
        yield server


@pytest.fixture
def here(market: KucoinServer) -> list[str]:
    """The options that point a command at the market."""
    return ["--rest-url", market.rest_url, "--futures-rest-url", market.futures_rest_url]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def ending_once(monkeypatch: pytest.MonkeyPatch) -> EndingOnce:
    """Return options with which a command ends soon after a condition holds, by its own clock.

    That clock stands until then, so a slow machine has all the time that it needs. `seconds` are those of the command,
    and `module` is where it looks at them.
    """

    def options(
        happened: Callable[[], object], *, seconds: float = 30.0, module: str = "kucoin_sync.cli.feed"
    ) -> list[str]:
        since: list[float] = []

        def now() -> float:
            if not since and happened():
                since.append(time.monotonic())
            return 1000.0 + (seconds - 0.1 + time.monotonic() - since[0] if since else 0.0)

        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=now))
        return ["--seconds", str(seconds)]

    return options
