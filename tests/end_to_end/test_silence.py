"""A topic that stays silent is told of, once per episode."""

from __future__ import annotations

import pytest

from kucoin_sync import Stale, Stream
from kucoin_sync.testing import KucoinServer

from ..support.silence import SECONDS, SilenceClock, told
from ..support.streams import Events
from ..support.threads import Task, until

NONE = "/market/ticker:NO-SUCH"


def test_silence_is_told_once_per_episode(server: KucoinServer, stream: Stream, events: Events) -> None:
    subscription = stream.subscribe(NONE, stale_after=0.05)
    event = events.wait(Stale)
    assert event.topics == (NONE,)
    assert "nothing came on /market/ticker:NO-SUCH" in str(event)
    assert "check the spelling" in str(event)
    other = stream.subscribe("/market/ticker:OTHER-ONE", stale_after=0.2)
    assert events.wait(Stale, 2).topics == other.topics, "the first is not told again meanwhile"
    server.publish(NONE, {"n": 1})
    assert subscription.get(5).data == {"n": 1}
    assert events.wait(Stale, 3).topics == (NONE,), "a new episode after a message"


def test_a_subscription_that_ended_is_not_stale(
    server: KucoinServer, stream: Stream, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SilenceClock(monkeypatch)
    first = stream.subscribe(NONE, stale_after=SECONDS)
    second = stream.subscribe(NONE, stale_after=2 * SECONDS)
    first.close()
    assert clock.next_told(events).topics == second.topics
    assert len(told(events)) == 1


def test_watch_warns_of_silence(
    server: KucoinServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kucoin_sync.cli import main

    monkeypatch.setattr("kucoin_sync.cli.watch._STALE_AFTER", 0.1)
    watching = Task(main, ["watch", "NO-SUCH", "--rest-url", server.rest_url, "--count", "1"])
    said: list[str] = []

    def warned() -> bool:
        said.append(capsys.readouterr().err)
        return "kucoin-sync: stale: nothing came on /market/ticker:NO-SUCH" in "".join(said)

    until(warned, "the silence is not told")
    server.publish(NONE, {"n": 1})
    assert watching.result() == 0
