"""Relays and Redis fail and return: one relay writes at a time, another takes over, and every gap is reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kucoin_sync import Connected, Disconnected, Message, Resubscribed, Retrying, Stream
from kucoin_sync.relay import LeaseLost, LeaseTaken, Relay, RelayStream
from kucoin_sync.relay.codec import Lease, decode_entry, encode
from kucoin_sync.relay.keys import Keys
from kucoin_sync.relay.scripts import HolderScripts, Retention
from kucoin_sync.relay.server import RedisServer
from kucoin_sync.relay.source import RelaySource
from kucoin_sync.testing import KucoinServer

from ..support.redis import LocalRedis
from ..support.relays import MakeReader, MakeRelay, RelayProcess
from ..support.streams import Events
from ..support.threads import LIMIT, Task, reached, until
from .test_reading import TOPIC, numbers, send, take

RunRelay = Callable[..., RelayProcess]
KEYS = Keys("kucoin-sync")


def written(redis: LocalRedis) -> list[tuple[int, int]]:
    """Return the tokens and numbers of all records of the topic, in the order in which they were written."""
    entries = redis.call("XRANGE", KEYS.shard(TOPIC), "-", "+")
    found = [decode_entry(fields[b"e"]) for _, fields in entries]
    return [(entry.token, record.sequence) for entry in found if entry for record in entry.records]


def carries(server: KucoinServer, count: int = 1) -> None:
    """Wait until `count` connections carry the topic."""
    server.wait_for(
        lambda s: sum(TOPIC in each.topics for each in s.connections) == count, LIMIT, "the topic to be carried"
    )


def test_another_relay_takes_over_when_the_holder_is_killed(
    server: KucoinServer, redis: LocalRedis, run_relay: RunRelay, make_relay: MakeRelay, make_reader: MakeReader,
    events: Events,
) -> None:  # fmt: skip
    holder = run_relay()
    holder.wait_lease(redis)
    standby = make_relay(wait=False)
    reader = make_reader()
    subscription = reader.subscribe(TOPIC)
    send(server, 1, 2)
    before = take(subscription, 2)
    assert not standby.holds_lease
    holder.send(signal.SIGKILL)
    assert standby.wait_lease(LIMIT)
    events.wait(Disconnected, timeout=LIMIT)
    events.wait(Resubscribed, timeout=LIMIT)
    carries(server)
    send(server, 3)
    (after,) = take(subscription, 1)
    assert numbers([*before, after]) == [1, 2, 3]
    assert after.epoch > before[-1].epoch
    assert after.lost == 0
    tokens = [token for token, _ in written(redis)]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 2
    assert [number for _, number in written(redis)] == [1, 2, 3]


@pytest.mark.parametrize("topic", [TOPIC, "/account/balance"])
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 302, "body": "", "headers": {"Location": "https://maintenance.invalid/"}},
        {"status": 200, "code": "200004", "text": "maintenance"},
    ],
    ids=["302", "200004"],
)
def test_what_readers_had_goes_on_when_the_next_holder_meets_a_stray_answer_of_rest(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader, events: Events, topic: str,
    answer: dict[str, Any],
) -> None:  # fmt: skip
    options = {"private": True, "credentials": server.credentials}
    holder = make_relay(**options)
    subscription = make_reader().subscribe(topic)
    server.publish(topic, {"n": 1}, "a.subject", user=None if topic == TOPIC else server.USER)
    assert subscription.get(timeout=LIMIT)["data"]["n"] == 1
    server.fail_rest("/api/v1/bullet-*", times=2, **answer)
    holder.close()
    assert make_relay(**options).wait_lease(LIMIT)
    events.wait(Resubscribed, timeout=LIMIT)
    until(lambda: any(topic in each.topics for each in server.connections[1:]), "the next holder carries the topic")
    server.publish(topic, {"n": 2}, "a.subject", user=None if topic == TOPIC else server.USER)
    assert subscription.get(timeout=LIMIT)["data"]["n"] == 2


def test_a_suspended_holder_can_write_nothing_after_a_takeover(
    server: KucoinServer, redis: LocalRedis, run_relay: RunRelay, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    holder = run_relay()
    holder.wait_lease(redis)
    reader = make_reader()
    subscription = reader.subscribe(TOPIC)
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]
    standby = make_relay(wait=False)
    holder.send(signal.SIGSTOP)
    assert standby.wait_lease(LIMIT)
    carries(server, 2)
    assert server.publish(TOPIC, {"n": 2}) == 2  # one of them waits in the stopped one's socket
    assert numbers(take(subscription, 1)) == [2]
    holder.send(signal.SIGCONT)
    holder.says("lease lost")
    carries(server)
    send(server, 3)
    assert numbers(take(subscription, 1)) == [3]
    found = written(redis)
    assert [number for _, number in found] == [1, 2, 3]
    assert [token for token, _ in found] == sorted(token for token, _ in found)
    assert standby.holds_lease


def test_an_old_token_writes_nothing(redis: LocalRedis, make_relay: MakeRelay) -> None:
    relay = make_relay()
    token = relay.stats()["token"]
    server = RedisServer(redis.url)
    with server.client() as client:
        scripts = HolderScripts(client, KEYS)
        entry = [(KEYS.shards[0], b"[1,[],[]]")]
        assert not scripts.publish(token - 1, Retention(10, 10_000), entry, {"t": b"x"}, {"t": b"x"})
        assert not scripts.answer(token - 1, "book", b"{}", 10)
        assert scripts.renew(1000, Lease(token - 1)) is None
        assert scripts.acquire(1000, Lease(0)) is None
        assert not client.exists(KEYS.shards[0], KEYS.last, KEYS.states, KEYS.snapshot("book"))
        scripts.release(token - 1)
        assert client.exists(KEYS.lease)
        assert scripts.publish(token, Retention(10, 10_000), entry, {"t": b"x"}, {"t": b"x"})
        assert client.exists(KEYS.shards[0], KEYS.last, KEYS.states) == 3
        assert scripts.publish(token, Retention(10, 10_000), [], {}, {"t": b""})
        assert not client.exists(KEYS.states)
    client.connection_pool.disconnect()


def test_entries_older_than_the_retention_are_trimmed(redis: LocalRedis, make_relay: MakeRelay) -> None:
    token = make_relay().stats()["token"]
    client = RedisServer(redis.url).client()
    scripts, written_so_far = HolderScripts(client, KEYS), 0

    def trimmed() -> bool:
        nonlocal written_so_far
        written_so_far += 1
        assert scripts.publish(token, Retention(10**9, 1), [(KEYS.shards[0], b"[1,[],[]]")], {}, {})
        return bool(client.xlen(KEYS.shards[0]) < written_so_far)

    until(trimmed, "nothing was trimmed")
    client.connection_pool.disconnect()


def test_a_redis_whose_clock_is_behind_after_a_restart_is_read_from_its_beginning(
    server: KucoinServer, redis: LocalRedis, relay: Relay, make_reader: MakeReader, events: Events
) -> None:
    reader = make_reader()
    subscription = reader.subscribe(TOPIC)
    redis.call("XADD", KEYS.shard(TOPIC), f"{10**14}-0", "no", "entry")
    until(lambda: reader.stats()["unreadable"] == 1, "it was not read")
    redis.restart()
    events.wait(Connected, 2, timeout=LIMIT)
    carries(server)
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]


def test_tokens_rise_over_a_redis_that_begins_empty(redis: LocalRedis) -> None:
    server = RedisServer(redis.url)
    found = []
    for _ in range(2):
        with server.client() as client:
            scripts = HolderScripts(client, KEYS)
            taken = scripts.acquire(60_000, Lease(0))
            assert taken is not None and taken[1] is None
            scripts.release(taken[0])
            again = scripts.acquire(60_000, Lease(0))
            assert again is not None and again[1] == taken[0]
            found += [taken[0], again[0]]
        client.connection_pool.disconnect()
        redis.restart()
    assert found == sorted(set(found))


def test_a_closed_relay_gives_the_lease_back_at_once(make_relay: MakeRelay) -> None:
    first = make_relay(lease_seconds=3600)
    second = make_relay(lease_seconds=1, wait=False)
    first.close()
    assert not first.holds_lease
    assert second.wait_lease(LIMIT)


def test_of_several_relays_one_holds_the_lease(make_relay: MakeRelay, server: KucoinServer) -> None:
    told: list[Any] = []
    relays = [make_relay(topics=[TOPIC], wait=False, on_event=told.append) for _ in range(3)]
    until(lambda: any(relay.holds_lease for relay in relays), "none holds it")
    carries(server)
    assert sum(relay.holds_lease for relay in relays) == 1
    assert [type(event) for event in told] == [LeaseTaken]


def test_all_reconnect_to_redis_and_buffered_messages_are_delivered(
    server: KucoinServer, redis: LocalRedis, relay: Relay, make_reader: MakeReader, events: Events
) -> None:
    subscription = make_reader().subscribe(TOPIC)
    send(server, 1, 2)
    before = take(subscription, 2)
    redis.kill()
    events.wait(Disconnected, timeout=LIMIT)
    send(server, 3, 4)
    events.wait(Retrying, timeout=LIMIT)
    redis.start()
    events.wait(Connected, 2, timeout=LIMIT)
    send(server, 5)
    after = take(subscription, 3)
    assert numbers(after) == [3, 4, 5]
    assert [message.lost for message in after] == [0, 0, 0]
    assert after[0].epoch > before[-1].epoch  # the relay has a new token, as its Redis remembers none
    events.wait(Resubscribed, timeout=LIMIT)
    assert relay.stats()["dropped"] == 0


def test_a_record_written_without_confirmation_is_delivered_once(
    server: KucoinServer,
    redis: LocalRedis,
    relay: Relay,
    make_reader: MakeReader,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = make_reader().subscribe(TOPIC)
    publish, died = HolderScripts.publish, threading.Event()

    def get_no_answer(*arguments: Any) -> bool:
        monkeypatch.setattr(HolderScripts, "publish", publish)
        assert publish(*arguments)
        reached(died, "Redis was not killed")
        raise OSError("no answer came")

    monkeypatch.setattr(HolderScripts, "publish", get_no_answer)
    send(server, 1, 2)
    got = take(subscription, 1)
    redis.kill()
    died.set()
    events.wait(Disconnected, timeout=LIMIT)
    redis.start()
    events.wait(Connected, 2, timeout=LIMIT)
    send(server, 3)
    while got[-1].data["n"] != 3:
        got += take(subscription, 1)
    assert numbers(got) == [1, 2, 3]
    assert [message.lost for message in got] == [0, 0, 0]
    assert got[-1].epoch > got[0].epoch


def test_a_reader_goes_on_where_it_was_when_redis_has_kept_its_data(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader, events: Events
) -> None:
    with LocalRedis(["--appendonly", "yes", "--appendfsync", "always"]) as keeping:
        relay = make_relay(url=keeping.url)
        with make_reader(keeping.url) as reader:
            subscription = reader.subscribe(TOPIC)
            send(server, 1)
            keeping.kill()
            events.wait(Disconnected, timeout=LIMIT)
            send(server, 2)
            keeping.start()
            events.wait(Connected, 2, timeout=LIMIT)
            send(server, 3)
            got = take(subscription, 3)
            assert numbers(got) == [1, 2, 3]
            assert len({message.epoch for message in got}) == 1
            assert {message.lost for message in got} == {0}
        relay.close()


def test_records_dropped_while_redis_is_gone_show_as_a_gap(
    server: KucoinServer, redis: LocalRedis, relay: Relay, make_reader: MakeReader, events: Events
) -> None:
    subscription = make_reader().subscribe(TOPIC)
    send(server, 1)
    got = take(subscription, 1)
    assert relay._leadership is not None
    relay._leadership.buffer._limit = 3
    redis.kill()
    events.wait(Disconnected, timeout=LIMIT)
    send(server, *range(2, 12))
    until(lambda: relay.stats()["dropped"] > 0 and not server_busy(relay, 11), "nothing was dropped")
    redis.start()
    events.wait(Connected, 2, timeout=LIMIT)
    until(lambda: relay.stats()["pending"] == 0, "the rest was not written")
    send(server, 12)
    while got[-1].data["n"] != 12:
        got += take(subscription, 1)
    assert len(got) + sum(message.lost for message in got) == 12
    assert relay.stats()["dropped"] == sum(message.lost for message in got) > 0
    for message, last in zip(got[1:], got, strict=False):
        assert message.data["n"] == last.data["n"] + message.lost + 1


def server_busy(relay: Relay, count: int) -> bool:
    """Whether fewer than `count` messages have reached the relay."""
    assert relay._leadership is not None
    feed = relay._leadership.feeds[TOPIC]
    return feed.sequence < count


def test_a_lost_connection_to_kucoin_shows_as_a_gap(
    server: KucoinServer, relay: Relay, make_reader: MakeReader, events: Events
) -> None:
    subscription = make_reader().subscribe(TOPIC)
    send(server, 1)
    before = take(subscription, 1)
    server.drop_connections()
    assert "the relay has no connection to KuCoin" in str(events.wait(Disconnected, timeout=LIMIT))
    events.wait(Resubscribed, timeout=LIMIT)
    send(server, 2)
    (after,) = take(subscription, 1)
    assert numbers([*before, after]) == [1, 2]
    assert after.epoch > before[0].epoch


def test_a_relay_that_lost_its_lease_takes_part_again(redis: LocalRedis, make_relay: MakeRelay) -> None:
    told: list[Any] = []
    relay = make_relay(lease_seconds=1, on_event=told.append)
    redis.call("INCR", KEYS.token)
    redis.call("DEL", KEYS.lease)
    until(lambda: sum(isinstance(event, LeaseTaken) for event in told) == 2, "it does not hold the lease again")
    assert any(isinstance(event, LeaseLost) for event in told)
    assert relay.wait_lease(LIMIT)


def test_a_relay_whose_lease_another_has_taken_waits_for_it(redis: LocalRedis, make_relay: MakeRelay) -> None:
    told: list[Any] = []
    relay = make_relay(lease_seconds=1, topics=[TOPIC], on_event=told.append)
    other = redis.call("INCR", KEYS.token)
    redis.call("SET", KEYS.lease, encode(Lease(other, "elsewhere:1", False)))
    until(lambda: any(isinstance(event, LeaseLost) for event in told), "it takes the lease for its own still")
    assert not relay.holds_lease and not relay.topics
    assert not relay.wait_lease(0)
    assert relay.stats() == {"published": 0, "dropped": 0, "pending": 0, "topics": 0, "token": 0}
    redis.call("DEL", KEYS.lease)
    assert relay.wait_lease(LIMIT)
    assert relay.stats()["token"] > other


def test_a_relay_that_waits_leaves_its_streams_own_topics_alone(make_relay: MakeRelay, server: KucoinServer) -> None:
    make_relay()
    waiting = make_relay(wait=False)
    subscription = waiting._stream.subscribe(TOPIC)
    server.drop_connections()
    carries(server)
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]
    assert not waiting.holds_lease


def test_a_relay_can_be_closed_while_redis_is_gone_and_before_it_began(
    redis: LocalRedis, relay: Relay, make_relay: MakeRelay
) -> None:
    redis.kill()
    relay.close()
    assert not relay.holds_lease
    Relay(relay._stream, redis.url).close()


def test_a_relay_that_runs_returns_when_it_is_closed(server: KucoinServer, redis: LocalRedis) -> None:
    with Stream(**server.stream_options) as stream:
        relay = Relay(stream, redis.url)
        running = Task(relay.run)
        until(lambda: relay.holds_lease, "it does not hold the lease")
        assert not running.done.is_set()
        relay.close()
        assert running.result() is None


def test_a_defect_costs_a_reader_no_message(
    server: KucoinServer,
    relay: Relay,
    make_reader: MakeReader,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscription = make_reader().subscribe(TOPIC)
    read = RelaySource._handle_entries

    def fail_once(*_: object) -> None:
        monkeypatch.setattr(RelaySource, "_handle_entries", read)
        raise ZeroDivisionError

    monkeypatch.setattr(RelaySource, "_handle_entries", fail_once)
    send(server, 1)
    assert "a defect in this package: ZeroDivisionError" in str(events.wait(Disconnected, timeout=LIMIT).error)
    assert numbers(take(subscription, 1)) == [1]
    assert "a defect ended connection" in caplog.text and "Traceback" in caplog.text


def test_malformed_entries_are_counted_and_skipped(
    server: KucoinServer, redis: LocalRedis, relay: Relay, make_reader: MakeReader
) -> None:
    reader: RelayStream = make_reader()
    subscription = reader.subscribe(TOPIC)
    token = relay.stats()["token"]
    for text in (b"", b"\xff", b"{}", b"[1", b'[1,[["t"]]]'):
        redis.call("XADD", KEYS.shard(TOPIC), "*", "e", text)
    redis.call("XADD", KEYS.shard(TOPIC), "*", "other", "field")
    no_push = msgspec.json.encode((token, [(TOPIC, 1, 1, 1, msgspec.Raw(b"7"))], []))
    redis.call("XADD", KEYS.shard(TOPIC), "*", "e", no_push)
    send(server, 1)
    send(server, 2)
    got: list[Message] = take(subscription, 1)
    assert numbers(got) == [2]  # the number of the first was taken
    assert reader.stats()["unreadable"] == 7
