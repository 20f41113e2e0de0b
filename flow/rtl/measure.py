"""A design measured for a board, without a vendor's tool: what it takes by layer and in total, whether that fits, and
how fast it may be clocked.

For AMD boards: synthesized by Yosys, timing estimated (and said to be). For ECP5 and iCE40 also placed and routed by
nextpnr, which is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from threading import Event
from typing import Any

from flow.board import Board
from flow.errors import InputError
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.rtl.cache import Cache, default_cache
from flow.rtl.link import HARNESS, flat_design, harness, synthesize_shell
from flow.rtl.netlist import netlist_json
from flow.rtl.nextpnr import ROUTE_MEMORY_BYTES, ROUTE_TIMEOUT_S, Routed, find_program, place_and_route
from flow.rtl.parts import label
from flow.rtl.plan import BuildPlan
from flow.rtl.synth import SYNTH_TIMEOUT_S, Synthesis, Synthesizer, synthesize, whole
from flow.rtl.technology import TOP_NAME, Family, technology
from flow.rtl.timing import Timing, estimate
from flow.rtl.yosys import find_yosys
from flow.runner import Limits

_FAMILIES: Mapping[str, Family] = {
    "zynq7000": "xc7", "spartan7": "xc7", "artix7": "xc7", "kintex7": "xc7", "virtex7": "xc7",
    "zynqmp": "xcup", "artix-ultrascale+": "xcup", "kintex-ultrascale+": "xcup", "virtex-ultrascale+": "xcup",
    "ecp5": "ecp5", "ice40": "ice40",
}  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """One resource against a board: ``used`` of ``budget`` (headroom and shell taken off) and of all there is."""

    resource: str
    used: float | None
    budget: float | None
    capacity: float | None

    @property
    def fits(self) -> bool | None:
        """Whether it is within the budget; None if either is unknown."""
        return None if self.used is None or self.budget is None else self.used <= self.budget


@dataclass(frozen=True)
class Report:
    """A measured design. ``parts`` is resources by layer, as synthesized; they add up to ``synthesized``. ``cells`` is
    what they were counted from, by type: carries, and memories and multipliers of each kind.

    ``measurement`` is the best there is: routed if it was routed. ``timing`` is the estimate for AMD parts, ``routed``
    nextpnr's result; ``harness`` is what was around the design when it was routed, already taken off.
    """

    board: str
    measurement: Measurement
    synthesized: Measurement
    parts: Mapping[str, Resources]
    cells: Mapping[str, Mapping[str, int]]
    fit: tuple[Fit, ...]
    timing: Timing | None = None
    routed: Routed | None = None
    harness: Resources | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing is known to be over the budget."""
        return all(one.fits is not False for one in self.fit)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        out: dict[str, Any] = {
            "board": self.board,
            "measurement": self.measurement.to_dict(),
            "synthesized": self.synthesized.to_dict(),
            "layers": {name: {**resources.to_dict(), "cells": dict(self.cells[name])}
                       for name, resources in self.parts.items()},
            "fits": self.fits,
            "budget": {one.resource: {"used": one.used, "budget": one.budget, "capacity": one.capacity,
                                      "fits": one.fits} for one in self.fit},
        }  # fmt: skip
        if self.timing is not None:
            low, high = self.timing.fmax_range_mhz
            out["estimated_timing"] = {
                "fmax_mhz": round(self.timing.fmax_mhz, 2), "low_mhz": round(low, 2), "high_mhz": round(high, 2),
                "verdict": self.timing.judge(self.measurement.clock_mhz),
                "paths": {layer: {"ns": path.delay_ns, "levels": path.levels, "from": path.start_layer}
                          for layer, path in self.timing.layers.items()},
            }  # fmt: skip
        if self.routed is not None and self.harness is not None:
            out["routed"] = {
                "fmax_mhz": dict(self.routed.fmax_mhz), "met": self.routed.met, "seed": self.routed.seed,
                "used": {name: list(amounts) for name, amounts in self.routed.used.items()},
                "harness": self.harness.to_dict(),
            }  # fmt: skip
        return out


def family_of(board: Board) -> Family:
    """What Yosys calls a board's device family. Raises InputError if it does not know it."""
    family = _FAMILIES.get(board.family)
    if family is None:
        raise InputError(f"board {board.name}: Yosys does not synthesize for {board.family}")
    return family


def check_fit(resources: Resources, board: Board, budget: Resources | None = None) -> tuple[Fit, ...]:
    """Each resource against ``budget`` (the board's by default) and all that is on the board."""
    limits, capacity = dict(budget or board.budget), dict(board.capacity)
    used = dict(resources)
    return tuple(Fit(name, used[name], limits[name], capacity[name]) for name in RESOURCE_NAMES)


