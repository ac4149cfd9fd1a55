"""Connect to one of KuCoin's markets step by step, with the code that a `Stream` uses.

A step runs only if the steps before it succeeded. The results contain no secrets.
"""

from __future__ import annotations

import argparse
import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from .. import Credentials, Limits
from ..exceptions import ConnectionFailed, KucoinSyncError, RestError, TokenError
from ..net.dial import Proxy, dial, proxy_for, resolve
from ..net.endpoints import Endpoints, chosen_hosts
from ..net.rest import Rest, default_context
from ..net.rest_response import RATE_CODES
from ..net.waker import Waker
from ..net.websocket import SecretUrl, WebSocketConnection
from ..protocol.classic import CLASSIC
from ..protocol.dialect import Answer, Dialect, Server
from ..protocol.message import UNREADABLE, Arrival
from ..protocol.session import Session
from ..protocol.uta import Uta

if TYPE_CHECKING:
    from ..testing import KucoinServer

__all__ = ["Check", "Route", "State", "Subject", "Wrong", "remedy_of", "rest_of", "subject_of"]

State: TypeAlias = Literal["ok", "note", "wrong", "skipped"]

STEPS = ("proxy", "dns", "tcp", "tls", "clock", "token", "welcome", "ping")
UTA_STEPS = ("proxy", "dns", "tcp", "tls", "welcome", "ping")
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_MAX_CLOCK_ERROR = 5.0
"""Seconds by which a signature's time may differ from KuCoin's; source: KuCoin's documentation, "Authentication"."""


class Check(NamedTuple):
    """The result of one step; `remedy` says how to correct a failure."""

    about: str
    step: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Subject:
    """The settings of an examination.

    Attributes:
        credentials: None takes them from the environment, as a stream does.
        timeout: seconds for each step.
        uta: the UTA feed, with the URLs of its servers.
    """

    endpoints: Endpoints
    credentials: Credentials | None
    timeout: float
    uta: Uta


