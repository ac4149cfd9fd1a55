"""Read from the source: imports only go down, pure modules stay pure, importing does nothing, names mean one thing."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kucoin_sync

from .support.selection import first

ROOT = Path(kucoin_sync.__file__).parent

# Lowest first. A name stands for a package with all that is in it, or for a module at the root; "" is the package.
LAYERS = (
    {"_version", "credentials", "exceptions", "limits"},
    {"internal"},
    {"payloads"},
    {"topics"},
    {"protocol"},
    {"events"},
    {"net"},
    {"delivery"},
    {"connections"},
    {"books", "account"},
    {"recovery"},
    {"client", "tunnel"},
    {"stream"},
    {""},
    {"metrics", "recording", "testing"},
    {"relay", "verify"},
    {"cli", "contrib"},
    {"__main__"},
)
ON_TOP = {"__main__", "cli", "contrib", "metrics", "recording", "relay", "testing", "verify"}
# What knows no thread, socket or clock: packages, and modules of packages that have others.
PURE = {
    "_version",
    "account.calls",
    "account.futures",
    "account.lists",
    "account.part",
    "account.pushes",
    "account.reconciliation",
    "account.rows",
    "account.spot",
    "account.state",
    "account.values",
    "books.base",
    "books.calibration",
    "books.changes",
    "books.codec",
    "books.feeds",
    "books.l2",
    "books.l3",
    "books.numbers",
    "books.price_index",
    "books.pushed",
    "books.snapshot",
    "books.source",
    "connections.topic_assignment",
    "credentials",
    "delivery.latency",
    "events",
    "exceptions",
    "internal.backoff",
    "limits",
    "net.framing",
    "net.length_cutter",
    "net.rest_response",
    "payloads",
    "protocol",
    "recovery.candle_rows",
    "recovery.candles",
    "recovery.pacing",
    "recovery.rows",
    "recovery.trades",
    "topics",
    "verify.books",
    "verify.facts",
    "verify.judge",
    "verify.judge_session",
    "verify.members",
    "verify.plan",
    "verify.questions",
    "verify.reference",
    "verify.report",
    "verify.seen",
    "verify.sequences",
    "verify.topic_log",
}
# Takes each step to KuCoin on its own, to find out which one fails, or how KuCoin answers.
DOCTOR = {"cli.checks", "cli.diagnosis", "cli.doctor", "verify.probe"}
# What a message source other than KuCoin, or a web application, builds on.
SEAM = {
    "client",
    "books.snapshot_fetcher",
    "connections.gate",
    "connections.last_values",
    "connections.source",
    "delivery.callbacks",
    "delivery.observer",
    "delivery.overflow",
    "delivery.queue",
    "internal.flag",
    "internal.fork",
    "internal.guard",
    "internal.latch",
    "internal.resources",
    "internal.signals",
    "internal.timed_queue",
    "net.waker",
    "net.workers",
}
# Words of former names. A standard term has replaced each of them.
FORMER = {
    "baton", "bookkeeping", "chances", "enrol", "errands", "guest", "heir", "lane", "medley", "misfit", "opener",
    "outcomes", "patience", "sealed", "switchboard", "taker", "turns", "way", "weakly",
}  # fmt: skip
# Fixtures that hold options of others. A file or a class overrides them for all tests in it.
HOOKS = {"exchange_options", "server_options"}
KUCOINS = {"taker_order_id", "taker_fee_rate", "taker_coefficient"}  # fields of payloads
WORLDLY = {"asyncio", "requests", "select", "selectors", "socket", "ssl", "threading", "time", "urllib3", "websocket"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(ROOT.rglob("*.py"))
}


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def layer_of(module: str) -> int:
    """Return the layer of a module, named without the package's name."""
    head = module.partition(".")[0]
    [layer] = [layer for layer, names in enumerate(LAYERS) if head in names]
    return layer


def is_pure(module: str) -> bool:
    """Return whether a module, or the package that it is in, is named as pure."""
    return module in PURE or module.rpartition(".")[0] in PURE


