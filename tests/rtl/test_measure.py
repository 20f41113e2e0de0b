"""Designs measured for boards: what they take, whether that fits, how fast they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.board import load_board
from flow.errors import InputError, ToolError
from flow.resources import Measurement, Resources
from flow.rtl.folding import Fold, Folding
from flow.rtl.measure import check_fit, family_of, measure_routed, measure_synthesized
from flow.rtl.nextpnr import find_program
from flow.rtl.plan import BuildPlan, build_plan
from flow.rtl.yosys import Yosys
from tests.rtl.builder import conv_network, dense_network


def dense_plan() -> BuildPlan:
    return build_plan(dense_network(), Folding({"fc1": Fold(2, 4), "fc2": Fold(1, 2)}, 4))


@pytest.mark.parametrize(
    ("board", "family"),
    [("pynq-z2", "xc7"), ("arty-a7-35t", "xc7"), ("zcu104", "xcup"), ("alveo-u250", "xcup"), ("ulx3s-85f", "ecp5"),
     ("icebreaker", "ice40")],
)  # fmt: skip
def test_each_board_has_its_family(board: str, family: str) -> None:
    assert family_of(load_board(board)) == family


def test_each_resource_is_checked_against_the_budget() -> None:
    board = load_board("icebreaker")
    budget, capacity = dict(board.budget), dict(board.capacity)
    fits = {one.resource: one for one in check_fit(Resources(4000, 100, 1, 0, None), board)}
    assert (fits["lut"].used, fits["lut"].budget, fits["lut"].capacity) == (4000, budget["lut"], capacity["lut"])
    assert fits["lut"].fits is False, "within the device, but beyond what may be filled of it"
    assert fits["ff"].fits is True
    assert fits["dsp"].fits is None
    own = check_fit(Resources(4000, 100, 1, 0, 0), board, Resources(4500, 4500, 5, 0, 8))
    assert all(one.fits for one in own)


def test_a_board_without_open_tools_is_not_routed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="board pynq-z2: no open tool places and routes for xc7z020clg400-1"):
        measure_routed(dense_plan(), load_board("pynq-z2"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_network_is_measured_for_an_amd_board_and_its_timing_estimated(yosys: Yosys, cache: Path) -> None:
    board = load_board("pynq-z2")
    found = measure_synthesized(dense_plan(), board, cache=cache)
    assert found.fits
    assert found.timing is not None
    assert set(found.timing.layers) <= {"fc1", "fc1_relu", "fc2", "outside"}
    assert 60 < found.timing.fmax_mhz < 400
    measurement = found.measurement
    assert (measurement.source, measurement.part, measurement.clock_mhz) == ("synthesized", board.part, 100.0)
    assert "estimated, not routed" in measurement.note
    assert sum(part.lut or 0 for part in found.parts.values()) == measurement.resources.lut

    data = json.loads(json.dumps(found.to_dict()))
    assert Measurement.from_dict(data["measurement"]) == measurement
    assert set(data["layers"]) == {"fc1", "fc1_relu", "fc2"}
    assert data["layers"]["fc1"]["cells"]["CARRY4"] > 0
    assert data["estimated_timing"]["verdict"] in ("meets", "near", "misses")
    tight = measure_synthesized(dense_plan(), board, cache=cache, budget=Resources(100, 10**6, 10, 0, 0))
    assert not tight.fits
    assert [one.resource for one in tight.fit if one.fits is False] == ["lut"]


@pytest.mark.slow
def test_a_network_is_routed_for_the_icebreaker(yosys: Yosys, cache: Path, tmp_path: Path) -> None:
    try:
        find_program("nextpnr-ice40")
    except ToolError as error:
        pytest.skip(f"needs nextpnr: {error}")
    plan = build_plan(conv_network(), Folding({"conv": Fold(2, 2)}, 2))
    found = measure_routed(plan, load_board("icebreaker"), tmp_path, cache=cache)
    measurement = found.measurement
    assert (measurement.source, measurement.tool.split()[0], measurement.clock_mhz) == ("routed", "nextpnr-ice40", 12.0)
    assert found.routed is not None
    assert found.routed.met
    assert found.harness is not None
    assert found.routed.used["SB_IO"][0] == 4, "the harness needs four pins, whatever the width of the streams"
    # What Yosys' cells are packed to is known before nextpnr packs them.
    routed, synthesized = measurement.resources, found.synthesized.resources
    assert routed.lut == pytest.approx(synthesized.lut, rel=0.03)
    assert (routed.ff, routed.bram18, routed.dsp) == (synthesized.ff, synthesized.bram18, synthesized.dsp)
    assert "less a harness of" in measurement.note
    data = json.loads(json.dumps(found.to_dict()))
    assert data["routed"]["met"] is True
    assert data["synthesized"]["source"] == "synthesized"
