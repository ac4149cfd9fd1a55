"""Subscribe every kind of topic, public and private, with one callback; then unsubscribe by the same names.

python examples/all_topics.py --demo          on a local KuCoin, no network and no key
python examples/all_topics.py                 on KuCoin; the private side needs KUCOIN_API_KEY,
                                              KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE
"""

import argparse
import contextlib
import threading

from _common import example_parser, run_example
from kucoin_sync import AuthenticationError, Message, Stream, SubscriptionRejected

PUBLIC = (
    "/market/ticker:ETH-USDT",
    "/market/snapshot:BTC",
    "/market/snapshot:KCS-BTC",
    "/market/ticker:all",
    "/market/level2:KCS-BTC",
    "/market/match:BTC-USDT",
    "/market/level3:BTC-USDT",
)
PRIVATE = ("/market/level3:BTC-USDT", "/account/balance")


class Printer:
    """A callback that prints messages until every wanted kind has arrived."""

    def __init__(self, wanted: set[str]) -> None:
        self.complete = threading.Event()
        self._wanted = wanted

    def __call__(self, msg: Message) -> None:
        if msg["topic"] == "/market/ticker:ETH-USDT":
            self.show("ETH-USDT ticker", msg)
        elif msg["topic"] == "/market/snapshot:BTC":
            self.show("snapshot of the market BTC", msg)
        elif msg["topic"] == "/market/snapshot:KCS-BTC":
            self.show("snapshot of KCS-BTC", msg)
        elif msg["topic"] == "/market/ticker:all":
            self.show("ticker of all", msg)  # msg["subject"] is the symbol
        elif msg["topic"] == "/market/level2:KCS-BTC":
            self.show("level 2 of KCS-BTC", msg)
        elif msg["topic"] == "/market/match:BTC-USDT":
            self.show("trade of BTC-USDT", msg)
        elif msg["topic"] == "/market/level3:BTC-USDT":
            self.level3(msg)
        elif msg["topic"] == "/account/balance":
            self.show("balance", msg)

    def level3(self, msg: Message) -> None:
        if msg["subject"] == "trade.l3received":
            if msg["data"]["type"] == "activated":
                self.show("level 3: my stop order was activated", msg)
            else:
                self.show("level 3: received", msg)
        elif msg["subject"] == "trade.l3open":
            self.show("level 3: open", msg)
        elif msg["subject"] == "trade.l3done":
            self.show("level 3: done", msg)
        elif msg["subject"] == "trade.l3match":
            self.show("level 3: match", msg)
        elif msg["subject"] == "trade.l3change":
            self.show("level 3: change", msg)

    def show(self, kind: str, msg: Message) -> None:
        print(f"{kind}: {msg['data']}", flush=True)
        self._wanted.discard(kind)
        if not self._wanted:
            self.complete.set()


KINDS = {
    "ETH-USDT ticker",
    "snapshot of the market BTC",
    "snapshot of KCS-BTC",
    "ticker of all",
    "level 2 of KCS-BTC",
    "trade of BTC-USDT",
    "level 3: received",
    "level 3: open",
    "level 3: done",
    "level 3: match",
    "level 3: change",
}
PRIVATE_KINDS = {"level 3: my stop order was activated", "balance"}


def main(options: argparse.Namespace) -> None:
    with Stream() as stream:
        printer = Printer(KINDS | PRIVATE_KINDS)
        subscribed = [topic for topic in PUBLIC if subscribe(stream, topic, printer)]
        subscribed += [topic for topic in PRIVATE if subscribe(stream, topic, printer, private=True)]
        print("all subscribed; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            if options.seconds is None:
                printer.complete.wait(60)
            else:
                threading.Event().wait(options.seconds)
        for topic in subscribed:
            stream.unsubscribe(topic)
    print("unsubscribed:", ", ".join(dict.fromkeys(subscribed)))


def subscribe(stream: Stream, topic: str, callback: Printer, *, private: bool = False) -> bool:
    try:
        stream.subscribe(topic, callback=callback, private=private or None)
    except (SubscriptionRejected, AuthenticationError) as error:
        print(f"not subscribed: {error}")
        return False
    return True


if __name__ == "__main__":
    parser = example_parser(__doc__, seconds=None)
    parser.add_argument("--seconds", type=float, help="run for so long (default: until every kind came, at most 60)")
    run_example(main, parser.parse_args(), "ETH-USDT", "BTC-USDT", "KCS-BTC")
