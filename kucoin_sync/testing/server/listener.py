"""The listening socket and the threads of its clients.

The loop of `http.server` notices a stop late and neither names nor joins its threads; this one ends at once.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Listener", "Peer"]


class Peer:
    """One client's socket and thread. `cut_event` is set when the thread should end."""

    def __init__(self, sock: socket.socket, address: Any, serve: Callable[[Peer], None], number: int) -> None:
        self.sock = sock
        self.address = address
        self.cut_event = threading.Event()
        self.thread = threading.Thread(target=serve, args=(self,), name=f"kucoin-server-client-{number}", daemon=True)

    def cut(self) -> None:
        """Wake the thread and make it end."""
        self.cut_event.set()
        with contextlib.suppress(OSError):  # another thread has closed it
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # SSLSocket.shutdown would end the TLS in use


class Listener:
    """Accept clients on one address and run `serve` for each in a thread of its own.

    Args:
        port: 0 takes a free port and keeps it for the next start.
        record: called with errors of `serve` other than broken connections.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        serve: Callable[[Peer], object],
        record: Callable[[BaseException], None],
    ) -> None:
        self.host = host
        self.port = port
        self.join_timeout = 10.0
        self._tls = tls
        self._serve = serve
        self._record = record
        self._lock = threading.Lock()  # guards the list of peers
        self._peers: list[Peer] = []  # peers whose threads may be alive and must be joined
        self._count = 0
        self._listening: socket.socket | None = None
        self._waker: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None  # accepts clients; lives from start to stop

    @property
    def running(self) -> bool:
        """Return whether clients can connect."""
        return self._thread is not None

    def start(self) -> None:
        """Listen."""
        self._listening = socket.create_server((self.host, self.port), backlog=512)
        self.port = self._listening.getsockname()[1]
        self._waker = socket.socketpair()
        self._thread = threading.Thread(
            target=self._accept, args=(self._listening, self._waker[0]), name="kucoin-server-accept", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, cut every client and wait until all threads have ended."""
        if self._thread is None or self._listening is None or self._waker is None:
            return
        self._waker[1].send(b"\0")
        self._thread.join(self.join_timeout)
        for sock in (self._listening, *self._waker):
            sock.close()
        self._thread = None
        self.cut_all()

    def cut_all(self) -> None:
        """Cut every client and wait until their threads have ended."""
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.cut()
        for thread in [peer.thread for peer in peers if peer.thread is not threading.current_thread()]:
            thread.join(self.join_timeout)
            if thread.is_alive():
                raise RuntimeError(f"the thread {thread.name} of the local server has not ended")

    def _accept(self, listening: socket.socket, waker: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if waker in ready:
                    return
                try:
                    sock, address = listening.accept()
                except ConnectionError:
                    continue  # the client has closed its connection already
                except OSError as error:
                    self._record(error)  # no file descriptor left: going on would be a busy loop
                    return
                try:
                    self._take(sock, address)
                except BaseException as error:  # for example no thread could be started
                    sock.close()
                    self._record(error)

    def _take(self, sock: socket.socket, address: Any) -> None:
        if self._tls is not None:
            try:
                # The client's own thread does the TLS handshake.
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except OSError:
                sock.close()  # the client has disconnected already
                return
        self._count += 1
        peer = Peer(sock, address, self._run, self._count)
        with self._lock:  # a peer in the list has a started thread
            peer.thread.start()
            self._peers = [*(other for other in self._peers if other.thread.is_alive()), peer]

    def _run(self, peer: Peer) -> None:
        try:
            if isinstance(peer.sock, ssl.SSLSocket):
                peer.sock.do_handshake()
            self._serve(peer)
        except OSError:
            pass  # the client disconnected or was cut
        except BaseException as error:
            self._record(error)
        finally:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
            peer.sock.close()
