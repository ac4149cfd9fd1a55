"""Actions: calls that are all made, also if a signal handler raises in between.

Those that may call out are decided under the stream's lock and run after its release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..internal.guard import guarded

__all__ = ["Action", "run"]

Action = Callable[[], None]


def run(actions: Iterable[Action]) -> None:
    """Call each action. If a signal handler raises in between, call the rest before the error propagates.

    The interrupted action is called again; each action allows that.
    """
    left = list(actions)
    try:
        while left:
            left[0]()
            del left[0]
    except BaseException:
        for action in left:
            with guarded("a connection could not be told what to do"):
                action()
        raise
