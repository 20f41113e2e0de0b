"""Running the vendor tools on a written HLS project, and turning their reports into measurements.

C synthesis, on request C/RTL co-simulation and logic synthesis out of context. What is done is noted in
``synth.json`` in the project, step by step and last of all: a run that was killed goes on where it was, and one that
is done is not done again as long as the project's content and the tools' releases stay the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from flow.errors import InputError, ToolError
from flow.fileio import data_dir, read_json, write_atomic, write_json
from flow.hls.part import canonical_part, same_part
from flow.hls.reports import Cosim, HlsEstimate, Timing, Utilization, read_report
from flow.hls.tools import Tool, check_release, release
from flow.hls.written_project import SYNTHESIS_INPUTS, TESTBENCH_INPUTS, WrittenProject, read_project
from flow.resources import Measurement
from flow.runner import Cancelled, Job, Limits, ToolFailure, run_tool

STATE = "synth.json"
SCHEMA = 1
_LOCK = ".synth.lock"
_OPTIONS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
"""Options of hls4ml's build script, in its order: its patterns take ``synth=`` for a part of ``vsynth=``."""


@dataclass(frozen=True)
class SynthOptions:
    """What to run.

    cosim    C/RTL co-simulation after synthesis: hours for a large design.
    logic    logic synthesis out of context with Vivado: minutes, and the truer LUT count.
    limits   limits of each run: see :class:`flow.runner.Limits`. An hour by default.
    release  the only release of the HLS tool to accept, as in "2020.1"; None: any supported one.
    """

    cosim: bool = False
    logic: bool = False
    limits: Limits = field(default_factory=lambda: Limits(timeout_s=3600.0))
    release: str | None = None


@dataclass(frozen=True)
class SynthResult:
    """What the tools found. ``seconds`` by step; ``reused`` are the steps that had been done before.

    ``peak_memory_bytes`` is the most any step took, None where it is not known. ``slack_ns`` is the worst setup
    slack of logic synthesis, ``cosim_passed`` is None where co-simulation was not asked for.
    """

    hls: Measurement
    logic: Measurement | None = None
    slack_ns: float | None = None
    cosim_passed: bool | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    reused: tuple[str, ...] = ()

    @property
    def best(self) -> Measurement:
        """The measurement nearest to the hardware."""
        return self.logic or self.hls


def synthesize(
    folder: Path,
    hls: Tool,
    vivado: Tool | None = None,
    options: SynthOptions | None = None,
    cancel: Event | None = None,
) -> SynthResult:
    """Run what ``options`` ask for on the project in ``folder``, or take it from an earlier run.

    Raises InputError for a folder that is no project, ToolError for tools that don't fit it, and
    :class:`flow.runner.ToolFailure` for a run that failed. Another program working on the same folder is waited for.
    """
    options = options or SynthOptions()
    project = read_project(folder)
    check_tools(project, hls, vivado, options)
    with _locked(folder, cancel):
        return _Run(project, hls, vivado, options, cancel).result()


def check_tools(project: WrittenProject, hls: Tool, vivado: Tool | None, options: SynthOptions) -> None:
    """Raises ToolError if the tools can't build this project: another backend's tool, another release, none."""
    vitis = hls.kind in ("vitis_hls", "vitis-run")
    if hls.kind == "vivado" or vitis != (project.backend == "Vitis"):
        needed = "vitis-run or vitis_hls" if project.backend == "Vitis" else "vivado_hls"
        raise ToolError(
            f"{project.folder} was written for the {project.backend} backend, which needs {needed}, not {hls}; "
            "convert the model for the other backend, or give TOOL="
        )
    check_release(hls)
    if options.release is not None and hls.release != release(options.release):
        raise ToolError(f"{project.folder} is to be built with release {options.release}, but {hls.path} is {hls}")
    if options.logic:
        if vivado is None:
            raise ToolError("logic synthesis needs Vivado: source its settings64.sh, or set XILINX_VIVADO")
        check_release(vivado)


