"""The events: each a sentence, with the level at which it is logged."""

from __future__ import annotations

import logging

import pytest

from kucoin_sync import events as e

ERROR = ValueError("it broke")

# (event, level of logging, the sentence)
EVENTS: list[tuple[e.Event, int, str]] = [
    (
        e.Connected("spot", False, 3, "ws.example"),
        logging.INFO,
        "connected: spot public connection 3 to ws.example",
    ),
    (
        e.Disconnected("futures", True, 4, 1006, "", ERROR, 0.44),
        logging.WARNING,
        "disconnected: futures private connection 4: it broke; next attempt in 0.4 s",
    ),
    (
        e.Retrying("spot", False, 2, ERROR, 1.5),
        logging.WARNING,
        "attempt 2 to connect failed: it broke; next attempt in 1.5 s",
    ),
    (
        e.ConnectDelayed("futures", True, 41.96, "there were many"),
        logging.WARNING,
        "delayed: a futures private connection waits for 42.0 s, because there were many",
    ),
    (
        e.Resubscribed("spot", True, 5, 12),
        logging.INFO,
        "resubscribed: spot private connection 5 carries 12 topics again",
    ),
    (e.Rotated("spot", False, 6), logging.INFO, "rotated: spot public connection 6 took over"),
    (e.Rejected("/a/b:c", ERROR), logging.WARNING, "rejected: it broke"),
    (e.Progress(100, 250), logging.DEBUG, "subscribing: 100 of 250 topics confirmed"),
    (
        e.RecoveryIncomplete("/a/b:c", 7, 1, 9, None, "REST is down"),
        logging.WARNING,
        "not recovered: /a/b:c may lack messages between 7 and 9, because REST is down",
    ),
    (
        e.Stale(("/a/b:c", "/a/b:d"), 30.4),
        logging.WARNING,
        "stale: nothing came on /a/b:c, /a/b:d for 30.4 s; KuCoin also accepts symbols that do not exist and stays "
        "silent: check the spelling",
    ),
    (
        e.Overflowed(("/a/b:1", "/a/b:2", "/a/b:3"), 9),
        logging.WARNING,
        "slow consumer: messages of /a/b:1, /a/b:2, /a/b:3 are being dropped (9 so far)",
    ),
    (
        e.PayloadMismatch("/a/b:c", "price is null"),
        logging.WARNING,
        "odd data on /a/b:c: price is null; the other properties of the payload are not touched, and message.data has "
        "all as KuCoin sent it. Told once for this topic: stats()['misfits'] counts on",
    ),
    (
        e.CallbackFailed(("/a/b:1", "/a/b:2", "/a/b:3", "/a/b:4", "/a/b:5"), ERROR),
        logging.ERROR,
        "callback of /a/b:1, /a/b:2, /a/b:3 and 2 more raised ValueError: it broke",
    ),
    (
        e.CallbackSlow(("/a/b:c",), 2.25),
        logging.WARNING,
        "callback of /a/b:c has run for 2.2 s; the others go on without it",
    ),
    (e.BookReady("BTC-USDT", 2, 17), logging.INFO, "ready: the book of BTC-USDT at 17"),
    (
        e.BookRenumbered("BTC-USDT", 2, 1001, 17),
        logging.WARNING,
        "numbered anew: the book of BTC-USDT was at 1001 and is ready at 17",
    ),
    (
        e.BookResyncing("BTC-USDT", 3, "3 to 4 is missing"),
        logging.WARNING,
        "resyncing: the level 3 book of BTC-USDT, because 3 to 4 is missing",
    ),
    (
        e.SnapshotFailed("XBTUSDTM", 2, "it broke", 1.25),
        logging.WARNING,
        "no snapshot for the book of XBTUSDTM: it broke; next attempt in 1.2 s",
    ),
    (e.AccountFailed(ERROR), logging.ERROR, "failed: the account: it broke"),
    (e.BookFailed("BTC-USDT", 2, ERROR), logging.ERROR, "failed: the book of BTC-USDT: it broke"),
    (
        e.ServerNotice("spot", False, 7, 415, "type is not supported"),
        logging.WARNING,
        "the server reports on spot public connection 7: type is not supported (code 415)",
    ),
    (e.UnexpectedError("the books", ERROR), logging.ERROR, "unexpected error in the books: ValueError: it broke"),
    (
        e.ThreadNotStarted("callbacks", ERROR),
        logging.ERROR,
        "no thread could be started for callbacks (it broke); it will be tried again: look at the limits of threads "
        "and memory",
    ),
]


def test_there_is_an_example_of_every_event() -> None:
    assert {type(event).__name__ for event, _, _ in EVENTS} | {"Event"} == set(e.__all__)


@pytest.mark.parametrize(("event", "level", "sentence"), EVENTS, ids=lambda value: type(value).__name__)
def test_an_event_prints_as_a_sentence_and_knows_its_level(event: e.Event, level: int, sentence: str) -> None:
    assert str(event) == sentence
    assert event.level == level
    assert isinstance(event, e.Event)


@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS], ids=lambda event: type(event).__name__)
def test_an_event_can_not_be_changed(event: e.Event) -> None:
    name = event.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(event, name, None)


def test_an_event_without_a_level_of_its_own_is_a_warning() -> None:
    assert e.Event().level == logging.WARNING


def test_a_notice_may_have_no_text() -> None:
    assert e.ServerNotice("spot", False, 1, 500).reason == ""
