"""hls4ml's C simulation of a written project, as a program of its own.

The project's C++ is compiled with one small main function, once per project, compiler and optimization; a second run
costs only the run. The simulation is a process: what crashes, hangs or calls exit() in it is an error here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from flow.errors import InputError, ToolError
from flow.fileio import data_dir, read_text, write_atomic
from flow.network.quantized import IntArray, QuantizedNetwork
from flow.network.quantized_reference import decode, encode
from flow.programs import ask_version
from flow.runner import Job, Limits, run_tool

CACHE = "csim"
"""Folder of compiled simulations inside a project."""
FLAGS = ("-std=c++14", "-w", "-Ifirmware/ap_types", '-DWEIGHTS_DIR="firmware/weights"')
COMPILE = Limits(timeout_s=600.0)
RUN = Limits(timeout_s=600.0)


@dataclass(frozen=True)
class Simulation:
    """A compiled simulation of the project in ``folder``; compiling took ``seconds``, None if it was done before."""

    folder: Path
    program: Path
    network: QuantizedNetwork
    seconds: float | None = None

    def run(self, codes: IntArray, cancel: Event | None = None) -> IntArray:
        """The codes of the output for input codes of shape (n, *input_shape).

        Raises ToolFailure if the simulation fails, ToolError if its streams don't come out even.
        """
        network = self.network
        if codes.shape[1:] != network.input_shape:
            raise InputError(f"expected input codes of shape (n, {network.input_shape}), found {codes.shape}")
        values = np.ascontiguousarray(decode(codes, network.input_format), dtype="<f8")
        with tempfile.TemporaryDirectory(prefix="flow-csim-") as temporary:
            inputs, results, log = (Path(temporary) / name for name in ("inputs", "results", "log"))
            inputs.write_bytes(values.tobytes())
            job = Job(
                "C simulation", [str(self.program), str(inputs), str(results)], self.folder, log, [results], RUN, cancel
            )
            run_tool(job, lambda: None)
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            if "hls::stream" in said.lower():
                # hls_stream.h warns of reads from empty streams and of tokens that were never read: hardware hangs.
                raise ToolError(f"C simulation of {self.folder}: {said.splitlines()[0]}")
            result = np.frombuffer(results.read_bytes(), dtype="<f8")
        shape = (len(codes), *network.output_shape)
        if result.size != int(np.prod(shape)):
            raise ToolError(f"C simulation of {self.folder} gave {result.size} values, not {shape}")
        values = result.reshape(shape)
        found = encode(values, network.output_format)
        if not np.array_equal(decode(found, network.output_format), values):
            raise ToolError(f"C simulation of {self.folder} gave values that are not {network.output_format}")
        return found


def compile_simulation(
    folder: Path, name: str, network: QuantizedNetwork, *, optimize: str = "-O1", cancel: Event | None = None
) -> Simulation:
    """The simulation of project ``name`` in ``folder``, compiled now or before.

    The compiler is $CXX, else g++, else clang++. Raises ToolError if there is none, ToolFailure if it fails.
    """
    folder = folder.absolute()  # the programs run in it
    compiler = _compiler()
    version = ask_version([compiler, "--version"], os.environ)[0] or "unknown"
    main = _main(name, network)
    flags = (optimize, *FLAGS)
    key = hashlib.sha256("\0".join((compiler, version, *flags, main)).encode()).hexdigest()[:16]
    program = folder / CACHE / f"{name}-{key}"
    seconds = None
    if not program.is_file():
        write_atomic(folder / CACHE / f"{name}-{key}.cpp", main)
        seconds = _compile(folder, compiler, flags, program, cancel)
    return Simulation(folder, program, network, seconds)


def _compile(folder: Path, compiler: str, flags: Sequence[str], program: Path, cancel: Event | None) -> float:
    made = program.with_name(f"{program.name}.{os.getpid()}.tmp")
    argv = [compiler, *flags, "-I.", f"{CACHE}/{program.name}.cpp", "-o", f"{CACHE}/{made.name}"]
    log = program.with_suffix(".log")
    try:
        run = run_tool(Job("C++ compiler", argv, folder, log, [made], COMPILE, cancel), lambda: None)
        os.replace(made, program)
        return run.seconds
    finally:
        made.unlink(missing_ok=True)


def _main(name: str, network: QuantizedNetwork) -> str:
    import jinja2

    template = read_text(data_dir("templates") / "hls" / "csim_main.cpp.j2", "template")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - C++, of a checked name and two numbers
    sizes = {"inputs": int(np.prod(network.input_shape)), "outputs": int(np.prod(network.output_shape))}
    return environment.from_string(template).render(name=name, **sizes)


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return path
    raise ToolError("no C++ compiler found: install g++ (on Debian: apt install g++), or set CXX")
