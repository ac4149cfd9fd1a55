"""The local KuCoin: REST and WebSocket feeds on one port, for tests and demonstrations.

Users make a `KucoinServer`; it returns objects of the other classes.
"""

from .connection import Connection
from .limits import ServerLimits
from .publishing import Pushed
from .server import KucoinServer
from .state import Command, Request

__all__ = ["Command", "Connection", "KucoinServer", "Pushed", "Request", "ServerLimits"]
