"""A link that goes down under an open connection: no FIN, no RST, nothing. In network namespaces of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from ..support.children import script
from .feed import Feed, at_best

INTERVAL, TIMEOUT = 2.0, 0.3
#: A namespace of its own, with or without being root.
ISOLATED = (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"])

SERVER = """
    import sys
    from kucoin_sync.testing import KucoinServer

    with KucoinServer(host="0.0.0.0", ping_interval=2.0, ping_timeout=0.3) as server:
        server.announce("192.0.2.2", server.address[1])
        print(server.address[1], flush=True)
        for line in sys.stdin:
            for topic in ("/market/ticker:ETH-USDT", "/uta/ticker.SPOT:ETH-USDT"):
                server.publish(topic, {"s": "ETH-USDT", "n": line.strip()})
"""
CLIENT = """
    import json, subprocess, sys, textwrap, threading, time
    from kucoin_sync import Disconnected, Resubscribed, Stream

    def run(*command):
        subprocess.run(command, check=True)

    def there(*command):
        run("nsenter", "--target", str(server.pid), "--net", *command)

    server = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", textwrap.dedent(sys.argv[1])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        port = server.stdout.readline().strip()
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
        run("ip", "link", "set", "there", "netns", str(server.pid))
        run("ip", "address", "add", "192.0.2.1/30", "dev", "here")
        run("ip", "link", "set", "here", "up")
        there("ip", "address", "add", "192.0.2.2/30", "dev", "there")
        there("ip", "link", "set", "there", "up")

        lost, back = threading.Event(), threading.Event()

        def tell(event):
            if isinstance(event, Disconnected):
                print(event, file=sys.stderr)
                lost.set()
            elif isinstance(event, Resubscribed):
                back.set()

        options = json.loads(sys.argv[2].replace("PORT", port))
        with Stream(**options, proxy="", on_event=tell) as stream:
            subscription = stream.subscribe(sys.argv[3])
            print("1", file=server.stdin, flush=True)
            assert subscription.get(timeout=10).data["n"] == "1"
            there("ip", "link", "set", "there", "down")
            began = time.monotonic()
            assert lost.wait(20)
            taken = time.monotonic() - began
            there("ip", "link", "set", "there", "up")
            assert back.wait(20)
            print("2", file=server.stdin, flush=True)
            assert subscription.get(timeout=10).data["n"] == "2"
        print(taken, flush=True)
    finally:
        server.kill()
        server.wait()
"""


def isolation() -> list[str]:
    """Return the command that runs another one in a network namespace; skip the test where there is none."""
    if not sys.platform.startswith("linux"):
        pytest.skip("network namespaces are Linux's")
    for name in ("unshare", "nsenter", "ip"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    for command in ISOLATED:
        probe = [*command, "ip", "link", "add", "here", "type", "veth", "peer", "name", "there"]
        if subprocess.run(probe, capture_output=True).returncode == 0:
            return command
    pytest.skip("this user may not make network namespaces with links between them")


def test_a_link_that_is_down_is_noticed_within_interval_and_timeout_and_the_stream_comes_back_when_it_is_up(
    feed: Feed,
) -> None:
    command = isolation()
    options = {"uta_spot_url": "ws://192.0.2.2:PORT/uta/spot"} if feed.is_uta else {"rest_url": "http://192.0.2.2:PORT"}

    def seconds() -> float:
        with script(CLIENT, SERVER, json.dumps(options), feed.eth, inside=command) as process:
            said, _ = process.communicate(timeout=50)
            assert process.returncode == 0
            return float(said)

    limit = INTERVAL + TIMEOUT + 0.2  # and what a machine takes to notice
    assert at_best(limit, seconds, tries=3) <= limit
