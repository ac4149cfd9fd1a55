# %% [markdown]
# # Trades and a book in pandas
#
# Cells for Jupyter, VS Code or PyCharm ("# %%"); as a program it runs from top to bottom:
#
#     python examples/pandas_notebook.py --demo     on a local KuCoin, no network and no key
#     python examples/pandas_notebook.py            on KuCoin
#
# Needs pandas: pip install pandas

# %%
from __future__ import annotations

import argparse
import contextlib
import itertools

import pandas as pd

from kucoin_sync import Stream
from kucoin_sync.testing import local_kucoin

parser = argparse.ArgumentParser()
parser.add_argument("--demo", action="store_true")
parser.add_argument("--trades", type=int, default=60)
options, _ = parser.parse_known_args()  # in a notebook, set options here: options.demo = True

# %% [markdown]
# A stream stays open from cell to cell; its thread works in the background.

# %%
open_things = contextlib.ExitStack()
where = open_things.enter_context(local_kucoin("BTC-USDT")).stream_options if options.demo else {}
stream = open_things.enter_context(Stream(**where))
trades = stream.subscribe("/market/match:BTC-USDT")

# %%
collected = []
with contextlib.suppress(KeyboardInterrupt):
    print(f"collecting {options.trades} trades; Ctrl-C or the stop button goes on with fewer", flush=True)
    for message in itertools.islice(trades, options.trades):
        trade = message.payload
        collected.append((trade.time_ns, trade.side, float(trade.price), float(trade.size)))

# %%
frame = pd.DataFrame(collected, columns=["time", "side", "price", "size"])
frame["time"] = pd.to_datetime(frame["time"], unit="ns", utc=True)
frame = frame.set_index("time").sort_index()
print(frame.tail())

# %% [markdown]
# Candles of one second, and the sizes bought and sold.

# %%
candles = frame["price"].resample("1s").ohlc().dropna()
candles["volume"] = frame["size"].resample("1s").sum()
print(candles)
print(frame.groupby("side")["size"].agg(["count", "sum"]))

# %% [markdown]
# The order book as a data frame.

# %%
book = stream.book("BTC-USDT").wait_ready(timeout=10)
print(book.to_frame(depth=5, floats=True))

# %%
open_things.close()
