"""The scenarios: who reads what, what is shown of it, and what `Stream` is meant to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from .busy import measure_busy
from .clients import CLIENTS
from .load import Load
from .running import Result, import_seconds, measure

__all__ = ["SCENARIOS", "TARGETS", "Column", "Entry", "Scenario", "Size", "Target"]


class Size(NamedTuple):
    """How much is sent.

    Attributes:
        messages: what a fast client reads in a saturated run; slow ones read their share of it.
        seconds: for how long a paced run lasts.
    """

    messages: int = 1_000_000
    seconds: float = 4.0


class Entry(NamedTuple):
    """One row: its name, what would have to be installed for it, and what measures it once."""

    label: str
    missing: list[str]
    run: Callable[[], Result]


class Column(NamedTuple):
    """One figure: its key in the results, its heading, and its format; `ratio` adds the ratio to the first row."""

    key: str
    heading: str
    form: str
    ratio: bool = False


class Scenario(NamedTuple):
    """A table: rows are measured in turn, `runs` rounds at most."""

    title: str
    columns: tuple[Column, ...]
    entries: Callable[[Size], list[Entry]]
    runs: int = 1_000


class Target(NamedTuple):
    """A figure of one row, or its ratio to that of another row, and its bound: at least it, or at most."""

    scenario: str
    key: str
    row: str
    over: str
    bound: float
    least: bool = True
    form: str = ".2f"
    unit: str = "×"


_RATE = Column("rate", "messages/s", ",.0f", ratio=True)
_CPU = Column("cpu", "CPU µs each", ".2f", ratio=True)
_P50 = Column("p50", "p50 µs", ".0f", ratio=True)
_P99 = Column("p99", "p99 µs", ".0f")

_STREAM = ("Stream payload", "Stream item", "Stream callback", "Stream inline")
_PEERS = (
    "websocket-client + json",
    "websocket-client + orjson",
    "WebSocketApp + json",
    "websockets.sync + orjson",
    "aiohttp + orjson",
    "picows + orjson",
    "picows + orjson, uvloop",
    "python-kucoin",
    "kucoin-universal-sdk",
)
_APART = 150e-6  # seconds that the slow consumer takes over a message, about a hundred times the feed's interval


def _entry(client: str, load: Load, label: str = "", **options: float) -> Entry:
    limit = 30 + load.total / 5_000  # seconds; several times what the slowest client takes
    return Entry(label or client, CLIENTS[client].missing, partial(measure, client, load, options, limit))


def _saturated(size: Size, *, clients: tuple[str, ...] = _STREAM + _PEERS, load: Load) -> list[Entry]:
    entries = []
    for client in clients:
        count = max(1, int(size.messages * CLIENTS[client].share))
        entries.append(_entry(client, replace(load, count=count, warmup=min(20_000, count // 10 + 1))))
    return entries


def _paced(size: Size, *, pace: float, burst: int) -> list[Entry]:
    count = int(pace * size.seconds) * burst
    warmup = count // 10 // burst * burst
    load = Load(count=count, warmup=warmup, pace=pace, burst=burst, stamped=True)
    clients = ("Stream inline", "Stream payload", "Stream callback", *_PEERS)
    return [_entry(client, load) for client in clients]


def _topics(size: Size) -> list[Entry]:
    entries = []
    for client in ("Stream callback", "Stream inline", "Stream payload"):
        for topics in (1, 300):
            load = Load(topics=topics, count=size.messages, warmup=min(20_000, size.messages))
            label = f"{client}, {topics} topic{'s' if topics > 1 else ''}"
            entries.append(_entry(client, load, label))
    return entries


def _feeds(size: Size) -> list[Entry]:
    loads = {"classic": "ticker", "UTA, spot": "uta ticker", "UTA, futures": "uta futures ticker"}
    warmup = min(20_000, size.messages)
    return [
        _entry("Stream payload", Load(feed, topics=topics, count=size.messages, warmup=warmup), f"{name}, {label}")
        for topics, label in ((1, "1 topic"), (100, "100 topics"))
        for name, feed in loads.items()
    ]


def _redundancy(size: Size) -> list[Entry]:
    return [
        Entry(
            f"Stream {way}, {count} connection{'s' * (count > 1)}", [], partial(measure_busy, way, count, size.seconds)
        )
        for way in ("callback", "inline", "payload")
        for count in (1, 2)
    ]


def _tickers_twice(size: Size) -> list[Entry]:
    pace, burst = 1_000, 5
    count = int(pace * size.seconds) * burst
    warmup = count // 10 // burst * burst
    distinct = -(-(count + warmup) // 200) * 200  # sequences never step back: they tell which messages are the same
    load = Load(topics=200, count=count, warmup=warmup, pace=pace, burst=burst, distinct=distinct)
    return [
        _entry(
            client,
            replace(load, connections=connections),
            f"{client}, {connections} connection{'s' * (connections > 1)}",
        )
        for client in ("Stream callback", "Stream inline", "Stream payload")
        for connections in (1, 2)
    ]


def _latest(size: Size) -> list[Entry]:
    load = Load(count=size.messages, warmup=min(20_000, size.messages))
    return [_entry("Stream payload", load), _entry("Stream latest", load, pause=_APART)]


def _memory(size: Size) -> list[Entry]:
    steady = Load(count=size.messages, warmup=20_000, pace=200, burst=500)
    queued = Load(count=size.messages // 10, warmup=1_000)
    return [
        _entry("memory of Stream", steady),
        _entry("queued in Stream", queued),
        _entry("queued as dicts", queued),
    ]


def _reconnect(_: Size) -> list[Entry]:
    load = Load(topics=300, count=0, warmup=0)
    return [_entry(f"reconnect of {client}", load, client) for client in ("Stream", "kucoin-universal-sdk")]


def _import(_: Size) -> list[Entry]:
    statements = ("import requests, websocket, msgspec", "import kucoin_sync")
    return [Entry(statement, [], partial(import_seconds, statement)) for statement in statements]


_TLS_CLIENTS = (
    "Stream payload",
    "Stream item",
    "WebSocketApp + json",
    "websockets.sync + orjson",
    "aiohttp + orjson",
    "picows + orjson",
)
_RECORDED = (
    "Stream payload",
    "Stream recorded, .jsonl",
    "Stream recorded, .jsonl.zst",
    "Stream recorded, .jsonl.gz",
)
_MEMORY_COLUMNS = (
    Column("growth", "RSS growth, bytes", ",.0f"),
    Column("each", "bytes per queued message", ".0f"),
    Column("frame", "of them its frame", ".0f"),
    Column("beside", "beside its frame", ".0f"),
    Column("estimate", "sum of sys.getsizeof", ".0f"),
)

SCENARIOS: dict[str, Scenario] = {
    "saturated": Scenario(
        "Tickers of 260 bytes, as fast as the client takes them", (_RATE, _CPU), partial(_saturated, load=Load())
    ),
    "level2": Scenario(
        "Level 2 updates, as fast as the client takes them", (_RATE, _CPU), partial(_saturated, load=Load("level2"))
    ),
    "feeds": Scenario("Tickers of both feeds, as fast as `Stream` takes them", (_RATE, _CPU), _feeds),
    "recording": Scenario(
        "Tickers as fast as the client takes them, recorded or not",
        (
            _RATE,
            Column("cpu", "CPU µs each, with compression", ".2f", ratio=True),
            Column("dropped", "not recorded", ",.0f"),
            Column("share", "size in the file", ".3f"),
        ),
        partial(_saturated, clients=_RECORDED, load=Load()),
    ),
    "paced": Scenario(
        "3,000 tickers a second, one at a time: from send to the user's code",
        (_P50, _P99, _CPU),
        partial(_paced, pace=3_000, burst=1),
    ),
    "bursts": Scenario(
        "50 tickers every 20 ms: from send to the user's code", (_P50, _P99, _CPU), partial(_paced, pace=50, burst=50)
    ),
    "topics": Scenario("300 topics against one (callbacks: a subscription each)", (_RATE, _CPU), _topics),
    "tls": Scenario(
        "Tickers over TLS, as fast as the client takes them",
        (_RATE, _CPU),
        partial(_saturated, clients=_TLS_CLIENTS, load=Load(tls=True)),
    ),
    "latest": Scenario(
        "A consumer far slower than the feed, overflow='latest', against the full path",
        (Column("cpu", "CPU µs each sent", ".2f", ratio=True), _RATE, Column("delivered", "taken", ",.0f")),
        _latest,
    ),
    "redundancy": Scenario(
        "5,000 messages a second over 200 topics of both markets, private ones and 10 books, by one connection or two",
        (_CPU,),
        _redundancy,
    ),
    "tickers twice": Scenario(
        "5,000 tickers a second over 200 topics and nothing else, by one connection or two",
        (_CPU,),
        _tickers_twice,
    ),
    "memory": Scenario("Memory, after many messages and for each that waits", _MEMORY_COLUMNS, _memory, runs=3),
    "reconnect": Scenario(
        "300 topics after a cut: from the new welcome to the last ack",
        (Column("seconds", "seconds", ".4f", ratio=True),),
        _reconnect,
        runs=3,
    ),
    "import": Scenario(
        "Import, without the interpreter's start", (Column("seconds", "seconds", ".4f", ratio=True),), _import
    ),
}

TARGETS: tuple[Target, ...] = (
    Target("saturated", "rate", "Stream payload", "picows + orjson", 1.0),
    Target("saturated", "rate", "Stream payload", "WebSocketApp + json", 9),
    Target("saturated", "rate", "Stream payload", "python-kucoin", 14),
    Target("saturated", "rate", "Stream payload", "kucoin-universal-sdk", 28),
    Target("saturated", "rate", "Stream payload", "websockets.sync + orjson", 4.5),
    Target("saturated", "rate", "Stream item", "picows + orjson", 0.8),
    Target("feeds", "rate", "UTA, spot, 1 topic", "classic, 1 topic", 0.9),
    Target("feeds", "rate", "UTA, futures, 1 topic", "classic, 1 topic", 0.9),
    Target("recording", "rate", "Stream recorded, .jsonl", "Stream payload", 0.85),
    Target("recording", "rate", "Stream recorded, .jsonl.zst", "Stream payload", 0.85),
    Target("tls", "rate", "Stream payload", "WebSocketApp + json", 4),
    Target("topics", "rate", "Stream callback, 300 topics", "Stream callback, 1 topic", 0.8),
    Target("latest", "cpu", "Stream latest", "Stream payload", 0.8, least=False),
    Target("paced", "p50", "Stream inline", "picows + orjson, uvloop", 1.15, least=False),
    Target("paced", "cpu", "Stream inline", "picows + orjson, uvloop", 1.3, least=False),
    Target("paced", "p50", "Stream inline", "websocket-client + orjson", 0.8, least=False),
    Target("paced", "cpu", "Stream inline", "websocket-client + orjson", 0.8, least=False),
    Target("paced", "p50", "Stream payload", "websockets.sync + orjson", 0.75, least=False),
    Target("paced", "cpu", "Stream payload", "websockets.sync + orjson", 0.75, least=False),
    Target("redundancy", "cpu", "Stream callback, 2 connections", "Stream callback, 1 connection", 1.9, least=False),
    Target("redundancy", "cpu", "Stream inline, 2 connections", "Stream inline, 1 connection", 1.9, least=False),
    Target("redundancy", "cpu", "Stream payload, 2 connections", "Stream payload, 1 connection", 1.9, least=False),
    Target("memory", "growth", "memory of Stream", "", 5e6, least=False, form=",.0f", unit=" bytes"),
    Target("memory", "beside", "queued in Stream", "", 700, least=False, form=",.0f", unit=" bytes"),
    Target("reconnect", "seconds", "Stream", "", 0.1, least=False, form=".4f", unit=" s"),
    Target("import", "seconds", "import kucoin_sync", "import requests, websocket, msgspec", 1.3, least=False),
)
