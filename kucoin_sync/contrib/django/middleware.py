"""Turn `Refused` into HTTP responses."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from ..web import Refused

__all__ = ["RefusedMiddleware", "answer_to"]


class RefusedMiddleware(MiddlewareMixin):
    """Answers with 400, 403, 404, 503 or 504 and a sentence if a view raises `Refused`."""

    def process_exception(self, _: HttpRequest, exception: Exception) -> HttpResponse | None:
        return answer_to(exception) if isinstance(exception, Refused) else None


def answer_to(refused: Refused) -> HttpResponse:
    """Return the response for a refused request."""
    return HttpResponse(str(refused), status=refused.status, content_type="text/plain; charset=utf-8")
