"""A TCP proxy that does to a connection what networks do: see `FaultProxy`."""

from .proxy import FaultProxy
from .settings import Faults

__all__ = ["FaultProxy", "Faults"]
