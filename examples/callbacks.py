"""Callbacks instead of a loop: for a topic, by decorator, and for what happens to the connection.

python examples/callbacks.py --demo          on a local KuCoin, no network and no key
python examples/callbacks.py --seconds 60    on KuCoin
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

from kucoin_sync import Event, KucoinSyncError, Message, Stream
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds")
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin("BTC-USDT", "ETH-USDT")).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where, on_event=on_event))
        stream.subscribe("/market/ticker:BTC-USDT,ETH-USDT", callback=on_ticker)

        @stream.on("/market/match:BTC-USDT")
        def on_trade(message: Message) -> None:
            trade = message.payload
            print(f"trade   {trade.side} {trade.size} at {trade.price}", flush=True)

        # All of them run on one thread of the stream; this one is free.
        print("listening; Ctrl-C ends it", flush=True)
        threading.Event().wait(options.seconds)
    print(f"{stream.stats()['messages']} messages came")


def on_ticker(message: Message) -> None:
    symbol = message["topic"].partition(":")[2]
    print(f"ticker  {symbol} {message['data']['price']}", flush=True)


def on_event(event: Event) -> None:
    """Tell what happens: the connection was lost, is back; a callback raised, or takes long."""
    print(f"event   {event}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
