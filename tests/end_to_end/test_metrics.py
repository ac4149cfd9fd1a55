"""What Prometheus is told, as its own client writes and reads it."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read

from kucoin_sync import Resubscribed, Stream
from kucoin_sync.metrics import KucoinCollector
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events

BTC = "/market/ticker:BTC-USDT"
COUNTERS = {
    f"kucoin_sync_{name}_total"
    for name in (
        "messages", "bytes", "dropped_messages", "unrouted_messages", "unreadable_frames", "unknown_frames",
        "misfit_payloads", "connects", "reconnects", "disconnects", "failed_attempts", "copies", "recovered_messages",
        "incomplete_recoveries", "book_resyncs",
        "book_snapshots",
    )
}  # fmt: skip
GAUGES = {
    f"kucoin_sync_{name}"
    for name in (
        "open", "pending_messages", "subscriptions", "topics", "connections", "redundant_topics", "books",
        "ready_books", "pong_latency_seconds", "lag_seconds", "queue_delay_seconds",
    )
}  # fmt: skip


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)  # as that of everybody is


def scraped(registry: CollectorRegistry) -> dict[str, dict[str, float]]:
    """Return the values of each sample's name, by stream."""
    found: dict[str, dict[str, float]] = {}
    for family in read(generate_latest(registry).decode()):
        for sample in family.samples:
            assert list(sample.labels) == ["stream"]
            found.setdefault(sample.name, {})[sample.labels["stream"]] = sample.value
    return found


def publish(server: KucoinServer, *prices: str, seconds_ago: float = 0.0) -> None:
    for price in prices:
        data = {"sequence": "1", "price": price, "time": int((time.time() - seconds_ago) * 1000)}
        assert server.publish(BTC, data, subject="trade.ticker")


def test_every_number_has_a_metric_that_the_strictest_reader_takes(
    server: KucoinServer, stream: Stream, registry: CollectorRegistry
) -> None:
    registry.register(KucoinCollector(stream))
    subscription = stream.subscribe(BTC)
    publish(server, "1", "2")
    subscription.get(timeout=10), subscription.get(timeout=10)
    found = scraped(registry)
    assert found.keys() == (COUNTERS | GAUGES) - {"kucoin_sync_pong_latency_seconds"}  # there was no ping yet
    assert all(list(values) == ["default"] for values in found.values())
    families = {family.name: family for family in read_openmetrics(generate_openmetrics(registry).decode())}
    assert {name for name, family in families.items() if family.type == "counter"} == {
        name.removesuffix("_total") for name in COUNTERS
    }
    assert {name for name, family in families.items() if family.type == "gauge"} == GAUGES
    assert all(family.documentation.endswith(".") for family in families.values())


def test_no_number_of_a_stream_is_forgotten(stream: Stream) -> None:
    from kucoin_sync import metrics

    assert {key for _, key, _ in (*metrics._COUNTERS, *metrics._GAUGES)} == {*stream.stats(), "open"}


def test_the_numbers_are_those_of_now(
    server: KucoinServer, stream: Stream, events: Events, registry: CollectorRegistry
) -> None:
    registry.register(KucoinCollector(stream))
    assert scraped(registry)["kucoin_sync_messages_total"] == {"default": 0}
    subscription = stream.subscribe(BTC)
    publish(server, "1", "2", "3")
    for _ in range(3):
        subscription.get(timeout=10)
    found = scraped(registry)
    assert found["kucoin_sync_messages_total"] == {"default": 3}
    assert found["kucoin_sync_bytes_total"]["default"] > 3 * 50
    assert found["kucoin_sync_subscriptions"] == found["kucoin_sync_topics"] == {"default": 1}
    assert found["kucoin_sync_connections"] == found["kucoin_sync_connects_total"] == {"default": 1}
    server.drop_connections()
    events.wait(Resubscribed)
    found = scraped(registry)
    assert found["kucoin_sync_reconnects_total"] == found["kucoin_sync_disconnects_total"] == {"default": 1}


