"""The numbers of `Stream.stats` that come from connections and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..delivery.subscription import Subscription
from ..protocol.envelopes import Push
from .group import ConnectionGroup

__all__ = ["collect", "sample_pushes"]


def collect(groups: Sequence[ConnectionGroup], subscriptions: Sequence[Subscription]) -> dict[str, Any]:
    """Return the numbers of the given groups and subscriptions; the caller adds those of ended subscriptions."""
    connections = [connection for group in groups for connection in group.all_connections()]
    counts = [group.past for group in groups] + [connection.counts for connection in connections]
    latencies = [count.pong_latency for count in counts if count.pong_latency is not None]
    return {
        "messages": sum(count.messages for count in counts),
        "bytes": sum(count.bytes for count in counts),
        "dropped": sum(subscription.dropped for subscription in subscriptions),
        "pending": sum(len(subscription.message_queue) for subscription in subscriptions),
        "subscriptions": len(subscriptions),
        "topics": sum(len(group.assignment) for group in groups),
        "connections": len(connections),
        "connects": sum(count.connects for count in counts),
        "reconnects": sum(count.reconnects for count in counts),
        "disconnects": sum(count.disconnects for count in counts),
        "failed_attempts": sum(count.failures for count in counts),
        "unreadable": sum(count.unreadable for count in counts)
        + sum(group.dispatcher.unreadable for group in groups)
        + sum(subscription.message_queue.decoder.unreadable for subscription in subscriptions),
        "unknown_types": sum(count.unknown for count in counts),
        "unrouted": sum(group.dispatcher.unrouted for group in groups),
        "pong_latency": max(latencies, default=None),
    }


def sample_pushes(
    groups: Sequence[ConnectionGroup], subscriptions: Sequence[Subscription]
) -> tuple[list[Push], list[Push]]:
    """Return the next push of each subscription, and the push that each group read last."""
    waiting = [push for each in subscriptions if (push := each.message_queue.oldest()) is not None]
    newest = [push for group in groups if (push := group.dispatcher.newest) is not None]
    return waiting, newest
