"""When a subscription is reported as silent, without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import Stale
from kucoin_sync.delivery.staleness import SilenceWatch
from kucoin_sync.delivery.subscription import Subscription

from ...support.message_queues import make_message_queue
from ...support.messages import message

TOPIC = "/market/ticker:BTC-USDT"
SILENT = Stale((TOPIC,), 5.0)


@pytest.fixture
def subscription() -> Subscription[Any]:
    return Subscription((TOPIC,), make_message_queue(), close=print)


@pytest.fixture
def watch(subscription: Subscription[Any]) -> SilenceWatch:
    return SilenceWatch(subscription, 5.0, 100.0)


def test_silence_is_reported_when_it_has_lasted_and_once(watch: SilenceWatch) -> None:
    assert watch.check_at == 105.0
    assert [watch.check(now) for now in (104.9, 105.0, 110.0, 115.0)] == [None, SILENT, None, None]


def test_a_message_ends_the_episode(watch: SilenceWatch, subscription: Subscription[Any]) -> None:
    assert watch.check(105.0) == SILENT
    subscription.put(message(1))
    assert (watch.check(110.0), watch.check_at) == (None, 115.0)
    assert (watch.check(114.9), watch.check(115.0)) == (None, SILENT)


def test_a_batch_of_messages_counts_too(watch: SilenceWatch, subscription: Subscription[Any]) -> None:
    subscription.put_many([message(1), message(2)])
    assert watch.check(105.0) is None


def test_the_time_can_start_anew(watch: SilenceWatch) -> None:
    assert watch.check(105.0) == SILENT
    watch.begin(200.0)
    assert [watch.check(now) for now in (204.9, 205.0)] == [None, SILENT]


def test_a_closed_subscription_is_not_reported(watch: SilenceWatch, subscription: Subscription[Any]) -> None:
    subscription.message_queue.finish(None)
    assert watch.check(105.0) is None
