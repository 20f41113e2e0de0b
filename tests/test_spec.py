"""What a user asks of a winner, and what no board can give."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.board import list_boards, load_board
from flow.errors import InputError
from flow.resources import Resources
from flow.spec import MAX_CYCLES, Spec, make_spec

BOARD = load_board("pynq-z2")


def refused(**asked: Any) -> str:
    with pytest.raises(InputError) as caught:
        make_spec(BOARD, **asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", list_boards())
def test_without_any_limit_a_board_gives_its_budget_and_clock_and_a_thousand_inferences(name: str) -> None:
    board = load_board(name)
    assert make_spec(board) == Spec(board.budget, 1000.0, None, board.default_clock_mhz, None)


def test_the_file_form_has_the_fields_the_reports_read() -> None:
    spec = make_spec(BOARD, lut=30_000, fps=2_000, latency_us=500, clock_mhz=150)
    data = spec.to_dict()
    assert data == {
        "budget": {"lut": 30_000, "ff": 46_764, "bram18": 218, "uram": 0, "dsp": 176},
        "min_throughput_per_s": 2_000,
        "max_latency_us": 500,
        "clock_mhz": 1000 / 7,
        "requested_clock_mhz": 150,
        "bound": "upper",
    }
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_the_clock_of_the_spec_is_the_one_the_board_makes() -> None:
    spec = make_spec(load_board("zcu104"), clock_mhz=200)
    assert (spec.clock_mhz, spec.requested_clock_mhz) == (187.5, 200)
    assert make_spec(load_board("zcu104"), clock_mhz=187.5).clock_mhz == 187.5


def test_a_user_may_fill_the_part_beyond_the_headroom_but_not_beyond_the_shell() -> None:
    assert make_spec(BOARD, lut=48_850).budget == replace(BOARD.budget, lut=48_850)
    assert refused(lut=48_851) == (
        "a budget of 48,851 LUT is more than board pynq-z2 has: of its 53,200 LUT the shell leaves 48,850"
    )
    assert "of its 53,200 LUT the shell leaves 48,850" in refused(lut=1e300)


@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, math.inf, -math.inf, "10", True, [1]])
@pytest.mark.parametrize(
    ("name", "what"), [("lut", "LUT budget"), ("fps", "fps"), ("latency_us", "latency"), ("clock_mhz", "clock")]
)
def test_a_limit_that_is_no_positive_number_is_refused(name: str, what: str, value: Any) -> None:
    assert refused(**{name: value}) == f"{what} must be a positive number, not {value!r}"


def test_more_than_one_inference_each_clock_is_refused() -> None:
    assert make_spec(BOARD, fps=100e6).max_interval_cycles == 1
    assert refused(fps=100_000_001) == (
        "100,000,001 inferences/s are out of reach: one each clock cycle is the most, 100,000,000 at 100 MHz"
    )
    assert make_spec(BOARD, fps=200e6, clock_mhz=200).max_interval_cycles == 1


def test_a_latency_below_one_clock_is_refused() -> None:
    assert make_spec(BOARD, latency_us=0.01).max_latency_cycles == 1
    assert refused(latency_us=0.009) == (
        "a latency of 0.009 us is out of reach: one clock cycle takes 0.01 us at 100 MHz"
    )


@pytest.mark.parametrize(("clock", "said"), [(250.1, "250.1"), (0.2, "0.2"), (1e9, "1e+09")])
def test_a_clock_the_board_cannot_make_is_refused_with_the_range(clock: float, said: str) -> None:
    expected = f"board pynq-z2: a clock of {said} MHz is out of reach: zynq7 makes 0.252 to 250 MHz"
    assert refused(clock_mhz=clock) == expected


def test_limits_are_known_in_cycles() -> None:
    spec = make_spec(BOARD, fps=3_000, latency_us=12.345)
    assert spec.max_interval_cycles == 33_333
    assert spec.max_latency_cycles == 1_234
    assert make_spec(BOARD).max_latency_cycles is None


rates = st.floats(1e-3, 1e8) | st.integers(1, 10**8) | st.integers(1, 10**6).map(lambda n: 1e8 / n)


@given(fps=rates, clock=st.floats(0.252, 250))
def test_the_interval_is_the_longest_that_gives_the_throughput(fps: float, clock: float) -> None:
    spec = replace(make_spec(BOARD, clock_mhz=clock), min_throughput_per_s=fps)
    cycles = spec.max_interval_cycles
    rate = spec.clock_mhz * 1e6
    assert cycles == 1 or rate / cycles >= fps
    assert rate / (cycles + 1) < fps


@given(cycles=st.integers(1, 10**9), clock=st.sampled_from([100.0, 1000 / 7, 187.5, 12.0, 1000 / 3]))
def test_a_limit_that_is_a_whole_number_of_cycles_is_that_number(cycles: int, clock: float) -> None:
    spec = Spec(Resources(), clock * 1e6 / cycles, cycles / clock, clock, None)
    assert spec.max_interval_cycles == cycles
    assert spec.max_latency_cycles == cycles


def test_a_limit_looser_than_any_design_is_a_number_all_the_same() -> None:
    spec = make_spec(BOARD, fps=5e-324, latency_us=1.7e308)
    assert spec.max_interval_cycles == MAX_CYCLES
    assert spec.max_latency_cycles == MAX_CYCLES


anything = st.none() | st.floats() | st.integers() | st.text(max_size=3)


@given(lut=anything, fps=anything, latency=anything, clock=anything, name=st.sampled_from(list_boards()))
def test_whatever_is_asked_is_a_spec_or_one_line(lut: Any, fps: Any, latency: Any, clock: Any, name: str) -> None:
    said = ""
    try:
        spec = make_spec(load_board(name), lut=lut, fps=fps, latency_us=latency, clock_mhz=clock)
    except InputError as error:
        said = str(error)
    else:
        assert spec.max_interval_cycles >= 1
        assert spec.max_latency_cycles is None or spec.max_latency_cycles >= 1
        assert clock is None or spec.clock_mhz <= clock
    assert "\n" not in said
