"""`kucoin-sync serve`: a local KuCoin for other programs, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING

from ..exceptions import ConnectionFailed, InvalidTopic
from .feed import Deadline
from .live import wait_for
from .numbers import positive_float
from .output import Output
from .wanted import symbols_in

if TYPE_CHECKING:
    from ..testing import KucoinServer

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Run a local KuCoin with a simulated market until Ctrl-C, and print the environment that points other programs to it:
this package's, in any terminal, need no change and no network."""
EXAMPLES = """\
examples:
  kucoin-sync serve
  kucoin-sync serve BTC-USDT XBTUSDTM --port 8080 > kucoin.env      # elsewhere: . ./kucoin.env"""

_SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "KCS-USDT", "KCS-BTC", "ETH-BTC", "XBTUSDTM", "ETHUSDTM")
_RATE = 50.0
_LONG = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help=f"the symbols that are traded (default: {' '.join(_SYMBOLS)})"
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="the port (default: a free one)")
    parser.add_argument(
        "--rate",
        type=positive_float,
        default=_RATE,
        metavar="N",
        help=f"actions a second on each symbol (default: {_RATE:g})",
    )
    parser.add_argument("--seconds", type=positive_float, metavar="S", help="end after S seconds")


def run(options: argparse.Namespace, output: Output) -> int:
    """Serve until Ctrl-C."""
    from ..testing import local_kucoin  # other commands do not need it

    symbols = symbols_in(options.symbols) or list(_SYMBOLS)
    with contextlib.ExitStack() as stack:
        try:
            market = local_kucoin(*symbols, rate=options.rate * len(symbols), port=options.port)
            server = stack.enter_context(market)
        except ValueError as error:
            raise InvalidTopic(f"the local KuCoin has no such market: {error}") from None
        except OSError as error:
            raise ConnectionFailed(f"port {options.port} can't be used: {error}", retriable=False) from None
        environment = _environment(server)
        if output.records:
            output.record(environment)
        else:
            assign = "set" if os.name == "nt" else "export"
            print("".join(f"{assign} {name}={value}\n" for name, value in environment.items()), end="", flush=True)
        output.aside.say(f"kucoin-sync: a local KuCoin trades {', '.join(symbols)} at {server.rest_url} until Ctrl-C")
        deadline = Deadline(options.seconds)
        while wait := deadline.left(_LONG):
            wait_for(wait)
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError("is a number from 1 to 65535")
    return port


def _environment(server: KucoinServer) -> dict[str, str]:
    """Return the variables that a `Stream` reads, with the key of the server's account."""
    urls = {"rest_url": server.rest_url, "futures_rest_url": server.futures_rest_url, **server.uta_urls}
    return {
        **{f"KUCOIN_SYNC_{name.upper()}": url for name, url in urls.items()},
        "KUCOIN_API_KEY": server.KEY,
        "KUCOIN_API_SECRET": server.SECRET,
        "KUCOIN_API_PASSPHRASE": server.PASSPHRASE,
    }
