"""The code that the programs in `examples/` share: options, the demonstration's environment, errors and Ctrl-C."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

import pytest

from kucoin_sync import ConnectionFailed, Stream, topics

SPEC = importlib.util.spec_from_file_location("_common", Path(__file__).parents[2] / "examples" / "_common.py")
assert SPEC is not None and SPEC.loader is not None
COMMON = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(COMMON)
example_parser, run_example = COMMON.example_parser, COMMON.run_example

NAMES = (
    "KUCOIN_SYNC_REST_URL", "KUCOIN_SYNC_FUTURES_REST_URL",
    "KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_API_PASSPHRASE", "KUCOIN_SYNC_REDIS_URL",
)  # fmt: skip


def test_under_demo_a_stream_goes_to_a_local_kucoin_with_its_key_and_the_environment_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in NAMES[1:]:
        monkeypatch.delenv(name, raising=False)
    before = {NAMES[0]: "https://before.example", NAMES[-1]: "redis://before.example"}
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    came = []

    def main(options: argparse.Namespace) -> None:
        assert options.seconds == 4.0
        assert not os.environ["KUCOIN_SYNC_REDIS_URL"], "a web application would read its feed there"
        with Stream() as stream:
            came.append(stream.subscribe("/market/ticker:LTC-USDT").get(timeout=20).payload.price)
            assert not stream.subscribe(topics.orders(), timeout=20).closed

    run_example(main, example_parser("about", seconds=4.0).parse_args(["--demo"]), "LTC-USDT", rate=500)
    assert len(came) == 1
    assert {name: os.environ[name] for name in NAMES if name in os.environ} == before


def test_without_demo_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUCOIN_SYNC_REST_URL", raising=False)
    came: list[bool] = []
    run_example(lambda _: came.append("KUCOIN_SYNC_REST_URL" in os.environ), example_parser("").parse_args([]))
    assert came == [False]


def test_ctrl_c_is_an_end() -> None:
    def main(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    run_example(main, example_parser("").parse_args([]))


@pytest.mark.parametrize("demo", [False, True])
def test_an_error_is_one_sentence_with_a_way_out(demo: bool) -> None:
    def main(_: argparse.Namespace) -> None:
        raise ConnectionFailed("no network")

    with pytest.raises(SystemExit) as ended:
        run_example(main, example_parser("").parse_args(["--demo"] * demo))
    assert str(ended.value) == "no network" + (
        "" if demo else "\nWithout a network, --demo does the same on a local KuCoin."
    )


def test_the_seconds_are_left_away_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example_parser("", seconds=None).parse_args(["--seconds", "3"])
    assert "--seconds" in capsys.readouterr().err