class _Run:
    """One pass over the steps, with the notes of what is done."""

    def __init__(
        self,
        project: WrittenProject,
        hls: Tool,
        vivado: Tool | None,
        options: SynthOptions,
        cancel: Event | None,
    ) -> None:
        self.project, self.hls, self.vivado, self.options, self.cancel = project, hls, vivado, options, cancel
        self.notes = _read_notes(project.folder / STATE)
        self.reused: list[str] = []
        inputs = project.digest(SYNTHESIS_INPUTS)
        self.keys = {"csynth": _key(inputs, str(hls))}
        if options.cosim:
            self.keys["cosim"] = _key(inputs, project.digest(TESTBENCH_INPUTS), str(hls))
        if options.logic:
            script = hashlib.blake2b(_script().read_bytes(), digest_size=16).hexdigest()
            self.keys["logic"] = _key(inputs, str(hls), str(vivado), script)

    def result(self) -> SynthResult:
        """Do the steps that are missing."""
        csynth = self._csynth()
        measured = Measurement.from_dict(csynth["measurement"])
        cosim = self._cosim() if self.options.cosim else None
        if cosim is not None and cosim["latency_cycles"] is not None:
            measured = replace(
                measured,
                latency_cycles=cosim["latency_cycles"],
                interval_cycles=cosim["interval_cycles"] or measured.interval_cycles,
                note="; ".join(filter(None, (measured.note, "cycles from co-simulation"))),
            )
        logic = self._logic(measured) if self.options.logic else None
        done = {"csynth": csynth, "cosim": cosim, "logic": logic}
        steps = {name: note for name, note in done.items() if note is not None}
        peaks = [note["peak_memory_bytes"] for note in steps.values() if note["peak_memory_bytes"]]
        return SynthResult(
            hls=measured,
            logic=Measurement.from_dict(logic["measurement"]) if logic else None,
            slack_ns=logic["slack_ns"] if logic else None,
            cosim_passed=True if cosim else None,
            seconds={name: note["seconds"] for name, note in steps.items()},
            peak_memory_bytes=max(peaks, default=None),
            reused=tuple(self.reused),
        )

    def _csynth(self) -> dict[str, Any]:
        project = self.project
        key = self.keys["csynth"]
        # What later steps start from must still be there, if one of them is to run.
        steps = [step for step in ("cosim", "logic") if step in self.keys and not self._is_done(step)]
        usable = not steps or (project.csynth_xml.is_file() and project.verilog.is_dir())
        if usable and (note := self._done("csynth")):
            return note
        # A project from scratch: what another release or an older design left must not leak into this one.
        self.notes = {}
        _drop(project.folder / STATE)

        def parse() -> Measurement:
            return check_estimate(project, self.hls, project.csynth_xml).measurement()

        job = self._hls_job("csynth", {"reset", "synth"}, project.csynth_xml)
        run = run_tool(job, parse)
        return self._note("csynth", key, run.seconds, run.peak_memory_bytes, measurement=run.value.to_dict())

    def _cosim(self) -> dict[str, Any]:
        project = self.project
        if note := self._done("cosim"):
            return note

        def parse() -> Cosim:
            report = read_report(project.cosim_rpt)
            if not isinstance(report, Cosim):
                raise InputError(f"{project.cosim_rpt} is no co-simulation report")
            if not report.passed:
                raise ToolFailure("the RTL does not compute what the C does", "co-simulation differs")
            return report

        # The C simulation runs too: the script compares the two results.
        run = run_tool(self._hls_job("cosim", {"csim", "cosim", "validation"}, project.cosim_rpt), parse)
        return self._note(
            "cosim",
            self.keys["cosim"],
            run.seconds,
            run.peak_memory_bytes,
            latency_cycles=run.value.latency[1],
            interval_cycles=run.value.interval[1],
        )

    def _logic(self, measured: Measurement) -> dict[str, Any]:
        project, vivado = self.project, self.vivado
        assert vivado is not None
        if note := self._done("logic"):
            return note
        out = project.folder / "logic_synthesis"
        used, slacks = out / "utilization.rpt", out / "timing.rpt"

        def parse() -> tuple[Measurement, float | None]:
            return _logic_measurement(project, vivado, used, slacks, measured)

        part = canonical_part(project.part)  # HLS takes a dash in 7-series names, Vivado does not
        arguments = [project.top, part, f"{project.clock_ns:g}", str(project.verilog), str(out)]
        argv = vivado.script_argv(str(_script()), arguments)
        run = run_tool(self._job(f"{vivado} logic synthesis", "logic", argv, (used, slacks)), parse)
        return self._note(
            "logic",
            self.keys["logic"],
            run.seconds,
            run.peak_memory_bytes,
            measurement=run.value[0].to_dict(),
            slack_ns=run.value[1],
        )

    def _hls_job(self, step: str, on: set[str], expect: Path) -> Job:
        """The run of hls4ml's build script with the options in ``on``. Vitis takes them from a file, Vivado as argv."""
        chosen = {name: int(name in on) for name in _OPTIONS}
        if self.project.backend == "Vitis":
            lines = "".join(f"    {name:<10} {value}\n" for name, value in chosen.items())
            write_atomic(self.project.folder / "build_opt.tcl", f"array set opt {{\n{lines}}}\n")
            argv = self.hls.script_argv("build_prj.tcl")
        else:
            # One argument: taken apart, "vsynth=0" would set synth too (see _OPTIONS).
            argv = self.hls.script_argv("build_prj.tcl", [" ".join(f"{k}={v}" for k, v in chosen.items())])
        return self._job(f"{self.hls} {step}", step, argv, (expect,))

    def _job(self, name: str, step: str, argv: list[str], expect: tuple[Path, ...]) -> Job:
        log = self.project.folder / "logs" / f"{step}.log"
        return Job(name, argv, self.project.folder, log, expect, self.options.limits, self.cancel)

    def _is_done(self, step: str) -> bool:
        """Whether a step was done with the same content and tools."""
        return self.notes.get(step, {}).get("key") == self.keys[step]

    def _done(self, step: str) -> dict[str, Any] | None:
        """The note of a step that need not be done again."""
        if not self._is_done(step):
            return None
        self.reused.append(step)
        return self.notes[step]

    def _note(self, step: str, key: str, seconds: float, peak: int | None, **values: Any) -> dict[str, Any]:
        """Note that a step is done."""
        note = {"key": key, "seconds": round(seconds, 3), "peak_memory_bytes": peak, **values}
        self.notes[step] = note
        tools = {"hls": str(self.hls), "vivado": str(self.vivado) if self.vivado else None}
        write_json(self.project.folder / STATE, {"schema": SCHEMA, "tools": tools, "steps": self.notes})
        return note


