"""A TCP or TLS socket whose every wait ends: with data, at a deadline, or because somebody wakes it.

Both the feed (`transport`) and REST (`rest`) connect through `dial`, so that proxies, certificates, deadlines and
cancelling work the same for both. Foreign errors become this package's here, once.

What the system does not let anybody wake, such as its name resolution (`getaddrinfo`), runs on a thread of its own.

Whoever waits notes for what as the `Step` of its waker: so others can say what an attempt to connect waits for, and an
error at the deadline says it, too.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import select
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, NamedTuple, NoReturn, TypeVar, cast
from urllib.parse import unquote, urlsplit

from . import forking
from .exceptions import ConnectionFailed
from .guard import Thread
from .resources import shortage

__all__ = ["NOT_NOW", "Cancelled", "Proxy", "Step", "Waker", "Wire", "dial", "proxy_for", "resolve"]

T = TypeVar("T")
_SOCKS = ("socks5h", "socks5", "socks4a", "socks4", "socks")
_HEAD_BYTES = 64 * 1024
_TLS_RECORD = 16 * 1024
_LAST_LOOK = 1.0
"""Seconds that a deadline is put off, once, where the peer has answered and nobody has looked."""
_LONGEST = 3600.0
"""Seconds for which a waker waits at most: the system does not take every number."""

#: What a socket that does not wait raises where it would have to.
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_FIRST_CONTEXT = ssl.SSLContext  # until gevent or eventlet puts its own in its place
_WAIT_READ = (BlockingIOError, ssl.SSLWantReadError)


class Cancelled(Exception):
    """The owner of the waker has closed; whatever was being waited for no longer matters."""


class Step(NamedTuple):
    """What a thread waits for, on the way to a connection or an answer.

    Attributes:
        missing: what has not happened, such as "the TCP connection to example.com:443 was not answered".
        remedy: what to check.
        since: when the wait began (monotonic seconds).
    """

    missing: str
    remedy: str
    since: float

    def __str__(self) -> str:
        seconds = max(0.1, round(time.monotonic() - self.since, 1))
        return f"{self.missing} within {seconds:g} s; {self.remedy}"


class Waker:
    """Wake one thread out of any wait on a `Wire`, from any thread.

    `wake` ends the current wait of the streaming phase; `cancel` ends every wait from now on.

    Attributes:
        step: what the thread waits for, None where that needs no word.
    """

    def __init__(self) -> None:
        self._poller: Any = None  # made now, so that no later wait needs anything of the system
        if hasattr(select, "poll"):
            self._poller = select.poll()
        with forking.held_off():
            self._receiver, self._sender = socket.socketpair()
            forking.close_in_child(self._receiver, self._sender)
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        if self._poller is not None:
            self._poller.register(self._receiver, select.POLLIN)
        self.cancelled = False
        self.called = False  # whether somebody woke us since the last `clear`
        self.step: Step | None = None

    def begin(self, missing: str, remedy: str) -> None:
        """Note what the thread waits for from now on; see `Step`."""
        self.step = Step(missing, remedy, time.monotonic())

    def fileno(self) -> int:
        """Return the descriptor that is readable after `wake`."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        try:
            self._sender.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # full: a wake-up is pending anyway; closed: nobody waits any more
        self.called = True  # last, so that no `clear` under way takes this note and leaves the byte

    def cancel(self) -> None:
        """End every wait from now on with `Cancelled`."""
        self.cancelled = True
        self.wake()

    def clear(self) -> None:
        """Take note of the wake-ups so far; raise Cancelled after `cancel`."""
        self.called = False
        try:
            while self._receiver.recv(1024):
                pass
        except (BlockingIOError, OSError):
            pass  # drained
        if self.cancelled:
            self.wake()  # what was drained has to end the next wait too
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, less after `wake`; raise Cancelled after `cancel`."""
        self.wait(seconds)
        self.clear()

    def wait(self, seconds: float) -> bool:
        """Wait for up to `seconds`; return whether somebody has woken us, of which no note is taken."""
        return _poll(self.fileno(), -1, False, min(max(0.0, seconds), _LONGEST), self._poller)[1]

    def close(self) -> None:
        """Give the descriptors back."""
        self._receiver.close()
        self._sender.close()


class Proxy(NamedTuple):
    """An HTTP proxy that opens tunnels with CONNECT, or a SOCKS proxy."""

    host: str
    port: int
    authorization: str = ""  # value of Proxy-Authorization
    scheme: str = "http"
    user: str | None = None  # this and the following for SOCKS
    password: str | None = None

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"the {'' if self.scheme == 'http' else 'SOCKS '}proxy {self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


class Wire:
    """A connected non-blocking socket.

    `deadline` (monotonic seconds) bounds the blocking calls that libraries make on it: `recv`, `recv_into`,
    `sendall`. Where something has come by then that was not read, as after a pause of the process, it is put off by a
    second, once. Owned by one thread.
    """

    def __init__(self, sock: socket.socket, waker: Waker, deadline: float, peer: str) -> None:
        self.sock = sock
        self.deadline = deadline
        self.peer = peer
        self._waker = waker
        self._put_off: float | None = None  # the deadline that was put off last, as it is since
        self._files = 0
        self._closing = False

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 when closed."""
        return self.sock.fileno()

    def wait(self, *, write: bool = False) -> None:
        """Wait until the socket can be read (or written), at most until the deadline."""
        while True:
            ready, woken = _poll(self._waker.fileno(), self.sock.fileno(), write, self._remaining(write=write))
            if woken:
                self._waker.clear()
            if ready:
                return

    def recv_into(self, buffer: Any) -> int:
        """Read into `buffer` what is there, waiting for the first byte; 0 at the end."""
        self._remaining()  # a peer that always has something to say never lets us wait
        while True:
            try:
                return self.sock.recv_into(buffer)
            except _WAIT_READ:
                self.wait()
            except ssl.SSLWantWriteError:
                self.wait(write=True)
            except OSError as error:
                self.fail(error)

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, b"" at the end."""
        buffer = bytearray(count)
        return bytes(buffer[: self.recv_into(buffer)])

    def send(self, data: bytes) -> int:
        """Send all of `data`; return its length."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.wait(write=True)
            except ssl.SSLWantReadError:
                self.wait()
            except OSError as error:
                self.fail(error)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        self.send(data)

    def read_head(self) -> tuple[bytes, bytes]:
        """Return an HTTP head up to its empty line, and what came after it."""
        head = bytearray()
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > _HEAD_BYTES:
                raise ConnectionFailed(f"{self.peer} answered with HTTP headers of more than {_HEAD_BYTES} bytes")
            chunk = self.recv(_TLS_RECORD)  # part of a record would stay in the TLS layer, where no wait sees it
            if not chunk:
                raise ConnectionFailed(f"{self.peer} closed the connection instead of answering; it may be overloaded")
            head += chunk
        return bytes(head[: end + 4]), bytes(head[end + 4 :])

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Turn TLS on, verifying the certificate by `context`."""
        if isinstance(context, _FIRST_CONTEXT) and not isinstance(context, ssl.SSLContext):
            raise ConnectionFailed(
                "ssl_context= was made before gevent or eventlet replaced ssl, which can't use it; have them patch the "
                "process first, for gunicorn at the top of gunicorn.conf.py",
                retriable=False,
            )
        try:
            with forking.held_off():
                self.sock = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
                forking.close_in_child(self.sock)
            while True:
                try:
                    self.sock.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    self.wait()
                except ssl.SSLWantWriteError:
                    self.wait(write=True)
        except (OSError, ValueError) as error:
            self.fail(error)

    def _remaining(self, *, write: bool = False) -> float:
        """Return the seconds until the deadline; raise where there are none, or after `cancel`."""
        if self._waker.cancelled:
            raise Cancelled
        now = time.monotonic()
        remaining = self.deadline - now
        if remaining <= 0 and self.deadline != self._put_off and self._has_come(write):
            self.deadline = self._put_off = now + _LAST_LOOK
            return _LAST_LOOK
        if remaining <= 0:
            step = self._waker.step
            why = "; check the network and try again" if step is None else f": {step}"
            raise ConnectionFailed(f"{self.peer} did not answer in time{why}")
        return remaining

    def _has_come(self, write: bool) -> bool:
        """Whether there is something to read, or the peer lets us write."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return _poll(self._waker.fileno(), self.sock.fileno(), write, 0.0)[0]

    def fail(self, error: Exception) -> NoReturn:
        """Raise `error` as this package's, with what to do."""
        if isinstance(error, ssl.SSLCertVerificationError):
            raise ConnectionFailed(
                f"the TLS certificate of {self.peer} does not verify ({error.verify_message}{_unread_authorities()})"
                ". If a company proxy re-signs traffic, pass ssl_context= with its certificate, or set SSL_CERT_FILE; "
                "otherwise somebody may be listening",
                retriable=False,
            ) from error
        if isinstance(error, ssl.SSLError):
            reason = error.reason or type(error).__name__
            raise ConnectionFailed(f"TLS with {self.peer} failed: {reason}") from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConnectionFailed(f"the connection to {self.peer} failed: {reason}") from error

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return a buffered reader, as `http.client` wants one; the socket closes after its last reader."""
        reader = _Reader(self)
        self._files += 1
        return io.BufferedReader(reader)

    def settimeout(self, _: float | None) -> None:
        """Ignored: the deadline bounds every call."""

    def gettimeout(self) -> float | None:
        """Return None, as a blocking socket does."""
        return None

    def close(self) -> None:
        """Close the socket, once its readers are closed."""
        self._closing = True
        if self._files <= 0:
            self.sock.close()

    def reader_closed(self) -> None:
        """Note that a reader of `makefile` is closed."""
        self._files -= 1
        if self._closing and self._files <= 0:
            self.sock.close()


class _Reader(io.RawIOBase):
    """The raw file under `Wire.makefile`."""

    def __init__(self, wire: Wire) -> None:
        self._wire: Wire | None = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.recv_into(buffer) if self._wire is not None else 0

    def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.reader_closed()
        super().close()


def dial(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None,
    proxy: Proxy | None,
    waker: Waker,
    deadline: float,
) -> Wire:
    """Connect to `host`, through `proxy` where there is one, with TLS where there is a `context`.

    Raises:
        ConnectionFailed: with the reason; not retriable where a certificate does not verify.
        Cancelled: the waker was cancelled meanwhile.
    """
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if proxy is None:
        wire = _connect(host, port, waker=waker, deadline=deadline, what=peer)
    elif proxy.scheme != "http":
        wire = _connect_by_socks(host, port, proxy, peer, waker, deadline)
    else:
        wire = _connect(proxy.host, proxy.port, waker=waker, deadline=deadline, what=proxy.name)
    try:
        if proxy is not None and proxy.scheme == "http":
            waker.begin(f"{wire.peer} has not opened a tunnel to {peer}", "check the proxy and its rules")
            _open_tunnel(wire, proxy, peer)
        wire.peer = peer
        if context is not None:
            waker.begin(
                f"the TLS handshake with {peer} was not finished", "check that firewall and proxy let TLS through"
            )
            wire.start_tls(context, host)
    except BaseException:
        wire.close()
        raise
    return wire


def proxy_for(host: str, *, secure: bool, proxy: str | None) -> Proxy | None:
    """Return the proxy to use for `host`: that of the argument, else of the usual environment variables.

    `proxy` is a URL such as "http://user:password@proxy.example:3128"; "" means none whatever the environment says.
    SOCKS proxies need PySocks: socks5h:// and socks4a:// let the proxy look names up, socks5:// and socks4:// do not.
    A loopback host is never reached through a proxy of the environment.

    Raises:
        ConnectionFailed: the URL is no HTTP or SOCKS proxy's, or PySocks is missing (not retriable).
    """
    if proxy is None:
        if _is_loopback(host) or urllib.request.proxy_bypass(host):
            return None
        found = urllib.request.getproxies()
        proxy = found.get("https" if secure else "http") or found.get("all") or ""
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
    if scheme in _SOCKS:
        user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        found_proxy = Proxy(server, port, "", scheme, user, password)
        _import_socks(found_proxy)
        return found_proxy
    login = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(server, port, login)


def _unread_authorities() -> str:
    """Return which variables name certificate authorities that can't be read, as part of a sentence."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    found = {name: path for name in names if (path := os.environ.get(name))}
    unread = [f"{name} names {path}" for name, path in found.items() if not _has_authorities(path)]
    return f"; {' and '.join(unread)}, which can't be read" if unread else ""


