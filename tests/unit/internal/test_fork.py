"""Fork hooks: sockets that a child closes and objects that it resets. No stream is involved."""

from __future__ import annotations

import copy
import gc
import itertools
import logging
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync.internal import fork
from kucoin_sync.internal.fork import NotPicklable

from ...support.forks import child, unix_sockets
from ...support.interrupts import interrupted
from ...support.threads import Task, reached

fork.install_fork_hooks()


class Registered:
    def __init__(self, name: str, told: list[str], **options: bool) -> None:
        self._name = name
        self._told = told
        fork.register(self, **options)

    def after_fork(self) -> None:
        self._told.append(self._name)


def test_a_child_resets_the_objects_that_still_exist_newest_first() -> None:
    told: list[str] = []
    registered = [Registered(name, told) for name in ("stream", "gone", "message_queue")]
    del registered[1]
    gc.collect()
    with child(lambda say: say(told)) as forked:
        assert forked.hear() == ["message_queue", "stream"]
    assert not told


def test_what_the_hooks_of_others_use_is_reset_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(fork._state, "registered_first", [*fork._state.registered_first])
    first = Registered("deferred calls", told, first=True)
    later = Registered("stream", told)
    with child(lambda say: say(told)) as forked:
        assert forked.hear() == ["deferred calls", "stream"]
    del first, later


def test_a_child_resets_the_others_if_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Failing(Registered):
        def after_fork(self) -> None:
            raise AttributeError("it is half made")

    registered = [Registered("stream", told), Failing("replay", told), Registered("message_queue", told)]
    monkeypatch.setattr(fork._state, "registered_first", [])
    with pytest.raises(AttributeError, match="it is half made"):
        fork._state.reset()
    assert told == ["message_queue", "stream"]
    del registered


def test_a_child_closes_the_noted_sockets_and_no_others() -> None:
    before = unix_sockets()
    with fork.fork_guard():
        ours = socket.socketpair()
        fork.close_in_child(*ours)
    others = socket.socketpair()

    def look(say: Callable[[Any], None]) -> None:
        say(unix_sockets() - before)
        say([sock.fileno() < 0 for sock in (*ours, *others)])

    try:
        with child(look) as forked:
            assert forked.hear() == 2
            assert forked.hear() == [True, True, False, False]
        ours[0].sendall(b"still here")
        assert ours[1].recv(100) == b"still here"
    finally:
        for sock in (*ours, *others):
            sock.close()


def test_installing_the_hooks_twice_changes_nothing() -> None:
    told: list[str] = []
    registered = Registered("once", told)
    fork.install_fork_hooks()
    with child(lambda say: say(told)) as forked:
        assert forked.hear() == ["once"]
    del registered


def test_a_fork_waits_until_a_new_socket_is_noted() -> None:
    making, forked = threading.Event(), threading.Event()

    def make() -> None:
        with fork.fork_guard():
            making.set()
            assert not forked.wait(0.1), "a fork came between"

    maker = Task(make)
    reached(making, "no socket is being made")
    with child(lambda say: None):
        forked.set()
    maker.result()


def test_a_fork_waits_until_a_line_is_logged() -> None:
    began, forked = threading.Event(), threading.Event()

    def write() -> None:
        with fork.log_guard():
            began.set()
            assert not forked.wait(0.1), "a fork came between"

    logger = Task(write)
    reached(began, "no line is being logged")
    with child(lambda say: None):
        forked.set()
    logger.result()


@pytest.mark.parametrize("name", ["kucoin_sync.mine", "urllib3.connectionpool", ""])
def test_a_fork_waits_until_no_thread_is_inside_a_log_handler(name: str) -> None:
    began, forked = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "slow":
                began.set()
                assert not forked.wait(0.1), "a fork came between"

    def log_in_the_child(say: Callable[[Any], None]) -> None:
        logging.getLogger("kucoin_sync").warning("quick")
        say("logged")

    logger, handler = logging.getLogger(name.rpartition(".")[0]), Slow()
    logger.addHandler(handler)
    try:
        writing = Task(logging.getLogger(name).warning, "slow")
        reached(began, "no line is being logged")
        with child(log_in_the_child) as made:
            forked.set()
            assert made.hear() == "logged"
        writing.result()
    finally:
        logger.removeHandler(handler)
    Task(logging.getLogger(name).warning, "the locks are free again in the parent").result()


@pytest.mark.parametrize("hold", [fork.fork_guard, fork.log_guard])
def test_an_interrupt_leaves_forks_to_others_at_any_point(hold: Callable[[], Any]) -> None:
    def hold_for_a_moment() -> None:
        with hold():
            pass

    kept: list[BaseException] = []  # as programs keep errors, and with them all that was under way
    for point in itertools.count(1):
        try:
            interrupted(hold_for_a_moment, point)
        except KeyboardInterrupt as error:
            kept.append(error)
        else:
            break
    assert kept
    Task(hold_for_a_moment).result()


def test_a_fork_waits_only_briefly_for_a_logging_thread_that_waits_for_the_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fork, "_LOG_TIMEOUT", 0.01)
    began, forked = threading.Event(), threading.Event()

    def write() -> None:
        with fork.log_guard():
            began.set()
            reached(forked, "no fork comes")

    def log_in_the_child(say: Callable[[Any], None]) -> None:
        with fork.log_guard():
            say("something")

    logger = Task(write)
    reached(began, "no line is being logged")
    with child(log_in_the_child) as made:
        forked.set()
        assert made.hear() == "something"
    logger.result()
    with child(log_in_the_child) as made:
        assert made.hear() == "something"


def test_a_fork_on_the_thread_that_makes_a_socket_does_not_block() -> None:
    with fork.fork_guard(), child(lambda say: fork.close_in_child()):
        pass
    with fork.fork_guard():
        pass


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_copying_an_object_of_one_process_raises_a_clear_error(copier: Callable[[Any], Any]) -> None:
    class Stream(NotPicklable):
        pass

    with pytest.raises(TypeError, match=r"a Stream can't be pickled or copied, .*make a Stream in each process"):
        copier(Stream())
