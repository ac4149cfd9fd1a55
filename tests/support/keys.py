"""A key that no test has to spell out."""

from __future__ import annotations

__all__ = ["KEY", "PASSPHRASE", "SECRET"]

KEY, SECRET, PASSPHRASE = "the-key-id", "f03a5284-5c39-4aaa-9b20-dea10bdcf8e3", "the-passphrase"
