"""What a type checker says about programs of users: right ones pass `mypy --strict`, wrong ones fail where they are.

One run of mypy reads all programs. The line that is wrong ends with `# wrong`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kucoin_sync

pytest.importorskip("mypy")

RIGHT = {
    "alert": """
from decimal import Decimal
from kucoin_sync import Message, Stream, topics
from kucoin_sync.payloads import Ticker

def is_above(message: Message[Ticker], limit: Decimal) -> bool:
    topic: str = message.topic
    return topic.endswith("USDT") and message.payload.price > limit

with Stream() as stream:
    for message in stream.subscribe(topics.ticker("BTC-USDT", "ETH-USDT"), overflow="latest"):
        if is_above(message, Decimal("70000")):
            print(message.symbol or "?", message.payload.best_ask)
""",
    "vwap": """
from collections import defaultdict
from decimal import Decimal
from kucoin_sync import Stream, topics

def vwap(symbols: list[str], trades: int) -> dict[str, Decimal]:
    size: dict[str, Decimal] = defaultdict(Decimal)
    value: dict[str, Decimal] = defaultdict(Decimal)
    with Stream() as stream:
        subscription = stream.subscribe(topics.match(*symbols), maxsize=100_000, overflow="drop_oldest")
        for _ in range(trades):
            trade = subscription.get(timeout=5.0).payload
            size[trade.symbol] += trade.size
            value[trade.symbol] += trade.size * trade.price
    return {symbol: value[symbol] / size[symbol] for symbol in size}
""",
    "bot": """
from collections.abc import Callable
from decimal import Decimal
from kucoin_sync import Client, Message, topics
from kucoin_sync.payloads import Ticker
from kucoin_sync.testing import make_message

class Bot:
    def __init__(self, stream: Client, buy: Callable[[Decimal], None]) -> None:
        self._buy = buy
        stream.subscribe(topics.ticker("BTC-USDT"), callback=self.on_ticker)

    def on_ticker(self, message: Message[Ticker]) -> None:
        if message.payload.price < 65_000:
            self._buy(message.payload.price)

def test_a_message() -> None:
    message = make_message(topics.ticker("BTC-USDT"), {"sequence": "1", "price": "1"})
    assert message.payload.price == 1
""",
    "web_flask": """
from flask import Flask
from kucoin_sync.contrib.flask import KucoinSync

kucoin = KucoinSync()

def create_app() -> Flask:
    app = Flask(__name__)
    app.config["KUCOIN_SYNC_ALLOWED_TOPICS"] = ["/market/ticker:*"]
    kucoin.init_app(app)

    @app.get("/price/<symbol>")
    def price(symbol: str) -> dict[str, str]:
        return {"price": kucoin.last(f"/market/ticker:{symbol}").data["price"]}

    return app
""",
    "web_django": """
from typing import Any
from kucoin_sync.contrib.web import WebFeed
from kucoin_sync.contrib.options import Options

feed = WebFeed(Options.read({"ALLOWED_TOPICS": ["/market/ticker:*"]}))

def price(request: Any, symbol: str) -> dict[str, Any]:
    message = feed.last(f"/market/ticker:{symbol}", timeout=2.0)
    return {"symbol": message.symbol, "price": message.data["price"], "age": message.received_ns}

def live(request: Any, symbol: str) -> Any:
    return feed.events(f"/market/ticker:{symbol}", overflow="latest")
""",
    "gunicorn_conf": """
from typing import Any
from kucoin_sync import Stream, topics

stream = Stream(name="web")

def post_fork(server: Any, worker: Any) -> None:
    stream.resume()

def price(symbol: str) -> str:
    return str(stream.last(topics.ticker(symbol), timeout=2.0).payload.price)
""",
    "tasks": """
from kucoin_sync import KucoinSyncError, Stream, topics

stream = Stream()

def spread(symbol: str) -> str | None:
    try:
        book = stream.book(symbol)
        snapshot = book.snapshot(depth=5, timeout=10)
    except KucoinSyncError as error:
        print(error, error.retriable)
        return None
    return str(snapshot.spread)

def newest(symbol: str) -> int | None:
    return stream.last(topics.level1(symbol)).payload.time_ns
""",
    "record": """
from kucoin_sync import Stream, topics
from kucoin_sync.recording import Recorder, ReplayStream

with Stream() as stream, Recorder(stream, "day.jsonl"):
    stream.subscribe(topics.match("BTC-USDT")).get(timeout=5)

with ReplayStream("day.jsonl") as replay:
    for message in replay.subscribe(topics.match("BTC-USDT")):
        print(message.payload.to_dict())
""",
    "metrics": """
from prometheus_client import REGISTRY
from kucoin_sync import Event, Stream
from kucoin_sync.metrics import KucoinCollector

def tell(event: Event) -> None:
    print(event)

stream = Stream(on_event=tell)
REGISTRY.register(KucoinCollector(stream))
""",
    "relayed": """
from kucoin_sync import topics
from kucoin_sync.relay import RelayStream

with RelayStream("redis://localhost") as stream:
    for message in stream.subscribe(topics.futures.ticker("XBTUSDTM")):
        print(message.payload.best_bid, message.payload.best_ask)
