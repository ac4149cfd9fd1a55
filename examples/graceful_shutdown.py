"""Shut down gracefully: on Ctrl-C or SIGTERM (from systemd or Docker) handle all received messages, then exit.

python examples/graceful_shutdown.py --demo           on a local KuCoin, no network and no key
python examples/graceful_shutdown.py --seconds 600    on KuCoin
"""

import argparse
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from _common import example_parser, run_example
from kucoin_sync import Stream, Subscription


def main(options: argparse.Namespace) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    with Stream() as stream, ThreadPoolExecutor() as pool:
        subscriptions = [stream.subscribe(f"/market/match:{symbol}") for symbol in ("BTC-USDT", "ETH-USDT")]
        workers = [pool.submit(work, trades) for trades in subscriptions]
        print("working; Ctrl-C ends it", flush=True)
        stop.wait(options.seconds)

        stream.close()  # receives nothing more; each loop ends after the messages that were received
        for trades, worker in zip(subscriptions, workers, strict=True):
            print(f"{trades.topics[0]}: all {worker.result()} trades handled")
    print("nothing left behind")


def work(trades: Subscription) -> int:
    done = 0
    for _ in trades:
        done += 1  # your work with the message
    return done


if __name__ == "__main__":
    run_example(main, example_parser(__doc__).parse_args(), "BTC-USDT", "ETH-USDT")
