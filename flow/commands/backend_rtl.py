"""``flow convert``, ``synth`` and ``verify`` as plain Verilog: Yosys and nextpnr count it, Verilator simulates it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.commands.backends import Limits, Synthesized, Verified
from flow.commands.conversion import OUT, format_of, input_format_of, samples_of, spec_of
from flow.errors import FlowError, InputError

if TYPE_CHECKING:
    from flow.board import Board
    from flow.commands.what import What
    from flow.hls.model import ModelFile
    from flow.network.quantized import IntArray
    from flow.resources import Measurement
    from flow.rtl.folding import Folding
    from flow.rtl.measure import Report
    from flow.rtl.plan import BuildPlan
    from flow.rtl.simulate import Simulation
    from flow.rtl.verilator import Verilator
    from flow.spec import Spec

OUT_RTL = Path("build/rtl")
"""Folder for the Verilog of model files where ``--out`` names no other."""
FOLDING, REPORT, DIAGRAM, WAVEFORM = "folding.json", "report.json", "design.svg", "waveform.svg"
STALLS = (30, 40)
"""Percent of the cycles in which a simulation's input and output stall."""
ROUTED = ("ecp5", "ice40")
HLS_ONLY = {"io": "--io", "reuse": "--reuse-factor", "strategy": "--strategy", "tool": "--tool", "cosim": "--cosim",
            "logic": "--logic", "reports": "--reports"}  # fmt: skip
"""Options that mean nothing here, by their names in the arguments."""

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Design:
    """A network as Verilog in ``folder``, and what is known around it.

    ``as_found``: whether it is for the winner's own limits, so that what is measured of it is kept with the winner.
    """

    what: What
    board: Board
    spec: Spec
    throughput_asked: bool
    file: ModelFile
    folding: Folding
    plan: BuildPlan
    folder: Path
    as_found: bool

    @property
    def limits(self) -> Limits:
        """What it has to keep."""
        spec = self.spec
        throughput = spec.min_throughput_per_s if self.throughput_asked else None
        return Limits(spec.budget, throughput, spec.max_latency_us, spec.clock_mhz)


def prepare(what: What, args: argparse.Namespace, say: Say) -> Design:
    """Write the Verilog of ``what``. Raises InputError, NothingFeasible, ToolError, MissingDependency."""
    from flow.fileio import write_json
    from flow.hls.model import ModelFile
    from flow.rtl.plan import build_plan
    from flow.rtl.solve import solve_folding

    given = [option for name, option in HLS_ONLY.items() if getattr(args, name, None)]
    if given:
        raise InputError(f"{given[0]} is for HLS: leave it out, the engines of each layer are solved for the limits")
    if what.model is None:
        raise InputError(f"{what.text} is an HLS project: name the winner or the model that it was made of")
    board = _board(what, args)
    spec, asked = spec_of(what, board, args)
    file = ModelFile(what.model, input_format_of(what, args), format_of(args.float_format, "--float-format"), say)
    network = file.network
    folding = replace(solve_folding(network, spec), argmax=args.argmax)
    plan = build_plan(network, folding)
    if what.origin is not None:
        folder = what.model.parent / "rtl" / plan.digest
    else:
        folder = (OUT_RTL if args.out == OUT else args.out) / f"{what.model.stem}-{plan.digest}"
    plan.write(folder)
    write_json(folder / FOLDING, {"schema": 1, **folding.to_dict()})
    _draw(plan, folder)
    own = all(getattr(args, name) is None for name in ("fps", "latency", "lut", "clock")) and not args.argmax
    as_found = what.origin is not None and own and board.part == what.origin.part
    return Design(what, board, spec, asked, file, folding, plan, folder, as_found)


def _board(what: What, args: argparse.Namespace) -> Board:
    from flow.board import list_boards, load_board

    if args.board is None and what.origin is None:
        raise InputError(f"which board is {what.text} for? give --board, known: {', '.join(list_boards())}")
    return load_board(args.board or (what.origin.board if what.origin else ""))


