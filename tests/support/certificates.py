"""Certificates of a private authority, made when first asked for."""

from __future__ import annotations

import ssl
from datetime import datetime
from functools import cache
from pathlib import Path

import trustme

__all__ = ["authority_pem", "client_context", "server_context", "write_server"]


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_context(name: str = "127.0.0.1", not_after: datetime | None = None) -> ssl.SSLContext:
    """Return a server's context with a certificate for `name`; it sends nothing of its own after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    _authority().issue_cert(name, not_after=not_after).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    """Return a client's context that knows the authority."""
    context = ssl.create_default_context()
    _authority().configure_trust(context)
    return context


def authority_pem() -> str:
    """Return the authority's certificate as a file of a trust store has it."""
    return _authority().cert_pem.bytes().decode()


def write_server(directory: Path, name: str) -> tuple[str, str, str]:
    """Write a certificate for `name`; return the paths of the authority's certificate, the server's, and its key."""
    paths = tuple(str(directory / each) for each in ("authority.pem", "server.pem", "key.pem"))
    issued = _authority().issue_cert(name)
    _authority().cert_pem.write_to_path(paths[0])
    issued.cert_chain_pems[0].write_to_path(paths[1])
    issued.private_key_pem.write_to_path(paths[2])
    return paths[0], paths[1], paths[2]
