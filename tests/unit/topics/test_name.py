"""Topic names: plain text with the type of the payload."""

from __future__ import annotations

import json
import pickle
from typing import get_args, get_type_hints

import pytest

from kucoin_sync import topics
from kucoin_sync.topics.name import TopicName
from kucoin_sync.topics.table import TABLE, Topic


def test_a_name_behaves_like_plain_text() -> None:
    name: TopicName[object] = TopicName("/a/b:c")
    assert name == "/a/b:c"
    assert {"/a/b:c": 1}[name] == 1
    assert json.dumps(name) == '"/a/b:c"'
    assert pickle.loads(pickle.dumps(name)) == name
    assert type(name.partition(":")[0]) is str


def test_a_name_takes_the_payload_as_its_type_parameter() -> None:
    assert TopicName[int]("/a/b:c") == "/a/b:c"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_the_type_of_a_helper_has_the_structs_of_its_row(row: Topic) -> None:
    part, _, name = row.helper.rpartition(".")
    (promised,) = get_args(get_type_hints(getattr(getattr(topics, part) if part else topics, name))["return"])
    structs = {struct for other in TABLE if other.helper == row.helper for struct in other.payloads.values()}
    assert set(get_args(promised) or [promised]) == structs