""",
    "notebook": """
from kucoin_sync import Stream, topics

stream = Stream()

@stream.on(topics.candles("BTC-USDT", "ETH-USDT", type="1min"))
def on_candle(message):  # type: ignore[no-untyped-def]
    print(message.payload.close)

@stream.on("/market/match:BTC-USDT", overflow="drop_newest")
def on_trade(message):  # type: ignore[no-untyped-def]
    print(message["data"]["price"])

stream.subscribe("/market/ticker:BTC-USDT", callback=lambda message: print(message.payload.price))
print(stream.last(topics.candles("BTC-USDT", "1hour")).payload.open)
stream.close()
""",
    "beside_asyncio": """
import asyncio
from kucoin_sync import Message, Stream, topics
from kucoin_sync.payloads import Ticker

async def main() -> None:
    loop = asyncio.get_running_loop()
    prices: asyncio.Queue[Message[Ticker]] = asyncio.Queue()

    def pass_on(message: Message[Ticker]) -> None:
        loop.call_soon_threadsafe(prices.put_nowait, message)

    with Stream() as stream:
        stream.subscribe(topics.ticker("BTC-USDT"), callback=pass_on)
        print((await prices.get()).payload.price)

asyncio.run(main())
""",
    "two_feeds": """
from decimal import Decimal
from kucoin_sync import Message, Stream, topics
from kucoin_sync.payloads import Match, Ticker, UtaTrade

def note(message: Message[Ticker | Match]) -> None:
    price: Decimal = message.payload.price
    print(price)

def anything(message: Message) -> None:
    print(message.payload)

with Stream() as stream:
    stream.subscribe(topics.ticker("BTC-USDT"), topics.match("BTC-USDT"), callback=note)
    stream.subscribe(topics.ticker("BTC-USDT"), topics.match("BTC-USDT"), topics.uta.trades("BTC-USDT"))
    stream.subscribe(topics.ticker("BTC-USDT"), callback=anything)
    stream.subscribe("/market/ticker:BTC-USDT", callback=anything)
    for message in stream.subscribe(topics.match("BTC-USDT"), topics.uta.trades("BTC-USDT")):
        size: Decimal = message.payload.size
        if isinstance(message.payload, UtaTrade):
            print(message.payload.rpi, size)
    book = stream.book("BTC-USDT", feed="uta")
    queue = stream.book("BTC-USDT", level=3).queue_position("order")
    print(book.best_bid, topics.uta.book("BTC-USDT", depth=5), queue)
""",
}
_START = """from kucoin_sync import Message, Stream, topics
from kucoin_sync.payloads import Match, Ticker
stream = Stream()
"""
WRONG = {
    "policy": 'stream.subscribe(topics.ticker("BTC-USDT"), overflow="drop-oldest")  # wrong',
    "candle_type": 'stream.subscribe(topics.candles("BTC-USDT", "1h"))  # wrong',
    "futures_candle_type": 'print(topics.futures.candles("XBTUSDTM", "XBTUSDCM", type="6hour"))  # wrong',
    "book_level": 'stream.book("BTC-USDT", level=4)  # wrong',
    "book_feed": 'stream.book("BTC-USDT", feed="futures")  # wrong',
    "depth": 'print(topics.uta.book("BTC-USDT", depth=20))  # wrong',
    "callback": """
def on_ticker(message: Message[Ticker]) -> None:
    print(message.payload.best_ask)

stream.subscribe(topics.ticker("BTC-USDT"), callback=on_ticker)
stream.subscribe(topics.match("BTC-USDT"), callback=on_ticker)  # wrong
""",
    "decorated": """
@stream.on(topics.match("BTC-USDT"))  # wrong
def on_ticker(message: Message[Ticker]) -> None:
    print(message.payload.best_ask)
""",
    "field": """
for message in stream.subscribe(topics.ticker("BTC-USDT")):
    print(message.payload.price)
    print(message.payload.prize)  # wrong
""",
    "field_of_one": """
for message in stream.subscribe(topics.ticker("BTC-USDT"), topics.match("BTC-USDT")):
    print(message.payload.price)
    print(message.payload.taker_order_id)  # wrong
""",
    "none": """
newest = stream.last(topics.ticker("BTC-USDT"))
print(newest.payload.price + 1)
print(newest.payload.best_ask + 1)  # wrong
""",
    "topic": """
for message in stream.subscribe(topics.match("BTC-USDT")):
    parts: list[bytes] = message.topic.split(":")  # wrong
""",
}


@pytest.mark.long
def test_right_programs_pass_and_wrong_ones_fail_where_they_are_wrong(tmp_path: Path) -> None:
    programs = {**RIGHT, **{f"wrong_{name}": _START + text for name, text in WRONG.items()}}
    for name, text in programs.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "."],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(kucoin_sync.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.stderr == ""
    found = re.findall(r"^(.+\.py):(\d+): error: ", done.stdout, re.MULTILINE)
    wrong = [
        (f"{name}.py", str(number))
        for name, text in programs.items()
        for number, line in enumerate(text.splitlines(), 1)
        if line.endswith("# wrong")
    ]
    assert sorted(set(found)) == sorted(wrong), done.stdout
