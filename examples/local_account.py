"""Keep your account up to date, also over a cut: balances, open orders, positions and fills.

python examples/local_account.py --demo           on a local KuCoin where an account trades
python examples/local_account.py --seconds 600    on KuCoin; needs KUCOIN_API_KEY, KUCOIN_API_SECRET and
                                                  KUCOIN_API_PASSPHRASE of a key with permission to read
"""

import argparse
import time

from _common import example_parser, run_example
from kucoin_sync import AccountChange, Stream


def main(options: argparse.Namespace) -> None:
    # KuCoin's REST lags behind its pushes by up to seconds; the local KuCoin's does not.
    lag = 0.5 if options.demo else 5.0
    with Stream() as stream, stream.account(rest_lag=lag) as account:
        changes = iter(account)  # from before the start, so that none is missing
        account.wait_ready(timeout=lag + 20)
        deadline = time.monotonic() + options.seconds
        for balance in account.balances:
            print(f"{balance.account:8} {balance.available} {balance.currency} available, {balance.hold} held")
        print(f"{len(account.orders)} open orders, {len(account.positions)} positions", flush=True)
        for sentence in account.unproved:
            print(f"unknown: {sentence}")
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                show(changes.get(timeout=remaining))
            except TimeoutError:
                break
        print(f"{len(account.fills)} fills came; reconciled {account.reconciliations} times")


def show(change: AccountChange) -> None:
    """Print a change that a bot would act on."""
    when = "missed" if change.recovered else "live"
    if change.fill is not None:
        fill = change.fill
        print(f"{when:6} {fill.side} {fill.size} {fill.symbol} at {fill.price}", flush=True)
    elif change.order is not None and change.order.ending:
        order = change.order
        print(f"{when:6} order {order.order_id[-6:]} {order.ending}, {order.filled_size} filled", flush=True)
    elif change.kind in ("reconciled", "unknown"):
        print(f"{change.kind} {change.reason}", flush=True)


if __name__ == "__main__":
    run_example(main, example_parser(__doc__, seconds=5.0).parse_args(), "BTC-USDT", "XBTUSDTM")