def _has_authorities(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:
        return os.path.isdir(path)
    return True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(host: str, port: int, waker: Waker, deadline: float) -> list[Any]:
    """Return the addresses of a host, as `socket.getaddrinfo` does.

    Raises:
        ConnectionFailed: it has none, or the system does not say so in time. Cancelled: the waker was cancelled.
    """
    waker.begin(f"DNS has not found the address of {host}", "check DNS, the host name and the network")
    try:
        return _aside(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), waker, deadline)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise shortage(error, f"a look at the address of {host}") or ConnectionFailed(
            f"the address of {host} could not be found ({reason}); check the network, the host name and DNS"
        ) from error


def _connect(host: str, port: int, *, waker: Waker, deadline: float, what: str) -> Wire:
    addresses = resolve(host, port, waker, deadline)
    waker.begin(f"the TCP connection to {what} was not answered", "check firewall and proxy")
    failure: ConnectionFailed | None = None
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        # An address that swallows packets must not use up the time of the ones after it.
        share = (deadline - time.monotonic()) / (len(addresses) - position)
        try:
            with forking.held_off():
                sock = socket.socket(family, kind, protocol)
                forking.close_in_child(sock)
        except OSError as error:
            missing = shortage(error, f"the connection to {what}")
            failure = missing or ConnectionFailed(f"the connection to {what} failed: {error.strerror}")
            continue
        try:
            wire = Wire(sock, waker, time.monotonic() + share, what)
            _connect_to(wire, address)
        except ConnectionFailed as error:
            sock.close()
            failure = error
            continue
        except BaseException:
            sock.close()
            raise
        wire.deadline = deadline
        return wire
    raise failure or ConnectionFailed(f"{host} has no address to connect to")


