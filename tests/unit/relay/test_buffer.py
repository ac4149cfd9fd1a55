"""The buffer and the entries: numbering, limits, order within a Redis stream, newest record and state of each topic."""

from __future__ import annotations

import pytest

pytest.importorskip("redis")

import msgspec

from kucoin_sync.relay import buffer as buffer_module
from kucoin_sync.relay.buffer import Buffer, EntryBuilder, Flush, Item, RelayedTopic, RunNumbers
from kucoin_sync.relay.codec import MAX_BYTES, Entry, News, decode_entry, decode_lease, decode_record, decode_state
from kucoin_sync.relay.keys import SHARDS, Keys, shard_of

KEYS = Keys("test")
ONE = "/market/match:BTC-USDT"
SAME = next(topic for topic in (f"/market/match:A{n}-USDT" for n in range(1000)) if shard_of(topic) == shard_of(ONE))
ELSEWHERE = next(
    topic for topic in (f"/market/match:A{n}-USDT" for n in range(1000)) if shard_of(topic) != shard_of(ONE)
)


def item(sequence: int, topic: str = ONE, frame: bytes = b'{"a":1}') -> Item:
    return topic, sequence, 1, 5, frame


def entries(flush: Flush, topic: str = ONE) -> list[Entry]:
    found = [decode_entry(text) for stream, text in flush.entries if stream == KEYS.shard(topic)]
    assert None not in found
    return [each for each in found if each is not None]


def test_every_record_arrives_in_the_order_of_its_stream_with_its_bytes() -> None:
    frames = [b'{"a" : 1.50}', b'{"b":"\xc3\xbc"}']
    flush = EntryBuilder(KEYS).flush(
        9, [item(1, frame=frames[0]), item(1, SAME), item(1, ELSEWHERE), item(2, frame=frames[1])]
    )
    (entry,) = entries(flush)
    assert entry.token == 9
    assert [(record.topic, record.sequence) for record in entry.records] == [(ONE, 1), (SAME, 1), (ONE, 2)]
    assert [bytes(record.frame) for record in entry.records if record.topic == ONE] == frames
    assert len(entries(flush, ELSEWHERE)) == 1


def test_the_newest_record_and_state_of_each_topic_are_noted() -> None:
    news = [News("lost", ONE, 0, "cut"), News("carried", ONE), News("dropped", SAME), News("refused", ELSEWHERE, 404)]
    flush = EntryBuilder(KEYS).flush(9, [item(1), item(2), *news])
    last = decode_record(flush.last[ONE])
    assert last is not None
    assert (last[0], last[1].sequence) == (9, 2)
    assert decode_state(flush.states[ONE]) == (9, News("carried", ONE))
    assert flush.states[SAME] == flush.states[ELSEWHERE] == b""
    (entry,) = entries(flush)
    assert [each.kind for each in entry.news] == ["lost", "carried", "dropped"]


def test_text_larger_than_a_frame_is_not_decoded() -> None:
    for decode, text in (
        (decode_entry, b"[9,[]]"),
        (decode_lease, b'{"token":9}'),
        (decode_record, b'[9,["/a/b",1,1,1,0]]'),
        (decode_state, b'[9,["carried","/a/b"]]'),
    ):
        assert decode(text.ljust(MAX_BYTES)) is not None
        assert decode(text.ljust(MAX_BYTES + 1)) is None


def test_a_frame_too_large_for_an_entry_is_dropped_and_its_number_skipped() -> None:
    buffer = Buffer(10)
    feed = RelayedTopic(ONE, 0, lambda epoch: 1, buffer.put)
    for size in (2, MAX_BYTES, buffer_module._MAX_FRAME_BYTES, 2):
        feed.forward(b'"%s"' % (b"x" * (size - 2)), 1, 5)
    assert buffer.dropped == 1
    found = entries(EntryBuilder(KEYS).flush(9, buffer.take(10)))
    assert [record.sequence for entry in found for record in entry.records] == [1, 3, 4]


def test_a_recovered_record_says_so_and_another_does_not() -> None:
    buffer = Buffer(10)
    feed = RelayedTopic(ONE, 0, lambda epoch: 1, buffer.put)
    feed.forward(b"{}", 1, 5, recovered=True)
    feed.forward(b"{}", 1, 6)
    flush = EntryBuilder(KEYS).flush(9, buffer.take(10))
    [entry] = entries(flush)
    assert [record.recovered for record in entry.records] == [True, False]
    [(_, text)] = flush.entries
    assert text.count(b"true") == 1 and b"false" not in text


