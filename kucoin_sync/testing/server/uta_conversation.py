"""Answer the commands of one connection to the UTA feed.

Rules, from KuCoin's documentation and observed frames:
1. All frames of the server are binary. They hold JSON in UTF-8.
2. An answer has the id of its command as text: {"id","result":true}, or `result` false with the reason.
3. A subscription to an unknown symbol is confirmed, and stays silent.
4. A message that is not JSON gets no answer.
5. A private connection logs in by a message after the welcome. Nobody has recorded the texts of its refusals.
KuCoin does not say what happens above a limit. Here such a command is refused and has no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websocket import ABNF

from .connection import Connection, Subscription
from .context import Context
from .conversation import BaseConversation, Message, id_of
from .publishing import Pushed, uta_message
from .refusals import Refused, RestRefused
from .uta_topics import INCREMENT, INVALID, PRIVATE, singles_of

__all__ = ["UtaConnection", "UtaConversation"]

#: Seconds that clients assume if the welcome does not say it.
_PING_TIMEOUT = 10.0
_VERIFY = "/api/websocket/users/verify"


class UtaConnection(Connection):
    """A client's connection to the UTA feed. `market` is "uta-spot", "uta-futures" or "uta" (private)."""

    opcode = ABNF.OPCODE_BINARY

    def authorise(self, user: str) -> None:
        """Let it have the pushes of an account."""
        with self._state.lock:
            self.user = user
        self._state.changed()

    def subscription(self, topic: str) -> Subscription | None:
        """Return the subscription to a single topic, None if there is none."""
        with self._state.lock:
            return (self.namespace(None) or {}).get(topic)

    def expire(self) -> None:
        """Cut a silent client without a close frame, as KuCoin was observed to do."""
        self._note_end("silent")
        self._channel.cut()


class UtaConversation(BaseConversation):
    """The server's side of one connection to the UTA feed."""

    _connection: UtaConnection

    def __init__(self, connection: UtaConnection, context: Context) -> None:
        if context.script.uta_text_frames:
            connection.opcode = ABNF.OPCODE_TEXT
        limits = context.limits
        private = connection.market == PRIVATE
        self._topics = limits.uta_private_topics if private else limits.uta_topics
        limit = limits.uta_private_messages_per_10s if private else limits.uta_messages_per_10s
        super().__init__(connection, context, limit)

    def welcome(self) -> None:
        """Send the welcome."""
        script = self._context.script
        if not script.take_silence():
            usual: dict[str, Any] = {"sessionId": self._connection.id, "message": "welcome"}
            usual["pingInterval"] = int(self._context.ping_interval * 1000)
            if self._context.ping_timeout != _PING_TIMEOUT:  # KuCoin was observed to leave it out
                usual["pingTimeout"] = int(self._context.ping_timeout * 1000)
            self._connection.send(script.take_welcome(usual))

    def refuse(self, error: Refused) -> None:
        """Send the reason for the refusal and close the connection."""
        self._send_error({}, error)
        self._connection.close()

    def _reject_malformed(self, reason: str) -> None:
        """Give no answer."""

    def _execute(self, message: Message) -> None:
        for member, commands in _COMMANDS.items():
            kind = message.get(member)
            # Only the actions are in either letter case.
            name = kind.lower() if isinstance(kind, str) and member == "action" else kind
            if isinstance(name, str) and name in commands:
                commands[name](self, message)
                return
        raise INVALID

    def _ping(self, message: Message) -> None:
        if not self._context.script.answers_pings():
            return
        wall = self._context.clock.wall()
        if message.get("op") == "ping":
            self._connection.send({**id_of(message), "op": "pong", "timestamp": int(wall * 1e3)})
        else:
            self._connection.send({"type": "pong", **id_of(message), "ts": int(wall * 1e9)})

    def _auth(self, message: Message) -> None:
        if self._connection.market != PRIVATE:
            raise INVALID
        answers, refusal = self._context.script.take_login()
        if not answers:
            return
        if refusal is not None:
            raise refusal
        # A member may be text or number. The key's version is not sent: the passphrase is always encrypted.
        headers = {name.lower(): str(value) for name, value in message.items() if name.lower().startswith("kc-api-")}
        headers["kc-api-key-version"] = "2"
        now_ms = self._context.clock.wall() * 1000
        try:
            user = self._context.accounts.user_of(headers, "POST", _VERIFY, "", now_ms)
        except RestRefused as error:
            raise Refused(401, error.text) from None
        self._connection.authorise(user)
        self._connection.send({**id_of(message), "result": self._context.script.uta_ack})

    def _subscribe(self, message: Message) -> None:
        context, connection = self._context, self._connection
        singles = singles_of(message, connection.market, context.catalogue.symbols)
        topic = singles[0] + "".join(f",{single.partition(':')[2]}" for single in singles[1:])
        rejection = context.script.take_rejection(topic, singles, INVALID.text)
        if rejection is not None:
            raise rejection
        if connection.market == PRIVATE and not connection.private:
            raise Refused(403, "please login first")
        known = connection.topics
        new = [single for single in singles if single not in known]
        if self._topics is not None and len(known.union(singles)) > self._topics:
            raise Refused(509, f"exceed max subscription count limitation of {self._topics} per session")
        with connection.alone():
            connection.subscribe(None, dict.fromkeys(singles, False))
            self._ack(message)
        for single in new:
            if single.endswith(f"_{INCREMENT}"):
                self._send_book(single)

    def _send_book(self, topic: str) -> None:
        """Send the snapshot of a book, when it is due, if the topic is still subscribed then."""
        context, connection = self._context, self._connection
        subscription = connection.subscription(topic)
        delay = context.script.take_snapshot_delay(topic)

        def send() -> None:
            try:
                if connection.subscription(topic) is subscription:
                    self._send_snapshot(topic)
            except Exception as error:
                context.state.record(error)

        if delay == 0:
            send()
        elif delay is not None:
            context.state.add_job(context.clock.now() + delay, send)

    def _send_snapshot(self, topic: str) -> None:
        context, connection = self._context, self._connection
        symbol = topic.partition(":")[2].rpartition("_")[0]
        scripted = context.script.snapshot("obu", symbol)
        if scripted is not None:
            push = Pushed(topic, scripted, None, None, {"t": "snapshot"})
            connection.send(uta_message(push, int(context.clock.wall() * 1e9)))
        elif context.feed is not None:
            context.feed.send_book(connection, topic)

    def _unsubscribe(self, message: Message) -> None:
        connection = self._connection
        connection.unsubscribe(None, singles_of(message, connection.market, self._context.catalogue.symbols))
        self._ack(message)

    def _ack(self, message: Message) -> None:
        script = self._context.script
        for _ in range(script.take_acks()):
            self._connection.send({**id_of(message), "result": script.uta_ack})

    def _send_error(self, message: Message, error: Refused) -> None:
        self._connection.send({**id_of(message), "result": False, error.member: error.text})


_COMMANDS: dict[str, dict[str, Callable[[UtaConversation, Message], None]]] = {
    "action": {"subscribe": UtaConversation._subscribe, "unsubscribe": UtaConversation._unsubscribe},
    "type": {"ping": UtaConversation._ping},
    "op": {"ping": UtaConversation._ping, "auth": UtaConversation._auth},
}
