"""All dialects, by the name that the topic table has for them."""

from __future__ import annotations

from .classic import CLASSIC
from .dialect import Dialect
from .uta import UTA

__all__ = ["DIALECTS"]

DIALECTS: dict[str, Dialect] = {CLASSIC.name: CLASSIC, UTA.name: UTA}
