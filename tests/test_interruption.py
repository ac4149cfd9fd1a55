"""What counts as interrupted: calls through this package and the world, as modules of these names make them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync.interruption import interrupted

from .support.threads import Task


def through(*modules: str) -> Callable[[], bool]:
    """Return a function that asks through a chain of calls by functions of these modules, the outermost first."""
    call: Callable[[], bool] = interrupted
    for module in reversed(modules):
        names = {"__name__": module, "call": call}
        exec("def ask(): return call()", names)
        call = names["ask"]  # type: ignore[assignment]
    return call


@pytest.mark.parametrize(
    ("modules", "answer"),
    [
        (("user", "kucoin_sync.client"), False),
        (("user", "kucoin_sync.client", "kucoin_sync.client"), False),
        (("kucoin_sync.inbox", "user", "kucoin_sync.client"), True),
        (("kucoin_sync.inbox", "user", "contextlib", "kucoin_sync.client", "kucoin_sync.client"), True),
        (("kucoin_sync.cli.main", "contextlib", "kucoin_sync.client"), False),
        (("kucoin_sync_too", "user", "kucoin_sync.client"), False),
    ],
)
def test_the_package_below_somebody_else_is_what_was_interrupted(modules: tuple[str, ...], answer: bool) -> None:
    assert through(*modules)() is answer


def test_only_the_main_thread_is_interrupted() -> None:
    assert Task(through("kucoin_sync.turns", "user", "kucoin_sync.client")).result() is False
