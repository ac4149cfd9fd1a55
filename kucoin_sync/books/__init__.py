"""Order books kept equal to KuCoin's.

`l2` and `l3` are the books as data. `feeds` and `codec` decode updates and snapshots. `calibration` keeps a book equal
to the exchange's, without I/O. `follower` and `manager` do that for a stream. Users read `snapshot` and `changes`.
"""

from __future__ import annotations

from .base import Levels
from .calibration import Calibration
from .changes import BookChange, Level2BookChange, Level3BookChange
from .codec import WireFuturesLevel2Update, WireLevel2Update, WireLevel3Event
from .feeds import FUTURES_LEVEL2, LEVEL2, LEVEL3, UTA_LEVEL2, BookFeed, Update
from .l2 import Level2Book
from .l3 import Level3Book, Order, QueuePosition
from .pushed import PushedCalibration
from .snapshot import BookSnapshot
from .source import BookSource
from .uta import UtaLevel2Book, WireUtaLevel2Update

__all__ = [
    "FUTURES_LEVEL2",
    "LEVEL2",
    "LEVEL3",
    "UTA_LEVEL2",
    "BookChange",
    "BookFeed",
    "BookSnapshot",
    "BookSource",
    "Calibration",
    "Level2Book",
    "Level2BookChange",
    "Level3Book",
    "Level3BookChange",
    "Levels",
    "Order",
    "PushedCalibration",
    "QueuePosition",
    "Update",
    "UtaLevel2Book",
    "WireFuturesLevel2Update",
    "WireLevel2Update",
    "WireLevel3Event",
    "WireUtaLevel2Update",
]
