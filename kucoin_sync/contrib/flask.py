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

What stands in an address may be anything: topics that are none, or not allowed, are answered with a sentence.

Each process has a connection to KuCoin of its own, made when it is first needed. With `KUCOIN_SYNC_REDIS_URL`, in the
configuration or the environment, all read what one process passes on: `flask kucoin feed`. The settings, each behind
`KUCOIN_SYNC_`, are those of `kucoin_sync.contrib.options.Options`. Needs Flask: `pip install 'kucoin-sync[flask]'`.
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
from .feed import run_feed
from .options import Options
from .sse import HEADERS, EventName
from .web import Refused, WebFeed

__all__ = ["KucoinSync"]

_NAME = "kucoin_sync"
_PREFIX = "KUCOIN_SYNC_"


class KucoinSync:
    """The extension. One may serve several applications; each has its own feed, in `app.extensions["kucoin_sync"]`.

    Raises:
        InvalidSetting: a setting that begins with KUCOIN_SYNC_ does not exist, or makes no sense.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the application's settings and add the command `flask kucoin feed`; nothing is dialled.

        Raises:
            InvalidSetting, InvalidTopic: as the sentence says.
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
        """The `Stream` or `RelayStream` of this process, for whatever else is to be subscribed: any topic."""
        return self.feed.client

    def sse(
        self,
        *topics: str,
        event: EventName = None,
        overflow: str = "latest",
        timeout: float = 10.0,
    ) -> Response:
        """Return a response that sends a browser the messages of topics, until it leaves; see `WebFeed.events`.

        It occupies a thread of the server for as long. Aborts with 400, 403, 404, 503 or 504 and a sentence where
        the topics can't be had.
        """
        try:
            events = self.feed.events(*topics, event=event, overflow=overflow, timeout=timeout)
        except Refused as refused:
            _abort(refused)
        return Response(events, headers=dict(HEADERS))

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic, waiting up to `timeout` seconds for the first; see `WebFeed.last`.

        Aborts as `sse`; `kucoin.feed.last` raises `Refused` instead.
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

        KUCOIN_SYNC_TOPICS, and what the workers ask for. Of several such processes one works, the others stand by.
        """
        try:
            run_feed(_current_feed().options, lambda text: click.echo(f"kucoin: {text}", err=True))
        except KucoinSyncError as error:
            raise click.ClickException(str(error)) from None

    return group
