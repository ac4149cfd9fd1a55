"""What ends for good: each answer of KuCoin, or of what stands in between, at each time at which it is asked.

Where something was live, only KuCoin's word on the key ends it, and only what needs the key. All else is told and tried
again, while what still works goes on. What never was live ends at once with an error that is not retriable.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from kucoin_sync import (
    AuthenticationError,
    BookFailed,
    BookReady,
    Disconnected,
    KucoinSyncError,
    Limits,
    Rejected,
    Retrying,
    Rotated,
    SnapshotFailed,
    Stream,
    Subscription,
)
from kucoin_sync.testing import KucoinServer

from ..support.certificates import server_context
from ..support.forks import Child
from ..support.selection import first
from ..support.streams import Events, MakeServer, MakeStream
from .feed import CLASSIC, UTA, Feed, pushed

HTML = {"Content-Type": "text/html"}
FULL, PART = "/api/v3/market/orderbook/level2", "/api/v1/market/orderbook/level2_100"
SYMBOL = "BTC-USDT"
WAIT = 15.0
SNAPSHOT = {"sequence": "10", "time": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}
FULL_CONNECTION = "exceed max subscription count limitation of 300 per session"


class Answer(NamedTuple):
    """What is answered.

    Attributes:
        options: of `KucoinServer.fail_rest`, or what makes the server answer so for a number of times.
        ends_first: whether it ends what never was live.
        on_key: whether it is KuCoin's word on the key, which ends what needs the key.
        of_tokens: whether only a token request, or what follows it, can be answered so.
    """

    options: dict[str, Any] | Callable[[KucoinServer, int], object]
    ends_first: bool
    on_key: bool = False
    of_tokens: bool = False


def page(status: int, **headers: str) -> dict[str, Any]:
    return {"status": status, "body": "<html>", "headers": {**HTML, **headers}}


def data(body: str, status: int = 200) -> dict[str, Any]:
    return {"status": status, "body": body}


def endpoint(url: str) -> dict[str, Any]:
    server = {"endpoint": url, "pingInterval": 18000, "pingTimeout": 10000}
    return data(json.dumps({"code": "200000", "data": {"token": "t", "instanceServers": [server]}}))


ANSWERS: dict[str, Answer] = {
    **{
        f"{status} with {code}, of the key": Answer({"status": status, "code": code}, True, on_key=True)
        for status, code in [
            (401, "400001"),
            (401, "400003"),
            (401, "400004"),
            (401, "400005"),
            (200, "400006"),
            (401, "400007"),
            (200, "411100"),
        ]
    },
    "401 with 400002, of the clock": Answer({"status": 401, "code": "400002"}, True),
    "200 with 200004": Answer({"status": 200, "code": "200004"}, True),
    "200 with an unknown code": Answer({"status": 200, "code": "987654"}, True),
    "200 without a body": Answer(data(""), False),
    "200 with HTML": Answer(page(200), False),
    "200 with JSON of another shape": Answer(data("[1, 2]"), False),
    "200 with JSON without data": Answer(data('{"code":"200000"}'), False),
    "302 to another page": Answer(page(302, Location="https://maintenance.invalid/"), True),
    "307 to another page": Answer(page(307, Location="https://maintenance.invalid/"), True),
    "400 with 400100": Answer({"status": 400, "code": "400100"}, True),
    "400 with HTML": Answer(page(400), True),
    "401 without a code": Answer(page(401), True),
    "403 with HTML": Answer(page(403), False),
    "403 with a code": Answer({"status": 403, "code": "403"}, True),
    "404 with HTML": Answer(page(404), True),
    "408 with HTML": Answer(page(408), False),
    "429 without Retry-After": Answer({"status": 429}, False),
    "429 with Retry-After": Answer({"status": 429, "headers": {"Retry-After": "1"}}, False),
    "451 with HTML": Answer(page(451), True),
    "500 with 500000": Answer({"status": 500, "code": "500000"}, False),
    "503 with HTML": Answer(page(503), False),
    "nothing, the connection is cut": Answer({"drop": True}, False),
    "a token without a server": Answer(
        data('{"code":"200000","data":{"token":"t","instanceServers":[]}}'), False, of_tokens=True
    ),
    "an endpoint of somebody else": Answer(endpoint("wss://kucoin.example/endpoint"), True, of_tokens=True),
    "an endpoint that is none": Answer(endpoint("ftp://127.0.0.1/"), True, of_tokens=True),
    "an endpoint where nobody listens": Answer(endpoint("ws://127.0.0.1:1/"), False, of_tokens=True),
    "a certificate that does not verify": Answer({}, True, of_tokens=True),
    "a handshake with 404": Answer(
        lambda server, times: server.refuse_handshake(404, times=times), False, of_tokens=True
    ),
    "a handshake with 401": Answer(
        lambda server, times: server.refuse_handshake(401, times=times), False, of_tokens=True
    ),
    "a handshake that is redirected": Answer(
        lambda server, times: server.redirect_handshake("ws://127.0.0.1:1/", times=times), True, of_tokens=True
    ),
    "a handshake that is none": Answer(
        lambda server, times: server.answer_handshake(b"SSH-2.0-OpenSSH\r\n\r\n", times=times), False, of_tokens=True
    ),
}  # fmt: skip
#: What may happen on the UTA feed, where no connection needs REST.
UTA_ANSWERS: dict[str, Answer] = {
    **{name: answer for name, answer in ANSWERS.items() if callable(answer.options)},
    "a login that is refused": Answer(
        lambda server, times: server.refuse_auth(times=None), True, on_key=True, of_tokens=True
    ),
    "a login that is not answered": Answer(
        lambda server, times: server.refuse_auth(None, times=times), False, of_tokens=True
    ),
}


class Case:
    """One stream to a server of its own, which gives one of the answers; with a key or without."""

    def __init__(
        self, name: str, private: bool, server: KucoinServer, make: Callable[..., Stream], feed: Feed = CLASSIC
    ) -> None:
        self.answer = (UTA_ANSWERS if feed.is_uta else ANSWERS)[name]
        self.private = private
        self.server = server
        self.events = Events()
        self._make = make
        self.limits = Limits(step_timeout=1.0) if feed.is_uta else Limits()
        self._numbers = itertools.count()
        orders = "/uta/orderAll.UNIFIED" if feed.is_uta else "/spotMarket/tradeOrders"
        self.one, self.other = (feed.private, orders) if private else (feed.eth, feed.match)

    def stream(self, **options: Any) -> Stream:
        key = {} if self.private else {"credentials": None}
        return self._make(self.server, on_event=self.events, **key, **{"limits": self.limits, **options})

    def spoil_tokens(self, times: int) -> None:
        """Answer the next attempts to connect so."""
        if callable(self.answer.options):
            self.answer.options(self.server, times)
        else:
            self.server.fail_rest("/api/v1/bullet-*", times=times, **self.answer.options)

    def spoil_snapshots(self, times: int) -> None:
        """Answer the next requests for snapshots so."""
        assert isinstance(self.answer.options, dict)
        self.server.fail_rest("/api/*/market/orderbook/*", times=times, **self.answer.options)

    @property
    def ends(self) -> bool:
        """Whether what was live has to end."""
        return self.private and self.answer.on_key

    def works(self, subscription: Subscription[Any], copies: int = 1) -> None:
        """Check that what is pushed comes."""
        topic = subscription.topics[0]
        self.server.wait_subscribed(topic, copies, timeout=WAIT)
        number = next(self._numbers)
        user = self.server.USER if self.private else None
        self.server.publish_many([pushed(topic, {"n": number})._replace(user=user)])
        assert subscription.get(timeout=WAIT).data["n"] == number
        assert not subscription.closed

    def judge(self, subscription: Subscription[Any], ends: bool) -> None:
        """Check that a subscription ended, or that it was tried again and goes on, and what was told."""
        if ends:
            with pytest.raises(KucoinSyncError) as caught:
                subscription.get(timeout=WAIT)
            assert not caught.value.retriable
            assert subscription.closed
            assert self.events.wait(Rejected).error is caught.value
            assert isinstance(caught.value, AuthenticationError) or not self.ends
        else:
            self.events.wait(Retrying, timeout=WAIT)
            self.works(subscription)
            assert not [event for event in self.events.all if isinstance(event, Rejected)]

    def told(self, kind: type[Any]) -> int:
        return sum(isinstance(event, kind) for event in self.events.all)


# Each phase begins what is to be spoilt, yields, and checks what has become of it: the others begin in between.


def first_subscribe(case: Case) -> Iterator[None]:
    case.spoil_tokens(2 if "400002" in str(case.answer.options) else 1)
    subscription = case.stream().subscribe(case.one, timeout=0)
    yield
    case.judge(subscription, case.answer.ends_first)


def reconnect(case: Case) -> Iterator[None]:
    subscription = case.stream().subscribe(case.one)
    case.spoil_tokens(2)
    case.server.drop_connections()
    yield
    case.judge(subscription, case.ends)


def rotation(case: Case) -> Iterator[None]:
    subscription = case.stream(rotate_after=1.0).subscribe(case.one)
    case.spoil_tokens(2)
    yield
    if case.ends:
        case.judge(subscription, True)
        return
    case.events.wait(Retrying, timeout=WAIT)
    rotated = case.told(Rotated)
    case.works(subscription)
    case.events.wait(Rotated, rotated + 1, timeout=WAIT)
    case.judge(subscription, False)


def second_connection(case: Case) -> Iterator[None]:
    stream = case.stream(limits=msgspec.structs.replace(case.limits, topics_per_connection=1))
    first = stream.subscribe(case.one)
    case.spoil_tokens(2)
    second = stream.subscribe(case.other, timeout=0)
    yield
    case.judge(second, case.ends)
    case.works(first)


def topic_moved_from_a_full_connection(case: Case) -> Iterator[None]:
    stream = case.stream()
    staying, moved = stream.subscribe(case.one), stream.subscribe(case.other)
    case.server.reject_next(509, FULL_CONNECTION, topic=case.other)
    case.server.fail_rest("/api/v1/bullet-*", status=200, code="200000")  # the reconnect itself goes well
    case.spoil_tokens(2)
    case.server.drop_connections()
    yield
    case.judge(moved, case.ends)
    case.works(staying)


def first_book(case: Case) -> Iterator[None]:
    case.spoil_snapshots(2 if "400002" in str(case.answer.options) else 1)
    book = case.stream().book(SYMBOL)
    yield
    if case.answer.ends_first:
        with pytest.raises(KucoinSyncError) as caught:
            book.wait_ready(WAIT)
        assert not caught.value.retriable
        assert case.events.wait(BookFailed).error is caught.value
    else:
        case.events.wait(SnapshotFailed, timeout=WAIT)
        book.wait_ready(WAIT)


def book_resync(case: Case) -> Iterator[None]:
    book = case.stream().book(SYMBOL).wait_ready(WAIT)
    case.spoil_snapshots(2)
    case.server.drop_connections()
    yield
    if case.ends:
        assert isinstance(case.events.wait(BookFailed, timeout=WAIT).error, AuthenticationError)
        assert book.closed
    else:
        case.events.wait(SnapshotFailed, timeout=WAIT)
        case.events.wait(BookReady, 2, timeout=WAIT)
        assert book.best_bid is not None and book.best_bid.price == 1
        assert not case.told(BookFailed)


def second_book(case: Case) -> Iterator[None]:
    stream = case.stream()
    stream.book(SYMBOL).wait_ready(WAIT).close()
    case.spoil_snapshots(2)
    again = stream.book(SYMBOL)
    yield
    if case.ends:
        assert isinstance(case.events.wait(BookFailed, timeout=WAIT).error, AuthenticationError)
    else:
        case.events.wait(SnapshotFailed, timeout=WAIT)
        again.wait_ready(WAIT)
        assert not case.told(BookFailed)


def first_dial_of_a_forked_child(case: Case) -> Iterator[None]:
    stream = case.stream()
    subscription = stream.subscribe(case.one)
    case.spoil_tokens(2)

    def look(say: Callable[[Any], None]) -> None:
        stream.resume()
        try:
            say(subscription.get(timeout=WAIT).data["n"])
        except KucoinSyncError as error:
            say(type(error))

    child = Child(look)
    try:
        yield
        if case.ends:
            assert child.hear() is AuthenticationError
            case.works(subscription)
        else:
            case.works(subscription, 2)
            assert child.hear() == 0
        assert child.wait() == 0
    finally:
        child.end()


def book_of_a_forked_child(case: Case) -> Iterator[None]:
    book = case.stream().book(SYMBOL).wait_ready(WAIT)
    case.spoil_snapshots(2)

    def look(say: Callable[[Any], None]) -> None:
        try:
            say(str(book.wait_ready(WAIT).best_bid))
        except KucoinSyncError as error:
            say(type(error))

    child = Child(look)
    try:
        yield
        assert child.hear() == (AuthenticationError if case.ends else str(book.best_bid))
        assert child.wait() == 0
        assert book.ready, "the parent's goes on"
    finally:
        child.end()


PHASES = (
    first_subscribe,
    reconnect,
    rotation,
    second_connection,
    topic_moved_from_a_full_connection,
    first_book,
    book_resync,
    second_book,
    *([first_dial_of_a_forked_child, book_of_a_forked_child] if hasattr(os, "fork") else []),
)


def applies(phase: Callable[[Case], Iterator[None]], name: str) -> bool:
    """Whether an answer can be given in a phase, and at the right moment."""
    if phase in (first_book, book_resync, second_book, book_of_a_forked_child):
        return not ANSWERS[name].of_tokens
    return phase is not topic_moved_from_a_full_connection or isinstance(ANSWERS[name].options, dict)


@pytest.fixture
def walk(make_server: MakeServer, make_stream: MakeStream) -> Callable[..., None]:
    """Go through phases with answers, all at once."""

    def go(
        phases: Sequence[Callable[[Case], Iterator[None]]], names: Iterable[str], private: bool, feed: Feed = CLASSIC
    ) -> None:
        untrusted = make_server(tls=server_context())
        ANSWERS["a certificate that does not verify"].options.update(endpoint(untrusted.endpoint()))  # type: ignore[union-attr]
        running: dict[str, Any] = {}
        wrong: dict[str, BaseException] = {}
        for phase, name in itertools.product(phases, names):
            if applies(phase, name):
                server = make_server()
                for path in (FULL, PART):
                    server.set_snapshot(path, SYMBOL, SNAPSHOT)
                running[f"{phase.__name__}: {name}"] = phase(Case(name, private, server, make_stream, feed))
        for _ in range(2):
            for which, steps in running.items():
                try:
                    if which not in wrong:
                        next(steps, None)
                except (AssertionError, KucoinSyncError, TimeoutError, pytest.fail.Exception) as error:
                    wrong[which] = error
        for steps in running.values():
            steps.close()
        said = "\n".join(f"{which}: {error!r}" for which, error in wrong.items())
        assert not wrong, f"{len(wrong)} of {len(running)} are wrong\n{said}"

    return go


with_and_without_key = pytest.mark.parametrize("private", [False, True], ids=["public", "private"])


@with_and_without_key
def test_what_was_live_ends_only_with_kucoins_word_on_the_key(walk: Callable[..., None], private: bool) -> None:
    walk(PHASES, ("401 with 400003, of the key", "302 to another page"), private)


@pytest.mark.long
@pytest.mark.timeout(180)
@with_and_without_key
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_what_was_live_ends_only_with_kucoins_word_on_the_key_whatever_is_answered(
    walk: Callable[..., None], phase: Callable[[Case], Iterator[None]], private: bool
) -> None:
    walk((phase,), ANSWERS, private)


UTA_PHASES = [phase for phase in PHASES if "book" not in phase.__name__ and "moved" not in phase.__name__]
HANDSHAKES = [name for name in UTA_ANSWERS if "login" not in name]


@pytest.mark.parametrize(
    ("names", "private"),
    first(
        (["a login that is refused"], True),
        (["a login that is not answered"], True),
        (HANDSHAKES, True),
        (HANDSHAKES, False),
    ),
    ids=["refused", "not answered", "private", "public"],
)
def test_what_was_live_on_the_uta_feed_ends_only_with_kucoins_word_on_the_key(
    walk: Callable[..., None], names: list[str], private: bool
) -> None:
    walk(UTA_PHASES, names, private, UTA)


def test_a_connection_that_is_lost_while_its_replacement_meets_errors_is_not_rotated(
    make_server: MakeServer, make_stream: MakeStream
) -> None:
    case = Case("302 to another page", False, make_server(), make_stream)
    subscription = case.stream(rotate_after=0.5).subscribe(case.one)
    case.server.fail_rest("/api/v1/bullet-*", 404, body="<html>", times=None)
    failed = case.events.wait(Retrying)
    case.server.drop_connections()
    case.events.wait(Disconnected)
    case.events.wait(Retrying, 2)
    after = case.events.all[case.events.all.index(failed) :]
    assert not [event for event in after if isinstance(event, Rotated)]
    case.server.reset_script()
    case.works(subscription)
