"""Print the changes of your own orders and balances.

python examples/private_orders.py --demo           on a local KuCoin where an account trades
python examples/private_orders.py --seconds 600    on KuCoin; needs KUCOIN_API_KEY, KUCOIN_API_SECRET and
                                                   KUCOIN_API_PASSPHRASE of a key with permission to read
"""

import argparse
import time

from _common import example_parser, run_example
from kucoin_sync import Message, Stream, topics
from kucoin_sync.payloads import Balance, OrderChange


def main(options: argparse.Namespace) -> None:
    deadline = time.monotonic() + options.seconds
    with Stream() as stream:
        mine = stream.subscribe(topics.orders(), topics.account_balance())
        print("waiting for your orders; place one", flush=True)
        # Hours may pass between two of these messages, so the wait for each ends at the deadline.
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
                how = f"{order.match_size} at {order.match_price}, {order.remain_size} left"
            else:
                how = f"size {order.origin_size or order.size} at {order.price or 'market'}"
            print(f"order    {what}: {how}", flush=True)
        case Balance() as balance:
            print(f"balance  {balance.currency}: {balance.available} available, {balance.hold} held", flush=True)
        case other:  # a kind of message that is unknown to this version
            print(other, flush=True)


if __name__ == "__main__":
    run_example(main, example_parser(__doc__, seconds=5.0).parse_args(), "BTC-USDT", "KCS-BTC")
