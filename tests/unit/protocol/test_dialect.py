"""What dialects have in common: servers that keep their token secret, and answers; and the list of all dialects."""

from __future__ import annotations

from kucoin_sync.protocol.dialect import Answer, Server


def test_a_server_shows_everything_but_its_token() -> None:
    server = Server("wss://a.example/", 18.0, 10.0, "s3cret")
    assert repr(server) == "Server('wss://a.example/', 18.0, 10.0)"
    assert server.token == "s3cret"


def test_an_answer_that_says_nothing_more_is_no_error_and_changes_no_heartbeat() -> None:
    answer = Answer("ack", "7")
    assert (answer.code, answer.reason, answer.meaning) == (0, "", "")
    assert (answer.ping_interval, answer.ping_timeout) == (None, None)
