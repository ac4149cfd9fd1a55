"""A headless Chromium, spoken to over its DevTools protocol: pages, what is in them, and pictures of them.

It needs the browser alone, neither a driver nor a package for one.
Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from .threads import LIMIT, until

__all__ = ["MISSING", "Chromium", "Tab"]

_BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

#: Why there is no browser to run, "" where there is one.
MISSING = "" if _BROWSER else "there is no chromium on the PATH (Debian: chromium)"

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server",
    "--remote-debugging-port=0",
)  # fmt: skip


class Chromium:
    """A browser that runs for the length of a `with`, with an empty profile in `directory`."""

    def __init__(self, directory: Path, *, width: int = 1200, height: int = 820) -> None:
        self._profile = directory / "profile"
        self._command = [_BROWSER, *_FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        self._log = directory / "chromium.txt"
        self._ids = itertools.count(1)

    def __enter__(self) -> Chromium:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("w"))
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(self._kill)
            port, path = until(self._listening, "Chromium does not listen")
            address = f"ws://127.0.0.1:{port}{path}"
            self._socket = stack.enter_context(
                connect(address, proxy=None, max_size=None, open_timeout=LIMIT, ping_interval=None)
            )
            self._open = stack.pop_all()
        return self

    def _listening(self) -> list[str] | None:
        assert self._process.poll() is None, self._log.read_text()
        try:
            found = (self._profile / "DevToolsActivePort").read_text().split()
        except OSError:
            return None
        return found if len(found) == 2 else None

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Return the browser's answer to a command; what it tells meanwhile is passed over."""
        number = next(self._ids)
        target = {} if session is None else {"sessionId": session}
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **target}))
        while True:
            answer = json.loads(self._socket.recv(timeout=LIMIT))
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, url: str) -> Tab:
        """Open a page in a tab of its own; return when it is loaded."""
        target = self.call("Target.createTarget", url=url)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)

        def loaded() -> bool:
            try:
                return bool(tab.evaluate("location.href != 'about:blank' && document.readyState == 'complete'"))
            except AssertionError:
                return False  # between the two pages there is none that could be asked

        until(loaded, f"{url} was not loaded")
        return tab


class Tab:
    """One page."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self._browser.call("Runtime.evaluate", self._session, expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, what: str = "") -> Any:
        """Return the value of an expression once it is true."""
        return until(lambda: self.evaluate(expression), what or f"{expression} is false")

    def set_media(self, **features: str) -> None:
        """Have the page take a media feature as given, such as `prefers_color_scheme="dark"`."""
        given = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._browser.call("Emulation.setEmulatedMedia", self._session, features=given)

    def save_picture(self, path: Path) -> None:
        """Write what the page looks like to a PNG file."""
        picture = self._browser.call("Page.captureScreenshot", self._session, format="png")
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        """Close the tab, as its user would."""
        self._browser.call("Target.closeTarget", targetId=self._target)
