"""The command `kucoin-sync`.

Exit codes: 0 for success, Ctrl-C and SIGTERM; 1 for an error of KuCoin, of the network or of a check; 2 for a wrong
command line. SIGHUP of a closed terminal ends a command as SIGTERM does, unless it is ignored. Results go to standard
output, remarks about them to standard error.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from ..exceptions import InvalidTopic, KucoinSyncError
from .output import Output
from .registry import read
from .suggestions import hint_for

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = read(arguments)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(signal.SIGHUP, _terminate)
    except ValueError:
        pass  # signal handlers can only be set on the main thread
    output = Output(
        json=options.json,
        plain=options.plain,
        document=options.command.document,
        colour_blind=options.colour_blind,
    )
    if options.verbose:
        level = logging.DEBUG if options.verbose > 1 else logging.INFO
        logging.basicConfig(level=level, stream=output.aside, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    else:
        logging.getLogger("kucoin_sync").addHandler(logging.NullHandler())  # events are printed by the feed
    try:
        code: int = options.run(options, output)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        _discard_output()  # its reader has closed it
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _discard_output()
        print(f"kucoin-sync: the output can't be written: {error.strerror}", file=sys.stderr)
        return 1
    except KucoinSyncError as error:
        if options.verbose:
            traceback.print_exception(error)
        if not output.aside.has_said(str(error)):  # an event may have told it
            print(f"kucoin-sync: {error}", file=sys.stderr)
        symbols = getattr(options, "symbols", None) or [getattr(options, "symbol", "")]
        if hint := hint_for(error, symbols, [*getattr(options, "topic", []), *getattr(options, "topics", [])]):
            print(f"kucoin-sync: {hint}", file=sys.stderr)
        if isinstance(error, InvalidTopic):
            return 2
        if error.retriable and not options.demo:
            print(
                "kucoin-sync doctor finds out why. Without a network, --demo does the same on a local KuCoin.",
                file=sys.stderr,
            )
        return 1


def _discard_output() -> None:
    """Write to nowhere from now on. Without this, Python would fail at exit to flush its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