def nodes_of(tree: ast.AST, *, types: bool = True) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, where `types` is false without those that only a type checker sees."""
    yield tree
    hidden = tree.body if isinstance(tree, ast.If) and not types and ast.unparse(tree.test) == "TYPE_CHECKING" else []
    for child in ast.iter_child_nodes(tree):
        if child not in hidden:
            yield from nodes_of(child, types=types)


@functools.cache
def imports(module: str, *, types: bool = True) -> tuple[str, ...]:
    """Return the absolute names of what a module imports, wherever in it: those of this package begin with a dot."""
    return tuple(_imports(module, types))


def _imports(module: str, types: bool) -> Iterator[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes_of(tree_of(module), types=types):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _own(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".") if package else []
                kept = parents[: len(parents) - node.level + 1]
                base = "." + ".".join([*kept, base] if base else kept)
            else:
                base = _own(base)
            for alias in node.names:
                inner = f"{base.rstrip('.')}.{alias.name}"
                yield inner if base.startswith(".") and inner[1:] in MODULES else base


def _own(name: str) -> str:
    head, _, rest = name.partition(".")
    return f".{rest}" if head == kucoin_sync.__name__ else name


def inside(module: str, *, types: bool = True) -> set[str]:
    """Return the modules of this package that a module imports."""
    return {name[1:] for name in imports(module, types=types) if name.startswith(".")} - {module}


def outside(module: str) -> set[str]:
    """Return the top-level names of everything else that a module imports."""
    return {name.partition(".")[0] for name in imports(module) if not name.startswith(".")}


def test_the_source_is_read_right() -> None:
    assert {"exceptions", "topics", "topics.table", "payloads", "protocol.session", "stream", ""} <= MODULES.keys()
    assert inside("topics.table") == {"payloads"}
    assert inside("topics.grammar") >= {"exceptions", "topics.table"}
    assert inside("protocol.session") >= {
        "protocol.message",
        "protocol.session_events",
        "protocol.commands",
    }
    assert inside("protocol.commands") >= {"protocol.session_events", "topics.grammar", "internal.backoff"}
    assert inside("") >= {"topics", "stream", "_version"}
    assert outside("internal.backoff") == {"__future__", "collections", "random"}
    assert "websocket" in outside("net.handshake")
    assert "importlib" in outside("internal.foreign")
    assert "requests" in outside("net.rest")
    assert "typing_extensions" in outside("topics.name")
    assert "typing_extensions" not in set(imports("topics.name", types=False))


def test_every_module_has_one_layer() -> None:
    heads = [name for names in LAYERS for name in names]
    assert not [module for module in MODULES if heads.count(module.partition(".")[0]) != 1]


def test_imports_only_go_down() -> None:
    upward = {(module, other) for module in MODULES for other in inside(module) if layer_of(other) > layer_of(module)}
    assert not upward


@pytest.mark.parametrize("types", [False, True], ids=["at run time", "for a type checker"])
def test_there_is_no_circle(types: bool) -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(inside(module, types=types)):
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())
    assert done == MODULES.keys()


def test_pure_modules_know_no_threads_sockets_or_clocks() -> None:
    pure = [module for module in MODULES if is_pure(module)]
    assert pure
    assert not {(module, *outside(module) & WORLDLY) for module in pure if outside(module) & WORLDLY}


def test_nothing_is_asynchronous() -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for module, path in MODULES.items():
        assert "asyncio" not in outside(module), module
        if re.search(r"\b(async|await)\b", path.read_text(encoding="utf-8")):
            assert not any(isinstance(node, kinds) for node in nodes_of(tree_of(module))), module


def test_simple_queues_are_only_where_a_wait_has_no_timeout() -> None:
    """A wait with a timeout may not end in a SimpleQueue; see `TimedQueue`."""
    users = {module for module, path in MODULES.items() if re.search(r"SimpleQueue(\[|\()", path.read_text("utf-8"))}
    assert users == {"books.manager", "delivery.executor"}


def test_events_and_conditions_are_only_where_no_signal_handler_runs() -> None:
    """One that a signal's handler interrupts may stay locked for ever; see `Flag`."""
    pattern = re.compile(r"\bthreading\.(Event|Condition|Barrier|BoundedSemaphore|Semaphore)\(")
    users = {module for module, path in MODULES.items() if pattern.search(path.read_text("utf-8"))}
    assert {module for module in users if not module.startswith("testing.")} == {"connections.ordered_delivery"}


def test_one_module_knows_the_websocket_library_and_one_the_http_library() -> None:
    users = {name: {module for module in MODULES if name in outside(module)} for name in WORLDLY}
    assert {module for module in users["websocket"] if not module.startswith("testing.")} == {"net.handshake"}
    assert users["requests"] | users["urllib3"] == {"net.rest"}


def test_what_is_built_on_top_uses_the_public_surface_and_pure_modules() -> None:
    for module in MODULES:
        if module.partition(".")[0] not in ON_TOP or module in DOCTOR:
            continue
        for other in inside(module):
            public = other == "" or is_pure(other) or other.partition(".")[0] in ON_TOP
            assert public or other in SEAM, f"{module} imports {other}"


def test_every_module_below_the_stream_has_unit_tests_of_its_name() -> None:
    packages = {
        "account", "books", "connections", "delivery", "internal", "net", "protocol", "recovery", "topics",
    }  # fmt: skip
    units = Path(__file__).parent / "unit"
    names = [module.split(".") for module in MODULES if module.partition(".")[0] in packages and "." in module]
    assert [name for name in names if not (units / name[0] / f"test_{name[1]}.py").exists()] == []


