"""What is known of a connection before anything has happened, and what a wait begins with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kucoin_sync.connections.members import MergeMember, Wait


def test_a_new_member_has_nothing_and_waits_for_nothing() -> None:
    source: Any = SimpleNamespace(epoch=0)
    member = MergeMember(source)
    assert (member.source, member.live, member.acked, member.unproven) == (source, False, set(), set())
    assert (member.asked, member.unasked, member.known) == ([], [], {})


def test_a_wait_needs_all_proofs_unless_one_is_enough() -> None:
    source: Any = SimpleNamespace(epoch=0)
    member, other = MergeMember(source), MergeMember(source)
    wait = Wait(member, {other})
    assert (wait.pending, wait.one_is_enough, wait.keys, wait.topic, wait.side) == ({other}, False, (), None, None)
