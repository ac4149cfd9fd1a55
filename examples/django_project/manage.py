"""The live page of `flask_sse.py` in a Django project: tickers and a depth ladder, by server-sent events.

python examples/django_project/manage.py runserver --demo   on a local KuCoin, no network and no key
python examples/django_project/manage.py runserver          on KuCoin
gunicorn --chdir examples/django_project --worker-class gthread --threads 100 live.wsgi
                                                            for deployment: each open page occupies a thread

Needs Django: pip install 'kucoin-sync[django]'. With Redis, several workers share one connection to KuCoin:
set `KUCOIN_SYNC_REDIS_URL=redis://localhost` and run `manage.py kucoin_feed` beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line
from live.settings import SYMBOLS

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # the other examples' folder, which holds _common.py
    from _common import run_example

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live.settings")
    # `runserver` starts a second process with the same environment and with these arguments.
    options = argparse.Namespace(demo="--demo" in sys.argv)
    sys.argv = [argument for argument in sys.argv if argument != "--demo"]
    run_example(lambda _: execute_from_command_line(sys.argv), options, *SYMBOLS, rate=400, beat_seconds=0.2)
