"""Prometheus metrics of streams, read at each scrape.

    from prometheus_client import REGISTRY, start_http_server
    from kucoin_sync.metrics import KucoinCollector

    REGISTRY.register(KucoinCollector(stream))
    start_http_server(9000)

Needs prometheus-client (`pip install 'kucoin-sync[metrics]'`). All metrics have one label, "stream": the name that the
program gives to the stream. Data from KuCoin never becomes a label.

Several processes: prometheus-client's multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`) ignores custom collectors such as
this one. Under gunicorn, let each worker with a stream serve its own port, or let one process own the feed. Beside a
`MultiProcessCollector`, this one reports the numbers of the worker that answers the scrape. Then name the streams by
worker, such as `{f"worker {os.getpid()}": stream}`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "kucoin_sync.metrics needs prometheus-client, which is not installed: pip install 'kucoin-sync[metrics]'"
    ) from error

from . import Client
from .internal.guard import is_interrupt, log

__all__ = ["KucoinCollector"]

_PREFIX = "kucoin_sync_"


# Each metric: its name without the prefix, its key in `Stream.stats()`, and its help text.
_COUNTERS = (
    ("messages", "messages", "Messages received."),
    ("bytes", "bytes", "Bytes of frames received."),
    ("dropped_messages", "dropped", "Messages dropped because their consumer was slow, or superseded."),
    ("unrouted_messages", "unrouted", "Messages received that belong to no subscription."),
    ("unreadable_frames", "unreadable", "Frames skipped because they could not be read."),
    ("unknown_frames", "unknown_types", "Frames skipped because their type is unknown."),
    ("misfit_payloads", "misfits", "Payloads read of which something has not the usual form."),
    ("connects", "connects", "Connections that the server welcomed, the first ones included."),
    ("reconnects", "reconnects", "Connections that the server welcomed after one was lost."),
    ("disconnects", "disconnects", "Connections that were lost."),
    ("failed_attempts", "failed_attempts", "Attempts to connect that failed."),
    ("copies", "copies", "Messages not delivered because another connection had brought them."),
    ("recovered_messages", "recovered", "Messages missed during a cut and delivered afterwards."),
    ("incomplete_recoveries", "recoveries_incomplete", "Times that not all missed messages could be recovered."),
    ("book_resyncs", "book_resyncs", "Times that a book was ready and had to start again from a snapshot."),
    ("book_snapshots", "book_snapshots", "Requests for snapshots of books."),
)
_GAUGES = (
    ("open", "open", "1 while the stream is open, 0 after it was closed."),
    ("pending_messages", "pending", "Messages that wait for their consumer."),
    ("subscriptions", "subscriptions", "Open subscriptions, those of books included."),
    ("topics", "topics", "Topics subscribed, each counted once."),
    ("connections", "connections", "Connections open or being made."),
    ("redundant_topics", "redundant_topics", "Topics that two connections carry, so that one of them may be lost."),
    ("books", "books", "Order books that are kept."),
    ("ready_books", "books_ready", "Order books that can be read now."),
    ("pong_latency_seconds", "pong_latency", "From the last ping to its answer, on the slowest connection."),
    ("lag_seconds", "lag", "From KuCoin's time in a message to its delivery, of the latest one now."),
    ("queue_delay_seconds", "queue_delay", "Since when the oldest message has been waiting for its consumer."),
)


class KucoinCollector(Collector):
    """Collects the metrics of one or several streams, with the label "stream".

    It does nothing between two scrapes. A gauge without a value, such as the latency before the first pong, is left
    out. A closed stream keeps its counters, and of the gauges only "open". If the numbers of a stream can't be read,
    that stream is left out and an error is logged once; the other streams are reported.

    Args:
        streams: a stream, which gets the name "default", or streams by name. Each scrape reads the mapping again, so
            streams may be added and removed. One registry accepts one collector.
    """

    def __init__(self, streams: Client | Mapping[str, Client]) -> None:
        self._streams: Mapping[str, Client] = {"default": streams} if isinstance(streams, Client) else streams
        self._failing: frozenset[str] = frozenset()  # the streams that could not be read in the last scrape

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics without numbers, so that registering reads no stream."""
        return _families({})

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics with their current numbers."""
        numbers: dict[str, Mapping[str, float | None]] = {}
        failing: set[str] = set()
        for name, stream in dict(self._streams).items():
            try:
                numbers[str(name)] = _numbers(stream)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                failing.add(name)
                if name not in self._failing:
                    log(logging.ERROR, "the metrics of stream %s can't be read and are left out", name, error=error)
        self._failing = frozenset(failing)
        return _families(numbers)


def _numbers(stream: Client) -> dict[str, float | None]:
    """Return the number of each metric by key, or None if the stream has none."""
    closed, stats = stream.closed, stream.stats()
    if closed:
        stats.update(dict.fromkeys(key for _, key, _ in _GAUGES))
    stats["open"] = not closed
    return {key: None if stats[key] is None else float(stats[key]) for _, key, _ in (*_COUNTERS, *_GAUGES)}


def _families(numbers: Mapping[str, Mapping[str, float | None]]) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    for make, metrics in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES)):
        for name, key, text in metrics:
            family = make(_PREFIX + name, text, labels=["stream"])
            for stream, stats in numbers.items():
                if (value := stats[key]) is not None:
                    family.add_metric([stream], value)
            yield family
