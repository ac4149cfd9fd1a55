"""Views for `urls.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from ...delivery.overflow import Overflow
from ..sse import EventName
from . import feed

__all__ = ["EventsView"]


class EventsView(View):
    """Server-sent events of topics: `path("live/<symbol>", EventsView.as_view(topics="/market/ticker:{symbol}"))`.

    Attributes:
        topics: one or several; names in braces are replaced by parameters of the URL. Browsers get allowed topics only.
        event, overflow: as those of `Feed.sse`.
    """

    topics: str | Sequence[str] = ()
    event: EventName = None
    overflow: Overflow = "latest"

    def get(self, request: HttpRequest, **captured: Any) -> HttpResponseBase:
        topics = (self.topics,) if isinstance(self.topics, str) else self.topics
        singles = (topic.format(**captured) for topic in topics)
        return feed.sse(request, *singles, event=self.event, overflow=self.overflow)