def test_every_module_can_be_read_in_a_sitting() -> None:
    lengths = {module: path.read_text(encoding="utf-8").count("\n") for module, path in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > 400} == {}


def test_no_name_has_a_word_of_a_former_name() -> None:
    word = "|".join(FORMER)
    pattern = re.compile(rf"(?<![a-z])({word})(?![a-z])", re.IGNORECASE)
    camel = re.compile(rf"({word.title()})(?![a-z])")
    names = {*MODULES}
    for module, path in MODULES.items():
        source = path.read_text(encoding="utf-8")
        if pattern.search(source) or camel.search(source):
            for node in ast.walk(tree_of(module)):
                names.update(str(vars(node).get(field)) for field in ("id", "attr", "name", "arg"))
    assert {name for name in names - KUCOINS if pattern.search(name) or camel.search(name)} == set()


def test_no_public_class_has_the_name_of_another() -> None:
    """Classes of the local KuCoin may be named as those that they stand for; Django asks for a class `Command`."""
    names = [
        name
        for module, path in MODULES.items()
        if module.partition(".")[0] != "testing" and ".management." not in module
        for name in re.findall(r"^ *class ([A-Za-z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert {name for name in names if names.count(name) > 1} == set()


def fixtures_of(source: str) -> Iterator[str]:
    """Yield the names of the fixtures that a module defines, in classes, too."""
    for node in ast.walk(ast.parse(source)):
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            call = decorator if isinstance(decorator, ast.Call) else ast.Call(decorator, [], [])
            if ast.unparse(call.func) in ("pytest.fixture", "fixture"):
                given = [ast.literal_eval(each.value) for each in call.keywords if each.arg == "name"]
                yield from given or [node.name]


def test_fixtures_are_found_in_the_source() -> None:
    source = """
@pytest.fixture
def plain(): ...
class Test:
    @fixture(scope="module")
    def inner(self): ...
@pytest.fixture(name="named")
def other(): ...
@pytest.mark.fixture
def none(): ...
TEXT = "@pytest.fixture"
"""
    assert sorted(fixtures_of(source)) == ["inner", "named", "plain"]


def test_a_fixture_has_one_definition() -> None:
    """Its name means one thing in all tests. Only options are overridden, and only one conftest has fixtures."""
    tests = Path(__file__).parent
    sources = {path.relative_to(tests).as_posix(): path.read_text(encoding="utf-8") for path in tests.rglob("*.py")}
    defined = {path: [*fixtures_of(source)] for path, source in sources.items() if "fixture" in source}
    assert {path for path, names in defined.items() if names and path.endswith("conftest.py")} == {"conftest.py"}
    names = sorted(name for each in defined.values() for name in each)
    assert {name for name in names if names.count(name) > 1} == HOOKS


# A first import loads everybody else's modules, which may do as they like; the second one, of this package alone,
# happens in a world where nothing is allowed.
SCRIPT = """
import importlib, os, socket, sys, threading

name, *snippets = sys.argv[1:]
importlib.import_module(name)
for module in [module for module in sys.modules if module.partition(".")[0] == "kucoin_sync"]:
    del sys.modules[module]


def refuse(*_, **__):
    raise AssertionError("this must not happen at import")


class Forbidden:
    __getitem__ = __contains__ = __iter__ = __len__ = get = items = keys = values = copy = setdefault = refuse


os.environ = os.environb = Forbidden()
os.getenv = threading.Thread.start = refuse
for function in ("socket", "socketpair", "create_connection", "getaddrinfo"):
    setattr(socket, function, refuse)

importlib.import_module(name)
assert threading.active_count() == 1
for snippet in snippets:
    try:
        exec(snippet)
    except AssertionError:
        continue
    sys.exit(f"nobody noticed {snippet}")
"""


@pytest.mark.parametrize(
    "name",
    [
        "kucoin_sync",
        "kucoin_sync.cli",
        "kucoin_sync.contrib.django.views",
        *first(
            "kucoin_sync.testing",
            "kucoin_sync.relay",
            "kucoin_sync.contrib.flask",
            "kucoin_sync.contrib.django",
            "kucoin_sync.contrib.django.apps",
        ),
    ],
)
def test_importing_reads_no_environment_starts_no_thread_and_opens_no_socket(name: str) -> None:
    noticed = ["os.environ.get('HOME')", "'HOME' in os.environ", "threading.Thread().start()", "socket.socket()"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, name, *noticed], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def test_the_books_are_loaded_when_they_are_asked_for() -> None:
    script = """
import sys, kucoin_sync
assert not {"kucoin_sync.books", "kucoin_sync.books.local_book", "kucoin_sync.books.manager"} & sys.modules.keys()
for name in kucoin_sync.__all__:
    assert getattr(kucoin_sync, name) and name in dir(kucoin_sync), name
assert "kucoin_sync.books.local_book" in sys.modules
assert not hasattr(kucoin_sync, "Nothing")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
