"""KuCoin's feed in a Django project.

    INSTALLED_APPS = [..., "kucoin_sync.contrib.django"]                               # settings.py
    MIDDLEWARE = [..., "kucoin_sync.contrib.django.middleware.RefusedMiddleware"]
    KUCOIN_SYNC = {"ALLOWED_TOPICS": ["/market/ticker:*"]}

    urlpatterns = [                                                                    # urls.py
        path("live/<symbol>", EventsView.as_view(topics="/market/ticker:{symbol}")),   # for a browser's EventSource
        path("price/<symbol>", price),
    ]

    def price(request, symbol):                                                        # views.py
        return JsonResponse({"price": feed.last(f"/market/ticker:{symbol}").data["price"]})

Topics taken from a URL are checked: an invalid or forbidden topic gets an HTTP error with a sentence.

Each process makes its own connection to KuCoin when it is first used. `ready` opens none, so only one of the two
processes of `runserver` has a connection. With `KUCOIN_SYNC["REDIS_URL"]`, or `KUCOIN_SYNC_REDIS_URL` in the
environment, all processes read the feed from Redis; `manage.py kucoin_feed` writes it there. The settings are those of
`kucoin_sync.contrib.options.Options`; `manage.py check` reports errors in them. Needs Django:
`pip install 'kucoin-sync[django]'`.

Each connected browser occupies a thread of a WSGI server. Under ASGI, Django would collect all events of a response
before it sends the first, so `Feed.sse` raises ImproperlyConfigured there. Views with last values work with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

try:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.handlers.asgi import ASGIRequest
    from django.db import close_old_connections
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.http.response import HttpResponseBase
except ImportError as error:
    raise ImportError(
        "kucoin_sync.contrib.django needs Django, which is not installed: pip install 'kucoin-sync[django]'"
    ) from error

from ... import Client, LocalAccount, Message
from ...delivery.overflow import Overflow
from ..options import InvalidSetting, Options
from ..sse import HEADERS, EventName, EventStream
from ..web import Refused, WebFeed
from .middleware import answer_to

__all__ = ["SETTING", "Feed", "Refused", "feed", "read_options"]

SETTING = "KUCOIN_SYNC"
# Django's GZipMiddleware would buffer events; it skips responses that have an encoding.
_HEADERS = {**HEADERS, "Content-Encoding": "identity"}
_NOT_UNDER_ASGI = (
    "kucoin_sync can't send events under ASGI: serve this view with WSGI, such as gunicorn --worker-class gthread"
)


def read_options() -> Options:
    """Return the options from the project's settings.

    Raises:
        InvalidSetting: a setting is unknown, or its value is invalid. The text never shows a value.
        InvalidTopic: a topic in the settings is invalid.
    """
    given = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise InvalidSetting(f'{SETTING} is a dict, such as {{"TOPICS": […]}}, not {type(given).__name__}')
    return Options.read(given, lambda name: f'{SETTING}["{name}"]')


class Feed:
    """The feed of this process; its instance is `feed`. The first use raises the errors of `read_options`."""

    def __init__(self) -> None:
        self._feeds: dict[str, WebFeed] = {}  # "web" after the first use; set atomically by one thread

    @property
    def web(self) -> WebFeed:
        """The `WebFeed` for the settings; creating it opens no connection."""
        return self._feeds.get("web") or self._feeds.setdefault("web", WebFeed(read_options()))

    @property
    def client(self) -> Client:
        """The `Stream` or `RelayStream` of this process, for other subscriptions to any topic.

        A subscription in `ready` or at import opens a connection in every process that loads the project, including
        each manage.py command.
        """
        return self.web.client

    @property
    def account(self) -> LocalAccount:
        """The local account of the API key, if the setting ACCOUNT is True; see `WebFeed.account`."""
        return self.web.account

    def sse(
        self,
        request: HttpRequest,
        *topics: str,
        event: EventName = None,
        overflow: Overflow = "latest",
        timeout: float = 10.0,
    ) -> HttpResponseBase:
        """Return a response that sends messages of topics to a browser until it disconnects; see `WebFeed.events`.

        The response occupies a thread of the server all the time, but no database connection unless it is persistent.
        If the topics can't be served, the response has the status 400, 403, 404, 503 or 504 and a sentence.

        Raises:
            ImproperlyConfigured: the server runs ASGI.
        """
        if isinstance(request, ASGIRequest):
            raise ImproperlyConfigured(_NOT_UNDER_ASGI)
        try:
            events = self.web.events(*topics, event=event, overflow=overflow, timeout=timeout)
        except Refused as refused:
            return answer_to(refused)
        if request.method == "HEAD":
            events.close()  # runserver would read the body to its end
            return HttpResponse(headers=_HEADERS)
        return StreamingHttpResponse(_Body(events), headers=_HEADERS)

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic; wait up to `timeout` seconds for the first; see `WebFeed.last`.

        Raises:
            Refused: browsers may not read the topic, or no message has arrived in time; `RefusedMiddleware` turns this
                into a response.
        """
        return self.web.last(topic, timeout=timeout)

    def close(self) -> None:
        """Close the client, which ends all responses; the next use reads the settings again."""
        web = self._feeds.pop("web", None)
        if web is not None:
            web.close()


class _Body:
    """The events of a response; iterating first closes the old database connections of the thread."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self.close = events.close

    def __iter__(self) -> Iterator[bytes]:
        close_old_connections()
        yield from self._events


feed = Feed()
