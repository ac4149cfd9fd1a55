"""The tunnels of a session: which commands open and close them."""

from __future__ import annotations

import itertools

from kucoin_sync.limits import Limits
from kucoin_sync.protocol.commands import CommandQueue
from kucoin_sync.protocol.session_events import TopicKey
from kucoin_sync.protocol.tunnels import Tunnels


def tunnels() -> tuple[Tunnels, CommandQueue]:
    queue = CommandQueue(itertools.count(1), Limits(), 0.0)
    return Tunnels(queue), queue


def kinds(queue: CommandQueue) -> list[tuple[str, str | None]]:
    return [(command.kind, command.tunnel) for command in queue.waiting]


def test_a_tunnel_is_opened_once() -> None:
    made, queue = tunnels()
    for tunnel in ("a", None, "a", "b"):
        made.open(tunnel)
    assert kinds(queue) == [("openTunnel", "a"), ("openTunnel", "b")]
    assert "a" in made
    assert "c" not in made


def test_one_that_was_never_opened_need_not_be_closed() -> None:
    made, queue = tunnels()
    made.open("a")
    made.close("a")
    assert kinds(queue) == []
    assert "a" not in made
    made.open("a")
    assert queue.take(0.0) is not None
    made.close("a")
    assert kinds(queue) == [("closeTunnel", "a")]


def test_a_command_is_wanted_while_nothing_has_changed() -> None:
    made, queue = tunnels()
    made.open("a")
    opening = queue.take(0.0)
    assert opening is not None
    assert made.is_wanted(opening)
    made.close("a")
    closing = queue.take(0.0)
    assert closing is not None
    assert not made.is_wanted(opening)
    assert made.is_wanted(closing)
    made.open("a")
    assert not made.is_wanted(closing)


def test_a_refusal_counts_for_the_opening_that_it_answers() -> None:
    made, queue = tunnels()
    made.open("a")
    first = queue.take(0.0)
    made.close("a")
    made.open("a")
    _, second = queue.take(0.0), queue.take(0.0)
    assert first is not None and second is not None
    assert not made.refused(first)
    assert "a" in made
    assert made.refused(second)
    assert "a" not in made
    assert not made.refused(second)


def test_a_command_outside_of_tunnels_opens_none() -> None:
    made, queue = tunnels()
    queue.add("subscribe", [TopicKey("/a/b")])
    command = queue.take(0.0)
    assert command is not None
    assert not made.refused(command)
