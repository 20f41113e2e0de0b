"""Place and route with nextpnr, and packing of bitstreams."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.errors import InputError, ToolError
from flow.resources import Resources
from flow.rtl.cache import Cache
from flow.rtl.netlist import netlist_json
from flow.rtl.nextpnr import Program, Routed, find_program, first_to_meet, pack_bitstream, place_and_route, read_report
from flow.rtl.parts import Part
from flow.rtl.synth import Synthesizer
from flow.rtl.technology import TOP_NAME, Family, technology
from flow.rtl.yosys import Yosys
from flow.runner import ToolFailure

ICEBREAKER = ("--up5k", "--package", "sg48")
COUNTER = """
module counter(input clk, output reg [1:0] top);
    reg [15:0] count;
    always @(posedge clk) begin
        count <= count + 1;
        top <= count[15:14];
    end
endmodule
"""
PINS = "set_io clk 35\nset_io top[0] 11\nset_io top[1] 37\n"


@pytest.fixture(scope="module")
def nextpnr() -> Program:
    try:
        return find_program("nextpnr-ice40")
    except ToolError as error:
        pytest.skip(f"needs nextpnr: {error}")


def netlist_of(text: str, family: Family, yosys: Yosys, cache: Path) -> str:
    worker = Synthesizer(technology(family), False, yosys, Cache(cache), netlists=True)
    result, _ = worker.part(Part("counter", "counter", {}, ("counter.v",)), {"counter.v": text})
    return netlist_json(result.read(), TOP_NAME)


def report(folder: Path, **changes: Any) -> Path:
    content = {
        "utilization": {"ICESTORM_LC": {"used": 20, "available": 5280}, "ICESTORM_RAM": {"used": 6, "available": 30}},
        "fmax": {"clk$SB_IO_IN_$glb_clk": {"achieved": 48.5, "constraint": 12.0}},
        "critical_paths": [
            {"from": "posedge clk$SB_IO_IN_$glb_clk", "to": "posedge clk$SB_IO_IN_$glb_clk",
             "path": [{"from": {"cell": "a"}, "to": {"cell": "a"}}, {"from": {"cell": "a"}, "to": {"cell": "b"}}]},
            {"from": "<async>", "to": "posedge clk$SB_IO_IN_$glb_clk", "path": []},
        ],
    } | changes  # fmt: skip
    path = folder / "report.json"
    path.write_text(json.dumps(content))
    return path


def test_a_report_gives_blocks_clocks_and_worst_paths(tmp_path: Path) -> None:
    used, fmax, critical = read_report(report(tmp_path), "ice40")
    assert used["ICESTORM_LC"] == (20, 5280)
    assert fmax == {"clk": 48.5}
    assert critical == {"clk": ("a", "a", "b")}


@pytest.mark.parametrize("changes", [{"utilization": {}}, {"fmax": {"clk": 1}}, {"utilization": None}])
def test_a_damaged_report_is_an_error(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.json: not a report of nextpnr"):
        read_report(report(tmp_path, **changes), "ice40")
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json: not a report of nextpnr"):
        read_report(tmp_path / "report.json", "ice40")


def test_a_missing_nextpnr_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.rtl.nextpnr.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="nextpnr-ecp5 not found: install it with"):
        find_program("nextpnr-ecp5", {"PATH": str(tmp_path)})


def test_a_nextpnr_on_path_is_preferred(tmp_path: Path) -> None:
    path = tmp_path / "nextpnr-ecp5"
    path.write_text(f'#!{sys.executable}\nprint("nextpnr-ecp5 -- Next Generation Place and Route (Version 0.7)")\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    found = find_program("nextpnr-ecp5", {"PATH": str(tmp_path)})
    assert (found.argv, found.version, found.label) == ((str(path),), "0.7", "nextpnr-ecp5")


def test_wrong_arguments_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    broken = Program("nextpnr-ice40", ("/nonexistent",), "0", "nextpnr-ice40")
    for wrong, message in (
        ({"arguments": ["--up5k;x"]}, "not an argument of nextpnr-ice40: '--up5k;x'"),
        ({"target_mhz": 0.0}, "the clock must be between 0"),
        ({"seed": 0}, "the seed must be at least 1"),
    ):
        arguments: dict[str, Any] = {"arguments": ICEBREAKER, "target_mhz": 12.0, **wrong}
        with pytest.raises(InputError, match=message):
            place_and_route(broken, "{}", folder=tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_small_design_is_routed_and_packed(nextpnr: Program, yosys: Yosys, cache: Path, tmp_path: Path) -> None:
    netlist = netlist_of(COUNTER, "ice40", yosys, cache)
    routed = place_and_route(nextpnr, netlist, ICEBREAKER, 12.0, tmp_path, constraints=PINS)
    assert routed.resources.ff == 18
    assert routed.resources.lut is not None
    assert 16 <= routed.resources.lut <= 24
    assert (routed.resources.bram18, routed.resources.dsp) == (0, 0)
    assert set(routed.fmax_mhz) == {"clk"}
    assert routed.met
    assert "count" in routed.critical["clk"][0]
    assert routed.log.read_text().strip().endswith("Program finished normally.")
    made = pack_bitstream(routed, tmp_path / "counter.bin")
    assert made.read_bytes()[:100].startswith(b"\xff\x00")
    assert made.stat().st_size > 100_000

    # The same seed gives the same result, from the tool as well as from what was kept.
    again = place_and_route(
        nextpnr, netlist, ICEBREAKER, 12.0, tmp_path / "again", constraints=PINS, cache=Cache(cache)
    )
    assert again.config.read_text() == routed.config.read_text()
    broken = replace(nextpnr, argv=("/nonexistent",))
    kept = place_and_route(broken, netlist, ICEBREAKER, 12.0, tmp_path / "kept", constraints=PINS, cache=Cache(cache))
    assert kept.config.read_text() == routed.config.read_text()
    assert (kept.resources, kept.fmax_mhz, kept.critical) == (routed.resources, routed.fmax_mhz, routed.critical)


@pytest.mark.slow
def test_a_clock_that_is_missed_gives_no_bitstream(nextpnr: Program, yosys: Yosys, cache: Path, tmp_path: Path) -> None:
    netlist = netlist_of(COUNTER, "ice40", yosys, cache)
    routed = place_and_route(nextpnr, netlist, ICEBREAKER, 500.0, tmp_path)
    assert not routed.met
    with pytest.raises(
        ToolFailure, match=r"timing missed: clock clk reaches [\d.]+ MHz of 500; use a slower clock"
    ) as found:
        pack_bitstream(routed, tmp_path / "counter.bin")
    assert found.value.cause == "timing missed"
    assert not (tmp_path / "counter.bin").exists()


@pytest.mark.slow
def test_a_design_that_is_too_large_says_what_there_is_too_little_of(
    nextpnr: Program, yosys: Yosys, cache: Path, tmp_path: Path
) -> None:
    large = """
