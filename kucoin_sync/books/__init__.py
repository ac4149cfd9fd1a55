"""Order books kept from KuCoin's feeds, without I/O: the books themselves, and how one follows the exchange.

`l2` and `l3` are the books as data, `sync` tells when one equals the exchange's, `source` where it comes from;
`snapshot` and `changes` are what is handed out of one.
"""

from __future__ import annotations

from .base import Levels
from .calibration import FUTURES_LEVEL2, LEVEL2, LEVEL3, Calibration, Feed, Update
from .changes import BookChange, Level2BookChange, Level3BookChange
from .codec import WireFuturesLevel2Update, WireLevel2Update, WireLevel3Event
from .l2 import Level2Book
from .l3 import Level3Book, Order, QueuePosition
from .snapshot import BookSnapshot
from .source import Source

__all__ = [
    "FUTURES_LEVEL2",
    "LEVEL2",
    "LEVEL3",
    "BookChange",
    "BookSnapshot",
    "Calibration",
    "Feed",
    "Level2Book",
    "Level2BookChange",
    "Level3Book",
    "Level3BookChange",
    "Levels",
    "Order",
    "QueuePosition",
    "Source",
    "Update",
    "WireFuturesLevel2Update",
    "WireLevel2Update",
    "WireLevel3Event",
]
