"""What holds for all tests, and the fixtures that several files use.

Each fixture has one definition in all tests, so that its name means one thing. Where a file needs a local KuCoin of its
own kind, it overrides `server_options`, and for the simulated exchange behind it `exchange_options`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import settings

from kucoin_sync import Credentials, Event, Stream
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.net.connect_pace import connect_pace
from kucoin_sync.net.socket import CancellableSocket
from kucoin_sync.net.waker import Poller, Waker
from kucoin_sync.testing import Exchange, FaultProxy, KucoinServer, LiveExchange, local_kucoin

from .reliability.feed import CANARIES, CLASSIC, TOKEN, UTA, Feed
from .support.dialling import SocketPair
from .support.keys import KEY, PASSPHRASE, SECRET
from .support.processes import EndingOnce
from .support.selection import examples, first, sample_of_rows
from .support.sockets import open_descriptors, tcp_pair
from .support.sources import Connection
from .support.streams import Events, MakeProxy, MakeServer, MakeStream
from .support.threads import LIMIT, until

if TYPE_CHECKING:  # these need packages that few tests use
    from kucoin_sync.contrib.web import WebFeed
    from kucoin_sync.relay import Relay, RelayStream

    from .support.redis import LocalRedis
    from .support.relays import MakeReader, MakeRelay, RelayProcess
    from .support.uta import UtaServer
    from .testing.server_client import Client

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


@pytest.fixture(autouse=True)
def fixtures_of_the_folder(request: pytest.FixtureRequest) -> None:
    """Have the tests in a folder use its fixtures."""
    for name in USED_IN.get(request.path.relative_to(Path(__file__).parent).parts[0], ()):
        request.getfixturevalue(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Keep the garbage collector away from what collection makes.

    That is over a million objects, which live as long as the process. Each full collection would walk over them all,
    while tests are collected and when they run.
    """
    gc.disable()
    try:
        _import_test_files(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _import_test_files(config: pytest.Config) -> None:
    """Import the test files, each worker from another file on.

    pytest rewrites the assertions of a test file at its first import, and keeps the result on disk for all processes.
    This takes longer than all else that an import does. Workers that import in one order rewrite each file all at the
    same moment. With an order of its own, each worker rewrites a part, and finds the others' parts on disk.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    arguments = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    files = sorted({file for path in arguments for file in [path, *path.rglob("test_*.py")] if file.suffix == ".py"})
    start = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in [*files[start:], *files[:start]]:
        # What fails here fails again where pytest collects the file, and is told there.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the rows of long walks that only a thorough run visits."""
    kept = sample_of_rows(items)
    left_out = [item for item in items if item not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item in kept]


def state_of_the_process() -> dict[str, object]:
    """Return what holds for a whole process, so that a test which leaves it changed would change later tests."""
    return {
        **{f"the environment's {name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "the working directory": os.getcwd(),
        "the import path": [*sys.path],
        "the handler of SIGINT": signal.getsignal(signal.SIGINT),
        "the garbage collector": (gc.isenabled(), gc.get_threshold()),
        "the switch interval": sys.getswitchinterval(),
        "the level of the log": logging.getLogger("kucoin_sync").level,
    }


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """Fail a test that leaves the environment or another part of the process changed."""
    before = state_of_the_process()
    yield
    after = state_of_the_process()
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    assert not changed, f"left changed: {', '.join(changed)}"


def threads_of_ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("kucoin-")}


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread of ours or a socket behind; count connects for each test by itself."""
    connect_pace._windows.clear()  # a server may have the port of an earlier test's
    threads, sockets = threads_of_ours(), open_descriptors()
    yield
    # A finaliser of an earlier test's object may run at any time, and have a call made that nobody waits for. Nor does
    # `close` wait for a thread whose callback took so long that another thread has replaced it, or for the lookup of
    # an address.
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
def exchange_options() -> dict[str, Any]:
    """The options of `exchange`; a file or a class overrides this."""
    return {}


@pytest.fixture
def exchange(exchange_options: dict[str, Any]) -> Exchange:
    """A simulated exchange that stands still until the test moves it."""
    return Exchange(**exchange_options)


@pytest.fixture
def live_exchange(server: KucoinServer) -> LiveExchange:
    """The exchange of the local KuCoin, each of whose actions is pushed at once."""
    return LiveExchange(server)


@pytest.fixture
def peer(server: KucoinServer) -> Iterator[Client]:
    """A client of the local KuCoin that sends and receives single messages."""
    from .testing.server_client import client

    with client(server) as peer:
        yield peer


@pytest.fixture
def uta(nothing_left_behind: None) -> Iterator[UtaServer]:
    """A small server of the UTA feed."""
    from .support.uta import UtaServer

    with UtaServer() as server:
        yield server


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


@pytest.fixture
def redis(nothing_left_behind: None) -> Iterator[LocalRedis]:
    """A Redis that trims its streams to the entry."""
    from .support.redis import LocalRedis

    with LocalRedis(["--stream-node-max-entries", "1"]) as redis:
        yield redis


@pytest.fixture
def make_relay(server: KucoinServer, redis: LocalRedis) -> Iterator[MakeRelay]:
    """Make relays, start them and wait until they hold the lease, unless `wait` is False; close them after the test."""
    from kucoin_sync.relay import Relay

    made: list[tuple[Relay, Stream]] = []

    def make(*, wait: bool = True, credentials: Any = None, url: str = "", **options: Any) -> Relay:
        stream = Stream(**{**server.stream_options, "credentials": credentials})
        relay = Relay(stream, url or redis.url, **options)
        made.append((relay, stream))
        relay.start()
        assert not wait or relay.wait_lease(30)
        return relay

    yield make
    for relay, stream in made:
        relay.close()
        stream.close()


@pytest.fixture
def make_reader(redis: LocalRedis, events: Events) -> Iterator[MakeReader]:
    """Make readers, which are closed after the test."""
    from kucoin_sync.relay import RelayStream

    made: list[RelayStream] = []

    def make(url: str = "", **options: Any) -> RelayStream:
        made.append(RelayStream(url or redis.url, **{"on_event": events, **options}))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay()


@pytest.fixture
def reader(relay: Relay, make_reader: MakeReader) -> RelayStream:
    return make_reader()


@pytest.fixture
def short_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make readers' requests for topics expire soon after the last renewal."""
    monkeypatch.setattr("kucoin_sync.relay.source._WANTED_SECONDS", 4)
    monkeypatch.setattr("kucoin_sync.relay.source._RENEW_SECONDS", 0.2)


@pytest.fixture
def run_relay(server: KucoinServer, redis: LocalRedis) -> Iterator[Callable[..., RelayProcess]]:
    """Run relays in processes of their own, which are killed after the test."""
    from .support.relays import RelayProcess

    made: list[RelayProcess] = []

    def run(*arguments: str) -> RelayProcess:
        made.append(RelayProcess(redis.url, server, *arguments))
        return made[-1]

    yield run
    for process in made:
        process.end()


@pytest.fixture
def web_settings(server: KucoinServer) -> dict[str, Any]:
    """Settings, without a prefix, for the local KuCoin."""
    uta = {name.upper(): url for name, url in server.uta_urls.items()}
    rest = {"REST_URL": server.rest_url, "FUTURES_REST_URL": server.futures_rest_url}
    return {"REDIS_URL": "", "PROXY": "", **rest, **uta}


@pytest.fixture
def make_feed(web_settings: dict[str, Any]) -> Iterator[Callable[..., WebFeed]]:
    """Make feeds with the settings and further ones; close them after the test."""
    from kucoin_sync.contrib.options import Options
    from kucoin_sync.contrib.web import WebFeed

    made: list[WebFeed] = []

    def make(**more: Any) -> WebFeed:
        made.append(WebFeed(Options.read({**web_settings, **more})))
        return made[-1]

    yield make
    for feed in made:
        feed.close()


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(KEY, SECRET, PASSPHRASE)


@pytest.fixture
def waker() -> Iterator[Waker]:
    made = Waker()
    yield made
    made.close()


@pytest.fixture
def socket_pair(waker: Waker) -> Iterator[SocketPair]:
    """A cancellable socket and the socket at its other end."""
    ours, theirs = tcp_pair()
    ours.setblocking(False)
    made = CancellableSocket(ours, waker, time.monotonic() + LIMIT, "the peer")
    yield made, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def poll_begun(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set when a wait begins."""
    begun = threading.Event()
    wait = Poller.wait

    def noting(*arguments: Any) -> tuple[int, bool]:
        begun.set()
        return wait(*arguments)

    monkeypatch.setattr(Poller, "wait", noting)
    return begun


@pytest.fixture(params=["poll", "select"])
def way_of_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait with `poll`, and with `select` as on systems without `poll`."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    tls: bool = request.param == "tls"
    return tls


@pytest.fixture
def emitted() -> list[Event]:
    """The events that were emitted."""
    return []


@pytest.fixture
def subscription_manager(monkeypatch: pytest.MonkeyPatch, emitted: list[Event]) -> SubscriptionManager:
    """A subscription manager whose connections do what the test says."""
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    return SubscriptionManager(make, lambda *_: 300, emitted.append)
