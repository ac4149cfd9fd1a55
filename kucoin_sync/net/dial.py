"""Connect to a host: directly or through a proxy, with or without TLS.

WebSocket connections and REST both connect through `dial`, so that proxies, certificates, deadlines and cancelling work
the same for both. Calls that cannot be woken, such as name resolution (`getaddrinfo`), run on a thread of their own.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from ..exceptions import ConnectionFailed
from ..internal import fork
from ..internal.foreign import other_module
from ..internal.guard import Thread
from ..internal.resources import shortage_error
from .socket import CancellableSocket
from .waker import Cancelled, Waker

__all__ = ["Proxy", "dial", "proxy_for", "resolve"]

T = TypeVar("T")
_CHECK_PROXY = "check the proxy and its rules"
_CHECK_TLS = "check that firewall and proxy let TLS through"
_SHORTEST_AGE, _LONGEST_AGE = 30.0, 3600.0  # seconds for which a lookup hangs before another one begins beside it
_FAMILIES = {"socks5": (socket.AF_INET, socket.AF_INET6), "socks4": (socket.AF_INET,)}
_SOCKS = ("socks5h", "socks5", "socks4a", "socks4", "socks")


class Proxy(NamedTuple):
    """An HTTP proxy that opens tunnels with CONNECT, or a SOCKS proxy."""

    host: str
    port: int
    scheme: str = "http"
    user: str | None = None
    password: str | None = None

    @property
    def name(self) -> str:
        """Its name in errors."""
        return f"the {'' if self.scheme == 'http' else 'SOCKS '}proxy {self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def dial(
    host: str, port: int, *, context: ssl.SSLContext | None, proxy: Proxy | None, waker: Waker, deadline: float
) -> CancellableSocket:
    """Connect to `host`, through `proxy` unless it is None, with TLS unless `context` is None.

    `deadline` (monotonic seconds) is the one for all steps together.

    Raises:
        ConnectionFailed: with the reason; not retriable if a certificate does not verify.
        Cancelled: the waker was cancelled.
    """
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if proxy is None:
        connection = _connect(host, port, peer, waker, deadline)
    elif proxy.scheme == "http":
        connection = _connect(proxy.host, proxy.port, proxy.name, waker, deadline)
    else:
        connection = _connect_through_socks(host, port, proxy, peer, waker, deadline)
    try:
        if proxy is not None and proxy.scheme == "http":
            waker.begin(f"{proxy.name} has not opened a tunnel to {peer}", _CHECK_PROXY)
            _open_tunnel(connection, proxy, peer)
        connection.peer = peer
        if context is not None:
            waker.begin(f"the TLS handshake with {peer} was not finished", _CHECK_TLS)
            connection.start_tls(context, host)
    except BaseException:
        connection.close()
        raise
    return connection


def proxy_for(host: str, *, secure: bool, proxy: str | None) -> Proxy | None:
    """Return the proxy for `host`: the one of the argument, or else of the usual environment variables.

    `proxy` is a URL such as "http://user:password@proxy.example:3128". None means the environment, "" no proxy. SOCKS
    proxies need PySocks. With socks5h:// and socks4a:// the proxy resolves names, with socks5:// and socks4:// this
    machine does. A proxy of the environment is never used for a loopback host.

    Raises:
        ConnectionFailed: the URL is not of an HTTP or SOCKS proxy, or PySocks is missing (not retriable).
    """
    if proxy is None:
        if _is_loopback(host) or urllib.request.proxy_bypass(host):
            return None
        proxies = urllib.request.getproxies()
        proxy = proxies.get("https" if secure else "http") or proxies.get("all") or ""
    proxy = proxy.strip()  # a file that it was read from ends with a line break
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        scheme, server = parts.scheme, parts.hostname or ""
        port = parts.port or (1080 if scheme in _SOCKS else 80)
    except ValueError:
        scheme, server, port = "", "", 0
    if scheme not in ("http", *_SOCKS) or not server:
        raise ConnectionFailed(
            f"the proxy URL (scheme {scheme!r}, host {server!r}) is not of the form http://host:port; only HTTP and "
            "SOCKS proxies (socks5h://host:port) are supported: correct proxy= or the environment variables http_proxy "
            "and https_proxy",
            retriable=False,
        )
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    found = Proxy(server, port, scheme, user, password)
    if scheme != "http":
        _import_socks(found)
    return found


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(host: str, port: int, waker: Waker, deadline: float) -> list[Any]:
    """Return the addresses of a host, as `socket.getaddrinfo` does.

    Raises:
        ConnectionFailed: the host has no address, or the system does not answer in time.
        Cancelled: the waker was cancelled.
    """
    waker.begin(f"DNS has not found the address of {host}", "check DNS, the host name and the network")
    try:
        return _lookups.find(host, port, waker, deadline)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise shortage_error(error, f"the lookup of the address of {host}") or ConnectionFailed(
            f"the address of {host} could not be found ({reason}); check the network, the host name and DNS"
        ) from error


def _connect(host: str, port: int, what: str, waker: Waker, deadline: float) -> CancellableSocket:
    """Connect to the first address of a host that answers; errors name `what`."""
    addresses = resolve(host, port, waker, deadline)
    waker.begin(f"the TCP connection to {what} was not answered", "check firewall and proxy")
    failure = ConnectionFailed(f"{host} has no address to connect to")
    for position, address in enumerate(addresses):
        # An address that never answers must not use up the time for the following ones.
        share = (deadline - time.monotonic()) / (len(addresses) - position)
        try:
            connection = _connect_to(address, what, waker, time.monotonic() + share)
        except ConnectionFailed as error:
            failure = error
        else:
            connection.deadline = deadline
            return connection
    raise failure


def _connect_to(address: Any, what: str, waker: Waker, deadline: float) -> CancellableSocket:
    """Connect to an address as `getaddrinfo` returns them."""
    family, kind, protocol, _, place = address
    try:
        with fork.fork_guard():
            sock = socket.socket(family, kind, protocol)
            fork.close_in_child(sock)
    except OSError as error:
        missing = shortage_error(error, f"the connection to {what}")
        raise missing or ConnectionFailed(f"the connection to {what} failed: {error.strerror}") from error
    connection = _cancellable(sock, what, waker, deadline)
    try:
        try:
            sock.connect(place)
        except BlockingIOError:
            connection.wait(write=True)
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                connection.fail(OSError(code, os.strerror(code)))
        except OSError as error:
            connection.fail(error)
    except BaseException:
        sock.close()
        raise
    return connection


def _cancellable(sock: socket.socket, peer: str, waker: Waker, deadline: float) -> CancellableSocket:
    """Return a socket as a cancellable one; close it if that fails."""
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return CancellableSocket(sock, waker, deadline, peer)
    except BaseException:
        sock.close()
        raise


class _ThreadCall(Generic[T]):
    """A call that cannot be woken, on a new thread. It goes on alone where nobody waits for it any more.

    If the system allows no new thread, the call runs on the caller's thread.

    Attributes:
        result: its result or error.
        began: when it began (monotonic seconds).
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self.result: Future[T] = Future()
        self.began = time.monotonic()
        self._call = call
        self._waiting: set[Waker] = set()
        self._thread = Thread(target=self._run, name="kucoin-dial", daemon=True)
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):
            self._run()

    def _run(self) -> None:
        try:
            self.result.set_result(self._call())
        except BaseException as error:
            self.result.set_exception(error)
        for waker in tuple(self._waiting):
            waker.wake()

    def wait(self, waker: Waker, deadline: float) -> T:
        """Return the result or raise the error; or raise ConnectionFailed at the deadline, Cancelled if cancelled."""
        self._waiting.add(waker)
        try:
            while not self.result.done():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise ConnectionFailed(f"there was no answer in time: {waker.step}")
                waker.wait(remaining)
                waker.clear()
            if waker.cancelled:
                raise Cancelled
        finally:
            self._waiting.discard(waker)
        if self._thread.ident is not None:
            self._thread.join()  # it ends at once
        return self.result.result()


