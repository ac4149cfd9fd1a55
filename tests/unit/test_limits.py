"""The limits: the defaults that are documented, and no nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.limits import Limits

DEFAULTS = {
    "topics_per_command": 100,
    "topics_per_connection": 300,
    "commands_per_10s": 90,
    "connections_per_minute": 25,
    "snapshots_per_30s": 200,
    "frame_bytes": 16 * 1024 * 1024,
    "idle_seconds": 30.0,
    "step_timeout": 10.0,
}


def test_the_defaults_stay_below_what_kucoin_allows() -> None:
    assert {name: getattr(Limits(), name) for name in Limits.__struct_fields__} == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_limit_can_be_chosen(name: str) -> None:
    assert getattr(Limits(**{name: 7}), name) == 7


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"commands_per_10s"}))
def test_a_limit_may_be_small(name: str) -> None:
    value = 0.25 if isinstance(DEFAULTS[name], float) else 1
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_not_positive_and_finite_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"the limit {name} must be positive and finite, not {value!r}"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("value", ["7", None, True])
def test_a_limit_that_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"the limit {name} must be a number, not {value!r}"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", sorted(name for name, value in DEFAULTS.items() if isinstance(value, int)))
def test_a_count_that_is_a_float_is_a_whole_number(name: str) -> None:
    limits = Limits(**{name: 50.0})  # type: ignore[arg-type]
    assert (getattr(limits, name), type(getattr(limits, name))) == (50, int)
    with pytest.raises(ValueError, match=f"the limit {name} must be a whole number, not 50.5"):
        Limits(**{name: 50.5})  # type: ignore[arg-type]


def test_the_pace_must_leave_room_for_pings() -> None:
    assert Limits(commands_per_10s=5).commands_per_10s == 5
    with pytest.raises(ValueError, match="at least 5, to leave room for pings, not 4"):
        Limits(commands_per_10s=4)


def test_limits_are_named_and_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        Limits(100)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Limits().frame_bytes = 1  # type: ignore[misc]
