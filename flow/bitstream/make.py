"""From what the user asked for to a result folder: ``flow bitstream`` calls :func:`make_bitstream`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flow.bitstream.accelerator import Accelerator, rtl_accelerator
from flow.bitstream.families import Family, check_backend, family_of
from flow.bitstream.gate import explain, warnings
from flow.bitstream.hls_ip import hls_accelerator
from flow.bitstream.plan import DIGEST_FILE, BitstreamPlan, Step
from flow.bitstream.project import Design, command
from flow.bitstream.result import is_built, write_manifest
from flow.bitstream.subject import Asked, Subject, find_subject
from flow.bitstream.vectors import preparation, record
from flow.board import Board
from flow.clocks import ClockSetting
from flow.errors import InputError, ToolError
from flow.hls.part import same_part
from flow.hls.tools import Backend, Finder, check_release
from flow.hls.tools import Kind as ToolKind
from flow.runner import Job, Limits, ToolFailure, run_tool

TIMEOUT_S = 4 * 3600.0
"""Of each run of a tool: a full Zynq-7020 takes Vivado half an hour, an Alveo card some hours."""
OWN_FOLDERS = ("board", "rtl", "hls", "scripts", "kernels", "work", "reports", "logs")


@dataclass(frozen=True)
class Options:
    """What the user wants beside the subject; None: the default.

    ``tool``: Vivado's program or installation folder. ``out``: the result folder. ``clock_mhz``: the clock asked for.
    For open tools only, ``seed``: the first one of nextpnr; ``flash``: load the bitstream into the board.
    """

    backend: str | None = None
    clock_mhz: float | None = None
    emit_only: bool = False
    out: Path | None = None
    tool: str | None = None
    ila: bool = False
    timeout_s: float = TIMEOUT_S
    seed: int = 1
    flash: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was made. ``missing``: why it was not built, None if it was. ``commands``: what to run elsewhere."""

    folder: Path
    plan: BitstreamPlan
    manifest: dict[str, Any]
    missing: str | None
    commands: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())


