"""Projects as hls4ml writes them, with hls4ml's own scripts, and the fake tools to build them with."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from flow.hls.tools import Finder, Kind, Tool

FAKE_TOOLS = Path(__file__).resolve().parent.parent / "fake_tools"

PARAMETERS = """
#define N_INPUT_1_1 16
struct config2 : nnet::dense_config {
    static const unsigned n_in = N_INPUT_1_1;
    static const unsigned n_out = 32;
    static const unsigned reuse_factor = 4;
};
struct config4 : nnet::dense_config {
    static const unsigned n_in = 32;
    static const unsigned n_out = 5;
    static const unsigned reuse_factor = 8;
};
"""
"""16-32-5: 128 + 20 multipliers, so the fake tools find 148 DSP, 60 * 148 + 24 * 37 + 100 = 9868 LUT."""


def scripts(backend: str) -> Path:
    """The folder of hls4ml's own build script for a backend."""
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package hls4ml")
    return Path(spec.origin).parent / "templates" / backend


def write_project(
    folder: Path, backend: str = "vivado", part: str = "xc7z020clg400-1", clock: str = "5", name: str = "myproject"
) -> Path:
    """A project of two dense layers."""
    (folder / "firmware" / "weights").mkdir(parents=True)
    (folder / "tb_data").mkdir()
    lines = []
    uncertainty = "12.5%" if backend == "vivado" else "27%"
    for key, value in (
        ("project_name", f'"{name}"'),
        ("backend", f'"{backend}"'),
        ("part", f'"{part}"'),
        ("clock_period", clock),
        ("clock_uncertainty", uncertainty),
        ("version", '"1.0.0"'),
        ("maximum_size", "4096"),
    ):
        lines += [f"variable {key}", f"set {key} {value}"]
    (folder / "project.tcl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = scripts("vivado" if backend.startswith("vivado") else "vitis")
    shutil.copy(source / "build_prj.tcl", folder)
    if source.name == "vitis":
        shutil.copy(source / "build_opt.tcl", folder)
    (folder / f"{name}_test.cpp").write_text("int main() { return 0; }\n", encoding="utf-8")
    (folder / "firmware" / f"{name}.cpp").write_text("void top() {}\n", encoding="utf-8")
    (folder / "firmware" / "parameters.h").write_text(PARAMETERS, encoding="utf-8")
    (folder / "firmware" / "weights" / "w2.txt").write_text("0.5, 0.25\n", encoding="utf-8")
    (folder / "tb_data" / "tb_input_features.dat").write_text("1 2 3\n", encoding="utf-8")
    return folder


def fake_finder(environment: Mapping[str, str] | None = None) -> Finder:
    """Finds the fake tools, whatever is installed."""
    path = f"{FAKE_TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"
    return Finder({**os.environ, "PATH": path, **(environment or {})})


def fake_tool(kind: Kind) -> Tool:
    """One fake tool, in the release it claims to be."""
    return fake_finder().find((kind,))
