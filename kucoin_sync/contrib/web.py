"""`WebFeed`: the feed of a web application, independent of its framework.

Requests from browsers can't make a process grow without bound. The settings limit the allowed topics, the number of
event responses at a time, the topics of each response, and the topics with last values.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial

from .. import AckTimeout, Client, InvalidTopic, KucoinSyncError, LocalAccount, Message, Stream, SubscriptionRejected
from ..delivery.overflow import Overflow
from ..internal.fork import install_fork_hooks, register
from ..internal.guard import log
from ..topics import grammar
from .last import LastValues
from .options import InvalidSetting, Options
from .sse import EventName, EventStream

__all__ = ["Refused", "WebFeed"]


class Refused(KucoinSyncError):
    """A browser's request can't be served; `status` is the HTTP status of the answer, the text is for the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebFeed:
    """Makes a client at its first use, event responses for browsers, and last values.

    It may be created at import and before workers are forked: each process opens its connection at its first use. All
    methods may be called from any thread.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._clients: dict[
            str, Client
        ] = {}  # the client; set atomically without a lock, because finalisers may use it
        self._accounts: dict[str, LocalAccount] = {}  # the account; set as the client
        self._free_slots = _slots(options.max_streams)
        self._last = LastValues(lambda: self.client, options.max_topics)
        install_fork_hooks()
        register(self)

    def after_fork(self) -> None:
        """Reset in a forked child, which serves none of the parent's browsers; the client resets itself."""
        self._free_slots = _slots(self.options.max_streams)
        self._last.after_fork()

    @property
    def client(self) -> Client:
        """The `RelayStream` or `Stream` of this process, for other subscriptions to any topic."""
        client = self._clients.get("client")
        if client is None:
            new = self.options.open_client()
            client = self._clients.setdefault("client", new)
            if client is not new:  # another thread was faster; this client has no connection yet
                new.close()
        return client

    @property
    def account(self) -> LocalAccount:
        """The local account of the API key, kept by this process from its first use on; see `Stream.account`.

        Its reads raise `AccountNotReady` while it can't be read; `wait_ready` waits. Browsers get nothing of it.

        Raises:
            InvalidSetting: the setting ACCOUNT is not True, or the feed comes through Redis, which has no account.
            AuthenticationError: there is no API key.
        """
        if not self.options.account:
            raise InvalidSetting("feed.account needs the setting ACCOUNT = True; it shows the account of the API key")
        client = self.client
        if not isinstance(client, Stream):
            raise InvalidSetting(
                'feed.account needs a connection to KuCoin of this process: set REDIS_URL = "", or make a Stream for it'
            )
        account = self._accounts.get("account")
        if account is None or account.closed:
            account = self._accounts["account"] = client.account()
        return account

    def events(
        self,
        *topics: str,
        event: EventName = None,
        overflow: Overflow = "latest",
        maxsize: int = 2_000,
        timeout: float = 10.0,
    ) -> EventStream:
        """Subscribe topics for one browser; return the body of its response, to be sent with `sse.HEADERS`.

        Args:
            event: the name of the events; None uses each message's subject.
            overflow: which messages a slow browser gets: "latest" the newest of each topic and subject, "drop_oldest"
                the newest `maxsize`, "drop_newest" the oldest `maxsize`. An event `lost` reports missing ones.
            timeout: seconds to wait for the confirmation of the topics.

        Raises:
            Refused: the request can't be served; answer with its status. Nothing remains subscribed.
        """
        singles = self._singles(topics)
        free_slots = self._free_slots
        try:
            slot = free_slots.pop()
        except IndexError:
            raise Refused(503, "this server sends live data to as many browsers as it can; try again later") from None
        try:
            try:
                subscription = self.client.subscribe(*singles, overflow=overflow, maxsize=maxsize, timeout=timeout)
            except KucoinSyncError as error:
                raise _refusal_of(error) from error
            return EventStream(
                subscription, event=event, keep_alive=self.options.keep_alive, on_close=partial(free_slots.append, slot)
            )
        except BaseException:
            free_slots.append(slot)
            raise

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic; wait up to `timeout` seconds for the first one.

        The first call for a topic subscribes it, once for all callers. It stays subscribed until `max_topics` other
        topics were read more recently. The message's `received_ns` shows its age.

        Raises:
            Refused: browsers may not read the topic, or no message has arrived in time.
        """
        (single,) = self._singles((topic,), most=1)
        try:
            return self._last.get(single, timeout)
        except TimeoutError as error:
            raise Refused(504, f"no message has arrived on {single} yet; try again later") from error
        except KucoinSyncError as error:
            raise _refusal_of(error) from error

    def close(self) -> None:
        """Close the client, which ends all responses; the next use makes a new one."""
        self._accounts.clear()
        client = self._clients.pop("client", None)
        if client is not None:
            client.close()

    def _singles(self, topics: tuple[str, ...], most: int | None = None) -> tuple[str, ...]:
        """Return the single topics of `topics`; raise Refused if they are invalid, too many or not allowed."""
        most = self.options.max_topics if most is None else most
        try:
            singles = tuple(dict.fromkeys(single for topic in topics for single in grammar.split(topic)))
        except InvalidTopic as error:
            raise _refusal_of(error) from error
        if not 0 < len(singles) <= most:
            raise Refused(400, f"{len(singles)} topics were asked for; name 1 to {most}")
        for single in singles:
            if not self.options.allows(single):
                raise Refused(403, f"{single} is not among this site's TOPICS and ALLOWED_TOPICS")
        return singles


def _slots(count: int) -> deque[int]:
    """Return slots for responses. A deque, because a finaliser may return a slot at any time, without a lock."""
    return deque(range(count))


def _refusal_of(error: KucoinSyncError) -> Refused:
    """Return the answer for an error: the full text if the topic is wrong, else no internal details."""
    if isinstance(error, InvalidTopic):
        return Refused(400, str(error))
    if isinstance(error, SubscriptionRejected):
        return Refused(404, str(error))
    log(logging.ERROR, "a browser could not be served: %s", error)
    if isinstance(error, AckTimeout):
        return Refused(504, "KuCoin has not confirmed the topics in time; try again later")
    return Refused(503, "the feed can't be reached now; the server's log says why; try again later")
