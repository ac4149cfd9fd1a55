"""The local KuCoin: REST and WebSocket feeds on one port, for tests and demonstrations.

`KucoinServer` is what users hold; the other names are what it hands out.
"""

from .connection import Connection
from .limits import ServerLimits
from .publishing import Pushed
from .server import KucoinServer
from .state import Command, Request

__all__ = ["Command", "Connection", "KucoinServer", "Pushed", "Request", "ServerLimits"]
