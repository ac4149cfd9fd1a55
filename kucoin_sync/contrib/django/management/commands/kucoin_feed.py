"""`manage.py kucoin_feed`: run the process that owns the connection to KuCoin for all workers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ..... import KucoinSyncError
from ....feed import run_feed
from ... import read_options

__all__ = ["Command"]


class Command(BaseCommand):
    help = (
        "Pass KuCoin's feed on through Redis until Ctrl-C or SIGTERM: the TOPICS of KUCOIN_SYNC, and the topics that "
        "workers request. If several such processes run, one relays and the others stand by."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        try:
            run_feed(read_options(), lambda text: self.stderr.write(f"kucoin: {text}", style_func=str))
        except KucoinSyncError as error:
            raise CommandError(str(error)) from None
