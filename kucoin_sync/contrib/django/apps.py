"""The Django app: it registers the check of the settings, and closes the feed when the process ends."""

from __future__ import annotations

import atexit
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.signals import setting_changed

from ... import KucoinSyncError
from . import SETTING, feed, read_options

__all__ = ["KucoinSyncConfig"]


class KucoinSyncConfig(AppConfig):
    """The app "kucoin_sync.contrib.django"."""

    name = "kucoin_sync.contrib.django"
    label = "kucoin_sync"
    verbose_name = "KuCoin's feed"

    def ready(self) -> None:
        """Register the check and the handlers; open no connection."""
        register(_check_settings)
        setting_changed.connect(_close_feed)
        atexit.register(feed.close)


def _check_settings(**_: Any) -> list[CheckMessage]:
    try:
        read_options()
    except KucoinSyncError as error:
        hint = "The settings are described in kucoin_sync.contrib.options.Options."
        return [Error(str(error), hint=hint, id="kucoin_sync.E001")]
    return []


def _close_feed(*, setting: str, **_: Any) -> None:
    """Close the feed when the settings change, such as by `override_settings` in tests; the next use reads them."""
    if setting == SETTING:
        feed.close()
