"""The keys of a Windows console; those of other terminals are pressed in `end_to_end/test_cli_keys.py`."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest

from kucoin_sync.cli.keys import PressedKeys


class Console(ModuleType):
    """What `msvcrt` has of a console."""

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.codes = ""
        self.looks = 0

    def kbhit(self) -> bool:
        self.looks += 1
        return bool(self.codes)

    def getwch(self) -> str:
        code, self.codes = self.codes[0], self.codes[1:]
        return code


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    console, keyboard = Console(), io.StringIO()
    keyboard.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "stdin", keyboard)
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    return console


@pytest.mark.parametrize(
    ("codes", "keys"), [("q", "q"), ("ps", "ps"), ("\xe0Hq", "q"), ("\0;", ""), ("\xe0K\xe0M", "")]
)
def test_keys_are_read_without_arrows_and_function_keys(console: Console, codes: str, keys: str) -> None:
    with PressedKeys(wanted=True) as pressed:
        console.codes = codes
        assert pressed.wait(30.0) == keys


def test_a_wait_without_a_key_ends_in_time(console: Console) -> None:
    with PressedKeys(wanted=True) as pressed:
        assert pressed.wait(0.11) == ""
        assert console.looks >= 3


@pytest.mark.parametrize("wanted", [True, False])
def test_there_are_keys_in_a_console_where_they_are_wanted(
    console: Console, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PressedKeys(wanted=wanted) as pressed:
        assert pressed.on is wanted
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with PressedKeys(wanted=True) as pressed:
        assert not pressed.on
