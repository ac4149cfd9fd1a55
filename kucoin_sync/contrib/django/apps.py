"""What Django loads of an installed app: the check of its settings, and the feed's end with the process's."""

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
        """Register what is called later; nothing is dialled."""
        register(_check_settings)
        setting_changed.connect(_begin_again)
        atexit.register(feed.close)


def _check_settings(**_: Any) -> list[CheckMessage]:
    try:
        read_options()
    except KucoinSyncError as error:
        hint = "The settings are described in kucoin_sync.contrib.options.Options."
        return [Error(str(error), hint=hint, id="kucoin_sync.E001")]
    return []


def _begin_again(*, setting: str, **_: Any) -> None:
    """Take other settings, as tests have them with `override_settings`."""
    if setting == SETTING:
        feed.close()
