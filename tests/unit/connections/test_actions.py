"""Actions are all run, whatever interrupts them."""

from __future__ import annotations

from functools import partial

import pytest

from kucoin_sync.connections.actions import run


def test_actions_run_in_their_order() -> None:
    done: list[int] = []
    run(partial(done.append, n) for n in range(3))
    assert done == [0, 1, 2]


def test_after_an_interrupt_the_interrupted_one_and_the_rest_are_run(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def interrupted() -> None:
        done.append("interrupted")
        if done.count("interrupted") == 1:
            raise KeyboardInterrupt

    def failing() -> None:
        done.append("failing")
        raise ValueError("why")

    with pytest.raises(KeyboardInterrupt):
        run([partial(done.append, "first"), interrupted, failing, partial(done.append, "last")])
    assert done == ["first", "interrupted", "interrupted", "failing", "last"]
    assert "a connection could not be told what to do" in caplog.text
