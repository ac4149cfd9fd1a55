"""Stub."""
from __future__ import annotations
from typing import Any
import msgspec
class Payload(msgspec.Struct):
    pass
def __getattr__(name: str) -> Any:
    return type(name, (Payload,), {})
