"""Serve a stream's numbers to Prometheus, on http://localhost:9000/metrics.

python examples/prometheus.py --demo                 on a local KuCoin, and looks at the page itself
python examples/prometheus.py --port 9000 --seconds 3600   on KuCoin

Needs prometheus-client: pip install 'kucoin-sync[metrics]'
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
import urllib.request

from prometheus_client import REGISTRY, start_http_server

from kucoin_sync import KucoinSyncError, Stream
from kucoin_sync.metrics import KucoinCollector
from kucoin_sync.testing import local_kucoin

SHOWN = ("kucoin_sync_messages_total", "kucoin_sync_bytes_total", "kucoin_sync_lag_seconds", "kucoin_sync_pending")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--port", type=int, default=9000, help="default: 9000, in the demo any that is free")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds")
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin("BTC-USDT")).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
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
    """Return some lines of the page, as Prometheus gets them."""
    with urllib.request.urlopen(url, timeout=5) as page:
        return [line for line in page.read().decode().splitlines() if line.startswith(SHOWN)]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
