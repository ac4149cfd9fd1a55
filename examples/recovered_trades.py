"""Trades over a cut: those that were missed come from REST, in their place.

python examples/recovered_trades.py --demo   on a local KuCoin that cuts the connection once a second
python examples/recovered_trades.py          on KuCoin, where you may switch the network off and on
"""

import argparse
import logging
import time

from _common import example_parser, run_example
from kucoin_sync import Stream


def main(options: argparse.Namespace) -> None:
    logging.getLogger("kucoin_sync").addHandler(logging.NullHandler())  # the events are printed below
    live = recovered = 0
    end = time.monotonic() + options.seconds
    next_cut = time.monotonic() + 1
    with Stream(on_event=lambda event: print(f"event      {event}", flush=True)) as stream:
        subscription = stream.subscribe("/market/match:BTC-USDT", recover=True)
        while (left := end - time.monotonic()) > 0:
            if options.server is not None and time.monotonic() > next_cut:
                options.server.drop_connections()
                next_cut = time.monotonic() + 1
            try:
                trade = subscription.get(timeout=min(left, 0.2))
            except TimeoutError:
                continue
            live, recovered = live + (not trade.recovered), recovered + trade.recovered
            if trade.recovered:
                print(f"recovered  {trade.payload.side} {trade.payload.size} at {trade.payload.price}", flush=True)
    print(f"{live} trades were pushed, {recovered} were recovered")


if __name__ == "__main__":
    run_example(main, example_parser(__doc__, seconds=6.0).parse_args(), "BTC-USDT", rate=100)
