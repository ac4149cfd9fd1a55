"""A topic's name: plain text that promises a payload."""

from __future__ import annotations

import json
import pickle
from typing import get_args, get_type_hints

import pytest

from kucoin_sync import topics
from kucoin_sync.topics import futures
from kucoin_sync.topics.name import TopicName
from kucoin_sync.topics.table import TABLE, Topic


def test_a_name_is_plain_text_in_every_respect() -> None:
    name: TopicName[object] = TopicName("/a/b:c")
    assert name == "/a/b:c"
    assert {"/a/b:c": 1}[name] == 1
    assert json.dumps(name) == '"/a/b:c"'
    assert pickle.loads(pickle.dumps(name)) == name
    assert type(name.partition(":")[0]) is str


def test_a_name_can_be_told_its_payload() -> None:
    assert TopicName[int]("/a/b:c") == "/a/b:c"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_a_helper_promises_the_structs_of_its_row(row: Topic) -> None:
    module, name = (futures, row.helper[8:]) if row.market == "futures" else (topics, row.helper)
    (promised,) = get_args(get_type_hints(getattr(module, name))["return"])
    assert set(get_args(promised) or [promised]) == set(row.payloads.values())
