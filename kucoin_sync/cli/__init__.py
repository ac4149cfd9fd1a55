"""The command `kucoin-sync`.

Exit codes: 0 for success and for Ctrl-C, 1 where KuCoin or the network refused, 2 for a wrong command line.
Messages go to standard output, what is said about them to standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from .. import __version__
from ..exceptions import InvalidTopic, KucoinSyncError
from . import book, topics, watch

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verbose:
        logging.basicConfig(level=logging.DEBUG if options.verbose > 1 else logging.INFO, stream=sys.stderr)
    else:
        logging.getLogger("kucoin_sync").addHandler(logging.NullHandler())  # events are printed by the commands
    try:
        signal.signal(signal.SIGTERM, _terminate)
    except ValueError:
        pass  # not on the main thread: whoever runs us there ends us otherwise
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain at exit about what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except InvalidTopic as error:
        print(f"kucoin-sync: {error}", file=sys.stderr)
        return 2
    except KucoinSyncError as error:
        if options.verbose:
            logging.getLogger("kucoin_sync").exception("the command failed")
        print(f"kucoin-sync: {error}", file=sys.stderr)
        if error.retriable and not getattr(options, "demo", True):
            print("Without a network, --demo does the same on a local KuCoin.", file=sys.stderr)
        return 1


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kucoin-sync",
        description="KuCoin's WebSocket feeds in the terminal.",
        epilog="No network? Add --demo to any command: it runs on a local KuCoin that comes with this package.",
    )
    parser.add_argument("--version", action="version", version=f"kucoin-sync {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--demo", action="store_true", help="use a local KuCoin with a simulated market; no network")
    common.add_argument("--rest-url", metavar="URL", help="REST base URL of spot (default: KuCoin's)")
    common.add_argument("--futures-rest-url", metavar="URL", help="REST base URL of futures (default: KuCoin's)")
    common.add_argument("-v", "--verbose", action="count", default=0, help="say more on standard error; twice: all")
    watch.add_to(commands, [common])
    book.add_to(commands, [common])
    topics.add_to(commands, [common])
    return parser
