"""kucoin-universal-sdk, KuCoin's own: callbacks on its reading thread. Its queue has room for every message."""

from __future__ import annotations

import logging
import threading

from kucoin_universal_sdk.api import DefaultClient
from kucoin_universal_sdk.generate.spot.spot_public import SpotPublicWS
from kucoin_universal_sdk.model import (
    GLOBAL_BROKER_API_ENDPOINT,
    GLOBAL_FUTURES_API_ENDPOINT,
    ClientOptionBuilder,
    TransportOptionBuilder,
    WebSocketClientOptionBuilder,
)

from ..load import Job
from ..meter import Meter
from ..reading import reader

__all__ = ["call_back", "open_socket"]


def open_socket(job: Job, reconnect_interval: float = 5.0) -> SpotPublicWS:
    """Return a started public socket."""
    logging.disable()
    sockets = WebSocketClientOptionBuilder().with_read_message_buffer(job.load.total)
    options = (
        ClientOptionBuilder()
        .set_key("")
        .set_secret("")
        .set_passphrase("")
        .set_spot_endpoint(job.rest_url)
        .set_futures_endpoint(GLOBAL_FUTURES_API_ENDPOINT)
        .set_broker_endpoint(GLOBAL_BROKER_API_ENDPOINT)
        .set_transport_option(TransportOptionBuilder().build())
        .set_websocket_client_option(sockets.with_reconnect_interval(reconnect_interval).build())
        .build()
    )
    socket = DefaultClient(options).ws_service().new_spot_public_ws()
    socket.start()
    return socket


def call_back(job: Job, meter: Meter) -> None:
    socket = open_socket(job)
    subscribe = socket.ticker if job.load.feed == "ticker" else socket.orderbook_increment
    symbols = [name.partition(":")[2] for name in job.load.topic_names()]
    subscribe(symbols, reader("events", job.load, meter))
    threading.Event().wait()  # the last message ends the process
