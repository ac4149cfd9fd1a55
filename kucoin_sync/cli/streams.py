"""The stream that a command works with: KuCoin's, or that of a local KuCoin under `--demo`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator

from .. import Stream
from ..events import Event

__all__ = ["open_stream"]


@contextlib.contextmanager
def open_stream(options: argparse.Namespace, symbols: Iterable[str]) -> Iterator[Stream]:
    """Yield the stream that the command line asks for; its events of note go to standard error."""
    if not options.demo:
        with Stream(rest_url=options.rest_url, futures_rest_url=options.futures_rest_url, on_event=_say) as stream:
            yield stream
        return
    from ..testing import local_kucoin  # only the demo needs it

    with local_kucoin(*symbols) as server, Stream(**server.stream_options, on_event=_say) as stream:
        yield stream


def _say(event: Event) -> None:
    if event.level >= logging.WARNING:
        print(f"kucoin-sync: {event}", file=sys.stderr, flush=True)
