"""Your own orders and balances, as they change.

python examples/private_orders.py --demo           on a local KuCoin where an account trades
python examples/private_orders.py --seconds 600    on KuCoin; needs KUCOIN_API_KEY, KUCOIN_API_SECRET and
                                                   KUCOIN_API_PASSPHRASE, a key that may read is enough
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from kucoin_sync import KucoinSyncError, Message, Stream, topics
from kucoin_sync.payloads import Balance, OrderChange
from kucoin_sync.testing import local_kucoin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    parser.add_argument("--seconds", type=float, default=5.0, help="end after so many seconds")
    options = parser.parse_args()

    deadline = time.monotonic() + options.seconds
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local_kucoin("BTC-USDT", "KCS-BTC")).stream_options if options.demo else {}
        stream = stack.enter_context(Stream(**where))
        mine = stream.subscribe(topics.orders(), topics.account_balance())
        print("waiting for your orders; place one", flush=True)
        # Hours may pass between two of these messages: wait for each no longer than until the end.
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                show(mine.get(timeout=remaining))
            except TimeoutError:
                break
        print(f"{stream.stats()['messages']} changes came")


def show(message: Message) -> None:
    match message.payload:
        case OrderChange() as order:
            what = f"{order.type:9} {order.side} {order.symbol} {order.order_id[-6:]}"
            if order.type == "match":
                print(
                    f"order    {what}: {order.match_size} at {order.match_price}, {order.remain_size} left", flush=True
                )
            else:
                print(
                    f"order    {what}: size {order.origin_size or order.size} at {order.price or 'market'}", flush=True
                )
        case Balance() as balance:
            print(f"balance  {balance.currency}: {balance.available} available, {balance.hold} held", flush=True)
        case other:  # a kind of message that this version does not know
            print(other, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass  # Ctrl-C: enough seen
    except KucoinSyncError as error:
        sys.exit(f"{error}\nWithout a network, --demo does the same on a local KuCoin.")
