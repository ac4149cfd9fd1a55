"""A synchronous, threaded client for KuCoin's WebSocket feeds, with a blocking iterator API.

from kucoin_sync import Stream

with Stream() as stream:
    for message in stream.subscribe("/market/ticker:ETH-USDT"):
        print(message.payload.price)
"""

from . import topics
from ._version import __version__
from .books import BookChange, BookSnapshot, Level2BookChange, Level3BookChange
from .credentials import Credentials
from .events import (
    BookFailed,
    BookReady,
    BookResyncing,
    CallbackFailed,
    CallbackSlow,
    Connected,
    Disconnected,
    Event,
    Overflowed,
    Progress,
    Rejected,
    Resubscribed,
    Retrying,
    Rotated,
    ServerNotice,
    SnapshotFailed,
    Stale,
)
from .exceptions import (
    AckTimeout,
    AuthenticationError,
    BookNotReady,
    ConnectionFailed,
    InvalidTopic,
    KucoinSyncError,
    ProtocolError,
    RestError,
    SequenceGap,
    SlowConsumer,
    StreamClosed,
    SubscriptionRejected,
    TokenError,
)
from .limits import Limits
from .local_book import LocalBook, LocalLevel2Book, LocalLevel3Book
from .messages import Message
from .stream import Stream
from .subscription import Subscription

__all__ = [
    "AckTimeout",
    "AuthenticationError",
    "BookChange",
    "BookFailed",
    "BookNotReady",
    "BookReady",
    "BookResyncing",
    "BookSnapshot",
    "CallbackFailed",
    "CallbackSlow",
    "Connected",
    "ConnectionFailed",
    "Credentials",
    "Disconnected",
    "Event",
    "InvalidTopic",
    "KucoinSyncError",
    "Level2BookChange",
    "Level3BookChange",
    "Limits",
    "LocalBook",
    "LocalLevel2Book",
    "LocalLevel3Book",
    "Message",
    "Overflowed",
    "Progress",
    "ProtocolError",
    "Rejected",
    "RestError",
    "Resubscribed",
    "Retrying",
    "Rotated",
    "SequenceGap",
    "ServerNotice",
    "SlowConsumer",
    "SnapshotFailed",
    "Stale",
    "Stream",
    "StreamClosed",
    "Subscription",
    "SubscriptionRejected",
    "TokenError",
    "__version__",
    "topics",
]