def test_an_entry_that_is_as_full_as_can_be_can_be_decoded() -> None:
    long = "/market/match:" + "A" * 20 + "-" + "B" * 20
    items = [item(10**15 + number, long, b"1" * (buffer_module._ENTRY_BYTES // 500)) for number in range(499)]
    flush = EntryBuilder(KEYS).flush(10**15, [*items, item(10**16, long, b"1" * buffer_module._MAX_FRAME_BYTES)])
    (entry,) = entries(flush, long)
    assert len(entry.records) == 500


def test_records_after_news_go_into_a_later_entry() -> None:
    flush = EntryBuilder(KEYS).flush(9, [item(1), News("lost", ONE), item(2)])
    first, second = entries(flush)
    assert [record.sequence for record in first.records] == [1] and first.news == [News("lost", ONE)]
    assert [record.sequence for record in second.records] == [2] and not second.news


def test_every_entry_says_with_which_tokens_it_was_tried_before() -> None:
    flush = EntryBuilder(KEYS).flush(9, [item(1), News("lost", ONE), item(2)], {7})
    assert [entry.tried for entry in entries(flush)] == [[7], [7]]
    assert [entry.tried for entry in entries(EntryBuilder(KEYS).flush(9, [item(1)]))] == [[]]


@pytest.mark.parametrize(("name", "limit"), [("_ENTRY_RECORDS", 2), ("_ENTRY_BYTES", 14)])
def test_an_entry_has_a_limit(name: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_module, name, limit)
    found = entries(EntryBuilder(KEYS).flush(9, [item(number) for number in range(5)]))
    assert [[record.sequence for record in each.records] for each in found] == [[0, 1], [2, 3], [4]]


def test_a_full_buffer_drops_records_and_never_news() -> None:
    buffer = Buffer(2)
    feed = RelayedTopic(ONE, 10, RunNumbers().of(1), buffer.put)
    for _ in range(4):
        feed.forward(b"{}", 1, 0)
    buffer.put(News("carried", ONE))
    assert buffer.dropped == 2
    assert feed.sequence == 14
    assert buffer.has_items.is_set()
    taken = buffer.take(2)
    assert [each[1] for each in taken if isinstance(each, tuple)] == [11, 12]
    assert buffer.has_items.is_set()
    assert buffer.take(10) == [News("carried", ONE)]
    assert not buffer.has_items.is_set()
    assert buffer.take(10) == []


def test_a_run_ends_with_its_connection_and_when_a_topic_is_taken_up_again() -> None:
    runs, items = RunNumbers(), list[Item]()
    first, second, again = (
        RelayedTopic(ONE, 0, runs.of(1), items.append),
        RelayedTopic(SAME, 0, runs.of(1), items.append),
        runs.of(2),
    )
    first.forward(b"{}", 5, 0)
    second.forward(b"{}", 5, 0)
    first.forward(b"{}", 6, 0)
    first.forward(b"{}", 6, 0)
    RelayedTopic(ONE, 3, again, items.append).forward(b"{}", 6, 0)
    numbers = [each[2] for each in items if isinstance(each, tuple)]
    assert numbers == [1, 1, 2, 2, 3]


def test_the_runs_that_are_kept_are_bounded_and_never_begin_again() -> None:
    runs = RunNumbers()
    run_of = runs.of(1)
    numbers = [run_of(epoch) for epoch in range(3000)]
    assert numbers == sorted(set(numbers))
    assert run_of(2999) == numbers[-1]
    assert run_of(0) not in numbers
    assert len(runs._known) <= 1000


def test_malformed_text_is_decoded_to_none() -> None:
    for text in (b"", b"7", b"[]", b'["a"]', b"[1,[[1]]]", b'[1,[],[["unheard","t"]]]', b"[" * 5000):
        assert decode_entry(text) is None
        assert decode_record(text) is None
        assert decode_state(text) is None
        assert decode_lease(text) is None
    assert decode_entry(b"[1]") == Entry(1)
    assert decode_record(None) is None and decode_state(None) is None
    assert msgspec.json.encode(Entry(1)) == b"[1,[],[],[]]"


def test_topics_are_spread_over_all_streams_the_same_way_everywhere() -> None:
    assignment = {shard_of(f"/market/ticker:A{number}-USDT") for number in range(500)}
    assert assignment == set(range(SHARDS))
    assert shard_of("/market/ticker:BTC-USDT") == 10
    assert KEYS.shard("/market/ticker:BTC-USDT") == "{test}:1:stream:10"


@pytest.mark.parametrize("at", ["the run", "the buffer"])
def test_the_number_of_a_record_that_fails_is_skipped(at: str) -> None:
    items: list[Item] = []
    failures = [MemoryError()]

    def run_of(_: int) -> int:
        if at == "the run" and failures:
            raise failures.pop()
        return 1

    def put(item: Item) -> None:
        if at == "the buffer" and failures:
            raise failures.pop()
        items.append(item)

    feed = RelayedTopic(ONE, 10, run_of, put)
    with pytest.raises(MemoryError):
        feed.forward(b"{}", 1, 0)
    feed.forward(b"{}", 1, 0)
    assert items == [(ONE, 12, 1, 0, b"{}")]
