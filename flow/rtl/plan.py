"""The build plan of a network: every file of its hardware as a value, with a digest.

Same network, same folding: same bytes. Nothing is written before everything is known to be buildable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from flow.fileio import data_dir, read_text, write_atomic
from flow.network.quantized import QuantizedNetwork
from flow.rtl.design import Design, Node, build_design
from flow.rtl.emitted import module_name
from flow.rtl.folding import Folding
from flow.rtl.layers import emit
from flow.rtl.memories import ram_style
from flow.rtl.schedule import Schedule, schedule_design
from flow.rtl.text import BANNER, comment, instance

TOP = "flow_top"
"""The name of the top module."""


@dataclass(frozen=True)
class BuildPlan:
    """The files of a design by relative path, in the order in which tools read them, and what is known of it."""

    files: Mapping[str, str]
    design: Design
    schedule: Schedule

    @cached_property
    def digest(self) -> str:
        """Content digest: the first 16 hex digits of SHA-256 over all paths and texts."""
        sha = hashlib.sha256()
        for path, text in self.files.items():
            for part in (path, text):
                data = part.encode()
                sha.update(f"{len(data)}:".encode())
                sha.update(data)
        return sha.hexdigest()[:16]

    @property
    def sources(self) -> list[str]:
        """The Verilog files, library first, the top last."""
        return [path for path in self.files if path.endswith(".v")]

    def write(self, folder: Path) -> None:
        """Write all files to ``folder``. Raises ToolError if that fails."""
        for path, text in self.files.items():
            write_atomic(folder / path, text)


def write_rtl(network: QuantizedNetwork, folding: Folding, folder: Path) -> BuildPlan:
    """Write a network's hardware to ``folder`` and return its plan.

    Raises InputError, before anything is written, if it can't be built.
    """
    plan = build_plan(network, folding)
    plan.write(folder)
    return plan


def build_plan(network: QuantizedNetwork, folding: Folding) -> BuildPlan:
    """The plan of a network with a folding. Raises InputError if it can't be built."""
    design = build_design(network, folding)
    found = schedule_design(design)
    emitted = [emit(design, i, found) for i, node in enumerate(design.nodes) if node.layer is not None]
    library = {name for module in emitted for name in module.library}
    library |= {f"flow_{node.kind}" for node in design.nodes if node.kind in ("narrow", "widen", "argmax")}
    library |= {"flow_fifo"} if found.fifos else set()
    library |= {"flow_fork"} if any(len(readers) > 1 for readers in design.consumers) else set()
    files = {f"{name}.v": library_text(name) for name in sorted(library)}
    for module in emitted:
        files[f"{module.name}.v"] = module.text
        for path, words in module.memories.items():
            files[path] = "\n".join(words) + "\n"
    files[f"{TOP}.v"] = _top(design, found)
    return BuildPlan(MappingProxyType(files), design, found)


def library_text(name: str) -> str:
    """The text of a library module."""
    return read_text(data_dir("templates") / "rtl" / f"{name}.v", "library module")


# The top module: all nodes and the streams between them


def _wires(prefix: str) -> tuple[str, str, str]:
    return f"{prefix}_valid", f"{prefix}_ready", f"{prefix}_data"


def _declare(prefix: str, bits: int) -> list[str]:
    valid, ready, data = _wires(prefix)
    return [f"wire {valid}, {ready};", f"wire [{bits - 1}:0] {data};"]


