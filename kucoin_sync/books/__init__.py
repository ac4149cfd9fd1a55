"""Order books kept from KuCoin's feeds, without I/O: the books themselves, and how one follows the exchange.

`l2` and `l3` are the books as data, `sync` tells when one equals the exchange's.
"""

from __future__ import annotations

from .l2 import Level2Book
from .l3 import Level3Book, Order, QueuePosition
from .reading import Levels
from .sync import FUTURES_LEVEL2, LEVEL2, LEVEL3, Calibration, Feed, Update
from .wire import WireFuturesLevel2Update, WireLevel2Update, WireLevel3Event

__all__ = [
    "FUTURES_LEVEL2",
    "LEVEL2",
    "LEVEL3",
    "Calibration",
    "Feed",
    "Level2Book",
    "Level3Book",
    "Levels",
    "Order",
    "QueuePosition",
    "Update",
    "WireFuturesLevel2Update",
    "WireLevel2Update",
    "WireLevel3Event",
]
