"""Check the settings of a web application, and make the client for them.

An unknown setting is an error, because ignoring a misspelt one would silently use the default.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from .. import Client, ConnectionFailed, Credentials, Event, KucoinSyncError, Stream
from ..topics import grammar

__all__ = ["InvalidSetting", "Options"]

_REDIS = "KUCOIN_SYNC_REDIS_URL"


class InvalidSetting(KucoinSyncError, ValueError):
    """A setting is unknown or its value is invalid; the text names the setting."""


@dataclass(frozen=True)
class Options:
    """The options of an application's feed. Each is a setting of the same name in upper case.

    Attributes:
        redis_url: the URL of the Redis from which a relay's feed is read. None uses KUCOIN_SYNC_REDIS_URL of the
            environment. "" uses no Redis: each process has its own connection to KuCoin.
        redis_ca_certs: path of the authorities' certificates, for TLS with a private authority.
        namespace: the namespace of the relay, if several relays share a Redis.
        rest_url, futures_rest_url, uta_spot_url, uta_futures_url, uta_private_url, proxy: as those of `Stream`.
        api_key, api_secret, api_passphrase: the API key of KuCoin; None uses the key of the environment.
        topics: topics that the feed's process always passes on; browsers may read them.
        allowed_topics: further topics that browsers may read, such as "/market/match:BTC-USDT" or "/market/ticker:*".
            "*" matches public topics only; a private topic must be named in full.
        private: whether the feed's process passes private topics on; then every client that can read Redis sees them.
        account: whether `feed.account` has the account of the API key, for code of the application. Browsers get
            nothing of it unless that code sends it.
        max_streams: the largest number of event responses that a process serves at a time.
        max_topics: the largest number of topics of one event response, and of topics with last values.
        keep_alive: seconds of silence after which a browser is sent a comment.
    """

    redis_url: str | None = field(default=None, repr=False)
    redis_ca_certs: str | None = None
    namespace: str = "kucoin-sync"
    rest_url: str | None = None
    futures_rest_url: str | None = None
    uta_spot_url: str | None = None
    uta_futures_url: str | None = None
    uta_private_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    api_secret: str | None = field(default=None, repr=False)
    api_passphrase: str | None = field(default=None, repr=False)
    topics: tuple[str, ...] = ()
    allowed_topics: tuple[str, ...] = ()
    private: bool = False
    account: bool = False
    max_streams: int = 1000
    max_topics: int = 100
    keep_alive: float = 5.0

    @classmethod
    def read(cls, settings: Mapping[str, Any], shown: Callable[[str], str] = str) -> Options:
        """Return the options for settings.

        Args:
            settings: values by name, such as {"REDIS_URL": "redis://localhost"}.
            shown: returns the name of a setting as the user has written it, for error texts.

        Raises:
            InvalidSetting: a setting is unknown, or its value is invalid. The text never shows a value.
            InvalidTopic: a topic is invalid.
        """
        known = {each.name.upper(): each for each in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(map(shown, close))}?" if close else f"there are {', '.join(known)}"
                raise InvalidSetting(f"{shown(name)} is not a setting of kucoin_sync; {hint}")
            values[name.lower()] = _checked(shown(name), known[name].default, value)
        options = cls(**values)
        for topic in options.topics:
            if "*" in topic:
                raise InvalidSetting(f"{shown('TOPICS')} has {topic!r}: name topics; patterns are for ALLOWED_TOPICS")
        if len(dict.fromkeys(part is None for part in options._key)) > 1:
            names = ", ".join(map(shown, ("API_KEY", "API_SECRET", "API_PASSPHRASE")))
            raise InvalidSetting(f"of {names} some are set and some are not; an API key needs all three")
        return options

    @property
    def _key(self) -> tuple[str | None, str | None, str | None]:
        return self.api_key, self.api_secret, self.api_passphrase

    def relay_url(self) -> str:
        """Return the URL of Redis from the settings, else from the environment, else ""."""
        return os.environ.get(_REDIS, "") if self.redis_url is None else self.redis_url

    def open_client(self) -> Client:
        """Return a new client, of the relay if a Redis is configured, else of KuCoin; open no connection yet."""
        url = self.relay_url()
        if not url:
            return self.open_stream()
        try:
            from ..relay import RelayStream  # imported here, because it needs redis-py
        except ImportError as error:
            raise ConnectionFailed(str(error), retriable=False) from None
        return RelayStream(url, namespace=self.namespace, ca_certs=self.redis_ca_certs)

    def open_stream(self, on_event: Callable[[Event], object] | None = None) -> Stream:
        """Return a new stream of KuCoin; open no connection yet."""
        key, secret, passphrase = self._key
        return Stream(
            Credentials(key, secret, passphrase) if key and secret and passphrase else None,
            rest_url=self.rest_url,
            futures_rest_url=self.futures_rest_url,
            uta_spot_url=self.uta_spot_url,
            uta_futures_url=self.uta_futures_url,
            uta_private_url=self.uta_private_url,
            proxy=self.proxy,
            on_event=on_event,
        )

    def allows(self, single: str) -> bool:
        """Whether browsers may read a single topic."""
        if single in self.topics or single in self.allowed_topics:
            return True
        return not grammar.is_private(single) and any(fnmatchcase(single, pattern) for pattern in self.allowed_topics)


def _checked(shown: str, default: Any, value: Any) -> Any:
    """Return the value of a setting, after checking that it has the type of the default."""
    if isinstance(default, tuple):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise InvalidSetting(f"{shown} is a list of topics, not {type(value).__name__}")
        return tuple(single for topic in value for single in _singles_of(topic))
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise InvalidSetting(f"{shown} is True or False, not {type(value).__name__}")
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InvalidSetting(f"{shown} is a number greater than 0")
        if isinstance(default, int) and not isinstance(value, int):
            raise InvalidSetting(f"{shown} is a whole number")
    elif not isinstance(value, str) and (value is not None or default is not None):
        raise InvalidSetting(f"{shown} is text, not {type(value).__name__}")
    return value


def _singles_of(topic: Any) -> tuple[str, ...]:
    """Return the single topics of a topic; return a pattern unchanged."""
    return (topic,) if isinstance(topic, str) and "*" in topic else grammar.split(topic)