def measure_synthesized(
    plan: BuildPlan,
    board: Board,
    *,
    clock_mhz: float | None = None,
    budget: Resources | None = None,
    dsp: bool = False,
    cache: FilePath | None = None,
    jobs: int | None = None,
    timeout_s: float = SYNTH_TIMEOUT_S,
) -> Report:
    """Synthesize a design for a board, and estimate its timing where delays are known (AMD parts).

    ``clock_mhz``: the board's default if None. ``budget``: in place of the board's. ``dsp``: whether multipliers may
    use DSPs. ``timeout_s``: for each module. Raises InputError, ToolError or ToolFailure.
    """
    family = family_of(board)
    clock = board.resolve_clock(board.default_clock_mhz if clock_mhz is None else clock_mhz).mhz
    estimated = family in ("xc7", "xcup")
    found = synthesize(
        plan, board.part, clock, cache, family=family, dsp=dsp, jobs=jobs, netlists=estimated, timeout_s=timeout_s
    )
    timing, measurement = None, found.measurement
    if estimated:
        timing = estimate(flat_design(found), family, label)
        measurement = replace(measurement, note=_estimated_note(measurement.note, timing, clock))
    fit = check_fit(measurement.resources, board, budget)
    return Report(board.name, measurement, measurement, found.parts, _cells(found), fit, timing)


def _cells(found: Synthesis) -> dict[str, Mapping[str, int]]:
    return {label(name): result.cells for name, result in found.results.items()}


def _estimated_note(note: str, timing: Timing, clock: float) -> str:
    low, high = timing.fmax_range_mhz
    return (
        f"{note.removesuffix('; timing is not checked')}; estimated, not routed: {timing.fmax_mhz:.0f} MHz "
        f"({low:.0f} to {high:.0f}), which {_VERDICTS[timing.judge(clock)]} {clock:g} MHz"
    )


_VERDICTS = {"meets": "meets", "misses": "misses", "near": "is too near to judge to"}


def measure_routed(
    plan: BuildPlan,
    board: Board,
    folder: FilePath,
    *,
    clock_mhz: float | None = None,
    budget: Resources | None = None,
    dsp: bool = False,
    seed: int = 1,
    cache: FilePath | None = None,
    jobs: int | None = None,
    timeout_s: float = ROUTE_TIMEOUT_S,
    cancel: Event | None = None,
) -> Report:
    """Place and route a design by itself for an ECP5 or iCE40 board; log and results go to ``folder``.

    A harness of shift registers takes the place of pins. Its flip-flops and LUTs, as synthesized, are taken off the
    routed ones. A missed clock is no error here: see ``Report.routed.met``. Arguments as
    :func:`measure_synthesized`. Raises InputError for a board whose tools are not open, ToolError or ToolFailure.
    """
    family = family_of(board)
    if family not in ("ecp5", "ice40") or board.toolchain.name != "open":
        raise InputError(f"board {board.name}: no open tool places and routes for {board.part}; synthesize it instead")
    clock = board.resolve_clock(board.default_clock_mhz if clock_mhz is None else clock_mhz).mhz
    found = synthesize(plan, board.part, clock, cache, family=family, dsp=dsp, jobs=jobs, netlists=True)
    store = Cache(default_cache() if cache is None else cache)
    around, netlist = _with_harness(found, store, dsp=dsp)
    program = find_program(f"nextpnr-{family}")
    routed = place_and_route(
        program, netlist, board.toolchain.nextpnr, clock, folder, seed=seed, cache=store, cancel=cancel,
        limits=Limits(timeout_s, ROUTE_MEMORY_BYTES),
    )  # fmt: skip
    slowest = routed.slowest
    reached = "no path to time" if slowest is None else f"reaches {slowest[1]:.2f} MHz of {clock:g}"
    synthesized = found.measurement
    measurement = replace(
        synthesized, source="routed", tool=program.label, version=program.version,
        resources=_less(routed.resources, around),
        note=f"{technology(family).title}, seed {seed}: {reached}; by itself, less a harness of {around.lut:g} LUTs "
             f"and {around.ff:g} FFs; synthesized by {synthesized.tool} {synthesized.version}",
    )  # fmt: skip
    fit = check_fit(measurement.resources, board, budget)
    return Report(board.name, measurement, synthesized, found.parts, _cells(found), fit, None, routed, around)


def _with_harness(found: Synthesis, store: Cache, *, dsp: bool) -> tuple[Resources, str]:
    """What a harness takes, and the netlist of the design inside it."""
    worker = Synthesizer(technology(found.family), dsp, find_yosys(), store, netlists=True)
    shell = synthesize_shell(found, {f"{HARNESS}.v": harness(found.assembly)}, HARNESS, worker)
    return whole([shell.result.resources]), netlist_json(flat_design(found, shell).netlist, TOP_NAME)


def _less(resources: Resources, harness_: Resources) -> Resources:
    """``resources`` without the harness, never below 0: a packer may have put parts of it into cells in use anyway."""
    rest = resources - harness_
    return Resources(**{name: None if amount is None else max(amount, 0) for name, amount in rest})
