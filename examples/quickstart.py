"""The first steps: subscribe to a topic and loop over what comes.

python examples/quickstart.py --demo         on a local KuCoin, no network and no key
python examples/quickstart.py                on KuCoin
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys

from kucoin_sync import KucoinSyncError, Stream
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--messages", type=int, default=10, help="end after so many")
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin("ETH-USDT")).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
        for message in itertools.islice(stream.subscribe("/market/ticker:ETH-USDT"), options.messages):
            ticker = message.payload
            print(f"ETH-USDT {ticker.price}, bid {ticker.best_bid}, ask {ticker.best_ask}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
