"""What a forked child closes and tells, without streams."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import forking
from kucoin_sync.forking import OfOneProcess

from .support.forks import child, unix_sockets
from .support.interrupts import interrupted
from .support.threads import Task, reached

forking.watch()


class Heir:
    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told
        forking.enrol(self)

    def forked(self) -> None:
        self._told.append(self._name)


def test_a_child_tells_all_that_still_exist_the_newest_first_and_the_parent_none() -> None:
    told: list[str] = []
    heirs = [Heir(name, told) for name in ("stream", "gone", "inbox")]
    del heirs[1]
    gc.collect()
    with child(lambda say: say(told)) as forked:
        assert forked.hear() == ["inbox", "stream"]
    assert not told


def test_a_child_closes_the_sockets_that_were_noted_and_no_others() -> None:
    before = unix_sockets()
    with forking.held_off():
        ours = socket.socketpair()
        forking.close_in_child(*ours)
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


def test_to_be_seen_to_twice_changes_nothing() -> None:
    told: list[str] = []
    heir = Heir("once", told)
    forking.watch()
    with child(lambda say: say(told)) as forked:
        assert forked.hear() == ["once"]
    del heir


def test_a_fork_waits_until_a_socket_that_was_made_is_noted() -> None:
    making, forked = threading.Event(), threading.Event()

    def make() -> None:
        with forking.held_off():
            making.set()
            assert not forked.wait(0.1), "a fork came between"

    maker = Task(make)
    reached(making, "no socket is being made")
    with child(lambda say: None):
        forked.set()
    maker.result()


def test_a_fork_waits_until_what_is_being_logged_is_said() -> None:
    began, forked = threading.Event(), threading.Event()

    def speak() -> None:
        with forking.speaking():
            began.set()
            assert not forked.wait(0.1), "a fork came between"

    speaker = Task(speak)
    reached(began, "nobody speaks")
    with child(lambda say: None):
        forked.set()
    speaker.result()


@pytest.mark.parametrize("hold", [forking.held_off, forking.speaking])
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


def test_a_fork_waits_for_a_moment_only_for_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_LONGEST_SPEECH", 0.01)
    began, forked = threading.Event(), threading.Event()

    def speak() -> None:
        with forking.speaking():
            began.set()
            reached(forked, "no fork comes")

    def speak_in_the_child(say: Callable[[Any], None]) -> None:
        with forking.speaking():
            say("something")

    speaker = Task(speak)
    reached(began, "nobody speaks")
    with child(speak_in_the_child) as made:
        forked.set()
        assert made.hear() == "something"
    speaker.result()
    with child(speak_in_the_child) as made:
        assert made.hear() == "something"


def test_a_fork_within_the_making_of_a_socket_does_not_wait_for_itself() -> None:
    with forking.held_off(), child(lambda say: forking.close_in_child()):
        pass
    with forking.held_off():
        pass


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_is_of_one_process_says_so(way: Callable[[Any], Any]) -> None:
    class Stream(OfOneProcess):
        pass

    with pytest.raises(TypeError, match=r"a Stream can't be pickled or copied, .*make a Stream in each process"):
        way(Stream())
