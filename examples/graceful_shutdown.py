"""End well: on Ctrl-C or SIGTERM (as from systemd or Docker) finish what was received, then leave.

python examples/graceful_shutdown.py --demo           on a local KuCoin, no network and no key
python examples/graceful_shutdown.py --seconds 600    on KuCoin
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from kucoin_sync import KucoinSyncError, Stream, Subscription
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds, if not told before")
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin("BTC-USDT", "ETH-USDT")).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
        pool = stack.enter_context(ThreadPoolExecutor())
        subscriptions = [stream.subscribe(f"/market/match:{symbol}") for symbol in ("BTC-USDT", "ETH-USDT")]
        workers = [pool.submit(work, trades) for trades in subscriptions]
        print("working; Ctrl-C ends it", flush=True)
        stop.wait(options.seconds)

        stream.close()  # nothing more is received; each loop ends when it has seen to what was
        for trades, worker in zip(subscriptions, workers, strict=True):
            print(f"{trades.topics[0]}: all {worker.result()} trades seen to")
    print("nothing left behind")


def work(trades: Subscription) -> int:
    done = 0
    for _ in trades:
        done += 1  # store it, act on it
    return done


if __name__ == "__main__":
    try:
        main()
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