class Wrong(Exception):
    """A step has failed; the text and the remedy are shown to the user."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.text = text
        self.remedy = remedy


class Route:
    """The connection to one market, as far as the steps have come.

    A connection to the UTA feed needs neither REST nor a token.
    """

    def __init__(self, subject: Subject, market: str, waker: Waker, credentials: Credentials | None = None) -> None:
        self._dialect: Dialect = CLASSIC
        self._server: Server | None = None
        self._names = "KUCOIN_SYNC_FUTURES_REST_URL" if market == "futures" else "--rest-url, KUCOIN_SYNC_REST_URL"
        self._steps: tuple[str, ...] = STEPS
        url = subject.endpoints.of(market)
        if market.startswith("uta"):
            self._dialect = subject.uta
            self._server = subject.uta.servers(market, private=market == "uta")[0]
            self._names = f"KUCOIN_SYNC_UTA_{(market.partition('-')[2] or 'private').upper()}_URL"
            self._steps = (*UTA_STEPS, "login") if market == "uta" and credentials else UTA_STEPS
            url = self._server.endpoint
        parts = urlsplit(url)
        self._credentials = credentials
        self._market = market
        self._timeout = subject.timeout
        self._endpoints = subject.endpoints
        self._waker = waker
        self._scheme = parts.scheme
        self._secure = parts.scheme in ("https", "wss")
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._proxy: Proxy | None = None
        self._transport: WebSocketConnection | None = None
        self.rest = rest_of(subject, waker, lambda: self._context)

    def steps(self) -> Iterator[Check]:
        """Yield a check for each step."""
        try:
            for place, step in enumerate(self._steps, 1):
                try:
                    yield Check(self._market, step, "ok", getattr(self, f"check_{step}")())
                except Wrong as wrong:
                    yield Check(self._market, step, "wrong", wrong.text, wrong.remedy)
                    rest = ", ".join(self._steps[place:])
                    if rest and step != "clock":  # a wrong clock only affects signatures, and those correct it
                        yield Check(self._market, "others", "skipped", f"not tried: {rest}")
                        return
        finally:
            if self._transport is not None:
                self._transport.close()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return default_context()

    def _dial(self, *, through: Proxy | None, context: ssl.SSLContext | None) -> Any:
        return dial(
            self._host, self._port,
            context=context, proxy=through, waker=self._waker, deadline=time.monotonic() + self._timeout,
        )  # fmt: skip

    @property
    def _via(self) -> tuple[str, int]:
        return (self._proxy.host, self._proxy.port) if self._proxy else (self._host, self._port)

    def _proxy_found(self) -> str:
        """Return the environment variables that may name the proxy."""
        return ", ".join(name for name in _PROXY_VARIABLES if os.environ.get(name))

    # The steps, in their order

    def check_proxy(self) -> str:
        try:
            self._proxy = proxy_for(self._host, secure=self._secure, proxy=None)
        except ConnectionFailed as error:
            raise Wrong(str(error), f"Correct or unset {self._proxy_found()}.") from None
        if self._proxy is not None:
            return f"{self._proxy.host}:{self._proxy.port}, from {self._proxy_found() or 'the system'}"
        found = self._proxy_found()
        return f"none for {self._host}, though {found} is set" if found else "none"

    def check_dns(self) -> str:
        host, port = self._via
        began = time.monotonic()
        try:
            addresses = resolve(host, port, self._waker, began + self._timeout)
        except ConnectionFailed as error:
            raise Wrong(
                str(error).partition("; ")[0],
                f"Check that this machine has a network, that the host name is right ({self._names}) and that its DNS "
                "works. If this network needs a proxy, set https_proxy.",
            ) from None
        found = list(dict.fromkeys(str(entry[4][0]) for entry in addresses))
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        return f"{host} is {', '.join(found[:2])}{more} ({_ms(began)})"

    def check_tcp(self) -> str:
        host, port = self._via
        began = time.monotonic()
        try:
            dial(host, port, context=None, proxy=None, waker=self._waker, deadline=began + self._timeout).close()
        except ConnectionFailed as error:
            if self._proxy is not None:
                raise Wrong(
                    f"the proxy {host}:{port} can't be reached: {error}",
                    f"Correct {self._proxy_found()}, start the proxy, or list {self._host} in no_proxy to go without.",
                ) from None
            raise Wrong(
                str(error),
                f"Check that {host}:{port} is right and running, and that no firewall forbids it. Where only a proxy "
                "leads outside, set https_proxy.",
            ) from None
        if self._proxy is None:
            return f"connected to port {port} ({_ms(began)})"
        began = time.monotonic()
        try:
            self._dial(through=self._proxy, context=None).close()
        except ConnectionFailed as error:
            raise Wrong(
                str(error),
                f"Have the proxy allow CONNECT to {self._host}:{self._port} and give its login in "
                f"{self._proxy_found()} ({self._proxy.scheme}://user:password@host:port), or list {self._host} in "
                "no_proxy.",
            ) from None
        return f"connected through the proxy ({_ms(began)})"

    def check_tls(self) -> str:
        if not self._secure:
            return f"not used: the URL is {self._scheme}"
        began = time.monotonic()
        try:
            context = self._context
        except ConnectionFailed as error:
            text, _, remedy = str(error).partition("; ")
            raise Wrong(text, f"{remedy[:1].upper()}{remedy[1:]}.") from None
        try:
            connected = self._dial(through=self._proxy, context=context)
        except ConnectionFailed as error:
            if error.retriable:
                raise Wrong(
                    str(error),
                    "Try another network: something between here and KuCoin allows no TLS, or speaks another protocol.",
                ) from None
            raise Wrong(
                str(error).partition(". If")[0],
                "Something between here and KuCoin re-signs the traffic. If it is your company's proxy or a virus "
                "scanner, set SSL_CERT_FILE to the file of its certificate authority, or pass ssl_context= to Stream. "
                "If you know of none, somebody may be listening: use another network.",
            ) from None
        certificate = connected.sock.getpeercert() or {}
        version = connected.sock.version()
        connected.close()
        issuer = dict(pair for part in certificate.get("issuer", ()) for pair in part)
        by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
        return f"{version}, certificate by {by}, until {certificate.get('notAfter', '?')} ({_ms(began)})"

    def check_clock(self) -> str:
        try:
            self.rest.server_time(self._market)  # the first request also connects; the second measures the clock
            before = time.time()
            theirs = self.rest.server_time(self._market)
            after = time.time()
        except KucoinSyncError as error:
            raise Wrong(f"KuCoin's time could not be read: {error}", remedy_of(error)) from None
        ahead = (before + after) / 2 - theirs
        text = f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} KuCoin's"
        if abs(ahead) > _MAX_CLOCK_ERROR:
            raise Wrong(
                f"this machine's clock is {text}, and KuCoin rejects signatures that differ by more than "
                f"{_MAX_CLOCK_ERROR:g} s",
                "Set this machine's clock, for example with: timedatectl set-ntp true",
            )
        return text

    def check_token(self) -> str:
        try:
            server = self._server = self.rest.servers(CLASSIC, self._market, private=False)[0]
        except KucoinSyncError as error:
            raise Wrong(str(error), remedy_of(error)) from None
        return (
            f"for {urlsplit(server.endpoint).hostname}: ping every {server.ping_interval:g} s, "
            f"pong within {server.ping_timeout:g} s"
        )

    def check_welcome(self) -> str:
        """Open a WebSocket to the first server and wait for its welcome."""
        server = self._server
        assert server is not None
        peer = urlsplit(server.endpoint)
        began = time.monotonic()
        limits = Limits(step_timeout=self._timeout)
        try:
            self._transport = WebSocketConnection.connect(
                SecretUrl(self._dialect.url(server, token_hex(8))),
                waker=self._waker,
                limits=limits,
                context=self._context if peer.scheme == "wss" else None,
                binary=self._dialect.binary,
            )
            session = Session(
                self._dialect, ids=count(1), ping_interval=server.ping_interval, ping_timeout=server.ping_timeout,
                now=time.monotonic(), limits=limits,
            )  # fmt: skip
            while not session.welcomed:
                frames = self._transport.receive(session.next_deadline())
                session.receive(frames, Arrival(0), time.monotonic())
                session.handle_deadline(time.monotonic())
                if session.lost is not None:
                    raise session.lost
        except KucoinSyncError as error:
            raise Wrong(
                str(error),
                f"Have firewall and proxy allow WebSocket connections to {peer.hostname}. If they do, KuCoin may be "
                "busy: try again in a minute.",
            ) from None
        return f"from {peer.hostname} ({_ms(began)})"

    def check_ping(self) -> str:
        """Send a ping message and wait for the pong."""
        assert self._server is not None
        timeout = min(self._timeout, self._server.ping_timeout)
        began = time.monotonic()
        ping = token_hex(8)
        try:
            if self._ask(self._dialect.ping(ping), ping, timeout, ("pong",)) is not None:
                return f"answered ({_ms(began)})"
            reason = f"no pong came within {timeout:g} s"
        except KucoinSyncError as error:
            reason = str(error)
        raise Wrong(
            reason,
            "A stream drops such a connection and connects to another server. If no server answers, something "
            "between here and KuCoin holds small messages back: try another network, or go without the proxy.",
        )

    def check_login(self) -> str:
        """Log in with the API key, as the UTA feed's private connections do."""
        assert self._credentials is not None
        write = self._dialect.login(self._credentials, lambda: int(time.time() * 1000))
        assert write is not None
        login = token_hex(8)
        try:
            answer = self._ask(write(login), login, self._timeout, ("ack", "error"))
        except KucoinSyncError as error:
            raise Wrong(str(error), remedy_of(error)) from None
        if answer is None:
            raise Wrong(f"KuCoin did not answer within {self._timeout:g} s", "Try again in a minute.")
        if answer.kind == "error":
            raise Wrong(
                f"KuCoin refused the login: {answer.reason}",
                "Check the key in KuCoin's API management, and that this machine's clock is right. Private topics of "
                "this feed need an account that KuCoin has moved to its unified account.",
            )
        return "KuCoin accepts the API key"

    def _ask(self, command: bytes, command_id: str, timeout: float, kinds: tuple[str, ...]) -> Answer | None:
        """Send a command; return its answer of one of these kinds, None if there is none in time."""
        assert self._transport is not None
        deadline = time.monotonic() + timeout
        self._transport.send_text(command)
        while (now := time.monotonic()) < deadline:
            for frame in self._transport.receive(deadline, now):
                answer = _answer_to(self._dialect, frame, command_id, kinds)
                if answer is not None:
                    return answer
        return None


