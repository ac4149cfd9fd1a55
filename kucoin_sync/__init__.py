"""A synchronous, threaded client for KuCoin's WebSocket feeds, with a blocking iterator API.

from kucoin_sync import Stream

with Stream() as stream:
    for message in stream.subscribe("/market/ticker:ETH-USDT"):
        print(message.payload.price)
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import events, exceptions, topics
from ._version import __version__
from .client import Client
from .credentials import Credentials
from .delivery.subscription import Subscription
from .events import *  # noqa: F403 - these two modules list what they export
from .exceptions import *  # noqa: F403
from .limits import Limits
from .protocol.message import Message
from .stream import Stream

if _TYPE_CHECKING:
    from .account.local_account import AccountSnapshot, LocalAccount
    from .account.values import AccountChange
    from .books import BookChange, BookSnapshot, Level2BookChange, Level3BookChange
    from .books.local_book import LocalBook, LocalLevel2Book, LocalLevel3Book

__all__ = [
    "AccountChange", "AccountSnapshot", "BookChange", "BookSnapshot", "Client", "Credentials", "Level2BookChange",
    "Level3BookChange", "Limits", "LocalAccount", "LocalBook", "LocalLevel2Book", "LocalLevel3Book", "Message",
    "Stream", "Subscription", "__version__", "topics",
]  # fmt: skip
__all__ += events.__all__
__all__ += exceptions.__all__

_LATER = {
    "AccountChange": "account.values",
    **dict.fromkeys(("AccountSnapshot", "LocalAccount"), "account.local_account"),
    **dict.fromkeys(("BookChange", "BookSnapshot", "Level2BookChange", "Level3BookChange"), "books"),
    **dict.fromkeys(("LocalBook", "LocalLevel2Book", "LocalLevel3Book"), "books.local_book"),
}
"""Names that are imported on first use, with their modules: a program that uses none of them does not load them."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