def _draw(plan: BuildPlan, folder: Path, report: Report | None = None) -> None:
    """The block diagram of a design beside its Verilog, with LUTs once they are counted."""
    from flow.fileio import write_atomic
    from flow.rtl.diagram import block_diagram

    luts = {} if report is None else {name: part.lut for name, part in report.parts.items() if part.lut is not None}
    write_atomic(folder / DIAGRAM, block_diagram(plan.design, plan.schedule, luts))


def convert(what: What, args: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Write the Verilog of ``what``; returns what there is to say of it."""
    made = prepare(what, args, say)
    schedule = made.plan.schedule
    return {
        "schema": 1,
        "what": what.text,
        "project": str(made.folder),
        "board": made.board.name,
        "clock_mhz": made.spec.clock_mhz,
        "digest": made.plan.digest,
        "files": list(made.plan.files),
        "interval_cycles": schedule.interval,
        "latency_cycles": schedule.latency,
        "bottleneck": schedule.bottleneck,
        "folding": made.folding.to_dict(),
    }


def convert_text(found: dict[str, Any]) -> str:
    """What ``flow convert`` prints of :func:`convert`."""
    clock, interval = found["clock_mhz"], found["interval_cycles"]
    sources = sum(name.endswith(".v") for name in found["files"])
    lines = [
        f"{found['what']} -> {found['project']}",
        f"Verilog    {sources} modules, {len(found['files']) - sources} memories, digest {found['digest']}",
        f"board      {found['board']}, {clock:g} MHz",
        f"interval   {interval:,} cycles, {clock * 1e6 / interval:,.6g} inferences/s, bound by {found['bottleneck']}",
        f"latency    {found['latency_cycles']:,} cycles, {found['latency_cycles'] / clock:,.4g} us",
    ]
    for name, fold in found["folding"]["folds"].items():
        wide = f"{fold['outputs']} outputs x {fold['inputs']} inputs a cycle"
        lines.append(f"  {name:16} {fold['engine']}, {wide}" + (f", {fold['style']}" if fold["style"] else ""))
    return "\n".join(lines)


def synth(whats: Sequence[What], args: argparse.Namespace, say: Say) -> list[Synthesized]:
    """Synthesize each of ``whats`` with Yosys, and place and route with ``--route``; see ``flow.commands.backends``."""
    from flow.rtl.yosys import find_yosys

    tool = find_yosys()
    say(f"{tool.label} {tool.version}")
    found = []
    for what in whats:
        try:
            found.append(_measured(what, args, say))
        except FlowError as error:
            if len(whats) == 1:
                raise
            found.append(Synthesized(what, error=error))
    return found


def _measured(what: What, args: argparse.Namespace, say: Say) -> Synthesized:
    from flow.fileio import write_json
    from flow.rtl.measure import measure_routed, measure_synthesized

    made = prepare(what, args, say)
    route = bool(args.route)
    if route and made.board.family not in ROUTED:
        raise InputError(f"--route: no open tool places and routes for {made.board.part}; leave it out")
    say(f"{what.text}: synthesizing {len(made.plan.design.nodes) - 1} modules in {made.folder}")
    started = time.perf_counter()
    common: dict[str, Any] = {"clock_mhz": made.spec.clock_mhz, "budget": made.spec.budget, "jobs": args.jobs}
    if route:
        report = measure_routed(made.plan, made.board, made.folder, timeout_s=args.timeout, **common)
    else:
        report = measure_synthesized(made.plan, made.board, **common)
    seconds = time.perf_counter() - started
    write_json(made.folder / REPORT, {"schema": 1, **report.to_dict()})
    _draw(made.plan, made.folder, report)
    measured: tuple[Measurement, ...] = (report.measurement,)
    if report.routed is not None:
        measured = (report.synthesized, _achieved(report))
    return Synthesized(
        what, made.folder, measured, _predicted(made), made.limits, as_found=made.as_found,
        seconds={"route" if route else "synth": seconds}, notes=tuple(_notes(report)),
    )  # fmt: skip


def _predicted(made: Design) -> Measurement | None:
    """What the prices of the board's family say of the design; None if there are none, or not of all of its parts."""
    from flow.rtl.measure import family_of
    from flow.rtl.price import load_prices

    prices = load_prices(family_of(made.board))
    if prices is None:
        return None
    found = prices.design(made.plan.design, made.plan.schedule, made.board.part, made.spec.clock_mhz)
    return None if found.resources.lut is None else found


def _achieved(report: Report) -> Measurement:
    """The routed measurement; at the clock that was reached where it is below the one asked for."""
    assert report.routed is not None
    slowest = report.routed.slowest
    if report.routed.met or slowest is None:
        return report.measurement
    return replace(report.measurement, clock_mhz=min(slowest[1], report.measurement.clock_mhz))


def _notes(report: Report) -> list[str]:
    """The layers that take the most, and what is known of timing."""
    parts = sorted(report.parts.items(), key=lambda item: -(item[1].lut or 0))[:5]
    total = report.synthesized.resources.lut or 0
    shares = [f"{name} {used.lut:,.0f}" for name, used in parts if used.lut]
    notes = [f"LUTs by module, of {total:,.0f} synthesized: {', '.join(shares)}"] if shares else []
    if report.timing is None and report.routed is None:
        notes.append("the clock is not checked: place and route with --route")
    return notes


def verify(what: What, args: argparse.Namespace, say: Say) -> Verified:
    """Compare QKeras, the integers and the simulated Verilog, and its cycles with the schedule."""
    from flow.hls.agree import compare_codes, compare_keras, compare_largest
    from flow.rtl.cache import default_cache
    from flow.rtl.simulate import Stalls, simulate
    from flow.rtl.verilator import find_verilator

    tools = find_verilator()
    made = prepare(what, args, say)
    network = made.plan.design.network
    samples = samples_of(what, args, network, args.samples)
    codes = samples.codes
    comparisons = [compare_keras(made.file.model, network, codes, time.perf_counter)]
    say(f"simulating {made.plan.schedule.interval * len(codes):,} cycles with Verilator {tools.version}")
    cache = default_cache() / "simulations"
    even = simulate(made.plan, codes, cache, Stalls(even=True), tools)
    compare = compare_largest if made.folding.argmax else compare_codes
    comparisons.append(compare("Verilog", network, codes, even.outputs, even.seconds))
    stalled = simulate(made.plan, codes, cache, Stalls(*STALLS, seed=1), tools)
    note = f"the input stalls in {STALLS[0]}% of the cycles at random, the output in {STALLS[1]}%"
    comparisons.append(compare("Verilog, stalled", network, codes, stalled.outputs, stalled.seconds, note))
    notes, faults = _cycles(made.plan, even)
    if args.waveform:
        notes.append(f"waveform of two inferences: {_waveform(made, codes[:2], cache, tools)}")
    return Verified(what, made.folder, samples.text, tuple(comparisons), tuple(notes), tuple(faults))


def _waveform(made: Design, codes: IntArray, cache: Path, tools: Verilator) -> Path:
    """The handshakes of an inference that follows another, as a picture."""
    from flow.fileio import write_atomic
    from flow.rtl.trace import trace, waveform

    path, found = made.folder / WAVEFORM, made.plan.schedule
    drawn = trace(made.plan, codes, cache, tools=tools)
    write_atomic(path, waveform(drawn, 0, found.interval + found.latency + 1))
    return path


def _cycles(plan: BuildPlan, found: Simulation) -> tuple[list[str], list[str]]:
    """What a simulation says of the cycles that the schedule promised: as promised, and not."""
    promised = {"latency": (found.latency, plan.schedule.latency)}
    if found.interval is not None:
        promised["interval"] = (found.interval, plan.schedule.interval)
    right = [f"{name} {cycles:,} cycles" for name, (cycles, due) in promised.items() if cycles == due]
    wrong = [f"{name} {cycles:,} cycles, {due:,} were promised" for name, (cycles, due) in promised.items()
             if cycles != due]  # fmt: skip
    rate = f"simulated {found.cycles / max(found.seconds, 1e-9):,.0f} cycles a second"
    return [*([f"exactly as scheduled: {', '.join(sorted(right))}"] if right else []), rate], wrong
