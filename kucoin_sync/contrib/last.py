"""The newest message of each of a few topics, for views that show one value; see `LastValues`."""

from __future__ import annotations

from ..connections.last_values import LastValues

__all__ = ["LastValues"]
