"""Responses that say why a browser can't have what it asks for."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from ..web import Refused

__all__ = ["RefusedMiddleware", "answer_to"]


class RefusedMiddleware(MiddlewareMixin):
    """Answers with a sentence and 400, 403, 404, 503 or 504 where a view lets `Refused` pass."""

    def process_exception(self, _: HttpRequest, exception: Exception) -> HttpResponse | None:
        return answer_to(exception) if isinstance(exception, Refused) else None


def answer_to(refused: Refused) -> HttpResponse:
    """Return the response that tells a browser's user."""
    return HttpResponse(str(refused), status=refused.status, content_type="text/plain; charset=utf-8")
