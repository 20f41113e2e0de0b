"""What a failed build means for the user: by how much timing was missed, where, and what would close it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flow.bitstream.accelerator import Accelerator
from flow.board import Board
from flow.errors import FlowError, InputError, NothingFeasible
from flow.hls.reports import Timing, read_report
from flow.implement.rules import layer_reuse_factors
from flow.network.quantized import WEIGHT_OPS
from flow.runner import ToolFailure
from flow.toollog import shorten

OWN = re.compile(r"ERROR: \[flow-(\w+)\] (.*)")
"""A line of our own scripts."""
WARNED = re.compile(r"WARNING: \[flow-(\w+)\] (.*)")

# "[Place 30-640] Place Check : This design requires more Slice LUTs cells than are available in the target device."
OVERFLOW = re.compile(r"ERROR: \[(?:Place 30-(?:487|640|650|672|718|1153)|DRC UTLZ-1)\]\s*(.*)")


@dataclass(frozen=True)
class Missed:
    """A missed constraint: nanoseconds, and the words of our script about the path."""

    slack_ns: float
    text: str


def explain(failure: ToolFailure, accelerator: Accelerator, board: Board, folder: Path, fps: float) -> FlowError:
    """The error to show for a failed step: our own scripts' word where they have one, else the runner's."""
    lines = _lines(failure.log)
    own = next((found for line in lines if (found := OWN.match(line))), None)
    if own and own[1] == "timing":
        return NothingFeasible(f"{board.name}: {own[2]}{advice(accelerator, board, folder, own[2], fps)}")
    overflow = next((found for line in lines if (found := OVERFLOW.match(line))), None)
    if overflow:
        return NothingFeasible(
            f"{board.name}: the design does not fit: {shorten(overflow[1])}; choose a smaller winner, or give a lower "
            f"--fps; log: {failure.log}"
        )
    # A run that stopped says why in the lines before ours.
    said = any(line.startswith("ERROR") and not OWN.match(line) for line in lines)
    if own and failure.cause in ("exit status", "no output") and not (own[1] == "run" and said):
        return ToolFailure(f"{shorten(own[2])}; log: {failure.log}", failure.cause, failure.log, failure.tail)
    return failure


def warnings(log: Path) -> list[str]:
    """What our scripts have warned of in a log."""
    return list(dict.fromkeys(found[2] for line in _lines(log) if (found := WARNED.match(line))))


def _lines(log: Path | None) -> list[str]:
    if log is None or not log.is_file():
        return []
    # Our procedures break long messages over lines of the script, which Tcl joins by one blank.
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def check_timing(path: Path, clock_mhz: float) -> Timing:
    """The timing report of a build that claims success, believed only if it says so itself.

    Raises InputError if it is none, NothingFeasible if a constraint is missed or nothing was constrained.
    """
    timing = read_report(path)
    if not isinstance(timing, Timing):
        raise InputError(f"{path} is no timing report")
    if timing.met is not True:
        raise NothingFeasible(
            f"{path}: timing is not met (worst slack {timing.wns_ns} ns): no bitstream is handed over"
        )
    periods = [clock.period_ns for clock in timing.clocks if clock.period_ns]
    if not any(abs(1000 / period - clock_mhz) <= 0.002 * clock_mhz for period in periods):
        raise NothingFeasible(f"{path}: no clock has the period of {clock_mhz:g} MHz that the design is for")
    return timing


def advice(accelerator: Accelerator, board: Board, folder: Path, text: str, fps: float) -> str:
    """What would close timing: a slower clock that the board can make, and a larger reuse factor or less lanes."""
    slack = re.search(r"setup missed by (\d+\.\d+) ns", text)
    frequency = re.search(r"reached (\d+(?:\.\d+)?) MHz", text)
    if slack:
        reached = 1000 / (1000 / accelerator.clock_mhz + float(slack[1]))
    elif frequency:
        reached = float(frequency[1])
    elif "hold missed" in text:  # it does not get better with a slower clock
        return "; build again with another release of Vivado, or without --ila"
    else:
        return f"; reports: {folder / 'reports'}"
    words = [f"; reports: {folder / 'reports'}; to close it: "]
    try:
        slower = board.resolve_clock(reached).mhz
        words.append(f"--clock {slower:g}")
        if accelerator.interval_cycles is not None:
            rate = slower * 1e6 / accelerator.interval_cycles
            enough = "still enough" if rate >= fps else f"less than the {fps:,.10g} asked for"
            words.append(f" ({rate:,.0f} inferences/s, {enough})")
    except InputError:
        words.append("no clock that the board makes is slow enough")
    return "".join([*words, _less_parallel(accelerator, text)])


def _less_parallel(accelerator: Accelerator, path: str) -> str:
    """A layer to make smaller: the one the path goes through, else the one with the most multipliers."""
    layers = [layer for layer in accelerator.network if layer.op in WEIGHT_OPS]
    if accelerator.backend == "rtl":
        return ", or a lower --fps: fewer multipliers, shorter paths"
    from flow.hls.convert import rule_layer

    reuse = {item["name"]: item["reuse_factor"] for item in accelerator.about["layers"] if "reuse_factor" in item}
    layers = [layer for layer in layers if layer.name in reuse]
    if not layers:
        return ""
    named = [layer for layer in layers if re.search(rf"\b{layer.name}\b|_{layer.name}_", path)]
    layer = named[0] if named else max(layers, key=lambda la: _weights(la) / reuse[la.name])
    larger = next((r for r in layer_reuse_factors(rule_layer(layer)) if r > reuse[layer.name]), None)
    return "" if larger is None else f", or reuse factor {larger} instead of {reuse[layer.name]} in layer {layer.name}"


def _weights(layer: object) -> int:
    weight = getattr(layer, "weight", None)
    return 0 if weight is None else int(weight.values.size)
