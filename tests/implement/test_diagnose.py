"""When nothing fits, the user learns what binds, by how much, and the smallest change of the spec that helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.board import load_board
from flow.implement.diagnose import Change, diagnose
from flow.implement.solver import solve_batch
from flow.network.fixed import FixedFormat
from flow.resources import Resources
from flow.space.batch import batch_table
from flow.space.space import SearchSpace, Task, all_codes, load_space
from flow.spec import BOUNDS, Bound, Spec, make_spec

FAMILY = "zynq7000"
PYNQ = load_board("pynq-z2")
SMALL = Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10)
TINY = """
schema: 1
name: tiny
layers:
  - {kind: dense, repeat: [1, 2], units: [24, 32], weight: ["fixed<4,1>", "fixed<8,1>"], activation: ["ufixed<4,1>"]}
output: {weight: ["fixed<4,1>"]}
"""
VECTORS = Task((16,), FixedFormat(8, 3), 5)


@pytest.fixture
def tiny(tmp_path: Path) -> SearchSpace:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return load_space(str(path), VECTORS)


def changed(spec: Spec, change: Change, slack: float = 1.0) -> Spec:
    """The spec with a change made, or ``slack`` times less of it."""
    value = change.value / slack if change.knob != "FPS" else change.value * slack
    return {
        "LUT": replace(spec, budget=replace(spec.budget, lut=np.floor(value))),
        "FPS": replace(spec, min_throughput_per_s=value),
        "LATENCY": replace(spec, max_latency_us=value),
        "CLOCK": replace(spec, clock_mhz=value),
    }[change.knob]


def any_fits(space: SearchSpace, task: Task, spec: Spec) -> bool:
    """Whether any candidate of a small space fits."""
    return any(
        solve_batch(batch_table(space, codes, task).table, spec, FAMILY).feasible.any() for codes in all_codes(space)
    )


def least_lut(space: SearchSpace, task: Task, spec: Spec) -> float:
    """The fewest LUTs that any candidate of a small space takes, as they are compared with a budget."""
    free = replace(spec, budget=replace(spec.budget, lut=None))
    solutions = [solve_batch(batch_table(space, codes, task).table, free, FAMILY) for codes in all_codes(space)]
    return float(min(s.checked[s.feasible, 0].min() for s in solutions))


@pytest.mark.parametrize(
    ("limits", "budget", "binding", "knobs"),
    [
        ({}, 0.5, "LUT", {"LUT"}),
        ({"fps": 1e7}, 1.0, "LUT", {"LUT", "FPS", "CLOCK"}),
        ({"latency_us": 0.01}, None, "latency", {"LATENCY"}),
        ({"latency_us": 0.3}, 1.0, "LUT", {"LUT", "LATENCY", "CLOCK"}),
    ],
    ids=["lut", "fps and lut", "latency", "latency and lut"],
)
@pytest.mark.parametrize("bound", BOUNDS)
def test_the_changes_it_names_are_enough_and_no_less_is(
    tiny: SearchSpace, limits: dict[str, float], budget: float | None, binding: str, knobs: set[str], bound: Bound
) -> None:
    """A LUT budget of 1 lies between what the least network takes at leisure and within the limits."""
    spec = make_spec(PYNQ, bound=bound, **limits)
    if budget is not None:
        least = [least_lut(tiny, VECTORS, s) for s in (make_spec(PYNQ, bound=bound), spec)]
        spec = make_spec(PYNQ, lut=float(int(budget * sum(least) / 2)), bound=bound, **limits)
    assert not any_fits(tiny, VECTORS, spec)
    found = diagnose(tiny, VECTORS, spec, FAMILY, seed=0)
    assert found.binding == binding
    assert {change.knob for change in found.changes} == knobs
    for change in found.changes:
        assert change.times > 1
        assert any_fits(tiny, VECTORS, changed(spec, change)), change
        assert not any_fits(tiny, VECTORS, changed(spec, change, slack=1.01)), change
        assert str(change) in found.sentence
    assert [c.times for c in found.changes] == sorted(c.times for c in found.changes)
    assert f"smallest change that helps: {found.changes[0]}" in found.sentence
    assert "\n" not in found.sentence


def test_a_constraint_no_setting_can_loosen() -> None:
    """Ten flip-flops hold no network, at any LUT, FPS or clock."""
    space = load_space("cnn-small", SMALL)
    spec = replace(make_spec(PYNQ), budget=Resources(lut=10.0, ff=10.0, bram18=0, uram=0, dsp=0))
    found = diagnose(space, SMALL, spec, FAMILY, seed=0)
    assert found.changes == ()
    assert found.sentence.endswith(
        "no change of LUT, FPS, LATENCY or CLOCK alone helps: loosen several, or take a larger board"
    )


def test_a_space_without_a_valid_network(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(
        "schema: 1\nname: pools\nlayers:\n"
        "  - {kind: conv2d, repeat: 4, units: [2, 3], pool: [4], weight: [binary], activation: ['ufixed<1,1>']}\n"
    )
    found = diagnose(load_space(str(path), SMALL), SMALL, make_spec(PYNQ), FAMILY, seed=0)
    assert found.binding == ""
    assert found.sentence == "none of 16 sampled candidates is a valid network on this data set: pooling (16)"


def test_a_spec_that_is_met_is_said_to_be(tiny: SearchSpace) -> None:
    found = diagnose(tiny, VECTORS, make_spec(PYNQ), FAMILY, seed=0)
    assert found.changes == ()
    assert found.sentence == "20 of 20 sampled candidates fit"


def test_the_same_seed_gives_the_same_answer() -> None:
    space, spec = load_space("cnn-small", SMALL), make_spec(PYNQ, fps=5e6)
    first, again = (diagnose(space, SMALL, spec, FAMILY, seed=4) for _ in range(2))
    assert first == again
    assert first.binding == "throughput"
    assert sum(first.reasons.values()) == first.sampled
    assert first.changes[0].knob in ("FPS", "CLOCK")
