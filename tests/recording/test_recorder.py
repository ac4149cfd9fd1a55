"""What a recorder does with what it can't put into its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Connected, ConnectionFailed, Disconnected, Event, UnexpectedError
from kucoin_sync.protocol.session_events import TopicKey
from kucoin_sync.recording import Recorder, RecordingError, RecordingFailed
from kucoin_sync.recording import recorder as recorder_module
from kucoin_sync.recording.format import Dropped
from kucoin_sync.recording.index import RecordingIndex

KEY = TopicKey("/market/level2:BTC-USDT")
ERROR = ConnectionFailed("the connection was lost")
LINES: dict[str, Callable[[Recorder], None]] = {
    "subscribed": lambda recorder: recorder.on_subscribed("spot", False, [KEY]),
    "lost": lambda recorder: recorder.on_lost("spot", [KEY], ERROR),
    "connected": lambda recorder: recorder.on_event(Connected("spot", False, 1, "host")),
    "disconnected": lambda recorder: recorder.on_event(Disconnected("spot", False, 1, 1006, "", ERROR, 1.0)),
    "snapshot": lambda recorder: recorder.on_snapshot("spot", "/api", "BTC-USDT", {"bids": ["1"] * 20}),
}


class Observed:
    """A stream as a recorder needs it; keeps the events."""

    closed = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def carrying(self) -> dict[Any, Any]:
        return {}

    def add_observer(self, _: Any) -> None: ...
    def remove_observer(self, _: Any) -> None: ...
    def emit(self, event: Event) -> None:
        self.events.append(event)


def dropped(recorder: Recorder) -> list[Dropped]:
    """Close a recorder that has dropped one line; return what its recording says of that."""
    assert recorder.dropped == 1
    with pytest.raises(RecordingError, match="1 messages are missing in"):
        recorder.close()
    return [line for line in RecordingIndex(recorder.path).read() if isinstance(line, Dropped)]


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_can_not_be_made_is_counted_and_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Any = Observed()
    recorder = Recorder(stream, tmp_path / "a.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(recorder_module.format, "line_as_text", _fail)
        LINES[kind](recorder)
    (event,) = stream.events
    assert isinstance(event, UnexpectedError)
    (line,) = dropped(recorder)
    assert line.count == 1
    assert "not enough memory" in line.reason


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_has_no_room_is_counted_and_told(kind: str, tmp_path: Path) -> None:
    stream: Any = Observed()
    recorder = Recorder(stream, tmp_path / "a.jsonl", most_waiting=10)
    LINES[kind](recorder)
    (event,) = stream.events
    assert isinstance(event, RecordingFailed)
    (line,) = dropped(recorder)
    assert (line.count, line.reason) == (1, "the disk was too slow")


def _fail(_: object) -> bytes:
    raise MemoryError("not enough memory")