def test_lag_is_from_kucoins_time_to_delivery(
    server: KucoinServer, stream: Stream, registry: CollectorRegistry
) -> None:
    registry.register(KucoinCollector(stream))
    quick, slow = stream.subscribe(BTC), stream.subscribe(BTC)
    assert "kucoin_sync_lag_seconds" not in scraped(registry)
    publish(server, "1", seconds_ago=100)
    quick.get(timeout=10), slow.get(timeout=10)
    found = scraped(registry)
    lag = found["kucoin_sync_lag_seconds"]["default"]
    assert 100 <= lag < 140
    assert found["kucoin_sync_queue_delay_seconds"] == {"default": 0}
    assert scraped(registry)["kucoin_sync_lag_seconds"]["default"] == lag  # it was delivered; nothing grows
    publish(server, "2", seconds_ago=10)
    quick.get(timeout=10)
    assert slow.message_queue.wait(10)
    first, second = scraped(registry), scraped(registry)
    assert 10 <= first["kucoin_sync_lag_seconds"]["default"] < 50
    for name in ("kucoin_sync_lag_seconds", "kucoin_sync_queue_delay_seconds"):
        assert 0 < first[name]["default"] < second[name]["default"]  # it grows while the message waits
    assert first["kucoin_sync_pending_messages"] == {"default": 1}
    slow.get(timeout=10)
    assert scraped(registry)["kucoin_sync_queue_delay_seconds"] == {"default": 0}


def test_several_streams_are_told_apart_and_may_come_and_go(
    server: KucoinServer, make_stream: Callable[..., Stream], registry: CollectorRegistry
) -> None:
    streams = {"one": make_stream()}
    registry.register(KucoinCollector(streams))
    streams["the other"] = make_stream()
    subscription = streams["the other"].subscribe(BTC)
    publish(server, "1")
    subscription.get(timeout=10)
    assert scraped(registry)["kucoin_sync_messages_total"] == {"one": 0, "the other": 1}
    del streams["one"]
    assert scraped(registry)["kucoin_sync_messages_total"] == {"the other": 1}
    streams.clear()
    assert scraped(registry) == {}


def test_a_closed_stream_has_its_counts_and_no_gauges(
    server: KucoinServer, stream: Stream, registry: CollectorRegistry
) -> None:
    registry.register(KucoinCollector(stream))
    subscription = stream.subscribe(BTC)
    publish(server, "1")
    subscription.get(timeout=10)
    stream.close()
    found = scraped(registry)
    assert found["kucoin_sync_messages_total"] == {"default": 1}
    assert found["kucoin_sync_open"] == {"default": 0}
    assert found.keys() == COUNTERS | {"kucoin_sync_open"}


def test_registering_looks_at_no_stream_and_a_second_time_is_refused(registry: CollectorRegistry) -> None:
    class Broken(Stream):
        def stats(self) -> dict[str, object]:
            raise AssertionError("nobody asked for numbers")

    registry.register(KucoinCollector(Broken()))
    with pytest.raises(ValueError, match="kucoin_sync_messages"):
        registry.register(KucoinCollector(Broken()))


class Odd(Stream):
    """A stream whose numbers are whatever a test says."""

    numbers: object = None

    def stats(self) -> dict[str, object]:
        if isinstance(self.numbers, Exception):
            raise self.numbers
        return {**super().stats(), "messages": self.numbers}


@pytest.mark.parametrize("numbers", [RuntimeError("no numbers today"), "many", [1]], ids=repr)
def test_a_stream_whose_numbers_can_not_be_read_costs_only_itself_and_is_said_once(
    stream: Stream, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, numbers: object
) -> None:
    odd = Odd()
    registry.register(KucoinCollector({"odd": odd, "good": stream}))
    said: list[int] = []
    for odd.numbers in (numbers, numbers, 7, numbers):
        assert scraped(registry)["kucoin_sync_messages_total"].get("good") == 0
        said.append(len([record for record in caplog.records if "stream odd can't be read" in record.message]))
    assert said == [1, 1, 1, 2], "once until it can be read again"
    odd.numbers = 7
    assert scraped(registry)["kucoin_sync_messages_total"] == {"odd": 7, "good": 0}


MULTIPROCESS = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from kucoin_sync import Stream
from kucoin_sync.metrics import KucoinCollector

registry = CollectorRegistry(auto_describe=True)
MultiProcessCollector(registry)
assert b"kucoin" not in generate_latest(registry)
registry.register(KucoinCollector({"worker 7": Stream()}))
assert b'kucoin_sync_messages_total{stream="worker 7"} 0.0' in generate_latest(registry)
"""


def test_beside_multiprocess_mode_it_tells_the_numbers_of_its_own_process(
    tmp_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", MULTIPROCESS], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_prometheus_client_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    monkeypatch.delitem(sys.modules, "kucoin_sync.metrics")
    with pytest.raises(ImportError, match=r"pip install 'kucoin-sync\[metrics\]'"):
        importlib.import_module("kucoin_sync.metrics")
