"""`kucoin-sync demo`: the tour, and the code that it shows."""

from __future__ import annotations

import itertools
import re
import signal
import threading
from collections.abc import Callable

import pytest

from kucoin_sync import Stream, topics
from kucoin_sync.cli import main
from kucoin_sync.cli.tour import STEPS
from kucoin_sync.testing import KucoinServer
from tests.support.terminal import Terminal
from tests.support.threads import LIMIT, Task, reached

from ..support.processes import EndingOnce
from ..support.selection import first


def test_elsewhere_than_in_a_terminal_each_step_is_told_once_with_its_code_and_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--seconds", "1"]) == 0
    out, err = capsys.readouterr()
    for number, step in enumerate(STEPS, 1):
        assert out.count(f"{number} of {len(STEPS)}: {step.title}") == 1
        for code in step.code.strip().splitlines():
            assert code in out
    assert re.search(r"BTC-USDT +[▲▼ ] *6\d{4}\.\d", out), "tickers"
    assert re.search(r"ask  6\d{4}\.\d", out), "the ladder"
    assert re.search(r"[▲▼] (buy|sell)", out), "trades"
    assert "disconnected: spot public" in out
    assert "resubscribed: " in out
    assert re.search(r"^Balances: [1-9]", out, re.M), "the account"
    closing = out[out.index("That was the tour") :]
    assert max(map(len, closing.splitlines())) <= 80
    assert re.search(r"[12] reconnects?, 0 resyncs, 0 lost", err)
    assert len(err.splitlines()) == 1, "what is part of the tour is no warning"


@pytest.mark.parametrize(("columns", "rows"), first((80, 24), (120, 40)), ids=["80x24", "120x40"])
@pytest.mark.parametrize("form", first([], ["--plain"]), ids=["rich", "plain"])
def test_the_tour_fits_into_a_terminal(columns: int, rows: int, form: list[str]) -> None:
    with Terminal("demo", "--seconds", "4", *form, columns=columns, rows=rows) as terminal:
        for number in range(1, len(STEPS) + 1):
            terminal.wait_for(lambda text, number=number: text.startswith(f"{number} of "))  # type: ignore[misc]
        assert terminal.finish() == 0, terminal.errors()
        assert not terminal.screen.wrapped
        assert not terminal.screen.scrolled
        assert "That was the tour" in terminal.text


def test_it_ends_when_interrupted() -> None:
    with Terminal("demo") as terminal:
        terminal.wait_for(lambda text: text.startswith("1 of "))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        assert "0 lost" in terminal.errors()


def test_as_json_it_prints_messages(ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]) -> None:
    looks = itertools.count()  # at the clock, one for each message and a few more
    assert main(["demo", *ending_once(lambda: next(looks) > 20), "--json"]) == 0
    assert capsys.readouterr().out.count('"topic":"/market/ticker:') > 10


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_the_code_of_a_step_runs(step: object, market: KucoinServer) -> None:
    heard = threading.Event()

    def show(*_: object) -> None:
        heard.set()

    made: list[Stream] = []

    def make(on_event: Callable[..., object] | None = None) -> Stream:
        made.append(Stream(**market.stream_options, on_event=on_event))
        return made[-1]

    stream = make()
    world = {"stream": stream, "Stream": make, "topics": topics, "print": show}
    task = Task(exec, step.code, world)  # type: ignore[attr-defined]
    try:
        if step.code.strip() == "stream = Stream(on_event=print)":  # type: ignore[attr-defined]
            task.result()
            made[-1].subscribe("/market/ticker:BTC-USDT", timeout=LIMIT)
        reached(heard, "the code of the step shows nothing")
    finally:
        for each in made:
            each.close()
    task.result()
