"""What counts as interrupted: calls through this package and the world, as packages of these names make them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync.interruption import interrupted

from .support.threads import Task


def through(*packages: str) -> Callable[[], bool]:
    """Return a function that asks through a chain of calls in these packages, the outermost first.

    Behind a bar stands the name of the module, where it matters.
    """
    call: Callable[[], bool] = interrupted
    for package in reversed(packages):
        names = {"__package__": package.partition("|")[0], "__name__": package.partition("|")[2], "call": call}
        exec("def ask(): return call()", names)
        call = names["ask"]  # type: ignore[assignment]
    return call


@pytest.mark.parametrize(
    ("packages", "answer"),
    [
        (("user", "kucoin_sync"), False),
        (("user", "kucoin_sync", "kucoin_sync"), False),
        (("user", "kucoin_sync", "kucoin_sync.recording", "kucoin_sync"), False),
        (("kucoin_sync", "user", "kucoin_sync"), True),
        (("kucoin_sync", "user", "kucoin_sync", "kucoin_sync.recording", "kucoin_sync"), True),
        (("kucoin_sync", "user", "contextlib", "kucoin_sync", "kucoin_sync"), True),
        (("kucoin_sync.cli", "contextlib", "kucoin_sync"), False),
        (("kucoin_sync|__main__", "kucoin_sync.cli", "contextlib", "kucoin_sync"), False),
        (("kucoin_sync_too", "user", "kucoin_sync"), False),
    ],
)
def test_the_package_below_somebody_else_is_what_was_interrupted(packages: tuple[str, ...], answer: bool) -> None:
    assert through(*packages)() is answer


def test_only_the_main_thread_is_interrupted() -> None:
    assert Task(through("kucoin_sync", "user", "kucoin_sync")).result() is False
