"""The setting `KUCOIN_SYNC`, a dict."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from ..options import InvalidSetting, Options

__all__ = ["NAME", "read_options"]

NAME = "KUCOIN_SYNC"


def read_options() -> Options:
    """Return what the project's settings ask for.

    Raises:
        InvalidSetting, InvalidTopic: as the sentence says. Values never show.
    """
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        raise InvalidSetting(f'{NAME} is a dict, such as {{"TOPICS": […]}}, not {type(given).__name__}')
    return Options.read(given, lambda name: f'{NAME}["{name}"]')
