"""Resources counted by Yosys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.errors import InputError, ToolError
from flow.resources import Resources
from flow.rtl.folding import Fold, Folding
from flow.rtl.plan import build_plan
from flow.rtl.synth import synthesize
from flow.rtl.yosys import Yosys, find_yosys, read_cells, resources_of
from tests.rtl.builder import dense_network


def test_cells_are_counted_in_the_units_of_the_board() -> None:
    cells = {"LUT6": 3, "LUT2": 2, "INV": 1, "RAM32M": 2, "FDRE": 7, "CARRY4": 9, "RAMB36E1": 2, "RAMB18E1": 1,
             "DSP48E1": 4, "MUXF7": 5}  # fmt: skip
    assert resources_of(cells) == Resources(14, 7, 5, 0, 4)


def test_a_cell_of_unknown_size_is_not_taken_for_nothing() -> None:
    with pytest.raises(ToolError, match="cells whose size is not known: NEWCELL"):
        resources_of({"LUT6": 1, "NEWCELL": 2})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"design": {}}', '{"design": {"num_cells_by_type": [1]}}'])
def test_a_damaged_report_is_an_error(text: str, tmp_path: Path) -> None:
    report = tmp_path / "stat.json"
    report.write_text(text)
    with pytest.raises(InputError, match=r"stat\.json: not a report of Yosys"):
        read_cells(report)


def test_a_missing_yosys_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.rtl.yosys.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="yosys not found: install it with"):
        find_yosys({"PATH": str(tmp_path)})


@pytest.mark.slow
def test_a_small_network_is_measured_by_layer_and_in_total(yosys: Yosys, cache: Path) -> None:
    plan = build_plan(dense_network(), Folding({"fc1": Fold(2, 4), "fc2": Fold(1, 2)}, 4))
    found = synthesize(plan, "xc7z020clg400-1", 100.0, cache, yosys=yosys)
    assert {"fc1", "fc1_relu", "fc2"} <= set(found.parts)
    total = found.measurement.resources
    assert total.lut == sum(part.lut or 0 for part in found.parts.values())
    assert total.lut is not None
    assert 150 < total.lut < 700
    assert (total.bram18, total.dsp) == (0, 0)
    assert found.measurement.source == "synthesized"
    assert found.measurement.interval_cycles == plan.schedule.interval

    # What was counted is kept: a tool that does not work is not asked again.
    broken = Yosys(("/nonexistent",), yosys.version, yosys.kind)
    again = synthesize(plan, "xc7z020clg400-1", 100.0, cache, yosys=broken)
    assert json.dumps(again.measurement.to_dict()) == json.dumps(found.measurement.to_dict())


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    plan = build_plan(dense_network(), Folding())
    with pytest.raises(InputError, match="unknown family 'xc2', known: xc7, xcup"):
        synthesize(plan, "x", 100.0, tmp_path, family="xc2")  # type: ignore[arg-type]


def test_a_module_that_was_kept_whole_counts_by_what_is_in_it(tmp_path: Path) -> None:
    report = tmp_path / "stat.json"
    cells = {"LUT6": 12, "$paramod\\flow_rom": 1}
    report.write_text(
        json.dumps({"modules": {"\\top": {}, "$paramod\\flow_rom": {}}, "design": {"num_cells_by_type": cells}})
    )
    assert read_cells(report) == {"LUT6": 12}