def _top(design: Design, found: Schedule) -> str:
    network = design.network
    source, last = design.nodes[0].stream, design.nodes[-1].stream
    about = [
        f"A network of {len(network.layers)} layers, digest {network.digest}.",
        f"Input: {source.beats:,} beats of {source.lanes} channels, {source.format}.",
        f"Output: {last.beats:,} beats of {last.lanes} channels, {last.format}.",
        "Channel 0 is in the lowest bits, pixels are in raster order.",
        f"An inference every {found.interval:,} cycles, bound by {found.bottleneck}.",
    ]
    lines = [BANNER, "//"]
    for paragraph in about:
        lines += comment(paragraph)
    lines += [
        "`default_nettype none",
        f"module {TOP} (",
        "    input  wire clk,",
        "    input  wire rst, // synchronous, active high",
        "    input  wire in_valid,",
        "    output wire in_ready,",
        f"    input  wire [{source.bits - 1}:0] in_data,",
        "    output wire out_valid,",
        "    input  wire out_ready,",
        f"    output wire [{last.bits - 1}:0] out_data",
        ");",
    ]
    for index in range(len(design.nodes)):
        lines += [f"    {line}".rstrip() for line in _node(design, found, index)]
    lines += ["endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)


def output_prefix(design: Design, index: int) -> str:
    """The prefix of the wires that a node drives."""
    if index == 0:
        return "in"
    return "out" if index == len(design.nodes) - 1 else f"s_{design.nodes[index].name}"


def _node(design: Design, found: Schedule, index: int) -> list[str]:
    """The instance of a node, with the FIFOs before it and the fork behind it."""
    node = design.nodes[index]
    lines: list[str] = []
    ports = {"clk": "clk", "rst": "rst"}
    names = ("in",) if len(node.inputs) == 1 else ("a", "b")
    for port, source in enumerate(node.inputs):
        wires, more = _input(design, found, index, port, source)
        lines += more
        ports |= dict(zip(_wires(names[port]), wires, strict=True))
    prefix = output_prefix(design, index)
    if index > 0:
        ports |= dict(zip(_wires("out"), _wires(prefix), strict=True))
        if prefix != "out":
            lines += _declare(prefix, node.stream.bits)
        parameters: dict[str, int | str] = {}
        if node.kind == "argmax":
            values = design.nodes[node.inputs[0]].stream
            parameters = {
                "BITS": values.bits, "SIGNED": int(values.format.signed), "COUNT": values.beats,
                "INDEX_BITS": node.stream.bits,
            }  # fmt: skip
        elif node.layer is None:
            width = design.nodes[node.inputs[0]].stream.bits if node.kind == "widen" else node.stream.bits
            parameters = {"WIDTH": width, "RATIO": node.ratio}
        lines += instance(_module(node), f"u_{node.name}", parameters, ports)
    readers = design.consumers[index]
    if len(readers) > 1:
        lines += _fork(prefix, node, len(readers))
    return ["", *lines] if lines else []


def _module(node: Node) -> str:
    return f"flow_{node.kind}" if node.layer is None else module_name(node)


def _fork(prefix: str, node: Node, count: int) -> list[str]:
    valid, ready, data = _wires(prefix)
    return [
        "",
        f"wire [{count - 1}:0] {prefix}_fork_valid, {prefix}_fork_ready;",
        f"wire [{node.stream.bits - 1}:0] {prefix}_fork_data;",
        *instance(
            "flow_fork",
            f"fork_{node.name}",
            {"WIDTH": node.stream.bits, "OUTPUTS": count},
            {
                "clk": "clk", "rst": "rst", "in_valid": valid, "in_ready": ready, "in_data": data,
                "out_valid": f"{prefix}_fork_valid", "out_ready": f"{prefix}_fork_ready",
                "out_data": f"{prefix}_fork_data",
            },
        ),
    ]  # fmt: skip


def _input(
    design: Design, found: Schedule, index: int, port: int, source: int
) -> tuple[tuple[str, str, str], list[str]]:
    """The wires that a node reads, and the FIFO that drives them if there is one."""
    prefix, readers = output_prefix(design, source), design.consumers[source]
    wires = _wires(prefix)
    if len(readers) > 1:
        branch = readers.index((index, port))
        wires = (f"{prefix}_fork_valid[{branch}]", f"{prefix}_fork_ready[{branch}]", f"{prefix}_fork_data")
    node = design.nodes[index]
    depth = found.fifos.get((node.name, port))
    if depth is None:
        return wires, []
    name = f"{node.name}_{'ab'[port]}_fifo"
    bits = design.nodes[source].stream.bits
    lines = [
        f"// {depth} beats come before {node.name} can take them.",
        *_declare(f"q_{name}", bits),
        *instance(
            "flow_fifo",
            f"q_{name}_u",
            {"WIDTH": bits, "DEPTH": depth, "RAM_STYLE": ram_style(depth, bits)},
            {
                "clk": "clk", "rst": "rst",
                **dict(zip(_wires("in"), wires, strict=True)),
                **dict(zip(_wires("out"), _wires(f"q_{name}"), strict=True)),
            },
        ),
        "",
    ]  # fmt: skip
    return _wires(f"q_{name}"), lines
