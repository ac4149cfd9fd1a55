"""`kucoin-sync relay`: publish the feed through Redis to any number of readers."""

from __future__ import annotations

import argparse
import os

from ..exceptions import ConnectionFailed
from .feed import open_feed
from .output import Output

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Publish KuCoin's feed through Redis until Ctrl-C: the topics of --topic, and the topics that readers
(RelayStream("redis://…")) subscribe. Of several relays one is active, and another takes over when it dies."""
EXAMPLES = """\
examples:
  kucoin-sync relay --redis redis://localhost --topic /market/ticker:BTC-USDT"""

_VARIABLE = "KUCOIN_SYNC_REDIS_URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--redis",
        metavar="URL",
        help=f"such as redis://user:password@host:6379/0, rediss:// for TLS (default: {_VARIABLE}, where the password "
        "does not show in the list of processes)",
    )
    parser.add_argument(
        "--redis-ca", metavar="PATH", help="certificates of the private authority that signed Redis's certificate"
    )
    parser.add_argument(
        "--topic", action="append", default=[], metavar="TOPIC", help="a topic to publish always; may be repeated"
    )
    parser.add_argument("--private", action="store_true", help="publish private topics, too, to all readers")
    parser.add_argument("--namespace", metavar="NAME", help="the readers' namespace (default: kucoin-sync)")


def run(options: argparse.Namespace, output: Output) -> int:
    """Relay until Ctrl-C."""
    url = options.redis or os.environ.get(_VARIABLE)
    if not url:
        raise ConnectionFailed(
            f"no Redis was named: use --redis redis://host:6379, or set {_VARIABLE}", retriable=False
        )
    try:
        from ..relay.command import run_relay  # only this command needs it
    except ImportError as error:
        raise ConnectionFailed(str(error), retriable=False) from None

    more = {} if options.namespace is None else {"namespace": options.namespace}
    with open_feed(options, output, []) as feed:
        run_relay(
            feed.stream,
            url,
            lambda text: output.aside.say(f"kucoin-sync: {text}"),
            topics=options.topic,
            private=options.private,
            ca_certs=options.redis_ca,
            **more,
        )
    return 0
