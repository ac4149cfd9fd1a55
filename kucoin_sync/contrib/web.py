"""`WebFeed`: what a web application holds of KuCoin's feed, whatever its framework.

Nothing that browsers ask for makes a process grow without bound: they may have the topics that the settings allow, in
so many responses at a time, each of so many topics; last values are kept of so many topics.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial

from .. import AckTimeout, Client, InvalidTopic, KucoinSyncError, Message, SubscriptionRejected
from ..forking import enrol, watch
from ..guard import log
from ..topics import grammar
from .last import LastValues
from .options import Options
from .sse import EventName, EventStream

__all__ = ["Refused", "WebFeed"]


class Refused(KucoinSyncError):
    """A browser can't have what it asks for; `status` is the HTTP status that says so, the text is for its user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebFeed:
    """A client that is made when it is first needed, responses for browsers, and last values.

    It may be made at import and before workers are forked: nothing is dialled before the first use, by each process on
    its own. All methods may be called from any thread.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._made: dict[str, Client] = {}  # the client; changed in one step, without a lock: finalisers may ask for it
        self._free = _places(options.max_streams)
        self._last = LastValues(lambda: self.client, options.max_topics)
        watch()
        enrol(self)

    def forked(self) -> None:
        """Begin again in a forked child, whose parent serves its own browsers; the client sees to itself."""
        self._free = _places(self.options.max_streams)
        self._last.renew()

    @property
    def client(self) -> Client:
        """The `RelayStream` or `Stream` of this process, for whatever else is to be subscribed."""
        client = self._made.get("client")
        if client is None:
            ours = self.options.open_client()
            client = self._made.setdefault("client", ours)
            if client is not ours:  # somebody else was faster; nothing was dialled here yet
                ours.close()
        return client

    def events(
        self,
        *topics: str,
        event: EventName = None,
        overflow: str = "latest",
        maxsize: int = 2_000,
        timeout: float = 10.0,
    ) -> EventStream:
        """Subscribe topics for one browser; return the body of its response, to be sent with `sse.HEADERS`.

        Args:
            event: names the events; None takes each message's subject.
            overflow: what a browser that reads slowly misses: with "latest" it gets the newest message of each topic
                and subject, with "drop_oldest" or "drop_newest" the newest or oldest `maxsize`. An event `lost` tells.
            timeout: seconds to wait until the topics are confirmed.

        Raises:
            Refused: it can't be served, which an HTTP response has to say; nothing is left of it.
        """
        singles = self._singles(topics)
        free = self._free
        try:
            place = free.pop()
        except IndexError:
            raise Refused(503, "this server sends live data to as many browsers as it can; try again later") from None
        try:
            try:
                subscription = self.client.subscribe(*singles, overflow=overflow, maxsize=maxsize, timeout=timeout)
            except KucoinSyncError as error:
                raise _refusal_of(error) from error
            return EventStream(
                subscription, event=event, keep_alive=self.options.keep_alive, on_close=partial(free.append, place)
            )
        except BaseException:
            free.append(place)
            raise

    def last(self, topic: str, *, timeout: float = 5.0) -> Message:
        """Return the newest message of a topic, waiting up to `timeout` seconds for the first one.

        The first call for a topic subscribes it, once for all callers. It stays so until others push it out, those read
        longest ago first. How old a message is, its `received_ns` tells.

        Raises:
            Refused: browsers may not have the topic, or nothing came.
        """
        (single,) = self._singles((topic,), most=1)
        try:
            return self._last.get(single, timeout)
        except TimeoutError as error:
            raise Refused(504, f"nothing has come on {single} yet; try again later") from error
        except KucoinSyncError as error:
            raise _refusal_of(error) from error

    def close(self) -> None:
        """Close the client, which ends all responses; the next use makes a new one."""
        client = self._made.pop("client", None)
        if client is not None:
            client.close()

    def _singles(self, topics: tuple[str, ...], most: int | None = None) -> tuple[str, ...]:
        """Return the single topics, each of them allowed."""
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


def _places(count: int) -> deque[int]:
    """Return places for responses, taken and given back in one step: a response may be finalised anywhere."""
    return deque(range(count))


def _refusal_of(error: KucoinSyncError) -> Refused:
    """Return what a browser is told of an error: all where its topic is wrong, and nothing of what is behind us."""
    if isinstance(error, InvalidTopic):
        return Refused(400, str(error))
    if isinstance(error, SubscriptionRejected):
        return Refused(404, str(error))
    log(logging.ERROR, "a browser could not be served: %s", error)
    if isinstance(error, AckTimeout):
        return Refused(504, "KuCoin has not confirmed the topics in time; try again later")
    return Refused(503, "the feed can't be reached now, for a reason that the server's log tells; try again later")
