"""A bot and its tests, in a normal market and after a lost connection.

python -m pytest examples/pytest_bot.py      runs the tests, on a local KuCoin
python examples/pytest_bot.py --demo         runs the bot on a local KuCoin with a simulated market
python examples/pytest_bot.py                runs it on KuCoin; it only prints its decisions

Needs nothing but this package and pytest: the fixtures kucoin_server, kucoin_stream and kucoin_exchange come with it.
"""

import argparse
import threading
from collections.abc import Callable
from decimal import Decimal
from queue import Queue

from kucoin_sync import Stream
from kucoin_sync.testing import KucoinServer, LiveExchange

TOPIC = "/market/match:BTC-USDT"


class Bot:
    """Buys when a trade is below the average of all trades since the connection was made."""

    def __init__(self, stream: Stream, act: Callable[[str, Decimal], object]) -> None:
        self._trades = stream.subscribe(TOPIC)
        self._act = act

    def run(self) -> None:
        """Trade until the stream is closed."""
        epoch, count, total = 0, 0, Decimal(0)
        for message in self._trades:
            if message.epoch != epoch:  # some trades may be missing: start a new average
                epoch, count, total = message.epoch, 0, Decimal(0)
            price = message.payload.price
            if count and price < total / count:
                self._act("buy", price)
            count, total = count + 1, total + price


# Tests


class Started:
    """A bot on a thread of its own, with its actions. It ends when the stream is closed, at the end of the test."""

    def __init__(self, stream: Stream) -> None:
        self.actions: Queue[tuple[str, Decimal]] = Queue()
        bot = Bot(stream, lambda *action: self.actions.put(action))
        threading.Thread(target=bot.run).start()


def trade(server: KucoinServer, price: str) -> None:
    """Publish a trade."""
    data = {"symbol": "BTC-USDT", "side": "buy", "price": price, "size": "0.1", "sequence": "1", "time": "1"}
    ids = {"tradeId": "1", "makerOrderId": "2", "takerOrderId": "3", "type": "match"}
    assert server.publish(TOPIC, {**data, **ids}, subject="trade.l3match")


def test_it_buys_below_the_average(kucoin_server: KucoinServer, kucoin_stream: Stream) -> None:
    bot = Started(kucoin_stream)
    for price in ("100", "102", "100.9"):
        trade(kucoin_server, price)
    assert bot.actions.get(timeout=5) == ("buy", Decimal("100.9"))
    assert bot.actions.empty()


def test_after_a_cut_it_begins_again(kucoin_server: KucoinServer, kucoin_stream: Stream) -> None:
    bot = Started(kucoin_stream)
    trade(kucoin_server, "100")
    kucoin_server.drop_connections()
    kucoin_server.wait_for(lambda server: len(server.ended) == 1)
    kucoin_server.wait_subscribed(TOPIC)
    for price in ("50", "49"):  # the first is far below the average before the cut
        trade(kucoin_server, price)
    assert bot.actions.get(timeout=5) == ("buy", Decimal("49"))


def test_it_finds_something_to_do_in_a_market(kucoin_exchange: LiveExchange, kucoin_stream: Stream) -> None:
    bot = Started(kucoin_stream)
    kucoin_exchange.step(1000)  # the same in every run
    assert bot.actions.get(timeout=5)[0] == "buy"


# The program


def main(options: argparse.Namespace) -> None:
    with Stream() as stream:
        bot = Bot(stream, lambda what, price: print(f"{what} at {price}", flush=True))
        end = threading.Timer(options.seconds, stream.close)  # this ends the bot's loop
        end.daemon = True
        end.start()
        bot.run()


if __name__ == "__main__":
    from _common import example_parser, run_example

    run_example(main, example_parser(__doc__).parse_args(), "BTC-USDT")
