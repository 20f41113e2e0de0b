"""``flow bitstream`` for boards with open tools: the project, the bitstream, and the manifest that says what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.bitstream.make import Options, Outcome, plan_bitstream, write_project
from flow.bitstream.open_board import device_of
from flow.bitstream.open_build import Built, build_open, find_tools
from flow.bitstream.open_flash import flash
from flow.bitstream.plan import BitstreamPlan
from flow.bitstream.project import Design
from flow.bitstream.result import MANIFEST, RESULT, described, is_built
from flow.bitstream.subject import Subject
from flow.errors import InputError, NothingFeasible, ToolError
from flow.fileio import read_json, write_json
from flow.resources import Measurement
from flow.rtl.nextpnr import read_report
from flow.versions import versions

REPORT = "reports/report.json"
TOLERANCE = 1e-3
"""How far the clock that nextpnr finds behind the PLL may be from the one the design is for."""


def make_open(subject: Subject, options: Options, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Make the project of a board with open tools, and build it where they are. ``say`` is told of each step.

    Raises InputError, NothingFeasible (timing missed, does not fit), ToolError and ToolFailure.
    """
    plan, design = plan_bitstream(subject, options)
    device = device_of(subject.board)
    folder = options.out or subject.folder / plan.stem
    if options.flash and options.emit_only:
        raise InputError("--flash needs a bitstream: leave --emit-only out")
    if is_built(plan, folder):
        say(f"{folder} is built already")
        return _handed_over(plan, design, subject, folder, options, say)
    write_project(plan, folder)
    missing: str | None = "only emitted, as asked"
    if not options.emit_only:
        missing = None
        try:
            tools = find_tools(device)
        except ToolError as error:
            missing = str(error)
    if missing is not None:
        manifest = write_manifest(plan, design, subject, folder, missing)
        return Outcome(folder, plan, manifest, missing, ("sh build.sh",))
    built = build_open(
        design, folder, folder / plan.products[0], tools,
        fps=subject.fps, seed=options.seed, timeout_s=options.timeout_s, say=say,
    )  # fmt: skip
    write_json(folder / RESULT, _result(plan, design, built))
    return _handed_over(plan, design, subject, folder, options, say)


def _handed_over(
    plan: BitstreamPlan, design: Design, subject: Subject, folder: Path, options: Options, say: Callable[[str], None]
) -> Outcome:
    """A bitstream with its manifest, loaded into the board if that was asked for."""
    manifest = write_manifest(plan, design, subject, folder)
    if options.flash:
        product = folder / plan.products[0]
        say(f"loading {product.name} into the board")
        flash(design.board, product, folder / "reports" / "flash.log")
    return Outcome(folder, plan, manifest, None, ())


def _result(plan: BitstreamPlan, design: Design, built: Built) -> dict[str, Any]:
    """What a build leaves for the manifest, beside nextpnr's report."""
    accelerator, tools = design.accelerator, built.tools
    measured = Measurement(
        source="routed", tool=tools.nextpnr.label, version=tools.nextpnr.version, part=design.board.part,
        clock_mhz=design.clock.mhz, resources=built.routed.resources, latency_cycles=accelerator.latency_cycles,
        interval_cycles=accelerator.interval_cycles,
        note=f"with the shell around the accelerator; seed {built.routed.seed}; synthesized by {tools.yosys.label} "
             f"{tools.yosys.version}",
    )  # fmt: skip
    synthesized = replace(
        measured, source="synthesized", tool=tools.yosys.label, version=tools.yosys.version,
        resources=built.accelerator, note="the accelerator alone; timing is not checked",
    )  # fmt: skip
    return {
        "plan": plan.digest,
        "measurements": [synthesized.to_dict(), measured.to_dict()],
        "shell": built.shell.to_dict(),
        "used": {name: list(amounts) for name, amounts in built.routed.used.items()},
        "seed": built.routed.seed,
        "seconds": round(built.routed.seconds, 1),
        "tools": {
            "yosys": f"{tools.yosys.label} {tools.yosys.version}",
            "nextpnr": f"{tools.nextpnr.label} {tools.nextpnr.version}",
            "packer": f"{tools.packer.label} {tools.packer.version}",
        },
    }


def check_timing(folder: Path, design: Design) -> dict[str, Any]:
    """What nextpnr's report in ``folder`` says about timing, believed only if every clock is met.

    The clock it derives from the board's oscillator through the PLL must be the design's. Raises NothingFeasible if it
    is not, InputError if there is no report.
    """
    path, target = folder / REPORT, design.clock.mhz
    _, fmax, _ = read_report(path, "ecp5" if design.board.family == "ecp5" else "ice40")
    clocks: Mapping[str, Any] = read_json(path, "report of nextpnr")["fmax"]
    wanted = [float(clock["constraint"]) for clock in clocks.values()]
    if not fmax or not all(abs(mhz / target - 1) <= TOLERANCE for mhz in wanted):
        found = ", ".join(f"{name} {mhz:g} MHz" for name, mhz in zip(fmax, wanted, strict=True)) or "no clock"
        raise NothingFeasible(f"{path}: timing was checked for {found}, the design is for {target:g} MHz")
    slow = {name: mhz for name, mhz in fmax.items() if mhz < target * (1 - TOLERANCE)}
    if slow:
        name, mhz = min(slow.items(), key=lambda item: item[1])
        raise NothingFeasible(f"{path}: timing is not met ({name} {mhz:.2f} of {target:g} MHz): no bitstream")
    return {"met": True, "fmax_mhz": {name: round(mhz, 2) for name, mhz in fmax.items()}}


def write_manifest(
    plan: BitstreamPlan, design: Design, subject: Subject, folder: Path, emitted_because: str | None = None
) -> dict[str, Any]:
    """Write manifest.json of a project that is built, or only emitted; returns its content.

    A build is believed if nextpnr's report says so too. Raises NothingFeasible or InputError if it does not.
    """
    built = emitted_because is None
    result: Mapping[str, Any] = {}
    checks: dict[str, Any] = {
        "vectors": design.vectors_about,
        "inexact": [str(item) for item in subject.network.inexact],
    }
    if built:
        result = read_json(folder / RESULT, "build result")
        if not isinstance(result, dict):
            raise InputError(f"{folder / RESULT} is damaged: build again")
        try:
            checks["timing"] = check_timing(folder, design)
        except NothingFeasible:
            (folder / plan.products[0]).unlink(missing_ok=True)
            raise
    files = [folder / path for path in plan.products] if built else []
    measurements = [*(subject.winner or {}).get("measurements", []), *result.get("measurements", [])]
    manifest = {
        **described(plan, design, subject, emitted_because),
        "measurements": measurements,
        "shell": result.get("shell"),
        "used": result.get("used"),
        "seed": result.get("seed"),
        "checks": checks,
        "tools": result.get("tools", {}),
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "versions": versions(),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest
