"""The clients, one small module each. A client is a function that takes a `Job` and a `Meter` and reads until the end.

Each function reads as its library's documentation has it, with the options that make it fastest.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

__all__ = ["CLIENTS", "Client"]


class Client(NamedTuple):
    """Where a client is, what it needs installed, and its share of the messages (slow ones would take for ever)."""

    module: str
    function: str
    needs: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def missing(self) -> list[str]:
        """What would have to be installed."""
        return [name for name in self.needs if find_spec(name) is None]


CLIENTS: dict[str, Client] = {
    "Stream payload": Client("stream", "iterate_payloads"),
    "Stream item": Client("stream", "iterate_items"),
    "Stream callback": Client("stream", "call_back"),
    "Stream inline": Client("stream", "call_inline"),
    "Stream latest": Client("stream", "iterate_latest"),
    "Stream recorded, .jsonl": Client("recording", "iterate_plain"),
    "Stream recorded, .jsonl.zst": Client("recording", "iterate_zstd", ("zstandard",)),
    "Stream recorded, .jsonl.gz": Client("recording", "iterate_gzip"),
    "through a relay": Client("relay", "iterate_payloads", ("redis",)),
    "websocket-client + json": Client("websocket_client", "loop_json", (), 0.15),
    "websocket-client + orjson": Client("websocket_client", "loop_orjson", ("orjson",), 0.2),
    "WebSocketApp + json": Client("websocket_client", "app", (), 0.15),
    "websockets.sync + orjson": Client("websockets_sync", "iterate", ("websockets", "orjson"), 0.3),
    "aiohttp + orjson": Client("aiohttp_loop", "iterate", ("aiohttp", "orjson"), 0.6),
    "picows + orjson": Client("picows_listener", "on_asyncio", ("picows", "orjson")),
    "picows + orjson, uvloop": Client("picows_listener", "on_uvloop", ("picows", "orjson", "uvloop")),
    "python-kucoin": Client("python_kucoin", "call_back", ("kucoin",), 0.1),
    "kucoin-universal-sdk": Client("universal_sdk", "call_back", ("kucoin_universal_sdk",), 0.05),
    "memory of Stream": Client("memory", "after_many"),
    "queued in Stream": Client("memory", "queued_messages"),
    "queued as dicts": Client("memory", "queued_dicts", ("orjson",)),
    "reconnect of Stream": Client("reconnect", "stream"),
    "reconnect of kucoin-universal-sdk": Client("reconnect", "universal_sdk", ("kucoin_universal_sdk",)),
}
