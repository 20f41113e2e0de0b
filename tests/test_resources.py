"""Resources: unknown is never zero, and a measurement says where it comes from."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.resources import MAX_AMOUNT, RESOURCE_NAMES, SOURCES, ZERO, Measurement, Resources

amounts = st.none() | st.integers(0, 10**7) | st.floats(0, 1e7)
resources = st.builds(Resources, *[amounts] * 5)
cycles = st.none() | st.integers(1, 10**9)
texts = st.text(min_size=1, max_size=8)
measurements = st.builds(
    Measurement,
    source=st.sampled_from(SOURCES),
    tool=texts,
    version=texts,
    part=texts,
    clock_mhz=st.floats(1, 1000),
    resources=resources,
    latency_cycles=cycles,
    interval_cycles=cycles,
    low=resources,
    high=resources,
    note=st.text(max_size=8),
)

BOARD = Resources(53200, 106400, 280, 0, 220)
ROUTED: dict[str, Any] = {
    "source": "routed",
    "tool": "vivado",
    "version": "2020.1",
    "part": "xc7z020clg400-1",
    "clock_mhz": 100,
    "lut": 1234,
}


def test_unknown_stays_unknown_in_sums_and_differences() -> None:
    known, unknown = Resources(10, 20, 1, 0, 2), Resources(lut=5, ff=None, dsp=3)
    assert known + unknown == Resources(15, None, None, None, 5)
    assert known - unknown == Resources(5, None, None, None, -1)
    assert known + ZERO == known
    assert known.scaled({"lut": 2, "dsp": 0.5}) == Resources(20, 20, 1, 0, 1)


@given(a=resources, b=resources)
def test_a_sum_knows_what_both_know(a: Resources, b: Resources) -> None:
    for name, value in a + b:
        x, y = getattr(a, name), getattr(b, name)
        assert value == (None if x is None or y is None else x + y)
        assert (value is None) == (x is None or y is None)


def test_what_is_unknown_is_not_over_the_budget() -> None:
    used = Resources(lut=60000, ff=None, bram18=280, uram=1, dsp=0)
    assert used.exceeds(BOARD) == {"lut": 6800, "uram": 1}
    assert used.exceeds(Resources()) == {}


def test_shares_are_of_known_amounts_and_endless_where_there_is_nothing() -> None:
    assert Resources(26600, None, 0, 2, 55).utilisation(BOARD) == {
        "lut": 0.5,
        "bram18": 0.0,
        "uram": math.inf,
        "dsp": 0.25,
    }
    assert Resources(uram=0).utilisation(BOARD) == {"uram": 0.0}


@given(used=resources, budget=resources)
def test_more_than_all_of_it_is_over_the_budget(used: Resources, budget: Resources) -> None:
    shares, over = used.utilisation(budget), used.exceeds(budget)
    assert set(over) <= set(shares)
    for name, share in shares.items():
        assert (name in over) == (getattr(used, name) > getattr(budget, name))
        if name not in over:
            assert share <= 1


@given(value=resources)
def test_resources_survive_json(value: Resources) -> None:
    data = json.loads(json.dumps(value.to_dict()))
    assert list(data) == list(RESOURCE_NAMES)
    assert Resources.from_dict(data) == value


@given(value=measurements)
def test_measurements_survive_json(value: Measurement) -> None:
    data = json.loads(json.dumps(value.to_dict()))
    assert Measurement.from_dict(data) == value


def test_times_follow_from_cycles_and_clock() -> None:
    fast = Measurement("predicted", "t", "1", "p", 125.0, ZERO, latency_cycles=250, interval_cycles=50)
    assert fast.latency_us == 2.0
    assert fast.throughput_per_s == 2.5e6
    unknown = dataclasses.replace(fast, latency_cycles=None, interval_cycles=None)
    assert unknown.latency_us is None
    assert unknown.throughput_per_s is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"luts": 1}, "board.yaml: unknown resource 'luts', known: lut, ff, bram18, uram, dsp"),
        ({"lut": -1}, "board.yaml: lut must be a number >= 0"),
        ({"lut": "many"}, "not 'many'"),
        ({"lut": True}, "not True"),
        ({"lut": math.nan}, "not nan"),
        ({"lut": math.inf}, "not inf"),
        ({"dsp": 10**400}, "dsp must be a number >= 0 and at most 1e+12"),
        ({"dsp": MAX_AMOUNT * 2}, "dsp must be a number"),
        ({"dsp": [3]}, "not [3]"),
    ],
)
def test_wrong_amounts_are_refused(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Resources.from_dict(data, "board.yaml")
    assert problem in str(caught.value)


def test_a_report_without_a_number_leaves_it_unknown() -> None:
    found = Measurement.from_dict(ROUTED)
    assert found.resources == Resources(lut=1234)
    assert found.low == found.high == Resources()
    assert (found.latency_us, found.note) == (None, "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"source": "guessed"}, "source must be one of predicted, hls, synthesized, routed, not 'guessed'"),
        ({"source": None}, "source must be one of"),
        ({"source": ["hls"]}, "source must be one of"),
        ({"tool": ""}, "tool must be a text"),
        ({"version": 2020.1}, "version must be a text, not 2020.1"),
        ({"part": None}, "part must be a text"),
        ({"note": {"a": 1}}, "note must be a text"),
        ({"clock_mhz": 0}, "clock_mhz must be a number above 0, not 0"),
        ({"clock_mhz": math.nan}, "clock_mhz must be"),
        ({"clock_mhz": True}, "clock_mhz must be"),
        ({"latency_cycles": 0}, "latency_cycles must be at least 1 or null, not 0"),
        ({"interval_cycles": "7"}, "interval_cycles must be"),
        ({"lut": -3}, "lut must be a number"),
        ({"low": [1]}, "low: expected a mapping of amounts, found list"),
        ({"high": {"lut": "x"}}, "high: lut must be a number"),
        ({"tiles": 1}, "unknown field 'tiles'"),
    ],
)
def test_a_damaged_measurement_names_the_field(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Measurement.from_dict({**ROUTED, **change}, "report.json")
    assert str(caught.value).startswith("report.json: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("field", ["source", "tool", "version", "part", "clock_mhz"])
def test_a_measurement_without_its_origin_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=field):
        Measurement.from_dict({k: v for k, v in ROUTED.items() if k != field})


@given(data=st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_anything_else_is_no_measurement(data: Any) -> None:
    with pytest.raises(InputError, match="expected a mapping of fields"):
        Measurement.from_dict(data)
