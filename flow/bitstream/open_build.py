"""From a project to a bitstream with open tools: Yosys, nextpnr, the timing gate, and the packer.

Same project, seed and versions: same bitstream. What was synthesized or routed before is not done again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flow.bitstream.fabric import uart_link
from flow.bitstream.gate import advice
from flow.bitstream.open_board import TOP, Device, device_of, sources_of
from flow.bitstream.project import Design
from flow.board import Board
from flow.errors import InputError, NothingFeasible
from flow.resources import Resources
from flow.rtl.cache import Cache, default_cache
from flow.rtl.link import flat_design, synthesize_shell
from flow.rtl.measure import family_of
from flow.rtl.netlist import netlist_json
from flow.rtl.nextpnr import (
    ROUTE_MEMORY_BYTES,
    ROUTE_TIMEOUT_S,
    Program,
    Routed,
    find_program,
    pack_bitstream,
    place_and_route,
)
from flow.rtl.parts import label
from flow.rtl.synth import Synthesis, Synthesizer, synthesize, whole
from flow.rtl.technology import TOP_NAME, technology
from flow.rtl.yosys import Yosys, find_yosys
from flow.runner import Limits, ToolFailure

SEEDS = 4
"""Seeds that are tried in turn when timing is missed by little."""
HOPELESS = 0.9
"""Share of the clock below which no other seed is tried: seeds differ by some percent."""


@dataclass(frozen=True)
class Tools:
    """The programs of a build."""

    yosys: Yosys
    nextpnr: Program
    packer: Program


@dataclass(frozen=True)
class Built:
    """A bitstream that meets timing. ``accelerator`` and ``shell``: what each takes, as synthesized."""

    bitstream: Path
    routed: Routed
    accelerator: Resources
    shell: Resources
    tools: Tools


def find_tools(device: Device) -> Tools:
    """The programs a build needs. Raises ToolError naming the first that is missing."""
    return Tools(find_yosys(), find_program(device.nextpnr), find_program(device.packer))


def build_open(
    design: Design,
    folder: Path,
    product: Path,
    tools: Tools,
    *,
    fps: float,
    seed: int = 1,
    timeout_s: float = ROUTE_TIMEOUT_S,
    say: Callable[[str], None] = lambda _: None,
    cache: Path | None = None,
) -> Built:
    """Build the project in ``folder`` and write the bitstream to ``product``. ``say`` is told of each step.

    Nothing is written to ``product`` unless timing is met. Raises NothingFeasible if the design does not fit or misses
    the clock, ToolError or ToolFailure if a tool is missing or fails.
    """
    product.unlink(missing_ok=True)
    board, device = design.board, device_of(design.board)
    store = Cache(default_cache() if cache is None else cache)
    synthesis, shell, netlist = _synthesize(design, tools, store, timeout_s, say)
    accelerator = synthesis.measurement.resources
    _check_fit(whole([accelerator, shell]), board, device)

    def route(number: int) -> Routed:
        say(f"{tools.nextpnr.label}: place and route for {design.clock.mhz:g} MHz, seed {number}")
        return place_and_route(
            tools.nextpnr, netlist, board.toolchain.nextpnr, design.clock.mhz, folder / "reports",
            constraints=(folder / device.constraints).read_text(encoding="utf-8"), seed=number, cache=store,
            limits=Limits(min(timeout_s, ROUTE_TIMEOUT_S), ROUTE_MEMORY_BYTES),
        )  # fmt: skip

    try:
        done = route_seeds(route, range(seed, seed + SEEDS), HOPELESS * design.clock.mhz)
    except ToolFailure as failure:
        if failure.cause == "does not fit":
            raise NothingFeasible(f"board {board.name}: {failure}") from failure
        raise
    best = max(done, key=_reached)
    if not best.met:
        raise NothingFeasible(_missed(best, len(done), synthesis, design, folder, fps))
    say(f"{tools.packer.label}: {product.name}")
    return Built(pack_bitstream(best, product, device.options), best, accelerator, shell, tools)


def _synthesize(
    design: Design, tools: Tools, store: Cache, timeout_s: float, say: Callable[[str], None]
) -> tuple[Synthesis, Resources, str]:
    """The accelerator, what the rest of the board takes, and the netlist of it all."""
    board, plan = design.board, design.accelerator.plan
    if plan is None:
        raise InputError(f"board {board.name}: open tools build our Verilog only")
    family = family_of(board)
    say(f"{tools.yosys.label}: synthesis of {len(plan.sources)} modules")
    synthesis = synthesize(
        plan, board.part, design.clock.mhz, store.folder, family=family, yosys=tools.yosys, netlists=True,
        timeout_s=timeout_s, jobs=os.cpu_count(),
    )  # fmt: skip
    worker = Synthesizer(technology(family), False, tools.yosys, store, True, Limits(timeout_s))
    files = {path.removeprefix("rtl/"): str(text) for path, text in sources_of(design, uart_link(design)).items()}
    shell = synthesize_shell(synthesis, files, TOP, worker)
    return synthesis, shell.result.resources, netlist_json(flat_design(synthesis, shell).netlist, TOP_NAME)


def route_seeds(route: Callable[[int], Routed], seeds: Iterable[int], hopeless_mhz: float) -> list[Routed]:
    """``route`` with one seed after the other, until one meets the clock or is slower than ``hopeless_mhz``.

    Raises what ``route`` raises; that not all nets could be routed only if that happens with every seed.
    """
    done: list[Routed] = []
    unrouted: ToolFailure | None = None
    for number in seeds:
        try:
            done.append(route(number))
        except ToolFailure as failure:
            if failure.cause != "not routed":
                raise
            unrouted = failure
            continue
        if done[-1].met or _reached(done[-1]) < hopeless_mhz:
            break
    if not done and unrouted is not None:
        raise unrouted
    return done


def _reached(routed: Routed) -> float:
    return float("inf") if routed.slowest is None else routed.slowest[1]


def _check_fit(resources: Resources, board: Board, device: Device) -> None:
    """Raises NothingFeasible saying what is too much, in the blocks the device has."""
    block, each = device.memory
    cells = "logic cells" if board.family == "ice40" else "LUTs"
    names = {"lut": (cells, 1), "ff": ("flip-flops", 1), "bram18": (block, each), "dsp": ("DSPs", 1)}
    capacity = dict(board.capacity)
    over = []
    for name, needed in resources:
        there = capacity[name]
        if needed is not None and there is not None and needed > there:
            text, times = names.get(name, (name, 1))
            over.append(f"{needed * times:,.0f} {text} of {there * times:,.0f}")
    if over:
        raise NothingFeasible(
            f"board {board.name}: the design does not fit: it needs {', '.join(over)} (synthesized, with the UART); "
            "choose a smaller winner, or give a lower --fps"
        )


def _missed(routed: Routed, tried: int, synthesis: Synthesis, design: Design, folder: Path, fps: float) -> str:
    """By how much timing was missed, where, and what would close it."""
    clock, reached = routed.slowest or ("", 0.0)
    target = design.clock.mhz
    late = 1000 / reached - 1000 / target if reached else float("inf")
    path = routed.critical.get(clock, ())
    where = [layer_of(cell, synthesis) for cell in (path[:1] + path[-1:])]
    if len(where) == 2:
        place = f" within {where[0]}" if where[0] == where[1] else f" from {where[0]} to {where[1]}"
    else:
        place = ""
    text = (
        f"reached {reached:.2f} MHz of {target:g}: setup of the worst path{place} is {late:.2f} ns late "
        f"(best of {tried} seed{'s' if tried > 1 else ''})"
    )
    close = advice(design.accelerator, design.board, folder, text, fps)
    return f"{design.board.name}: timing is missed, no bitstream is handed over: {text}{close}"


def layer_of(cell: str, synthesis: Synthesis) -> str:
    """The layer a cell of the routed netlist belongs to, by its name."""
    for name in sorted(synthesis.results, key=len, reverse=True):
        if re.search(rf"(^|\.){re.escape(name)}\.", cell):
            return label(name)
    return "the UART shell"
