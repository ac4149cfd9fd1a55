"""KuCoin's feed in a Flask application.

    kucoin = KucoinSync()

    def create_app():
        app = Flask(__name__)
        app.config["KUCOIN_SYNC_ALLOWED_TOPICS"] = ["/market/ticker:*"]
        kucoin.init_app(app)

        @app.get("/live/<symbol>")
        def live(symbol):
            return kucoin.sse(f"/market/ticker:{symbol}")            # for a browser's EventSource

        @app.get("/price/<symbol>")
        def price(symbol):
            return {"price": kucoin.last(f"/market/ticker:{symbol}").data["price"]}

        return app

Topics taken from a URL are checked: an invalid or forbidden topic gets an HTTP error with a sentence.

Each process makes its own connection to KuCoin when it is first used. With `KUCOIN_SYNC_REDIS_URL`, in the
configuration or the environment, all processes read the feed from Redis; `flask kucoin feed` writes it there. The
settings are those of `kucoin_sync.contrib.options.Options`, each with the prefix `KUCOIN_SYNC_`. Needs Flask:
`pip install 'kucoin-sync[flask]'`.
"""

from __future__ import annotations

from typing import NoReturn

try:
    import click
    from flask import Flask, Response, abort, current_app
    from flask.cli import AppGroup
except ImportError as error:
    raise ImportError(
        "kucoin_sync.contrib.flask needs Flask, which is not installed: pip install 'kucoin-sync[flask]'"
    ) from error

from .. import Client, KucoinSyncError, Message
from ..delivery.overflow import Overflow
from .feed import run_feed
from .options import Options
from .sse import HEADERS, EventName
from .web import Refused, WebFeed

__all__ = ["KucoinSync"]

_NAME = "kucoin_sync"
_PREFIX = "KUCOIN_SYNC_"


class KucoinSync:
    """The extension. It may serve several applications; each has its own feed, in `app.extensions["kucoin_sync"]`.

    Raises:
        InvalidSetting: a setting with the prefix KUCOIN_SYNC_ does not exist, or its value is invalid.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the application's settings and add the command `flask kucoin feed`; open no connection.

        Raises:
            InvalidSetting: a setting does not exist, or its value is invalid.
            InvalidTopic: a topic in the settings is invalid.
        """
        settings = {name.removeprefix(_PREFIX): value for name, value in app.config.items() if name.startswith(_PREFIX)}
        app.extensions[_NAME] = WebFeed(Options.read(settings, lambda name: _PREFIX + name))
        app.cli.add_command(_commands())

    @property
    def feed(self) -> WebFeed:
        """The feed of the current application."""
        return _current_feed()

    @property
    def client(self) -> Client:
        """The `Stream` or `RelayStream` of this process, for other subscriptions to any topic."""
        return self.feed.client

    def sse(
        self,
        *topics: str,
        event: EventName = None,
        overflow: Overflow = "latest",
        timeout: float = 10.0,
    ) -> Response:
        """Return a response that sends messages of topics to a browser until it disconnects; see `WebFeed.events`.

        The response occupies a thread of the server all the time. If the topics can't be served, this aborts with 400,
        403, 404, 503 or 504 and a sentence.
        """
        try:
            events = self.feed.events(*topics, event=event, overflow=overflow, timeout=timeout)
        except Refused as refused:
            _abort(refused)
        return Response(events, headers=dict(HEADERS))

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic; wait up to `timeout` seconds for the first; see `WebFeed.last`.

        This aborts as `sse` does; `kucoin.feed.last` raises `Refused` instead.
        """
        try:
            return self.feed.last(topic, timeout=timeout)
        except Refused as refused:
            _abort(refused)


def _current_feed() -> WebFeed:
    feed = current_app.extensions.get(_NAME)
    if not isinstance(feed, WebFeed):
        raise RuntimeError(f"the application {current_app.name!r} has no feed: call KucoinSync.init_app with it")
    return feed


def _abort(refused: Refused) -> NoReturn:
    abort(refused.status, str(refused))


def _commands() -> AppGroup:
    group = AppGroup("kucoin", help="Work with KuCoin's feed.")

    @group.command("feed")
    def feed() -> None:
        """Pass KuCoin's feed on through Redis until Ctrl-C or SIGTERM.

        It passes on KUCOIN_SYNC_TOPICS and the topics that workers request. If several such processes run, one relays
        and the others stand by.
        """
        try:
            run_feed(_current_feed().options, lambda text: click.echo(f"kucoin: {text}", err=True))
        except KucoinSyncError as error:
            raise click.ClickException(str(error)) from None

    return group
