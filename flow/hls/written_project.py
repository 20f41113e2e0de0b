"""An HLS project as hls4ml writes it: what it is for, where its reports will be, and a digest of its content.

hls4ml's ``project.tcl`` sets the variables that ``build_prj.tcl`` uses; nothing else says the part or the clock.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flow.errors import InputError
from flow.fileio import read_text
from flow.hls.tools import Backend

_SET = re.compile(r'\s*set\s+(\w+)\s+(?:"([^"\\$\[\]]*)"|([^\s"\\$\[\]{};]+))\s*$')

BACKENDS: dict[str, Backend] = {
    "vivado": "Vivado",
    "vivadoaccelerator": "Vivado",
    "vitis": "Vitis",
    "vitisaccelerator": "Vitis",
}
"""hls4ml's name of a backend in project.tcl to the family of tools that builds it."""

SYNTHESIS_INPUTS = ("project.tcl", "build_prj.tcl", "firmware/**/*", "*_test.cpp")
"""What decides the result of synthesis. Options, logs and results are no inputs; weights lie in firmware/."""

TESTBENCH_INPUTS = ("tb_data/*.dat",)
"""What co-simulation reads besides."""


@dataclass(frozen=True)
class WrittenProject:
    """A project folder that hls4ml (or our writer) has written. ``clock_ns`` is the target period."""

    folder: Path
    name: str
    backend: Backend
    part: str
    clock_ns: float
    accelerator: bool = False

    @property
    def top(self) -> str:
        """The top function: accelerator backends wrap the network."""
        return f"{self.name}_axi" if self.accelerator else self.name

    @property
    def solution(self) -> Path:
        """The folder the tool works in; hls4ml always calls the solution so."""
        return self.folder / f"{self.name}_prj" / "solution1"

    @property
    def csynth_xml(self) -> Path:
        """The report of C synthesis of the top function."""
        return self.solution / "syn" / "report" / f"{self.top}_csynth.xml"

    @property
    def verilog(self) -> Path:
        """The folder of the Verilog that C synthesis makes."""
        return self.solution / "syn" / "verilog"

    @property
    def cosim_rpt(self) -> Path:
        """The report of co-simulation."""
        return self.solution / "sim" / "report" / f"{self.top}_cosim.rpt"

    def digest(self, patterns: Iterable[str] = SYNTHESIS_INPUTS) -> str:
        """A digest of the files that match ``patterns``: equal for equal content, wherever the folder is."""
        paths = sorted(
            {path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file()},
            key=lambda path: path.relative_to(self.folder).as_posix(),
        )
        total = hashlib.blake2b(digest_size=16)
        for path in paths:
            name = path.relative_to(self.folder).as_posix()
            try:
                content = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror}") from error
            total.update(f"{name}\0{content}\n".encode())
        return total.hexdigest()


def read_project(folder: Path) -> WrittenProject:
    """The project in ``folder``. Raises InputError if it is none, or if what we need is missing or not plain."""
    folder = folder.absolute()  # the tools run in it, so what they are given must not depend on where we are
    path = folder / "project.tcl"
    if not path.is_file():
        raise InputError(f"{folder} is no HLS project: it has no project.tcl; make one with `flow convert`")
    values: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(read_text(path, "project").splitlines(), 1):
        if match := _SET.match(line):
            values[match[1]] = (match[2] if match[2] is not None else match[3], number)

    def value(name: str, pattern: str, what: str) -> re.Match[str]:
        if name not in values:
            raise InputError(f"{path}: does not set {name}")
        text, number = values[name]
        match = re.fullmatch(pattern, text)
        if not match:
            raise InputError(f"{path}:{number}: {name} is {text!r}, not {what}")
        return match

    name = value("project_name", r"[A-Za-z]\w*", "a name")[0]
    backend = value("backend", r"\w+", "a backend")[0].lower()
    if backend not in BACKENDS:
        raise InputError(f"{path}: backend {backend!r} is not built here; known: {', '.join(BACKENDS)}")
    part = value("part", r"[A-Za-z][\w-]*", "a part")[0]
    clock = float(value("clock_period", r"\d{1,6}(\.\d{1,9})?", "a period in ns")[0])
    if clock <= 0:
        raise InputError(f"{path}: clock_period is {clock:g} ns")
    if not (folder / "build_prj.tcl").is_file():
        raise InputError(f"{folder} has no build_prj.tcl: it is incomplete")
    return WrittenProject(folder, name, BACKENDS[backend], part, clock, backend.endswith("accelerator"))
