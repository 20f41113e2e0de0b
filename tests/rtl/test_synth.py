"""Resources counted by Yosys, by layer and in total."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from flow.errors import InputError, ToolError
from flow.programs import YOSYS_LEAST, at_least
from flow.resources import Resources
from flow.rtl.folding import Fold, Folding
from flow.rtl.netlist import Cell, Netlist, netlist_resources, read_netlist
from flow.rtl.plan import BuildPlan, build_plan
from flow.rtl.synth import synthesize
from flow.rtl.technology import FAMILIES, Family, resources_of, technology
from flow.rtl.yosys import Yosys, find_yosys
from flow.runner import ToolFailure
from tests.rtl.builder import dense_network

PART = "xc7z020clg400-1"


def dense_plan() -> BuildPlan:
    return build_plan(dense_network(), Folding({"fc1": Fold(2, 4), "fc2": Fold(1, 2)}, 4))


# Counting


@pytest.mark.parametrize(
    ("family", "cells", "expected"),
    [
        ("xc7", {"LUT6": 3, "LUT2": 2, "INV": 1, "RAM32M": 2, "SRL16E": 1, "FDRE": 7, "CARRY4": 9, "RAMB36E1": 2,
                 "RAMB18E1": 1, "DSP48E1": 4, "MUXF7": 5}, Resources(15, 7, 5, 0, 4)),
        ("xcup", {"LUT6": 3, "RAM32M16": 1, "FDSE": 2, "CARRY8": 1, "RAMB18E2": 3, "URAM288": 1, "DSP48E2": 2},
         Resources(11, 2, 3, 1, 2)),
        ("ecp5", {"LUT4": 5, "PFUMX": 2, "CCU2C": 3, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 8, "DP16KD": 2,
                  "MULT18X18D": 1}, Resources(17, 8, 2, 0, 1)),
        ("ice40", {"SB_LUT4": 5, "SB_DFFESR": 4, "SB_RAM40_4K": 10, "SB_MAC16": 1}, Resources(5, 4, 2, 0, 1)),
    ],
)  # fmt: skip
def test_cells_are_counted_in_the_units_of_the_board(family: str, cells: dict[str, int], expected: Resources) -> None:
    assert resources_of(cells, technology(family)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cell_of_unknown_size_is_not_taken_for_nothing(family: Family) -> None:
    with pytest.raises(ToolError, match=r"cells whose size on .* is not known: NEWCELL"):
        resources_of({"NEWCELL": 2}, technology(family))


def ice40(*cells: Cell, output: int) -> Resources:
    ports: dict[str, tuple[str, tuple[int | str, ...]]] = {"y": ("output", (output,))}
    return netlist_resources(Netlist(ports, cells, {}), technology("ice40"))


def lut(name: str, out: int, **inputs: int) -> Cell:
    ports: dict[str, tuple[int | str, ...]] = {"O": (out,), **{port: (bit,) for port, bit in inputs.items()}}
    return Cell(name, "SB_LUT4", ports, frozenset({"O"}))


def test_on_ice40_a_flip_flop_shares_the_cell_of_the_lut_before_it() -> None:
    register = Cell("r", "SB_DFF", {"D": (2,), "Q": (3,), "C": (1,)}, frozenset({"Q"}))
    assert ice40(lut("l", 2, I0=9), register, output=3).lut == 1
    # ... not if the LUT drives something else, too, nor if there is no LUT.
    assert ice40(lut("l", 2, I0=9), register, output=2).lut == 2
    assert ice40(register, output=3).lut == 1


def test_on_ice40_a_carry_shares_the_cell_of_its_adder() -> None:
    carry = Cell("c", "SB_CARRY", {"I0": (5,), "I1": (6,), "CI": ("0",), "CO": (7,)}, frozenset({"CO"}))
    adder = Cell("a", "SB_LUT4", {"O": (8,), "I1": (5,), "I2": (6,), "I3": ("0",)}, frozenset({"O"}))
    assert ice40(carry, adder, output=8).lut == 1
    assert ice40(carry, lut("other", 8, I0=5), output=8).lut == 2
    assert ice40(carry, adder, output=7).lut == 2, "a carry leaves its chain through a cell of its own"


def test_on_ecp5_each_carry_chain_has_a_beginning_and_an_end() -> None:
    first = Cell("a", "CCU2C", {"CIN": ("0",), "COUT": (1,)}, frozenset({"COUT"}))
    second = Cell("b", "CCU2C", {"CIN": (1,), "COUT": (2,)}, frozenset({"COUT"}))
    assert netlist_resources(Netlist({}, (first, second), {}), technology("ecp5")).lut == 2 * 2 + 4


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"modules": {"part": {}}}', '{"modules": {"part": {"ports": 1}}}'])
def test_a_damaged_netlist_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"net\.json: not a netlist of Yosys with a module part"):
        read_netlist(text, "part", "net.json")


# Finding Yosys


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_missing_yosys_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.rtl.yosys.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="yosys not found: install it with"):
        find_yosys({"PATH": str(tmp_path)})


def test_a_yosys_that_is_too_old_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "yosys", "print('Yosys 0.9 (git sha1 1979e0b)')")
    monkeypatch.setattr("flow.rtl.yosys.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"yosys is Yosys 0\.9, too old: 0\.23 or later is needed; install"):
        find_yosys({"PATH": str(tmp_path)})


def test_a_yosys_on_path_is_preferred_if_it_is_new_enough(tmp_path: Path) -> None:
    program(tmp_path, "yosys", "print('Yosys 0.38 (git sha1 543faed9c8c)')")
    found = find_yosys({"PATH": str(tmp_path)})
    assert (found.kind, found.version) == ("native", "0.38")
    assert found.argv[0] == str(tmp_path / "yosys")


@pytest.mark.parametrize(("version", "good"), [("0.9", False), ("0.9+4052", False), ("0.23", True), ("0.70", True),
                                               ("0.22", False), ("1.0", True), ("unknown", False)])  # fmt: skip
def test_versions_are_compared_as_numbers(version: str, good: bool) -> None:
    assert at_least(version, YOSYS_LEAST) is good


# Whole designs


@pytest.mark.slow
def test_a_small_network_is_measured_by_layer_and_in_total(yosys: Yosys, cache: Path) -> None:
    plan = dense_plan()
    found = synthesize(plan, PART, 100.0, cache, yosys=yosys)
    assert list(found.parts) == ["fc1", "fc1_relu", "fc2"]
    total = found.measurement.resources
    assert total.lut == sum(part.lut or 0 for part in found.parts.values())
    assert total.lut is not None
    assert 150 < total.lut < 700
    assert (total.bram18, total.uram, total.dsp) == (0, 0, 0)
    assert found.measurement.source == "synthesized"
    assert found.measurement.interval_cycles == plan.schedule.interval


@pytest.mark.slow
def test_what_was_counted_is_kept_and_another_tool_or_option_is_asked_again(yosys: Yosys, tmp_path: Path) -> None:
    plan = dense_plan()
    first = synthesize(plan, "x", 12.0, tmp_path, family="ice40", yosys=yosys)
    broken = Yosys(("/nonexistent",), yosys.version, yosys.kind)
    again = synthesize(plan, "x", 12.0, tmp_path, family="ice40", yosys=broken)
    assert json.dumps(again.measurement.to_dict()) == json.dumps(first.measurement.to_dict())
    assert (first.reused, again.reused) == (0, 3)
    with pytest.raises(ToolFailure, match="not found"):
        synthesize(plan, "x", 12.0, tmp_path, family="ice40", yosys=Yosys(("/nonexistent",), "0.99", yosys.kind))
    with pytest.raises(ToolFailure, match="not found"):
        synthesize(plan, "x", 12.0, tmp_path, family="ice40", yosys=broken, dsp=True)
    # A damaged entry counts as none.
    for path in tmp_path.glob("*.kept"):
        path.write_bytes(path.read_bytes()[:-3])
    repaired = synthesize(plan, "x", 12.0, tmp_path, family="ice40", yosys=yosys)
    assert repaired.measurement == first.measurement
    assert repaired.reused == 0


@pytest.mark.slow
@pytest.mark.parametrize(("family", "unit"), [("ecp5", "LUT4"), ("ice40", "logic cell")])
def test_lattice_devices_are_counted_in_their_own_units(family: Family, unit: str, yosys: Yosys, cache: Path) -> None:
    found = synthesize(dense_plan(), "x", 25.0, cache, family=family, yosys=yosys)
    assert f"LUTs are {unit}s" in found.measurement.note
    total = found.measurement.resources
    assert total.lut is not None
    assert 300 < total.lut < 1200
    assert total.ff is not None
    assert 200 < total.ff < 800


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown family 'xc2', known: xc7, xcup, ecp5, ice40"):
        synthesize(dense_plan(), "x", 100.0, tmp_path, family="xc2")  # type: ignore[arg-type]


def test_a_run_over_its_limit_is_ended(yosys: Yosys, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"stopped: not done within 0\.05 s") as found:
        synthesize(dense_plan(), PART, 100.0, tmp_path, yosys=yosys, timeout_s=0.05)
    assert found.value.cause == "timeout"


def test_when_one_part_fails_the_others_are_stopped(yosys: Yosys, tmp_path: Path) -> None:
    plan = dense_plan()
    files = {**plan.files, "layer_fc2.v": plan.files["layer_fc2.v"].replace("endmodule", "nonsense")}
    stop = Event()
    with pytest.raises(ToolFailure, match=r"yosys fc2: .*(ERROR|syntax error)"):
        synthesize(replace(plan, files=files), PART, 100.0, tmp_path, yosys=yosys, jobs=3, cancel=stop)
    assert stop.is_set()
