"""Code that the examples share: the options `--demo` and `--seconds`, and a clean end on Ctrl-C.

An example passes its `main` to `run_example`:

    def main(options: argparse.Namespace) -> None:
        with Stream() as stream:
            ...

    if __name__ == "__main__":
        run_example(main, example_parser(__doc__).parse_args(), "BTC-USDT")
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from kucoin_sync import KucoinSyncError
from kucoin_sync.testing import KucoinServer, local_kucoin

__all__ = ["example_parser", "run_example"]


def example_parser(about: str | None, *, seconds: float | None = 3.0) -> argparse.ArgumentParser:
    """Return a parser with the option `--demo`, and with `--seconds` unless its default is None."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run on a local KuCoin with a simulated market")
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help=f"end after so many seconds (default: {seconds:g})"
        )
    return parser


def run_example(
    main: Callable[[argparse.Namespace], object], options: argparse.Namespace, *symbols: str, **market: Any
) -> None:
    """Run `main`; with `--demo`, run it on a local KuCoin that trades `symbols`. Ctrl-C ends it without a traceback.

    `market` holds further arguments of `local_kucoin`. `options.server` is that KuCoin, None without `--demo`. An error
    of this package ends the program with its message.
    """
    try:
        with _local(*symbols, **market) if options.demo else contextlib.nullcontext() as options.server:
            main(options)
    except KeyboardInterrupt:
        pass  # the user ended the example
    except KucoinSyncError as error:
        hint = "" if options.demo else "\nWithout a network, --demo does the same on a local KuCoin."
        sys.exit(f"{error}{hint}")


@contextlib.contextmanager
def _local(*symbols: str, **market: Any) -> Iterator[KucoinServer]:
    """Run a local KuCoin and point the environment to it, for this process and its children."""
    with local_kucoin(*symbols, **market) as server:
        local = {
            "KUCOIN_SYNC_REST_URL": server.rest_url,
            "KUCOIN_SYNC_FUTURES_REST_URL": server.futures_rest_url,
            **{f"KUCOIN_SYNC_{name.upper()}": url for name, url in server.uta_urls.items()},
            "KUCOIN_SYNC_REDIS_URL": "",
            "KUCOIN_API_KEY": server.KEY,
            "KUCOIN_API_SECRET": server.SECRET,
            "KUCOIN_API_PASSPHRASE": server.PASSPHRASE,
        }
        before = {name: os.environ.get(name) for name in local}
        os.environ.update(local)
        try:
            yield server
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
