"""The parts of a design, and putting them together again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flow.errors import InputError, ToolError
from flow.rtl.cache import Cache
from flow.rtl.folding import Fold, Folding
from flow.rtl.link import HARNESS, flat_design, harness, synthesize_shell
from flow.rtl.netlist import Cell, Flat, Netlist, flatten, netlist_json, read_netlist
from flow.rtl.parts import assemble_parts, label
from flow.rtl.plan import TOP, build_plan
from flow.rtl.synth import Synthesizer, synthesize
from flow.rtl.technology import technology
from flow.rtl.yosys import Yosys
from tests.rtl.builder import conv_network

TWO = """
module top(input clk, input [3:0] in_data, output [3:0] out_data);
    wire [3:0] between;
    first #(.WIDTH(4), .FILE("a.hex")) u_one (.clk(clk), .d(in_data), .q(between));
    first #(.WIDTH(4), .FILE("b.hex")) u_two (.clk(clk), .d(between), .q(out_data));
endmodule
"""
FIRST = 'module first #(parameter WIDTH = 1, parameter FILE = "") (input clk); second x(clk); endmodule'


def test_parts_are_the_instances_of_the_top_with_the_files_they_need(yosys: Yosys, cache: Path) -> None:
    files = {"first.v": FIRST, "second.v": 'module second(input c); initial $readmemh("c.hex", m); endmodule',
             "third.v": "module third; endmodule", "c.hex": "0", "d.hex": "0", "top.v": TWO}  # fmt: skip
    found = assemble_parts(files, "top", yosys, Cache(cache))
    assert [part.name for part in found.parts] == ["u_one", "u_two"]
    one = found.parts[0]
    assert one.module == "first"
    assert one.files == ("first.v", "second.v", "c.hex")
    assert one.parameters == {"FILE": '"a.hex"', "WIDTH": "32'b" + "0" * 29 + "100"}
    assert label("u_one") == "one"


def test_a_top_with_logic_of_its_own_is_refused(yosys: Yosys, cache: Path) -> None:
    files = {"first.v": FIRST, "top.v": TWO.replace(".d(between)", ".d(between & in_data)")}
    with pytest.raises(ToolError, match=r"top\.v has logic of its own \(\$and\)"):
        assemble_parts(files, "top", yosys, Cache(cache))
    with pytest.raises(InputError, match=r"there is no other\.v"):
        assemble_parts(files, "other", yosys, Cache(cache))


def test_all_layers_of_a_network_are_parts(yosys: Yosys, cache: Path) -> None:
    plan = build_plan(conv_network(), Folding({"conv": Fold(2, 2)}, 2))
    found = assemble_parts(plan.files, TOP, yosys, Cache(cache))
    assert {label(part.name) for part in found.parts} == {node.name for node in plan.design.nodes[1:]}
    assert set(found.top.ports) == {"clk", "rst", *(f"{way}_{wire}" for way in ("in", "out")
                                                    for wire in ("valid", "ready", "data"))}  # fmt: skip


def gate(name: str, a: int | str, out: int) -> Cell:
    return Cell(name, "BUF", {"A": (a,), "Y": (out,)}, frozenset({"Y"}))


def test_parts_are_joined_by_the_nets_of_the_top() -> None:
    part = Netlist({"a": ("input", (2,)), "y": ("output", (3,))}, (gate("g", 2, 3),), {3: "y"})
    passing = Netlist({"a": ("input", (2,)), "y": ("output", (2,)), "one": ("output", ("1",))}, (), {})
    top = Netlist(
        {"in": ("input", (5,)), "out": ("output", (7, 8))},
        (Cell("p", "part", {"a": (5,), "y": (6,)}), Cell("q", "passing", {"a": (6,), "y": (7,), "one": (8,)})),
        {5: "in"},
    )
    flat = flatten(top, {"p": part, "q": passing})
    (cell,) = flat.netlist.cells
    assert (cell.name, flat.layers) == ("p.g", ("p",))
    # What a part only passes on is the same net on both sides, and a constant comes out as one.
    assert cell.ports["A"] == flat.netlist.ports["in"][1]
    assert flat.netlist.ports["out"][1] == (*cell.ports["Y"], "1")
    with pytest.raises(InputError, match="q has no port y of 2 bits"):
        flatten(Netlist({}, (Cell("q", "passing", {"y": (6, 7)}),), {}), {"q": passing})


def undriven(flat: Flat) -> list[str]:
    """Nets with loads but without exactly one driver."""
    drivers: Counter[int] = Counter()
    for cell in flat.netlist.cells:
        drivers.update(bit for port in cell.outputs for bit in cell.ports.get(port, ()) if isinstance(bit, int))
    for way, bits in flat.netlist.ports.values():
        if way == "input":
            drivers.update(bit for bit in bits if isinstance(bit, int))
    return [flat.netlist.names.get(net, str(net)) for net in flat.netlist.loads if drivers[net] != 1]


@pytest.mark.slow
def test_a_design_is_put_together_from_its_parts_with_a_harness_around_it(yosys: Yosys, cache: Path) -> None:
    plan = build_plan(conv_network(), Folding({"conv": Fold(2, 2)}, 2))
    found = synthesize(plan, "x", 12.0, cache, family="ice40", yosys=yosys, netlists=True)
    flat = flat_design(found)
    assert undriven(flat) == []
    cells = Counter(cell.type for cell in flat.netlist.cells)
    assert cells == sum((Counter(result.cells) for result in found.results.values()), Counter())

    worker = Synthesizer(technology("ice40"), False, yosys, Cache(cache), netlists=True)
    shell = synthesize_shell(found, {"flow_harness.v": harness(found.assembly)}, HARNESS, worker)
    whole = flat_design(found, shell)
    assert undriven(whole) == []
    assert set(whole.netlist.ports) == {"clk", "scan_in", "take", "scan_out"}
    assert Counter(cell.type for cell in whole.netlist.cells) == cells + Counter(shell.result.cells)
    # A flip-flop for each bit in, one for each bit out and one behind them.
    source, last = plan.design.nodes[0].stream.bits, plan.design.nodes[-1].stream.bits
    assert shell.result.resources.ff == source + 3 + last + 2 + 1
    # The file that is placed says the same.
    again = read_netlist(netlist_json(whole.netlist, "part"), "part")
    assert again.counts == whole.netlist.counts
    assert again.loads == whole.netlist.loads


def test_a_design_without_netlists_cannot_be_put_together(yosys: Yosys, cache: Path) -> None:
    plan = build_plan(conv_network(), Folding({"conv": Fold(2, 2)}, 2))
    found = synthesize(plan, "x", 12.0, cache, family="ice40", yosys=yosys)
    with pytest.raises(InputError, match="synthesized without keeping its netlists"):
        flat_design(found)
