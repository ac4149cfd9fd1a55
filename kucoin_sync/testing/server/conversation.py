"""Answer the commands of one connection.

Rules, from KuCoin's documentation and observed frames:
1. Every message counts against the rate limit. A message over the limit gets an error and has no effect.
2. An answer has the id of its command, as text. Only a command with `response` is confirmed.
3. A subscribe command takes effect whole or not at all.
4. A subscribe of a subscribed topic is confirmed and changes nothing; so is an unsubscribe of another topic.
5. A tunnel has its own subscriptions. Commands for a tunnel that is not open are refused.
6. Nothing is pushed between a subscription and its confirmation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from ...internal.backoff import SlidingWindow
from .connection import Connection
from .context import Context
from .refusals import TOO_FAST, Refused
from .state import Command

__all__ = ["BaseConversation", "Conversation", "Message", "id_of"]

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_decode = msgspec.json.Decoder().decode

Message = dict[str, Any]


class BaseConversation:
    """The server's side of one connection, of either feed, on that connection's thread.

    Args:
        messages_per_10s: the rate limit, None for none.
    """

    def __init__(self, connection: Connection, context: Context, messages_per_10s: int | None) -> None:
        self._connection = connection
        self._context = context
        self._pace = None if messages_per_10s is None else SlidingWindow(messages_per_10s, 10.0)

    def welcome(self) -> None:
        """Send the welcome."""
        raise NotImplementedError

    def refuse(self, error: Refused) -> None:
        """Send the reason for the refusal and close the connection."""
        raise NotImplementedError

    def handle(self, data: bytes) -> None:
        """Answer one message."""
        try:
            message = _decode(data)
        except _UNREADABLE as error:
            self._reject_malformed(str(error))
            return
        if not isinstance(message, dict):
            self._reject_malformed("data format is invalid")
            return
        self._context.state.log_command(Command(message, self._connection, time.time_ns()))
        try:
            self._check_rate()
            self._execute(message)
        except Refused as error:
            self._send_error(message, error)
        except Exception as error:
            # An error of the server: `check` raises it, and the client gets KuCoin's error for it.
            self._context.state.record(error)
            self._send_error(message, Refused(500, "system error"))

    def _reject_malformed(self, reason: str) -> None:
        """Answer a message that is not a JSON object, if the feed answers it."""
        raise NotImplementedError

    def _execute(self, message: Message) -> None:
        """Do what a command says, or raise Refused."""
        raise NotImplementedError

    def _send_error(self, message: Message, error: Refused) -> None:
        raise NotImplementedError

    def _check_rate(self) -> None:
        if self._pace is None:
            return
        now = self._context.clock.now()
        if self._pace.free_at(now) > now:
            raise TOO_FAST
        self._pace.record(now)


class Conversation(BaseConversation):
    """The server's side of one connection to the classic feed."""

    def __init__(self, connection: Connection, context: Context) -> None:
        super().__init__(connection, context, context.limits.messages_per_10s)

    def welcome(self) -> None:
        """Send the welcome."""
        if not self._context.script.take_silence():
            self._connection.send({"id": self._connection.id, "type": "welcome"})

    def refuse(self, error: Refused) -> None:
        """Send the reason for the refusal and close the connection."""
        self._connection.send({"id": self._connection.id, "type": "error", "code": error.code, "data": error.text})
        self._connection.close()

    def _reject_malformed(self, reason: str) -> None:
        self._send_error({}, Refused(400, reason))

    def _execute(self, message: Message) -> None:
        kind = message.get("type")
        if not isinstance(kind, str):
            raise Refused(415, "command type is invalid")
        command = _COMMANDS.get(kind)
        if command is None:
            raise Refused(415, "type is not supported")
        command(self, message)

    def _ping(self, message: Message) -> None:
        if self._context.script.answers_pings():
            timestamp = int(self._context.clock.wall() * 1_000_000)
            self._connection.send({**id_of(message), "type": "pong", "timestamp": timestamp})

    def _subscribe(self, message: Message) -> None:
        context, connection = self._context, self._connection
        singles = context.catalogue.singles(message.get("topic"), connection.market)
        rejection = context.script.take_rejection(message["topic"], singles)
        if rejection is not None:
            raise rejection
        tunnel = self._tunnel(message)
        own = _is_true(message.get("privateChannel"))
        private = {single: context.catalogue.is_private(single) for single in singles}
        if not connection.private and (own or any(private.values())):
            raise Refused(403, "login is required")
        self._check_limits(tunnel, singles)
        with connection.alone():
            connection.subscribe(tunnel, {single: own and not private[single] for single in singles})
            self._ack(message)

    def _unsubscribe(self, message: Message) -> None:
        singles = self._context.catalogue.singles(message.get("topic"), self._connection.market)
        self._connection.unsubscribe(self._tunnel(message), singles)
        self._ack(message)

    def _open_tunnel(self, message: Message) -> None:
        tunnel = message.get("newTunnelId")
        if not isinstance(tunnel, str) or not tunnel:
            raise Refused(400, "data format is invalid")
        limit = self._context.limits.tunnels
        tunnels = self._connection.tunnels
        if tunnel not in tunnels and limit is not None and len(tunnels) >= limit:
            raise Refused(509, f"exceed max tunnel count limitation of {limit} per session")
        self._connection.open_tunnel(tunnel)
        self._ack(message)

    def _close_tunnel(self, message: Message) -> None:
        tunnel = self._tunnel(message)
        if tunnel is None:
            raise Refused(400, "data format is invalid")
        self._connection.close_tunnel(tunnel)
        self._ack(message)

    def _tunnel(self, message: Message) -> str | None:
        """Return the tunnel of a command, None if it is for none."""
        tunnel = message.get("tunnelId")
        if tunnel is None:
            return None
        if not isinstance(tunnel, str) or self._connection.namespace(tunnel) is None:
            raise Refused(404, f"tunnel {tunnel} is not found")
        return tunnel

    def _check_limits(self, tunnel: str | None, singles: tuple[str, ...]) -> None:
        limits = self._context.limits
        if limits.topics_per_command is not None and len(singles) > limits.topics_per_command:
            limit = limits.topics_per_command
            raise Refused(509, f"exceed max subscription count limitation of {limit} per time")
        namespace = self._connection.namespace(tunnel) or {}
        total = self._connection.topic_count() + sum(single not in namespace for single in singles)
        if limits.topics_per_session is not None and total > limits.topics_per_session:
            limit = limits.topics_per_session
            raise Refused(509, f"exceed max subscription count limitation of {limit} per session")

    def _ack(self, message: Message) -> None:
        if _is_true(message.get("response")):
            for _ in range(self._context.script.take_acks()):
                self._connection.send({**id_of(message), "type": "ack"})

    def _send_error(self, message: Message, error: Refused) -> None:
        self._connection.send({**id_of(message), "type": "error", "code": error.code, "data": error.text})


_COMMANDS: dict[str, Callable[[Conversation, Message], None]] = {
    "ping": Conversation._ping,
    "subscribe": Conversation._subscribe,
    "unsubscribe": Conversation._unsubscribe,
    "openTunnel": Conversation._open_tunnel,
    "closeTunnel": Conversation._close_tunnel,
}


def id_of(message: Message) -> dict[str, str]:
    """Return the member `id` of the answer to a command: the command's, as text, or none."""
    command_id = message.get("id")
    return {} if command_id is None else {"id": str(command_id)}


def _is_true(value: object) -> bool:
    return value is True or value == "true"  # KuCoin's older clients send text
