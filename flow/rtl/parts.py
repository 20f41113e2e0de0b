"""The module instances of a design's top, each with the files it needs to be synthesized by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flow.rtl.emitted import module_name
from flow.rtl.memories import ram_style
from flow.rtl.plan import TOP, BuildPlan


@dataclass(frozen=True)
class Part:
    """An instance: what it is called, its module and parameters, and the files that define it."""

    name: str
    module: str
    parameters: Mapping[str, int | str]
    files: tuple[str, ...]


def parts_of(plan: BuildPlan) -> list[Part]:
    """All instances of the top: layers and converters, then FIFOs and forks."""
    design, library = plan.design, [path for path in plan.files if path.startswith("flow_")]
    parts: list[Part] = []
    for node in design.nodes[1:]:
        if node.layer is None:
            width = design.nodes[node.inputs[0]].stream.bits if node.kind == "widen" else node.stream.bits
            module = f"flow_{node.kind}"
            parts.append(Part(node.name, module, {"WIDTH": width, "RATIO": node.ratio}, (f"{module}.v",)))
            continue
        own = f"{module_name(node)}.v"
        used = [path for path in library if path != f"{TOP}.v"]
        memories = [path for path in plan.files if path.endswith(".hex") and f'"{path}"' in plan.files[own]]
        parts.append(Part(node.name, module_name(node), {}, (*used, own, *memories)))
    by_name = {node.name: node for node in design.nodes}
    for (name, port), depth in plan.schedule.fifos.items():
        bits = design.nodes[by_name[name].inputs[port]].stream.bits
        parameters: dict[str, int | str] = {"WIDTH": bits, "DEPTH": depth, "RAM_STYLE": ram_style(depth, bits)}
        parts.append(Part(f"{name} fifo {port}", "flow_fifo", parameters, ("flow_fifo.v",)))
    for node, readers in zip(design.nodes, design.consumers, strict=True):
        if len(readers) > 1:
            sizes: dict[str, int | str] = {"WIDTH": node.stream.bits, "OUTPUTS": len(readers)}
            parts.append(Part(f"{node.name} fork", "flow_fork", sizes, ("flow_fork.v",)))
    return parts
