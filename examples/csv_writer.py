"""Write trades to a CSV file.

python examples/csv_writer.py --demo                          on a local KuCoin, no network and no key
python examples/csv_writer.py BTC-USDT -o btc.csv --seconds 60   on KuCoin
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
import time
from pathlib import Path

from kucoin_sync import KucoinSyncError, Stream, topics
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbols", nargs="*", default=["BTC-USDT", "ETH-USDT"])
    parser.add_argument("-o", "--output", type=Path, default=Path("trades.csv"), help="default: trades.csv")
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=3.0, help="end after so many seconds")
    options = parser.parse_args()

    deadline = time.monotonic() + options.seconds
    written = 0
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin(*options.symbols)).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
        file = stack.enter_context(options.output.open("w", newline="", encoding="utf-8", buffering=1))
        rows = csv.writer(file)
        rows.writerow(["time", "symbol", "side", "size", "price", "lost"])
        print(f"writing to {options.output}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for message in stream.subscribe(topics.match(*options.symbols)):
                trade = message.payload  # prices and sizes are Decimal: every digit is KuCoin's
                rows.writerow(
                    [trade.datetime.isoformat(), trade.symbol, trade.side, trade.size, trade.price, message.lost]
                )
                written += 1
                if time.monotonic() > deadline:
                    break
    print(f"{written} trades are in {options.output}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
