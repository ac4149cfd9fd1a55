"""Write trades to a CSV file.

python examples/csv_writer.py --demo                          on a local KuCoin, no network and no key
python examples/csv_writer.py BTC-USDT -o btc.csv --seconds 60   on KuCoin
"""

import argparse
import contextlib
import csv
import time
from pathlib import Path

from _common import example_parser, run_example
from kucoin_sync import Stream, topics


def main(options: argparse.Namespace) -> None:
    deadline, written = time.monotonic() + options.seconds, 0
    with options.output.open("w", newline="", encoding="utf-8", buffering=1) as file, Stream() as stream:
        rows = csv.writer(file)
        rows.writerow(["time", "symbol", "side", "size", "price", "lost"])
        print(f"writing to {options.output}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for message in stream.subscribe(topics.match(*options.symbols)):
                trade = message.payload  # prices and sizes are Decimal and keep KuCoin's digits
                rows.writerow(
                    [trade.datetime.isoformat(), trade.symbol, trade.side, trade.size, trade.price, message.lost]
                )
                written += 1
                if time.monotonic() > deadline:
                    break
    print(f"{written} trades are in {options.output}")


if __name__ == "__main__":
    parser = example_parser(__doc__)
    parser.add_argument("symbols", nargs="*", default=["BTC-USDT", "ETH-USDT"])
    parser.add_argument("-o", "--output", type=Path, default=Path("trades.csv"), help="default: trades.csv")
    options = parser.parse_args()
    run_example(main, options, *options.symbols)
