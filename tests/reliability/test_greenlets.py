"""Programs whose threads are greenlets, by the patches of gevent and eventlet: all goes on as in others."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
from pathlib import Path

import pytest

from ..support.certificates import authority_pem, server_context
from ..support.children import script
from ..support.selection import first
from ..support.streams import MakeServer
from .feed import CLASSIC, UTA, Feed, publish

PROGRAM = """
    import sys

    import json
    which, url, authority, uta, ETH, BTC = sys.argv[1:]
    if which == "gevent":
        from gevent import monkey
        monkey.patch_all()
    else:
        import eventlet
        eventlet.monkey_patch()

    import ssl, threading, time
    from kucoin_sync import Resubscribed, Stream

    back = threading.Event()

    def say(word):
        print(word, flush=True)

    def numbers(subscription, how, count):
        # No more is sent than is asked for, so that the connection is quiet in between.
        got = []
        say(f"publish {count}")
        if how == "for":
            for message in subscription:
                got.append(message)
                if len(got) == count:
                    break
        elif how == "next":
            got += [next(subscription) for _ in range(count)]
        else:
            got += [subscription.get(timeout=20) for _ in range(count)]
        return [int(message.data["n"]) for message in got]

    def tell(event):
        if isinstance(event, Resubscribed):
            back.set()

    context = ssl.create_default_context(cafile=authority) if url.startswith("https") else None
    urls = {"rest_url": url, "futures_rest_url": url, **json.loads(uta)}
    stream = Stream(**urls, proxy="", ssl_context=context, on_event=tell)
    eth = stream.subscribe(ETH)
    got = []
    for how in ("get", "for", "next"):
        got += numbers(eth, how, 1)
        got += numbers(eth, how, 100)
        for _ in range(20):  # one after the other, as for a consumer who reads the socket itself
            got += numbers(eth, how, 1)

    called = threading.Event()
    stream.subscribe(ETH, callback=lambda message: called.set())
    inline = threading.Event()
    stream.subscribe(ETH, callback=lambda message: inline.set(), inline=True)
    got += numbers(eth, "get", 1)
    assert called.wait(20), "the callback was not called"
    assert inline.wait(20), "the inline callback was not called"

    began = time.monotonic()
    stream.subscribe(BTC)
    if not ETH.startswith("/uta/"):
        with stream.tunnel("bt1") as tunnel:
            tunnel.subscribe(BTC)
        book = stream.book("BTC-USDT")
        book.wait_ready(timeout=20)
    taken = time.monotonic() - began

    threading.Event().wait(3.0)  # quiet, for many pings
    say("quiet")
    sys.stdin.readline()
    got += numbers(eth, "get", 1)

    say("cut")
    assert back.wait(20), "it does not come back after a cut"
    got += numbers(eth, "get", 1)
    waiter = threading.Thread(target=lambda: list(eth))
    waiter.start()
    began = time.monotonic()
    stream.close()
    waiter.join(20)
    assert not waiter.is_alive(), "a loop does not end with the stream"
    closing = time.monotonic() - began
    say(f"over {got == list(range(len(got)))} {taken:.2f} {closing:.2f}")
"""


@pytest.mark.parametrize(
    ("feed", "which", "secure"),
    [
        (CLASSIC, "gevent", False),
        (CLASSIC, "eventlet", False),
        *first(
            (UTA, "gevent", False),
            (UTA, "eventlet", False),
            *itertools.product((CLASSIC, UTA), ("gevent", "eventlet"), [True]),
        ),
    ],
    ids=str,
)
def test_a_program_of_greenlets(make_server: MakeServer, tmp_path: Path, which: str, secure: bool, feed: Feed) -> None:
    if importlib.util.find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    server = make_server(
        tls=server_context() if secure else None, ping_interval=0.4, ping_timeout=2.0, idle_timeout=2.5
    )
    server.set_snapshot("level2_100", "BTC-USDT", {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]})
    authority = tmp_path / "authority.pem"
    authority.write_text(authority_pem())
    sent = 0
    with script(
        PROGRAM, which, server.rest_url, os.fspath(authority), json.dumps(server.uta_urls), feed.eth, feed.btc
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        for line in program.stdout:
            word, *arguments = line.split()
            if word == "publish":
                count = int(arguments[0])
                publish(server, range(sent, sent + count), feed.eth)
                sent += count
            elif word == "quiet":
                assert not server.ended, "it was cut because no ping came"
                print("go on", file=program.stdin, flush=True)
            elif word == "cut":
                server.drop_connections()
            else:
                assert word == "over"
                break
        else:
            raise AssertionError("the program failed")
    in_order, taken, closing = arguments
    assert in_order == "True"
    assert float(taken) < 10, "subscribing took as long as its timeout"
    assert float(closing) < 3, "closing took as long as its timeout"
