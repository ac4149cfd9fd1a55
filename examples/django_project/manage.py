"""The live page of `flask_sse.py` in a Django project: tickers and a depth ladder, by server-sent events.

python examples/django_project/manage.py runserver --demo   on a local KuCoin, no network and no key
python examples/django_project/manage.py runserver          on KuCoin
gunicorn --chdir examples/django_project --worker-class gthread --threads 100 live.wsgi
                                                            as one deploys it: who looks occupies a thread

Needs Django: pip install 'kucoin-sync[django]'. Several workers share one connection to KuCoin where there is a Redis:
`export KUCOIN_SYNC_REDIS_URL=redis://localhost`, and beside them `manage.py kucoin_feed`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from django.core.management import execute_from_command_line
from live.settings import SYMBOLS

from kucoin_sync.testing import local_kucoin


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live.settings")
    with contextlib.ExitStack() as stack:
        if "--demo" in sys.argv:
            sys.argv.remove("--demo")  # runserver starts a second process with what is left, in the same environment
            os.environ.update(stack.enter_context(demo()))
        execute_from_command_line(sys.argv)


@contextlib.contextmanager
def demo() -> Iterator[dict[str, str]]:
    """Yield an environment that leads to a local KuCoin, whose depth moves as often as the real one's does."""
    ended = threading.Event()
    with local_kucoin(*SYMBOLS, rate=400) as server:

        def beat() -> None:
            while not ended.wait(0.2):
                server.beat_exchange()

        beating = threading.Thread(target=beat)
        beating.start()
        try:
            yield {
                "KUCOIN_SYNC_REDIS_URL": "",
                "KUCOIN_SYNC_REST_URL": server.rest_url,
                "KUCOIN_SYNC_FUTURES_REST_URL": server.futures_rest_url,
                "no_proxy": "127.0.0.1",
            }
        finally:
            ended.set()
            beating.join()


if __name__ == "__main__":
    main()
