"""Traces of simulated designs and their waveforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from flow.errors import InputError
from flow.rtl.folding import fold_for
from flow.rtl.plan import BuildPlan, build_plan
from flow.rtl.simulate import Stalls, simulate
from flow.rtl.trace import Trace, trace, waveform
from flow.rtl.verilator import Verilator
from tests.rtl.builder import conv_network


@pytest.fixture(scope="module")
def plan() -> BuildPlan:
    network = conv_network()
    return build_plan(network, fold_for(network, 400))


def codes(plan: BuildPlan, count: int) -> Any:
    return np.random.default_rng(0).integers(0, 16, size=(count, *plan.design.network.input_shape))


@pytest.mark.parametrize("stalls", [Stalls(), Stalls(30, 40, seed=3)], ids=["free", "stalls"])
def test_every_stream_hands_over_the_beats_of_the_design(
    plan: BuildPlan, verilator: Verilator, cache: Path, stalls: Stalls
) -> None:
    found = trace(plan, codes(plan, 3), cache, stalls, verilator)
    sent = dict(zip(found.streams, found.moved.sum(axis=0).tolist(), strict=True))
    expected = {node.name: 3 * node.stream.beats for node in plan.design.nodes}
    assert {"in": sent.pop("in"), "out": sent.pop("out")} == {"in": 3 * 72, "out": 3 * 3}
    assert sent == {name: beats for name, beats in expected.items() if name in sent}
    assert len(sent) == len(plan.design.nodes) - 2


def test_its_cycles_are_those_of_the_simulation(plan: BuildPlan, verilator: Verilator, cache: Path) -> None:
    given = codes(plan, 2)
    plain = simulate(plan, given, cache, tools=verilator)
    found = trace(plan, given, cache, tools=verilator)
    inputs, outputs = (np.flatnonzero(found.moved[:, found.streams.index(name)]) for name in ("in", "out"))
    assert outputs[-1] - outputs[-4] == plain.interval
    assert outputs[2] - inputs[0] + 1 == plain.latency
    assert not list(cache.glob("*.probe.txt")), "nothing is left behind"


def test_a_trace_that_would_fill_the_memory_is_refused(plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"too long, at most 2,000,000: trace fewer inferences"):
        trace(plan, np.zeros((10_000, 6, 6, 2), dtype=np.int64), tmp_path)
    with pytest.raises(InputError, match=r"expected codes of shape \(n, \(6, 6, 2\)\)"):
        trace(plan, np.zeros((1, 6, 6), dtype=np.int64), tmp_path)


def made(valid: list[str], ready: list[str]) -> Trace:
    """A trace of rows of digits, a stream each."""
    rows = [np.array([[c == "1" for c in row] for row in rows]).T for rows in (valid, ready)]
    return Trace(("in", "a<b", "out")[: len(valid)], rows[0], rows[1], 4)


def test_a_waveform_shows_what_moves_and_what_waits() -> None:
    found = made(["1101", "0111"], ["1111", "0001"])
    root = ElementTree.fromstring(waveform(found))  # noqa: S314 - our own text
    bars = {
        kind: [
            (float(r.get("x", "")), float(r.get("width", "")), r.get("y"))
            for r in root.iter("{http://www.w3.org/2000/svg}rect")
            if r.get("class") == kind and r.get("height") == "16"
        ]
        for kind in ("h", "w")
    }
    assert bars["h"] == [(170, 350, "58"), (695, 175, "58"), (695, 175, "84")]
    assert bars["w"] == [(170, 350, "58"), (695, 175, "58"), (345, 525, "84")], "what moves is drawn over it"
    assert "a&lt;b" in waveform(made(["11"] * 2, ["11"] * 2))


def test_a_long_waveform_is_drawn_by_shares() -> None:
    cycles = 7000
    valid = np.ones((cycles, 1), dtype=bool)
    ready = (np.arange(cycles) % 4 == 0)[:, None]
    root = ElementTree.fromstring(waveform(Trace(("in",), valid, ready, 4)))  # noqa: S314 - our own text
    heights = {r.get("height") for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("class") == "h"}
    assert heights <= {"10", "4", "5"}, "a quarter of 16 pixels; 10 is the legend"
    assert len(waveform(Trace(("in",), valid, ready, 4))) < 60_000


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InputError, match="no cycles from 9 to 4: the trace has 4"):
        waveform(made(["1101"], ["1111"]), 9)
