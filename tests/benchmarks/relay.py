"""Measure the relay beside the stream that it reads from: `python -m tests.benchmarks.relay`.

With `--soak SECONDS` a long run instead, in which relays are killed and Redis restarts; see `relay_soak`. It prints its
verdict, and ends with code 1 where something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

from tests.support.redis import MISSING, LocalRedis

from .load import Job, Load
from .relay_soak import Plan, run
from .running import Result, measure, process, result_of

__all__ = ["main", "measure_relayed"]

_TARGETS = "targets: 50,000 messages a second through Redis on 2 cores; 2 ms more from send to the user's code"


def measure_relayed(load: Load, limit: float) -> Result:
    """Return what a `RelayStream` measured behind one relay; `limit` bounds the run in seconds.

    Raises:
        Failed: it raised, or did not read every message in time.
    """
    with LocalRedis() as redis, process("tests.benchmarks.blaster", json.dumps(asdict(load)), "") as blaster:
        assert blaster.stdout is not None
        job = Job(load, **json.loads(blaster.stdout.readline()))
        at = {"KUCOIN_SYNC_REDIS_URL": redis.url}
        with (
            process("kucoin_sync", "relay", "--rest-url", job.rest_url, **at),
            process("tests.benchmarks.clients", "through a relay", job.to_json(), **at) as client,
        ):
            return result_of(client, limit)


def _compare(title: str, load: Load, rounds: int, keys: dict[str, str]) -> None:
    ways = {
        "Stream": lambda: measure("Stream payload", load, {}, 60),
        "through a relay": lambda: measure_relayed(load, 60),
    }
    results: dict[str, list[Result]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            results[name].append(way())
    print(f"\n{title}")
    for name, found in results.items():
        figures = [f"{median(each[key] for each in found):>10,.0f} {unit}" for key, unit in keys.items()]
        print(f"  {name:<18}" + "  ".join(figures), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.relay", description=__doc__)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="the long run; 60 is its full length")
    parser.add_argument("--rate", type=int, default=Plan.rate, help="messages a second of the long run")
    parser.add_argument("--messages", type=int, default=150_000, help="messages of a saturated run, at most 180,000")
    parser.add_argument("--runs", type=int, default=3, help="rounds of the measurements")
    chosen = parser.parse_args(arguments)
    if MISSING:
        parser.error(MISSING)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    if chosen.soak:
        verdict = run(Plan(seconds=chosen.soak, rate=chosen.rate), say=print)
        print(verdict.table())
        return 0 if verdict.good else 1
    warmup = min(10_000, chosen.messages)
    for topics in (1, 200):
        load = Load(topics=topics, count=chosen.messages, warmup=warmup)
        title = f"Tickers of 260 bytes of {topics} topic(s), as fast as they go through"
        _compare(title, load, chosen.runs, {"rate": "messages/s", "cpu": "CPU µs each at the reader"})
    count = min(9_000, chosen.messages)
    load = Load(count=count, warmup=count // 10, pace=3_000, stamped=True)
    title = "3,000 tickers a second, one at a time: from send to the user's code"
    _compare(title, load, chosen.runs, {"p50": "µs p50", "p99": "µs p99"})
    print(f"\n{_TARGETS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
