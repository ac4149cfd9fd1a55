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
from types import ModuleType
from typing import NamedTuple

from .. import __version__
from . import output

__all__ = ["COMMANDS", "CliCommand", "parser_for"]


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
    CliCommand("trades", "the trades as they happen"),
    CliCommand("candles", "a chart of candles"),
    CliCommand("record", "record messages, to replay them later"),
    CliCommand("replay", "print a recording"),
    CliCommand("export", "write a table of a recording"),
    CliCommand("relay", "publish the feed through Redis to any number of readers"),
    CliCommand("topics", "every topic, its function and its payload", document=True),
    CliCommand("demo", "a tour on a local KuCoin", document=True),
    CliCommand("doctor", "check the connection to KuCoin step by step"),
    CliCommand("completions", "a script for the shell that completes these commands", document=True),
)


def parser_for(name: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command line, with the options of the command `name` (None: of no command).

    The modules of other commands are not imported.
    """
    parser = argparse.ArgumentParser(
        prog="kucoin-sync",
        description="KuCoin's WebSocket feeds in the terminal.",
        epilog="No network? Add --demo to any command: it runs on a local KuCoin that comes with this package.",
    )
    parser.add_argument("--version", action="version", version=f"kucoin-sync {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        if command.name != name:
            commands.add_parser(command.name, help=command.about)
            continue
        module = command.load()
        own = commands.add_parser(
            command.name,
            help=command.about,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(own)
        _add_common(own)
        own.set_defaults(command=command, run=module.run)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("with every command")
    common.add_argument("--demo", action="store_true", help="use a local KuCoin with a simulated market; no network")
    common.add_argument("--rest-url", metavar="URL", help="REST base URL of spot (default: KuCoin's)")
    common.add_argument("--futures-rest-url", metavar="URL", help="REST base URL of futures (default: KuCoin's)")
    common.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more to standard error; twice: everything"
    )
    output.add_options(common)
