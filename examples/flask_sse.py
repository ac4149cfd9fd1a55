"""A live page in a Flask application: tickers and a depth ladder, by server-sent events.

python examples/flask_sse.py --demo          on a local KuCoin, no network and no key; open the address that it prints
python examples/flask_sse.py --port 8000     on KuCoin
gunicorn --chdir examples --worker-class gthread --threads 100 'flask_sse:create_app()'
                                             for deployment: each open page occupies a thread

Needs Flask: pip install 'kucoin-sync[flask]'. With Redis, several workers share one connection to KuCoin:
set `KUCOIN_SYNC_REDIS_URL=redis://localhost` and run `flask --app examples/flask_sse.py kucoin feed` beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import threading
import urllib.request
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.serving import make_server

from _common import example_parser, run_example
from kucoin_sync import topics
from kucoin_sync.contrib.flask import KucoinSync

SYMBOLS = ("BTC-USDT", "ETH-USDT", "KCS-USDT", "SOL-USDT")
kucoin = KucoinSync()


def create_app(**settings: Any) -> Flask:
    app = Flask(__name__, template_folder=".")
    app.config["KUCOIN_SYNC_TOPICS"] = [
        topics.ticker(*SYMBOLS),
        topics.depth50(*SYMBOLS),
    ]  # all that browsers get
    app.config["KUCOIN_SYNC_KEEP_ALIVE"] = 0.5  # seconds between keep-alives, which reveal closed pages
    app.config.update(settings)
    kucoin.init_app(app)

    @app.get("/")
    def page() -> str:
        return render_template("live_page.html", symbols=" ".join(SYMBOLS), events="/events")

    @app.get("/events")
    def events() -> Response:
        depth = f"/spotMarket/level2Depth50:{request.args.get('symbol', SYMBOLS[0])}"  # must be in TOPICS
        return kucoin.sse(topics.ticker(*SYMBOLS), depth, event=lambda message: message.topic)

    @app.get("/price/<symbol>")
    def price(symbol: str) -> dict[str, Any]:
        message = kucoin.last(f"/market/ticker:{symbol}")
        return {"symbol": symbol, "price": message.data["price"], "received_ns": message.received_ns}

    return app


def main(options: argparse.Namespace) -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # do not log each request
    with contextlib.ExitStack() as stack:
        app = create_app()
        stack.callback(app.extensions["kucoin_sync"].close)
        server = make_server("127.0.0.1", 0 if options.demo else options.port, app, threaded=True)
        stack.callback(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/"
        print(f"serving {url}", flush=True)
        if options.demo:
            look(f"{url}events")
        threading.Event().wait(options.seconds)


def look(url: str) -> None:
    """Print the first lines of the events that a browser gets."""
    with urllib.request.urlopen(url, timeout=10) as response:
        for _ in range(30):
            print(response.readline().decode().rstrip()[:100], flush=True)


if __name__ == "__main__":
    parser = example_parser(__doc__, seconds=None)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000, in the demo any that is free")
    parser.add_argument("--seconds", type=float, help="end after so many seconds, rather than by Ctrl-C")
    run_example(main, parser.parse_args(), *SYMBOLS, rate=400, beat_seconds=0.2)
