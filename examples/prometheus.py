"""Serve a stream's numbers to Prometheus, on http://localhost:9000/metrics.

python examples/prometheus.py --demo                 on a local KuCoin; prints parts of the page
python examples/prometheus.py --port 9000 --seconds 3600   on KuCoin

Needs prometheus-client: pip install 'kucoin-sync[metrics]'
"""

import argparse
import contextlib
import time
import urllib.request

from prometheus_client import REGISTRY, start_http_server

from _common import example_parser, run_example
from kucoin_sync import Stream
from kucoin_sync.metrics import KucoinCollector

SHOWN = ("kucoin_sync_messages_total", "kucoin_sync_bytes_total", "kucoin_sync_lag_seconds", "kucoin_sync_pending")


def main(options: argparse.Namespace) -> None:
    with Stream() as stream, contextlib.ExitStack() as stack:
        REGISTRY.register(KucoinCollector(stream))
        server, thread = start_http_server(0 if options.demo else options.port, addr="127.0.0.1")
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        print(f"serving {url}", flush=True)

        next_look, deadline = time.monotonic() + 1, time.monotonic() + options.seconds
        for _ in stream.subscribe("/market/ticker:BTC-USDT"):
            if time.monotonic() > next_look:
                next_look += 1
                print("\n".join(look(url)), flush=True)
            if time.monotonic() > deadline:
                break


def look(url: str) -> list[str]:
    """Return some lines of the page that Prometheus reads."""
    with urllib.request.urlopen(url, timeout=5) as page:
        return [line for line in page.read().decode().splitlines() if line.startswith(SHOWN)]


if __name__ == "__main__":
    parser = example_parser(__doc__)
    parser.add_argument("--port", type=int, default=9000, help="default: 9000, in the demo any that is free")
    run_example(main, parser.parse_args(), "BTC-USDT")
