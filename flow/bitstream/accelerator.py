"""The accelerator of a project: our Verilog, or hls4ml's C++ with streams around it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from flow.bitstream.layout import Layout, aligned, dense
from flow.bitstream.render import render
from flow.errors import InputError
from flow.fileio import data_dir, read_text
from flow.network.quantized import QuantizedNetwork
from flow.rtl.folding import Folding, fold_for
from flow.rtl.plan import BuildPlan, build_plan, library_text

BackendName = Literal["rtl", "hls"]
BACKENDS: tuple[BackendName, ...] = ("rtl", "hls")
AXIS_TOP = "flow_accelerator"
UART_TOP = "flow_uart_top"

UART_MODULES = ("flow_uart_rx", "flow_uart_tx", "flow_frame_rx", "flow_frame_tx", "flow_uart_shell")
AXIS_MODULES = ("flow_axis",)


@dataclass(frozen=True, eq=False)
class Accelerator:
    """What a shell is put around.

    ``files``: its sources below the project's folder. ``input`` and ``output``: how the host packs an inference.
    ``interval_cycles`` and ``latency_cycles``: of the network alone, None if not known. ``about``: what it was made
    of, for the manifest. ``plan``: the design alone, its files called as in ``files``, if it is our Verilog.
    """

    backend: BackendName
    network: QuantizedNetwork
    clock_mhz: float
    input: Layout
    output: Layout
    files: Mapping[str, str | bytes]
    interval_cycles: int | None
    latency_cycles: int | None
    about: Mapping[str, Any]
    plan: BuildPlan | None = None

    @property
    def id(self) -> str:
        """16 hex digits that tell this design from others: of its files, its layouts and its clock."""
        sha = hashlib.sha256(f"{self.clock_mhz!r}\0{self.input}\0{self.output}".encode())
        for path, content in sorted(self.files.items()):
            sha.update(path.encode() + b"\0" + (content.encode() if isinstance(content, str) else content))
        return sha.hexdigest()[:16]


def rtl_accelerator(
    network: QuantizedNetwork, clock_mhz: float, interval: int | Folding, link: Literal["axis", "uart"]
) -> Accelerator:
    """Our Verilog, an inference every ``interval`` cycles at most, for AXI-Streams or for the UART shell.

    Raises InputError for a network that can't be built so.
    """
    folding = interval if isinstance(interval, Folding) else fold_for(network, interval)
    plan = build_plan(network, folding)
    first, last = plan.design.nodes[0].stream, plan.design.nodes[-1].stream
    layout = aligned if link == "axis" else dense
    side_in = layout(network.input_shape, network.input_format, first.lanes)
    side_out = layout(network.output_shape, network.output_format, last.lanes)
    files = _vivado_memories(plan.files)
    library = AXIS_MODULES if link == "axis" else UART_MODULES
    shell = {f"rtl/{name}.v": shell_text(name) for name in library}
    if link == "axis":  # beats of more than one word pass through the converters
        shell |= {f"rtl/{name}.v": library_text(name) for name in ("flow_narrow", "flow_widen")}
        shell["rtl/flow_accelerator.v"] = render("vivado/flow_accelerator.v.j2", inp=side_in, out=side_out)
    about = {
        "input_lanes": folding.input_lanes,
        "layers": {
            layer.name: {"outputs": fold.outputs, "inputs": fold.inputs, "style": fold.style}
            for layer in network
            if (fold := folding.folds.get(layer.name)) is not None
        },
    }
    interval = plan.schedule.interval
    if link == "axis":  # beats wider than a word of the stream take their time
        interval = max(interval, side_in.beats * side_in.words, side_out.beats * side_out.words)
    latency = plan.schedule.latency
    own = {path.removeprefix("rtl/"): str(text) for path, text in files.items()}
    return Accelerator(
        "rtl", network, clock_mhz, side_in, side_out, {**files, **shell}, interval, latency, about,
        replace(plan, files=own),
    )  # fmt: skip


def shell_text(name: str) -> str:
    """The text of a module of the shells."""
    return read_text(data_dir("templates") / "shell" / f"{name}.v", "shell module")


def _vivado_memories(files: Mapping[str, str]) -> dict[str, str | bytes]:
    """The design's files under rtl/, contents of memories as .mem: the ending by which Vivado knows them."""
    memories = {path: f"{path.rpartition('.')[0]}.mem" for path in files if not path.endswith(".v")}
    out: dict[str, str | bytes] = {}
    for path, text in files.items():
        if path in memories:
            out[f"rtl/{memories[path]}"] = text
            continue
        for old, new in memories.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        out[f"rtl/{path}"] = text
    return out


def uart_clocks(clock_mhz: float, baud: int | None = None) -> tuple[int, int]:
    """(clock cycles a bit, baud rate) of the UART: a million baud, or 115,200 where the clock is too slow for that.

    Raises InputError if the rate can't be made within 2%: receivers tolerate about 4% in all, half of it the host's.
    """
    for rate in (baud,) if baud else (1_000_000, 115_200):
        cycles = round(clock_mhz * 1e6 / rate)
        if cycles >= 8 and abs(clock_mhz * 1e6 / cycles / rate - 1) <= 0.02:
            return cycles, rate
    raise InputError(f"a clock of {clock_mhz:g} MHz can't make {baud or 115_200:,} baud")
