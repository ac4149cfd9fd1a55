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

What stands in an address may be anything: topics that are none, or not allowed, are answered with a sentence.

Each process has a connection to KuCoin of its own, made when it is first needed: not by `ready`, and so in one of the
two processes of `runserver` only. With `KUCOIN_SYNC["REDIS_URL"]`, or `KUCOIN_SYNC_REDIS_URL` in the environment, all
read what one process passes on: `manage.py kucoin_feed`. The settings are those of
`kucoin_sync.contrib.options.Options`; `manage.py check` finds what is wrong with them. Needs Django:
`pip install 'kucoin-sync[django]'`.

A browser that looks occupies a thread of a WSGI server. Under ASGI, Django would collect the events of a response for
ever before it sent the first: there `Feed.sse` raises ImproperlyConfigured. Views with last values work with both.
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

from ... import Client, Message
from ..options import InvalidSetting, Options
from ..sse import HEADERS, EventName, EventStream
from ..web import Refused, WebFeed
from .middleware import answer_to

__all__ = ["SETTING", "Feed", "Refused", "feed", "read_options"]

SETTING = "KUCOIN_SYNC"
# Django's GZipMiddleware would hold events back, and leaves alone what has an encoding.
_HEADERS = {**HEADERS, "Content-Encoding": "identity"}
_NOT_UNDER_ASGI = (
    "kucoin_sync can't send events under ASGI: serve this view with WSGI, such as gunicorn --worker-class gthread"
)


def read_options() -> Options:
    """Return what the project's settings ask for.

    Raises:
        InvalidSetting, InvalidTopic: as the sentence says. Values never show.
    """
    given = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise InvalidSetting(f'{SETTING} is a dict, such as {{"TOPICS": […]}}, not {type(given).__name__}')
    return Options.read(given, lambda name: f'{SETTING}["{name}"]')


class Feed:
    """The feed of this process: `feed`. Its first use raises what `read_options` does."""

    def __init__(self) -> None:
        self._made: dict[str, WebFeed] = {}  # under "web", once it is made: of several threads, one is first

    @property
    def web(self) -> WebFeed:
        """What the settings ask for; nothing is dialled yet."""
        return self._made.get("web") or self._made.setdefault("web", WebFeed(read_options()))

    @property
    def client(self) -> Client:
        """The `Stream` or `RelayStream` of this process, for whatever else is to be subscribed: any topic.

        A subscription in `ready` or at import dials in every process that loads the project: each manage.py, too.
        """
        return self.web.client

    def sse(
        self,
        request: HttpRequest,
        *topics: str,
        event: EventName = None,
        overflow: str = "latest",
        timeout: float = 10.0,
    ) -> HttpResponseBase:
        """Return a response that sends a browser the messages of topics, until it leaves; see `WebFeed.events`.

        It occupies a thread of the server for as long, and no connection to a database that is not persistent. Where
        the topics can't be had, the response is 400, 403, 404, 503 or 504 with a sentence.

        Raises:
            ImproperlyConfigured: the server is one of ASGI.
        """
        if isinstance(request, ASGIRequest):
            raise ImproperlyConfigured(_NOT_UNDER_ASGI)
        try:
            events = self.web.events(*topics, event=event, overflow=overflow, timeout=timeout)
        except Refused as refused:
            return answer_to(refused)
        if request.method == "HEAD":
            events.close()  # runserver would look for the end of them
            return HttpResponse(headers=_HEADERS)
        return StreamingHttpResponse(_Body(events), headers=_HEADERS)

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic, waiting up to `timeout` seconds for the first; see `WebFeed.last`.

        Raises:
            Refused: browsers may not have the topic, or nothing came; `RefusedMiddleware` makes a response of it.
        """
        return self.web.last(topic, timeout=timeout)

    def close(self) -> None:
        """Close the client, which ends all responses; the next use reads the settings anew."""
        web = self._made.pop("web", None)
        if web is not None:
            web.close()


class _Body:
    """Events, before which the thread gives back the database connections that the request has used."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self.close = events.close

    def __iter__(self) -> Iterator[bytes]:
        close_old_connections()
        yield from self._events


feed = Feed()
