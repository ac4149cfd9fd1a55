"""Use callbacks instead of a loop: for a topic, by decorator, and for events of the connection.

python examples/callbacks.py --demo          on a local KuCoin, no network and no key
python examples/callbacks.py --seconds 60    on KuCoin
"""

import argparse
import threading

from _common import example_parser, run_example
from kucoin_sync import Event, Message, Stream


def main(options: argparse.Namespace) -> None:
    with Stream(on_event=on_event) as stream:
        stream.subscribe("/market/ticker:BTC-USDT,ETH-USDT", callback=on_ticker)

        @stream.on("/market/match:BTC-USDT")
        def on_trade(message: Message) -> None:
            trade = message.payload
            print(f"trade   {trade.side} {trade.size} at {trade.price}", flush=True)

        # The callbacks run on a thread of the stream, so this thread is free.
        print("listening; Ctrl-C ends it", flush=True)
        threading.Event().wait(options.seconds)
    print(f"{stream.stats()['messages']} messages came")


def on_ticker(message: Message) -> None:
    symbol = message["topic"].partition(":")[2]
    print(f"ticker  {symbol} {message['data']['price']}", flush=True)


def on_event(event: Event) -> None:
    """Print an event, such as a lost connection or an error in a callback."""
    print(f"event   {event}", flush=True)


if __name__ == "__main__":
    run_example(main, example_parser(__doc__).parse_args(), "BTC-USDT", "ETH-USDT")