module counter(input clk, input d, output q);
    reg [5999:0] line;
    always @(posedge clk) line <= {line, d};
    assign q = line[5999];
endmodule
"""
    netlist = netlist_of(large, "ice40", yosys, cache)
    with pytest.raises(ToolFailure, match="does not fit: the device has too few ICESTORM_LC; choose a larger") as found:
        place_and_route(nextpnr, netlist, ICEBREAKER, 12.0, tmp_path)
    assert found.value.cause == "does not fit"
    pins = netlist_of(COUNTER.replace("[1:0] top", "[99:0] top"), "ice40", yosys, cache)
    with pytest.raises(ToolFailure, match="does not fit: no place was found for all cells"):
        place_and_route(nextpnr, pins, ICEBREAKER, 12.0, tmp_path)


@pytest.mark.slow
def test_pins_that_do_not_exist_are_an_error(nextpnr: Program, yosys: Yosys, cache: Path, tmp_path: Path) -> None:
    netlist = netlist_of(COUNTER, "ice40", yosys, cache)
    for pins, message in (("set_io clk 999\n", "package does not have a pin named"),
                          ("set_io clk 35\n", "is unconstrained in PCF")):  # fmt: skip
        with pytest.raises(ToolFailure, match=message):
            place_and_route(nextpnr, netlist, ICEBREAKER, 12.0, tmp_path, constraints=pins)


@pytest.mark.slow
def test_an_ecp5_design_is_routed_and_packed(yosys: Yosys, cache: Path, tmp_path: Path) -> None:
    try:
        nextpnr = find_program("nextpnr-ecp5")
    except ToolError as error:
        pytest.skip(f"needs nextpnr: {error}")
    netlist = netlist_of(COUNTER, "ecp5", yosys, cache)
    pins = 'LOCATE COMP "clk" SITE "G2";\nLOCATE COMP "top[0]" SITE "B2";\nLOCATE COMP "top[1]" SITE "C2";\n'
    pins += "".join(f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33;\n' for port in ("clk", "top[0]", "top[1]"))
    routed = place_and_route(
        nextpnr, netlist, ("--85k", "--package", "CABGA381", "--speed", "6"), 25.0, tmp_path, constraints=pins
    )
    assert routed.met
    assert routed.resources == Resources(routed.resources.lut, 18, 0, 0, 0)
    assert routed.resources.lut is not None
    assert 16 <= routed.resources.lut <= 24
    made = pack_bitstream(routed, tmp_path / "counter.bit")
    assert b"LFE5U-85F" in made.read_bytes()[:200]


def test_seeds_are_tried_until_one_meets_the_clock(tmp_path: Path) -> None:
    tried: list[int] = []

    def route(seed: int) -> Routed:
        tried.append(seed)
        reached = {"clk": 10.0 + seed}
        return Routed("ice40", Resources(), {}, reached, {}, 12.0, seed, 1.0, tmp_path, tmp_path)

    assert first_to_meet([1, 2, 3], route).seed == 2
    assert tried == [1, 2]
    assert first_to_meet([1, 0], route).seed == 1
    with pytest.raises(InputError, match="no seeds"):
        first_to_meet([], route)


def test_a_routed_design_without_clocks_meets_any(tmp_path: Path) -> None:
    routed = Routed("ice40", Resources(1, 0, 0, 0, 0), {}, {}, {}, 12.0, 1, 1.0, tmp_path, tmp_path)
    assert routed.slowest is None
    routed.require_timing()
