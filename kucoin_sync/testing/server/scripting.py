"""Plan misbehaviour of the server for a test.

A plan waits for the next subscribe, token request or handshake. Actions on open connections are in `server`. The
server's lock guards the plans. A thread takes a plan before it carries it out, so that a plan counts once even with
many clients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .refusals import Refused, default_text, status_of

__all__ = ["Failure", "HandshakePlan", "Planned", "Scripting"]

_TOKENS = "/api/v1/bullet-*"

Snapshot = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Failure(NamedTuple):
    """The planned answer to a REST request."""

    path: str
    status: int
    code: str
    text: str
    headers: Mapping[str, str]
    body: bytes | None
    delay: float
    hang: bool
    drop: bool


class HandshakePlan(NamedTuple):
    """The planned answer to a WebSocket handshake. `raw` replaces the whole answer; b"" is silence."""

    status: int
    headers: Mapping[str, str]
    body: str
    raw: bytes | None


class Planned:
    """A plan for the next `times` times, or for always."""

    def __init__(self, what: Any, times: int | None) -> None:
        if times is not None and times < 1:
            raise ValueError(f"times counts from 1, not {times}; None is for ever")
        self.what = what
        self.left = times

    def take(self) -> bool:
        """Use the plan once; return whether it is used up."""
        if self.left is not None:
            self.left -= 1
        return self.left == 0


class Scripting:
    """The part of `KucoinServer` that plans misbehaviour."""

    def __init__(self, lock: threading.RLock) -> None:
        self._script_lock = lock  # the server's lock; guards the plans below
        #: Instance servers in connect tokens instead of this server, or None. Missing keys get the usual values.
        self.instance_servers: list[dict[str, Any]] | None = None
        #: "host:port" in connect tokens instead of this server's own, or "".
        self.announced = ""
        self.reset_script()

    def reset_script(self) -> None:
        """Forget every plan and every scripted snapshot."""
        with self._script_lock:
            self.instance_servers = None
            self.announced = ""
            self._failures: list[Planned] = []
            self._handshakes: list[Planned] = []
            self._rejections: list[Planned] = []
            self._silences: list[Planned] = []
            self._acks: list[Planned] = []
            self._snapshots: dict[tuple[str, str], Snapshot] = {}
            self._skips: dict[str, int] = {}
            self._repeats: dict[str, int] = {}
            self._mute_pong = self._mute_ack = False
            #: Seconds of the server's clock by which REST's answers from the exchange are late.
            self.rest_lag = 0.0

    # REST

    def lag_rest(self, seconds: float) -> None:
        """Let REST show trades, candles and accounts of the exchange as they were `seconds` ago, until `clear`.

        The seconds are of the server's clock, see `KucoinServer.advance`. Nothing waits: a later request shows more.
        Snapshots of books, the time and tokens are always current.
        """
        if not seconds >= 0:
            raise ValueError(f"REST lags by seconds from 0 on, not by {seconds!r}")
        self.rest_lag = seconds

    def fail_rest(
        self,
        path: str,
        status: int = 429,
        code: str = "429000",
        text: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        times: int | None = 1,
        delay: float = 0.0,
        hang: bool = False,
        drop: bool = False,
    ) -> None:
        """Answer the next requests for `path` with an error.

        Args:
            path: without the prefix of the futures base URL; "*" matches anything.
            status: the HTTP status; with 200 and the code "200000" the answer is normal, only delayed.
            code, text: of KuCoin's envelope.
            body: replaces the envelope, for example by the HTML of a proxy.
            times: number of requests; None for all until `clear`.
            delay: seconds before the answer.
            hang: never answer. drop: cut the connection instead.
        """
        raw = body.encode() if isinstance(body, str) else body
        failure = Failure(path, status, code, text, headers or {}, raw, delay, hang, drop)
        self._plan(self._failures, failure, times)

    def refuse_token(self, code: str = "400003", text: str = "", *, times: int | None = 1) -> None:
        """Answer the next token requests, public or private, with an error code."""
        self.fail_rest(_TOKENS, status_of(code), code, text, times=times)

    def set_snapshot(self, kind: str, symbol: str, data: Snapshot) -> None:
        """Answer requests for a book with `data`, or with its result if it is a function.

        `kind` is a path or the end of one, as in "level2_100", "depth20", "level2/snapshot", "level3" or
        "orderbook/level2". "obu" is the snapshot that subscribers of `increment@10ms` on the UTA feed get.
        """
        with self._script_lock:
            self._snapshots[kind, symbol] = data

    def endpoint_override(self, url: str) -> None:
        """Let connect tokens name another endpoint from now on."""
        self.instance_servers = [{"endpoint": url, "encrypt": url.startswith("wss:")}]

    def announce(self, host: str, port: int) -> None:
        """Let connect tokens name another address of this server from now on, such as that of a `FaultProxy`."""
        self.announced = f"{host}:{port}"

    # Handshakes

    def hang_handshake(self, *, times: int | None = None) -> None:
        """Accept connections and never answer their WebSocket handshake."""
        self.answer_handshake(b"", times=times)

    def redirect_handshake(self, url: str, *, status: int = 302, times: int | None = None) -> None:
        """Answer WebSocket handshakes with a redirect."""
        self.refuse_handshake(status, headers={"Location": url}, times=times)

    def refuse_handshake(
        self, status: int, body: str = "", *, headers: Mapping[str, str] | None = None, times: int | None = 1
    ) -> None:
        """Answer the next WebSocket handshakes with an HTTP status."""
        self._plan(self._handshakes, HandshakePlan(status, headers or {}, body, None), times)

    def answer_handshake(self, data: bytes, *, times: int | None = 1) -> None:
        """Answer the next WebSocket handshakes with these bytes, then send nothing more."""
        self._plan(self._handshakes, HandshakePlan(0, {}, "", data), times)

    def no_welcome(self, *, times: int | None = None) -> None:
        """Accept connections without a welcome."""
        self._plan(self._silences, None, times)

    # Commands

    def reject_next(
        self,
        code: int = 404,
        text: str | None = None,
        topic: str | None = None,
        times: int = 1,
        *,
        member: str = "message",
    ) -> None:
        """Answer the next subscribe commands (with `topic`: those of this topic) with an error.

        The default `text` is KuCoin's for the code. The UTA feed has no codes, and the text is in a `member` that its
        answers name "message", "reason" or "msg".
        """
        self._plan(self._rejections, (code, text, topic, member), times)

    def withhold_acks(self, n: int = 1) -> None:
        """Carry out the next `n` commands but confirm none of them."""
        self._plan(self._acks, 0, n)

    def duplicate_acks(self, n: int = 1) -> None:
        """Confirm each of the next `n` commands twice."""
        self._plan(self._acks, 2, n)

    def mute(self, pong: bool = True, ack: bool = False) -> None:
        """Answer no pings from now on, and with `ack` confirm no commands."""
        self._mute_pong, self._mute_ack = pong, ack

    def unmute(self) -> None:
        """Answer pings and commands again."""
        self._mute_pong = self._mute_ack = False

    def skip_sequence(self, topic: str, n: int = 1) -> None:
        """Drop the next `n` pushes of a topic, given by the name in the push."""
        with self._script_lock:
            self._skips[topic] = self._skips.get(topic, 0) + n

    def repeat_sequence(self, topic: str, n: int = 1) -> None:
        """Send each of the next `n` pushes of a topic, given by the name in the push, twice."""
        with self._script_lock:
            self._repeats[topic] = self._repeats.get(topic, 0) + n

    # For the rest of the server

    def take_failure(self, path: str) -> Failure | None:
        """Return the planned answer to a REST request, or None."""
        failure: Failure | None = self._take(self._failures, lambda what: fnmatchcase(path, what.path))
        return failure

    def take_handshake(self) -> HandshakePlan | None:
        """Return the planned answer to a handshake, or None."""
        plan: HandshakePlan | None = self._take(self._handshakes)
        return plan

    def take_silence(self) -> bool:
        """Return whether to omit the welcome."""
        with self._script_lock:
            planned = bool(self._silences)
            self._take(self._silences)
            return planned

    def take_rejection(self, topic: object, singles: tuple[str, ...], default: str | None = None) -> Refused | None:
        """Return the planned error for a subscribe command, or None; `default` is the text of one without a text."""
        found = self._take(self._rejections, lambda what: what[2] in (None, topic, *singles))
        if found is None:
            return None
        code, text, _, member = found
        if text is None:
            text = default_text(code, str(topic)) if default is None else default
        return Refused(code, text, member)

    def take_acks(self) -> int:
        """Return the number of confirmations for a command."""
        if self._mute_ack:
            return 0
        copies: int | None = self._take(self._acks)
        return 1 if copies is None else copies

    def answers_pings(self) -> bool:
        """Return whether to answer pings."""
        return not self._mute_pong

    def skips(self, topic: str) -> bool:
        """Return whether to drop this push."""
        # The usual case is checked first, because this is asked for each push.
        return bool(self._skips) and self._take_one(self._skips, topic)

    def repeats(self, topic: str) -> bool:
        """Return whether to send this push twice."""
        return bool(self._repeats) and self._take_one(self._repeats, topic)

    def _take_one(self, counts: dict[str, int], topic: str) -> bool:
        with self._script_lock:
            left = counts.get(topic, 0)
            if not left:
                return False
            if left == 1:
                del counts[topic]
            else:
                counts[topic] = left - 1
            return True

    def snapshot(self, path: str, symbol: str) -> Mapping[str, Any] | None:
        """Return the scripted answer to a request for a book, or None."""
        with self._script_lock:
            kinds = [kind for kind, name in self._snapshots if name == symbol and _is_kind(kind, path)]
            found = self._snapshots[max(kinds, key=len), symbol] if kinds else None
        return found() if callable(found) else found

    def _plan(self, plans: list[Planned], what: Any, times: int | None) -> None:
        planned = Planned(what, times)
        with self._script_lock:
            plans.append(planned)

    def _take(self, plans: list[Planned], fits: Callable[[Any], bool] = lambda what: True) -> Any:
        with self._script_lock:
            for planned in plans:
                if fits(planned.what):
                    if planned.take():
                        plans.remove(planned)
                    return planned.what
        return None


def _is_kind(kind: str, path: str) -> bool:
    return path == kind or path.endswith(f"/{kind}")