def read_results(folder: Path) -> SynthResult:
    """What C synthesis of the project in ``folder`` found on another machine, from the reports it left in it.

    Raises InputError if there are none, or if they are of another project.
    """
    project = read_project(folder)
    if not project.csynth_xml.is_file():
        raise InputError(f"{folder} has no report of C synthesis: {project.csynth_xml} is missing")
    return SynthResult(hls=check_estimate(project, None, project.csynth_xml).measurement())


def check_estimate(project: WrittenProject, hls: Tool | None, path: Path) -> HlsEstimate:
    """The estimate in ``path``, if it is of this project and of tool ``hls`` (None: of any). Raises InputError or
    ToolFailure if not."""
    report = read_report(path)
    if not isinstance(report, HlsEstimate):
        raise InputError(f"{path} is no report of C synthesis")
    origin = report.origin
    if hls is not None and release(origin.version) != hls.release:
        raise ToolFailure(f"{path} was written by release {origin.version}, but the tool is {hls}", "other version")
    if origin.top != project.top:
        raise InputError(f"{path} is of {origin.top}, not of {project.top}")
    if not same_part(origin.part, project.part):
        raise InputError(f"{path} is for part {origin.part}, but the project is for {project.part}")
    # Reports round the period to 10 ps.
    if report.target_ns is None or abs(report.target_ns - project.clock_ns) > 0.0051:
        raise InputError(f"{path} has a clock of {report.target_ns} ns, but the project one of {project.clock_ns:g} ns")
    return report


def _logic_measurement(
    project: WrittenProject, vivado: Tool, used: Path, slacks: Path, measured: Measurement
) -> tuple[Measurement, float | None]:
    """(measurement, worst setup slack in ns): the clock is the target, or what the slack leaves of it."""
    utilization, timing = read_report(used), read_report(slacks)
    if not isinstance(utilization, Utilization) or not isinstance(timing, Timing):
        raise InputError(f"{used.parent} has no utilization and timing report")
    origin = utilization.origin
    if release(origin.version) != vivado.release:
        raise ToolFailure(f"{used} was written by {origin.version}, but the tool is {vivado}", "other version")
    if origin.top != project.top or not same_part(origin.part, project.part):
        raise InputError(f"{used} is of {origin.top} on {origin.part}, not {project.top} on {project.part}")
    mhz, note = 1000 / project.clock_ns, ""
    if timing.met is None:
        raise InputError(f"{slacks}: the clock was not constrained")
    if not timing.met:
        reached = [clock.reached_mhz for clock in timing.clocks if clock.reached_mhz is not None]
        note = f"the clock of {project.clock_ns:g} ns is not met: worst slack {timing.wns_ns} ns"
        mhz = min([mhz, *reached])
    measurement = utilization.measurement(
        mhz, latency_cycles=measured.latency_cycles, interval_cycles=measured.interval_cycles
    )
    notes = filter(None, (measurement.note, note))
    return replace(measurement, note="; ".join(notes)), timing.wns_ns


def _script() -> Path:
    """Our script for logic synthesis."""
    return data_dir("vivado_scripts") / "ooc_synth.tcl"


def _key(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _read_notes(path: Path) -> dict[str, dict[str, Any]]:
    """The notes of earlier runs; none if there are none, or if they are damaged or of another schema."""
    if not path.is_file():
        return {}
    try:
        data = read_json(path, "notes")
    except InputError:
        return {}
    steps = data.get("steps") if isinstance(data, dict) and data.get("schema") == SCHEMA else None
    if not isinstance(steps, dict):
        return {}
    return {name: note for name, note in steps.items() if isinstance(note, dict)}


def _drop(path: Path) -> None:
    """Remove notes that no longer hold."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ToolError(f"cannot remove {path}: {error.strerror}") from error


@contextmanager
def _locked(folder: Path, cancel: Event | None) -> Iterator[None]:
    """Hold the folder for this thread alone, in this program and others; wait for whoever has it."""
    try:
        file = (folder / _LOCK).open("w", encoding="ascii")
    except OSError as error:
        raise ToolError(f"cannot write in {folder}: {error.strerror}") from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancel is not None and cancel.is_set():
                    raise Cancelled(f"{folder}: cancelled while another run has it", "cancelled") from None
                time.sleep(0.1)
        yield