def make_bitstream(
    asked: Asked, options: Options, finder: Finder | None = None, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Make the project, and build it where the tools are. ``say`` is told of each step.

    Raises InputError, NothingFeasible (timing missed, does not fit), ToolError and ToolFailure.
    """
    subject = find_subject(asked)
    if subject.board.toolchain.name == "open":
        from flow.bitstream.open_make import make_open

        return make_open(subject, options, say)
    if options.flash:
        raise InputError(f"--flash is for boards with open tools, and {subject.board.name} is built with Vivado")
    plan, design = plan_bitstream(subject, options)
    folder = options.out or subject.folder / plan.stem
    if is_built(plan, folder):
        say(f"{folder} is built already")
        return _outcome(plan, design, subject, folder, None)
    write_project(plan, folder)
    commands = tuple(command(step) for step in plan.steps)
    programs: list[Program] = []
    missing: str | None = "only emitted, as asked"
    finder = finder or Finder(explicit=options.tool)
    if not options.emit_only:
        missing, programs = _find_tools(plan, finder)
    if missing is not None:
        return replace(_outcome(plan, design, subject, folder, missing), commands=commands)
    for step, program in zip(plan.steps, programs, strict=True):
        say(f"{program.name}: {step.name}")
        try:
            _run(step, program, folder, options, finder.environment)
        except ToolFailure as failure:
            raise explain(failure, design.accelerator, design.board, folder, subject.fps) from failure
    return _outcome(plan, design, subject, folder, None)


def plan_bitstream(subject: Subject, options: Options) -> tuple[BitstreamPlan, Design]:
    """The project of a subject, without writing anything but the HLS project it may need."""
    board = subject.board
    family = family_of(board)
    backend = check_backend(board, family, options.backend or _default_backend(subject, family))
    requested, clock = resolve_clock(subject, board, options.clock_mhz)
    if backend == "rtl":
        interval = max(int(clock.mhz * 1e6 / subject.fps), 1)
        accelerator = rtl_accelerator(subject.network, clock.mhz, interval, family.link)
    else:
        accelerator = _hls(subject, clock, kernel=board.toolchain.name == "vitis")
    vectors, about = record(subject.network, subject.dataset)
    design = Design(
        stem=f"{subject.name}_{board.name}".replace(".", "-"),
        title=subject.title,
        board=board,
        accelerator=accelerator,
        clock=clock,
        requested_mhz=requested,
        vectors=vectors,
        vectors_about=about,
        prepare=preparation(subject.dataset),
        ila=options.ila,
    )
    if options.ila and family.link == "uart":
        raise InputError(f"an ILA watches AXI-Streams, and board {board.name} has none: leave --ila out")
    return family.plan(design), design


def resolve_clock(subject: Subject, board: Board, asked_mhz: float | None) -> tuple[float | None, ClockSetting]:
    """(what was asked for, what the board makes of it): the one clock of HLS, constraints, driver and manifest."""
    requested = asked_mhz if asked_mhz is not None else subject.requested_mhz
    wanted = asked_mhz if asked_mhz is not None else subject.clock_mhz
    return requested, board.resolve_clock(board.default_clock_mhz if wanted is None else wanted)


def _default_backend(subject: Subject, family: Family) -> str:
    """HLS for an HLS project, and where the family wants it first and one can be written; else our Verilog."""
    if subject.project is not None:
        return "hls"
    first = family.backends[0]
    if first == "hls" and (subject.model is None or subject.implementation is None):
        return "rtl"
    return first


def _hls(subject: Subject, clock: ClockSetting, *, kernel: bool) -> Accelerator:
    project = subject.project
    if project is None:
        if subject.model is None or subject.implementation is None:
            raise InputError(
                f"{subject.name}: how shall HLS build it? `flow convert` writes an HLS project, then give its folder; "
                "or --backend rtl"
            )
        from flow.hls.project import HlsTarget, write_project
        from flow.network.model_file import load_model

        target = HlsTarget(_hls_family(Finder()), subject.board.part, subject.board.hls_uncertainty)
        implementation = replace(subject.implementation, clock_mhz=clock.mhz)
        root = subject.model.parent / "hls"
        project = write_project(load_model(subject.model), subject.network, implementation, target, root)
    if not same_part(project.manifest["part"], subject.board.part):
        raise InputError(
            f"{project.folder} is for part {project.manifest['part']}, but {subject.board.name} has "
            f"{subject.board.part}: convert the model for that board"
        )
    if abs(project.manifest["clock_mhz"] - clock.mhz) > 1e-3 * clock.mhz:
        raise InputError(
            f"{project.folder} was made for {project.manifest['clock_mhz']:g} MHz, but {subject.board.name} makes "
            f"{clock.mhz:g} MHz: convert the model for that clock"
        )
    return hls_accelerator(project, kernel=kernel)


def _hls_family(finder: Finder) -> Backend:
    """The hls4ml backend that the installed HLS tool builds; Vitis, the one AMD still makes, if there is none."""
    try:
        finder.find(("vitis-run", "vitis_hls"))
    except ToolError:
        try:
            finder.find(("vivado_hls",))
        except ToolError:
            return "Vitis"
        return "Vivado"
    return "Vitis"


def write_project(plan: BitstreamPlan, folder: Path) -> None:
    """Write the project, replacing an older one of ours. Raises InputError if the folder is somebody else's."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder: choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not plan.is_written(folder):
        if not (folder / DIGEST_FILE).is_file():
            raise InputError(f"{folder} is not empty and no bitstream project: choose another --out")
        for name in OWN_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
    plan.write(folder)


@dataclass(frozen=True)
class Program:
    """What runs a step: its name for people, and its argv."""

    name: str
    argv: tuple[str, ...]


def _find_tools(plan: BitstreamPlan, finder: Finder) -> tuple[str | None, list[Program]]:
    """(what is missing, the program of each step)."""
    programs = []
    for step in plan.steps:
        try:
            programs.append(find_tool(step, finder))
        except ToolError as error:
            return str(error), []
    return None, programs


def find_tool(step: Step, finder: Finder) -> Program:
    """What runs a step. Raises ToolError if it is not there, or in a release that is not supported."""
    if step.kind == "v++":
        if shutil.which("v++", path=finder.environment.get("PATH")) is None:
            raise ToolError("v++ not found: source Vitis' settings64.sh")
        return Program("v++", ("sh", step.script, *step.arguments))
    if step.kind == "vivado":
        tool = finder.find_vivado()
    else:
        kinds: tuple[ToolKind, ...] = ("vitis-run", "vitis_hls") if step.kind == "vitis_hls" else ("vivado_hls",)
        tool = Finder(finder.environment, None, finder.timeout_s).find(kinds)
        check_release(tool)
    return Program(str(tool), tuple(tool.script_argv(step.script, step.arguments)))


def _run(step: Step, program: Program, folder: Path, options: Options, environment: Mapping[str, str]) -> None:
    where = folder.absolute()
    expect = [where / path for path in step.expect]
    log = where / "logs" / f"{step.name.replace(' ', '_')}.log"
    limits = Limits(timeout_s=options.timeout_s)
    job = Job(f"{program.name} {step.name}", program.argv, where, log, expect, limits, env=environment)
    run_tool(job, lambda: None)


def _outcome(plan: BitstreamPlan, design: Design, subject: Subject, folder: Path, missing: str | None) -> Outcome:
    manifest = write_manifest(plan, design, subject, folder, missing)
    found = [w for log in sorted((folder / "logs").glob("*.log")) for w in warnings(log)]
    return Outcome(folder, plan, manifest, missing, (), tuple(found))
