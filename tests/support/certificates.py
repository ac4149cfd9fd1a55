"""Certificates of a private authority, made when first asked for."""

from __future__ import annotations

import ssl
from datetime import datetime
from functools import cache

import trustme

__all__ = ["authority_pem", "client_context", "server_context"]


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
