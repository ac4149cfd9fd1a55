"""A stream with a name: each of its threads has it, also in a forked child, and so has `repr`."""

from __future__ import annotations

from typing import Any

from kucoin_sync import Stream
from kucoin_sync.testing import KucoinServer, local_kucoin

from ..support.forks import child
from ..support.threads import LIMIT, package_threads, until

TOPIC = "/market/ticker:BTC-USDT"
SNAPSHOT = {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]}


def use(stream: Stream) -> list[Any]:
    books = [stream.book("BTC-USDT"), stream.book("BTC-USDT", feed="uta")]
    return [stream.subscribe(TOPIC, callback=print, stale_after=60.0), *books]


def test_all_threads_of_a_stream_have_its_name(server: KucoinServer) -> None:
    server.set_snapshot("orderbook/level2", "BTC-USDT", SNAPSHOT)
    with Stream(**server.stream_options, name="bot") as stream, Stream(**server.stream_options) as other:
        held = use(stream)
        named = {"io-1", "callbacks", "silence", "books", "snapshots", "pushed-snapshots"}
        until(lambda: {*package_threads()} >= {f"kucoin-{each} of bot" for each in named}, "a thread has no name")
        assert all(name.endswith(" of bot") for name in {*package_threads()} - {"kucoin-dial"})
        held += use(other)
        until(
            lambda: {*package_threads()} >= {f"kucoin-{each}" for each in named},
            "a thread of the other stream has a name",
        )
        assert repr(stream).startswith(f"<Stream of {server.rest_url}, bot: open")
        assert repr(other).startswith(f"<Stream of {server.rest_url}: open")


def test_a_forked_child_keeps_the_name(server: KucoinServer) -> None:
    server.set_snapshot("orderbook/level2", "BTC-USDT", SNAPSHOT)
    with Stream(**server.stream_options, name="bot") as stream:
        held = use(stream)

        def use_in_child(say: Any) -> None:
            stream.resume()
            held[1].wait_ready(LIMIT)
            say(sorted(name for name in package_threads() if not name.endswith(" of bot") and name != "kucoin-dial"))
            say(len({*package_threads()}))

        with child(use_in_child) as forked:
            assert forked.hear() == []
            assert forked.hear() >= 4


def test_the_threads_of_an_account_and_of_recovery_have_the_name_too(nothing_left_behind: None) -> None:
    with (
        local_kucoin("BTC-USDT", credentials=("key", "secret", "passphrase")) as server,
        Stream(**server.stream_options, name="bot") as stream,
    ):
        stream.account(rest_lag=0.0).wait_ready(LIMIT)
        stream.subscribe("/market/match:BTC-USDT", recover=True)
        named = {f"kucoin-{each} of bot" for each in ("account", "account-rest", "recovery")}
        until(lambda: {*package_threads()} >= named, "a thread has no name")
        assert all(name.endswith(" of bot") for name in {*package_threads()} - {"kucoin-dial"})