def _aside(call: Callable[[], T], waker: Waker, deadline: float, discard: Callable[[T], object] = id) -> T:
    """Return what a call returns that nobody can wake, or raise what it raises; wait for it until the deadline.

    It runs on a thread of its own, which stays behind where the call takes longer, and then gives its result to
    `discard`. Where no thread can be had, it is called here.
    """
    outcomes: list[tuple[T | None, BaseException | None]] = []
    left = threading.Event()  # set when nobody waits any more

    def run() -> None:
        try:
            outcomes.append((call(), None))
        except BaseException as error:
            outcomes.append((None, error))
        waker.wake()
        if left.is_set():
            drop()

    def drop() -> None:
        while outcomes:
            with contextlib.suppress(IndexError):  # the other thread took it
                result, error = outcomes.pop()
                if error is None:
                    discard(cast(T, result))

    thread = Thread(target=run, name="kucoin-dial", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        run()
    try:
        while not outcomes:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ConnectionFailed(f"there was no answer in time: {waker.step}")
            waker.wait(remaining)
            waker.clear()
        if waker.cancelled:
            raise Cancelled
    except BaseException:
        left.set()
        drop()
        raise
    result, error = outcomes[0]
    if error is not None:
        raise error
    if thread.ident is not None:
        thread.join()  # it has nothing left to do
    return cast(T, result)


def _connect_to(wire: Wire, address: Any) -> None:
    wire.sock.setblocking(False)
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        wire.sock.connect(address)
    except BlockingIOError:
        wire.wait(write=True)
        code = wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            wire.fail(OSError(code, os.strerror(code)))
    except OSError as error:
        wire.fail(error)


def _import_socks(proxy: Proxy) -> Any:
    """Return PySocks."""
    try:
        import socks  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise ConnectionFailed(
            f"{proxy.name} needs PySocks, which is not installed: pip install 'kucoin-sync[socks]'", retriable=False
        ) from None
    return socks


def _connect_by_socks(host: str, port: int, proxy: Proxy, peer: str, waker: Waker, deadline: float) -> Wire:
    """Connect through a SOCKS proxy. PySocks waits in its own way, so that it runs aside."""
    socks = _import_socks(proxy)
    waker.begin(f"{proxy.name} has not opened a connection to {peer}", "check the proxy and its rules")

    def connect() -> socket.socket:
        made = socks.create_connection(
            (host, port),
            timeout=max(0.1, deadline - time.monotonic()),
            proxy_type=socks.SOCKS4 if proxy.scheme in ("socks4", "socks4a") else socks.SOCKS5,
            proxy_addr=proxy.host,
            proxy_port=proxy.port,
            proxy_rdns=proxy.scheme not in ("socks4", "socks5"),
            proxy_username=proxy.user,
            proxy_password=proxy.password,
        )
        return socket.socket(fileno=made.detach())

    try:
        sock = _aside(connect, waker, deadline, discard=socket.socket.close)
    except OSError as error:  # those of PySocks are among them
        reason = str(error).partition(chr(10))[0] or type(error).__name__
    else:
        forking.close_in_child(sock)
        wire = Wire(sock, waker, deadline, proxy.name)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire
    # Raised out here, so that it does not keep its cause, which has the login in its frames.
    raise ConnectionFailed(
        f"{proxy.name} opened no connection to {peer} ({reason}); check that it runs, its login and its rules"
    )


def _open_tunnel(wire: Wire, proxy: Proxy, peer: str) -> None:
    login = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    wire.sendall(f"CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n{login}\r\n".encode())
    head, _ = wire.read_head()
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise ConnectionFailed(
            f"{wire.peer} refused to open a tunnel to {peer}: {status[:100]}; check its address, login and rules"
        )


def _poll(waker: int, fd: int, write: bool, seconds: float, poller: Any = None) -> tuple[bool, bool]:
    """Wait for `fd` (none if negative) or the waker; return which of the two is ready.

    `poller` is one that is registered for the waker alone, where there is one.
    """
    if poller is not None:
        ready = {number for number, _ in poller.poll(seconds * 1000)}
    elif hasattr(select, "poll"):
        poller = select.poll()
        poller.register(waker, select.POLLIN)
        if fd >= 0:
            poller.register(fd, select.POLLOUT if write else select.POLLIN)
        ready = {number for number, _ in poller.poll(seconds * 1000)}
    else:
        others = [fd] if fd >= 0 else []
        readable, writable, failed = select.select(
            [waker] + ([] if write else others), others if write else [], others if write else [], seconds
        )
        ready = {*readable, *writable, *failed}
    return fd in ready, waker in ready