class _Lookups:
    """The lookups of addresses that are not answered. Who asks for the same again waits for the one that runs.

    A lookup may hang for ever although a later one would be answered. So another one begins, after a time that grows
    with each: a resolver that is away for days gets few threads.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], list[_ThreadCall[list[Any]]]] = {}
        fork.register(self)

    def after_fork(self) -> None:
        """Forget all lookups in a forked child, which has none of their threads."""
        self._running = {}

    def find(self, host: str, port: int, waker: Waker, deadline: float) -> list[Any]:
        """Return what `socket.getaddrinfo` returns, or raise as it does, and as `_ThreadCall.wait` does."""
        running = self._unanswered(host, port)
        if running:
            age = running[-1].began - running[0].began
            if time.monotonic() - running[-1].began >= min(_LONGEST_AGE, max(_SHORTEST_AGE, age)):
                running = [*running, self._begin(host, port)]
        else:
            running = [self._begin(host, port)]
        self._running[host, port] = running
        try:
            return running[-1].wait(waker, deadline)
        finally:
            if not self._unanswered(host, port):
                self._running.pop((host, port), None)

    def _unanswered(self, host: str, port: int) -> list[_ThreadCall[list[Any]]]:
        return [each for each in self._running.get((host, port), ()) if not each.result.done()]

    def _begin(self, host: str, port: int) -> _ThreadCall[list[Any]]:
        return _ThreadCall(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


_lookups = _Lookups()


def _import_socks(proxy: Proxy) -> Any:
    try:
        import socks  # type: ignore[import-untyped, import-not-found, unused-ignore]

        if {"create_connection", "SOCKS4", "SOCKS5"} <= vars(socks).keys():
            return socks
    except (Exception, SystemExit):  # another module of that name may raise anything
        pass
    other = other_module("socks", "PySocks")
    raise ConnectionFailed(
        f"{proxy.name} needs PySocks, which is not installed: pip install 'kucoin-sync[socks]'"
        if other is None
        else f"{proxy.name} needs PySocks, but {other}",
        retriable=False,
    )


def _connect_through_socks(
    host: str, port: int, proxy: Proxy, peer: str, waker: Waker, deadline: float
) -> CancellableSocket:
    """Connect through a SOCKS proxy. The waits of PySocks cannot be woken, so it runs on a thread of its own."""
    socks = _import_socks(proxy)
    target = host
    if proxy.scheme in ("socks5", "socks4"):
        found = resolve(host, port, waker, deadline)
        places = [place for family, *_, place in found if family in _FAMILIES[proxy.scheme]]
        if not places:
            raise ConnectionFailed(f"{host} has no address of the kind that {proxy.name} takes; use socks4a or socks5h")
        target = places[0][0]
    resolve(proxy.host, proxy.port, waker, deadline)  # PySocks does it again, and says less if that hangs or fails
    waker.begin(f"{proxy.name} has not opened a connection to {peer}", _CHECK_PROXY)

    def connect() -> socket.socket:
        made = socks.create_connection(
            (target, port),
            timeout=max(0.1, deadline - time.monotonic()),
            proxy_type=socks.SOCKS4 if proxy.scheme in ("socks4", "socks4a") else socks.SOCKS5,
            proxy_addr=proxy.host,
            proxy_port=proxy.port,
            proxy_rdns=True,  # if the target still is a name
            proxy_username=proxy.user,
            proxy_password=proxy.password,
        )
        return socket.socket(fileno=made.detach())

    call = _ThreadCall(connect)
    try:
        sock = call.wait(waker, deadline)
    except OSError as error:  # the errors of PySocks are OSErrors, too
        reason = str(error).partition(chr(10))[0] or type(error).__name__
        del call  # it has the error
    except BaseException:
        call.result.add_done_callback(_close_late)
        raise
    else:
        fork.close_in_child(sock)
        return _cancellable(sock, proxy.name, waker, deadline)
    # Raised outside of `except`: its cause would hold the frames of PySocks, which contain the login.
    raise ConnectionFailed(
        f"{proxy.name} opened no connection to {peer} ({reason}); check that it runs, its login and its rules"
    )


def _close_late(late: Future[socket.socket]) -> None:
    if late.exception() is None:
        late.result().close()


def _open_tunnel(connection: CancellableSocket, proxy: Proxy, peer: str) -> None:
    login = ""
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
        login = f"Proxy-Authorization: Basic {login}\r\n"
    connection.sendall(f"CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n{login}\r\n".encode())
    headers, _ = connection.read_head()
    status = headers.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise ConnectionFailed(
            f"{connection.peer} refused to open a tunnel to {peer}: {status[:100]}; check its address, login and rules"
        )
