"""The table of commands. Each command has a row here and a module, which is imported when the command runs.

A command's module has

- `add_arguments(parser)`: add its own options to those of `_common`;
- `run(options, output) -> int`: run the command and return the exit code. It may raise this package's errors and
  KeyboardInterrupt;
- its docstring's first line, `DESCRIPTION` and `EXAMPLES` for `--help`.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple, NoReturn

from .. import __version__
from . import output
from .layout import wrapped
from .suggestions import did_you_mean

__all__ = ["COMMANDS", "CliCommand", "CommandParser", "parser_for", "read"]


class CliCommand(NamedTuple):
    """A command.

    Attributes:
        about: a short description.
        document: whether it prints a document rather than records; see `output`.
        module: the name of its module, if it differs from the command's.
    """

    name: str
    about: str
    document: bool = False
    module: str = ""

    def load(self) -> ModuleType:
        """Import its module."""
        return importlib.import_module(f".{self.module or self.name}", __package__)


COMMANDS = (
    CliCommand("watch", "a live table of tickers, or the messages of any topic"),
    CliCommand("book", "a live order book: the ladder, or the queue of each price"),
    CliCommand("account", "the account of your API key: balances, open orders, positions, fills"),
    CliCommand("trades", "the trades as they happen"),
    CliCommand("candles", "a chart of candles"),
    CliCommand("record", "record messages, to replay them later"),
    CliCommand("replay", "print a recording"),
    CliCommand("export", "write a table of a recording"),
    CliCommand("relay", "publish the feed through Redis to any number of readers"),
    CliCommand("topics", "every topic, its function and its payload", document=True),
    CliCommand("serve", "a local KuCoin for other programs", document=True),
    CliCommand("demo", "a tour on a local KuCoin", document=True),
    CliCommand("doctor", "check the connection to KuCoin step by step"),
    CliCommand("verify", "find out whether KuCoin is as this package believes"),
    CliCommand("completions", "a script for the shell that completes these commands", document=True),
)


_PROGRAM = "kucoin-sync"
_WITH_EVERY = "with every command"
_MORE = "Options that every command takes (--demo, --json, --plain and others): kucoin-sync --help"


class CommandParser(argparse.ArgumentParser):
    """A parser whose help leaves out the options of every command, and whose errors name what may have been meant."""

    def format_usage(self) -> str:
        with _Hidden(self):
            return super().format_usage()

    def format_help(self) -> str:
        with _Hidden(self):
            return super().format_help()

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
        hint = did_you_mean(wrong[1], re.findall(r"[\w.-]+", wrong[2])) if wrong else ""
        if "arguments are required" in message:
            hint = f"{self.prog} --help {'lists the commands' if self.prog == _PROGRAM else 'has examples'}"
        super().error(f"{message}; {hint}" if hint else message)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Report arguments that the command does not take, and exit."""
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        asked = [did_you_mean(word.partition("=")[0], known) for word in unknown if word.startswith("-")]
        self.error("; ".join(filter(None, [f"unrecognized arguments: {' '.join(unknown)}", *asked])))


class _Hidden:
    """Hides the options of every command, except from the parser of no command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        groups = [group for group in parser._action_groups if group.title == _WITH_EVERY and parser.prog != _PROGRAM]
        self._parser, self._exclusive = parser, parser._mutually_exclusive_groups
        self._actions = [(action, action.help) for group in groups for action in group._group_actions]

    def __enter__(self) -> None:
        if self._actions:
            self._parser._mutually_exclusive_groups = []  # it would leave a gap in the usage
        for action, _ in self._actions:
            action.help = argparse.SUPPRESS

    def __exit__(self, *_: object) -> None:
        self._parser._mutually_exclusive_groups = self._exclusive
        for action, about in self._actions:
            action.help = about


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; print what is wrong with it, and exit with 2, if something is."""
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    if named in {command.name for command in COMMANDS}:  # --demo may stand before the command, too
        place = list(arguments).index(named)
        own = [argument for argument in arguments[:place] if argument != "--version"]
        arguments = [*arguments[: place - len(own)], named, *own, *arguments[place + 1 :]]
    options, unknown = parser_for(named).parse_known_args(arguments)
    if unknown:
        options.parser.refuse(unknown)
    return options


def parser_for(name: str | None) -> CommandParser:
    """Return the parser of the command line, with the options of the command `name` (None: of no command).

    The modules of other commands are not imported.
    """
    parser = CommandParser(
        prog=_PROGRAM,
        description="KuCoin's WebSocket feeds in the terminal.",
        epilog="No network? Add --demo to any command: it runs on a local KuCoin that comes with this package.",
    )
    parser.add_argument("--version", action="version", version=f"kucoin-sync {__version__}")
    width = max(20, shutil.get_terminal_size().columns - 2)  # as argparse does
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    if name is None:
        _add_common(parser)
    for command in COMMANDS:
        if command.name != name:
            commands.add_parser(command.name, help=command.about)
            continue
        module = command.load()
        own = commands.add_parser(
            command.name,
            help=command.about,
            description="\n".join(wrapped(module.DESCRIPTION, width)),
            epilog="\n".join([module.EXAMPLES, "", *wrapped(_MORE, width)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(own)
        _add_common(own)
        own.set_defaults(command=command, run=module.run, parser=own)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group(_WITH_EVERY)
    common.add_argument("--demo", action="store_true", help="use a local KuCoin with a simulated market; no network")
    common.add_argument("--rest-url", metavar="URL", help="REST base URL of spot (default: KuCoin's)")
    common.add_argument("--futures-rest-url", metavar="URL", help="REST base URL of futures (default: KuCoin's)")
    common.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more to standard error; twice: everything"
    )
    output.add_options(common)
