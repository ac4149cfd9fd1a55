"""Run every scenario, all beside each other, as they mostly wait; print what each has seen."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import trustme

PEERS = {"python-kucoin": "python_kucoin", "kucoin-universal-sdk": "universal_sdk"}
LIMIT = 240


def scenarios(module: str) -> dict[str, Callable[[], str]]:
    """Return the scenarios of a peer by name."""
    found: dict[str, Callable[[], str]] = importlib.import_module(f"{__package__}.{module}").SCENARIOS
    return found


def main() -> None:
    """Print a line for each scenario."""
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(Path(folder) / "authority.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(Path(folder) / "server.pem"))
        trusted = str(Path(folder) / "authority.pem")
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted, "no_proxy": "*"}
        environment["KUCOIN_PEERS_CERTIFICATE"] = str(Path(folder) / "server.pem")
        running = {
            (peer, name): subprocess.Popen(
                [sys.executable, "-m", __package__ or "", module, name],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for peer, module in PEERS.items()
            for name in scenarios(module)
        }  # fmt: skip
        for (peer, name), process in running.items():
            try:
                seen = process.communicate(timeout=LIMIT)[0].strip() or f"failed with exit code {process.returncode}"
            except subprocess.TimeoutExpired:
                process.kill()
                seen = f"not over after {LIMIT} s"
            print(f"{peer} {version(peer)}, {name.replace('_', ' ')}: {seen}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(scenarios(sys.argv[1])[sys.argv[2]](), flush=True)
        os._exit(0)  # past the threads that never end
    main()
