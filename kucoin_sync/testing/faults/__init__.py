"""A TCP proxy that simulates network faults; see `FaultProxy`."""

from .proxy import FaultProxy
from .settings import Faults

__all__ = ["FaultProxy", "Faults"]
