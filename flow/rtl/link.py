"""Synthesized parts put together again, as the one flat netlist that timing and place and route take.

A design alone has more inputs and outputs than a package has pins. To be placed by itself it gets a harness: registers
around it that are shifted in and out through four pins. What the harness takes is counted by itself, so that it can be
taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flow.errors import InputError
from flow.rtl.netlist import Flat, Netlist, flatten
from flow.rtl.parts import Assembly, Part
from flow.rtl.synth import PartResult, Synthesis, Synthesizer

HARNESS = "flow_harness"
"""The name of the harness's module."""

CLOCK = "clk"
"""The name of a design's clock."""


@dataclass(frozen=True)
class Shell:
    """What is around a design: its result, which counts it alone, and its netlist with the design as one cell."""

    result: PartResult
    netlist: Netlist


def harness(assembly: Assembly) -> str:
    """The Verilog of a harness around a design: its inputs come from a shift register, its outputs go to another.

    All paths of the design stay what they are: from a register, to a register. ``take`` loads the outputs instead of
    shifting them on, so that none of them is without use.
    """
    ports = assembly.top.ports
    ins = [(name, len(bits)) for name, (way, bits) in ports.items() if way == "input" and name != CLOCK]
    outs = [(name, len(bits)) for name, (way, bits) in ports.items() if way == "output"]
    if CLOCK not in ports or not ins or not outs:
        raise InputError(f"{assembly.top_name} needs a clock {CLOCK}, inputs and outputs to be placed by itself")
    wired, at = [f".{CLOCK}({CLOCK})"], 0
    for name, bits in ins:
        wired.append(f".{name}(driven[{at}+:{bits}])")
        at += bits
    wide_in, at = at, 0
    for name, bits in outs:
        wired.append(f".{name}(result[{at}+:{bits}])")
        at += bits
    return "\n".join([
        "// Registers around a design, so that it can be placed without a pin for each of its ports.",
        f"module {HARNESS} (input wire {CLOCK}, input wire scan_in, input wire take, output reg scan_out);",
        f"    reg [{wide_in - 1}:0] driven;",
        f"    wire [{at - 1}:0] result;",
        f"    reg [{at - 1}:0] caught;",
        f"    always @(posedge {CLOCK}) begin",
        "        driven <= {driven, scan_in};",
        "        caught <= take ? result : caught >> 1;",
        "        scan_out <= caught[0];",
        "    end",
        f"    {assembly.top_name} design ({', '.join(wired)});",
        "endmodule",
        "",
    ])  # fmt: skip


def _stub(assembly: Assembly) -> str:
    """The top as a Verilog module of which only the ports are known."""
    ports = [f"{way} [{len(bits) - 1}:0] {name}" for name, (way, bits) in assembly.top.ports.items()]
    return f"(* blackbox *)\nmodule {assembly.top_name} ({', '.join(ports)});\nendmodule\n"


def synthesize_shell(synthesis: Synthesis, files: Mapping[str, str], top: str, worker: Synthesizer) -> Shell:
    """What is around a design: ``files`` with module ``top``, which has one instance of the design's top.

    ``files`` may hold the design's own as well: they are not read. Raises InputError if there is no such instance,
    ToolError or ToolFailure.
    """
    name = synthesis.assembly.top_name
    own = {path for part in synthesis.assembly.parts for path in part.files} | {f"{name}.v"}
    sources = {path: text for path, text in files.items() if path not in own}
    result, _ = worker.part(Part(top, top, {}, tuple(sources)), sources, {f"{name}.v": _stub(synthesis.assembly)})
    netlist = result.read()
    if sum(cell.type == name for cell in netlist.cells) != 1:
        raise InputError(f"{top} must have one instance of {name}")
    return Shell(result, netlist)


def flat_design(synthesis: Synthesis, shell: Shell | None = None) -> Flat:
    """The whole design as one module, ``shell`` around it if there is one; each cell's layer is the part it is of.

    Raises InputError if the netlists were not kept.
    """
    flat = flatten(synthesis.assembly.top, {name: result.read() for name, result in synthesis.results.items()})
    if shell is None:
        return flat
    ((box,),) = [[cell.name for cell in shell.netlist.cells if cell.type == synthesis.assembly.top_name]]
    whole = flatten(shell.netlist, {box: flat.netlist})
    layers = (*flat.layers, *("" for _ in range(len(whole.netlist.cells) - len(flat.layers))))
    return Flat(whole.netlist, layers)
