"""A local KuCoin that stays, for other programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from kucoin_sync.cli import main

from ..support.processes import HEAR


def test_another_program_needs_the_printed_environment_only() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KUCOIN_")}
    run = [sys.executable, "-m", "kucoin_sync"]
    with subprocess.Popen(
        [*run, "serve", "BTC-USDT", "FOO-USDT"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean, preexec_fn=HEAR,
    ) as server, ExitStack() as stack:  # fmt: skip
        stack.callback(server.kill)  # also where an assertion fails; else the `with` would wait for its end
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(8)]
        environment = dict(text.removeprefix("export ").strip().split("=", 1) for text in lines)
        read = subprocess.run(
            [*run, "watch", "FOO-USDT", "--topic", "/account/balance", "--count", "3"],
            capture_output=True, text=True, env={**clean, **environment}, timeout=60, check=True,
        )  # fmt: skip
        uta = subprocess.run(
            [*run, "book", "BTC-USDT", "--feed", "uta", "--count", "1"],
            capture_output=True, text=True, env={**clean, **environment}, timeout=60, check=True,
        )  # fmt: skip
        server.send_signal(signal.SIGINT)
        rest, err = server.communicate(timeout=60)
    assert server.returncode == 0
    assert len(read.stdout.splitlines()) == 3
    assert json.loads(uta.stdout)["symbol"] == "BTC-USDT"
    assert rest == ""
    url = environment["KUCOIN_SYNC_REST_URL"]
    assert err == f"kucoin-sync: a local KuCoin trades BTC-USDT, FOO-USDT at {url} until Ctrl-C\n"


def test_the_environment_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--json", "--seconds", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["KUCOIN_SYNC_UTA_SPOT_URL"].startswith("ws://127.0.0.1:")
    assert "trades BTC-USDT, ETH-USDT, " in err


def test_a_port_that_is_taken_and_a_market_that_can_not_be_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port]) == 1
    assert f"port {port} can't be used: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["serve", "--port", "70000"])
    assert "argument --port: is a number from 1 to 65535" in capsys.readouterr().err
    assert main(["serve", "XBTUSDM"]) == 2
    assert "the local KuCoin has no such market: 'XBTUSDM'" in capsys.readouterr().err