def _answer_to(dialect: Dialect, frame: bytes, command_id: str, kinds: tuple[str, ...]) -> Answer | None:
    """Return the answer to a command if a frame is one of these kinds of answers, else None."""
    try:
        answer = dialect.answer(frame)
    except UNREADABLE:
        return None
    return answer if answer.kind in kinds and answer.command_id == command_id else None


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"


def subject_of(options: argparse.Namespace, server: KucoinServer | None, timeout: float) -> Subject:
    """Return the settings of an examination for the command line's options; `server` is the local KuCoin, if any."""
    if server is None:
        endpoints = Endpoints.chosen(options.rest_url, options.futures_rest_url)
        return Subject(endpoints, None, timeout, Uta(chosen_hosts(None, None, None)))
    endpoints = Endpoints.chosen(server.rest_url, server.futures_rest_url)
    urls = server.uta_urls
    hosts = chosen_hosts(urls["uta_spot_url"], urls["uta_futures_url"], urls["uta_private_url"])
    return Subject(endpoints, server.credentials, timeout, Uta(hosts))


def rest_of(
    subject: Subject,
    waker: Waker,
    context: Callable[[], ssl.SSLContext] = default_context,
    credentials: Credentials | None = None,
) -> Rest:
    """Return a REST client with a stream's settings."""
    return Rest(subject.endpoints, waker=waker, credentials=credentials, context=context, timeout=subject.timeout)


def remedy_of(error: KucoinSyncError) -> str:
    """Return the remedy for a REST request that failed."""
    if isinstance(error, RestError) and error.code in RATE_CODES:
        return f"Wait for {error.retry_after or 30:.0f} s: this address has sent too many requests."
    if isinstance(error, RestError | TokenError):
        return (
            "Check that the REST URL is KuCoin's (--rest-url, KUCOIN_SYNC_REST_URL). If it is, KuCoin or something "
            "before it turns this address away: try again later, or from another network."
        )
    return "Try again; if it stays so, try another network."
