"""The steps of `kucoin-sync demo`, each with an explanation, its code and a view."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from .. import Event, Resubscribed
from .account import DEMO_LAG, Account
from .feed import TIMEOUT, CommandStream
from .ladder import Ladder
from .layout import Glyphs, Line, Span, crop, line, printable, wrapped
from .live import View
from .tickers import Tickers
from .trades import Tape
from .wanted import statistics_of, ticker_of, trades_of

__all__ = ["STEPS", "SYMBOLS", "Explained", "Recovery", "TourStep"]

SYMBOLS = ("BTC-USDT", "ETH-USDT", "XBTUSDTM")
_CUT_AFTER = 0.5
_SHOWN_WITHIN = 10.0


class TourStep(NamedTuple):
    """One step of the tour; `view` makes its view from the feed when the step starts."""

    title: str
    about: str
    code: str
    view: Callable[[CommandStream, Glyphs, contextlib.ExitStack], View]


class Explained(View):
    """A view below an explanation and its code."""

    def __init__(self, step: TourStep, number: int, inner: View, glyphs: Glyphs) -> None:
        self.title = f"{number} of {len(STEPS)}: {step.title}"
        self._step = step
        self._inner = inner
        self.keys, self.bindings = inner.keys, inner.bindings
        self._glyphs = glyphs
        self._began = time.monotonic()

    def is_done(self) -> bool:
        """Whether the step has shown its subject, or its time limit has passed."""
        if isinstance(self._inner, Recovery) and not self._inner.over:
            return False
        return self.seen > 0 or time.monotonic() - self._began > _SHOWN_WITHIN

    def update(self) -> None:
        self._inner.update()
        self.seen = self._inner.seen

    def draw(self, width: int, height: int) -> list[Line]:
        about: list[Line] = [line(text) for text in wrapped(self._step.about, width)]
        code = [
            crop(line(Span(f"  {self._glyphs.wick} ", "dim"), Span(text, "bold")), width)
            for text in self._step.code.strip().splitlines()
        ]
        above = [*about, *code, ()]
        return [*above, *self._inner.draw(width, max(1, height - len(above)))]


class Recovery(View):
    """Tickers over a connection that is cut, and the events of the cut."""

    def __init__(self, feed: CommandStream, tickers: Tickers) -> None:
        self._feed = feed
        self._tickers = tickers
        self._began = time.monotonic()
        self._cut = False
        self._events: deque[Event] = deque(maxlen=10)
        feed.events.clear()

    @property
    def over(self) -> bool:
        """Whether the connection is back, or its time limit has passed."""
        back = any(isinstance(event, Resubscribed) for event in self._events)
        return back or time.monotonic() - self._began > _SHOWN_WITHIN

    def update(self) -> None:
        self._tickers.update()
        self.seen = self._tickers.seen
        if not self._cut and self._feed.server is not None and time.monotonic() - self._began >= _CUT_AFTER:
            self._cut = True
            self._feed.server.drop_connections()
        with contextlib.suppress(IndexError):
            while True:
                self._events.append(self._feed.events.popleft())

    def draw(self, width: int, height: int) -> list[Line]:
        table = self._tickers.draw(width, height)
        events = [Span(text, "warn") for event in self._events for text in wrapped(printable(str(event)), width)]
        return [*table, (), *[line(span) for span in events][: max(0, height - len(table) - 1)]]


def _tickers(feed: CommandStream, glyphs: Glyphs, stack: contextlib.ExitStack) -> Tickers:
    names = [name for symbol in SYMBOLS for name in (ticker_of(symbol), statistics_of(symbol))]
    return Tickers(stack.enter_context(feed.latest(*names)), SYMBOLS, glyphs)


def _trades(feed: CommandStream, glyphs: Glyphs, stack: contextlib.ExitStack) -> View:
    return Tape(stack.enter_context(feed.every(trades_of(SYMBOLS[0]))), [SYMBOLS[0]], glyphs)


def _recovery(feed: CommandStream, glyphs: Glyphs, stack: contextlib.ExitStack) -> View:
    return Recovery(feed, _tickers(feed, glyphs, stack))


def _account(feed: CommandStream, _: Glyphs, stack: contextlib.ExitStack) -> View:
    return Account(stack.enter_context(feed.stream.account(rest_lag=DEMO_LAG)))


def _book(feed: CommandStream, glyphs: Glyphs, stack: contextlib.ExitStack) -> View:
    book = stack.enter_context(feed.stream.book(SYMBOLS[0]))
    return Ladder(book.wait_ready(TIMEOUT), 20, glyphs)


STEPS = (
    TourStep(
        "tickers",
        "Prices as they change. A thread in the background holds the connection, you write a loop.",
        """
for message in stream.subscribe(topics.ticker("BTC-USDT", "ETH-USDT")):
    print(message.topic, message.payload.price, message.payload.best_ask)
""",
        _tickers,
    ),
    TourStep(
        "an order book",
        "A whole order book, kept equal to the exchange's, or saying why it can't be read.",
        """
book = stream.book("BTC-USDT").wait_ready(timeout=10)
print(book.best_bid, book.best_ask, book.price_to_buy("0.5"))
""",
        _book,
    ),
    TourStep(
        "trades",
        "Every trade, by callback this time; callbacks never run on the thread that reads the socket.",
        """
@stream.on("/market/match:BTC-USDT")
def trade(message):
    print(message.payload.side, message.payload.size, message.payload.price)
""",
        _trades,
    ),
    TourStep(
        "a connection that is cut",
        "The server drops us. The stream comes back and subscribes again; the loop just goes on, and you are told.",
        """
stream = Stream(on_event=print)
""",
        _recovery,
    ),
    TourStep(
        "your account",
        "Balances, orders, positions and fills. What was missed during a cut comes from REST, each change once.",
        """
account = stream.account().wait_ready(timeout=20)
print(account.balance("USDT").available, account.orders, account.positions)
""",
        _account,
    ),
)
