"""The fake tools are as strict as the real ones: what they let pass is worth something."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flow.hls.reports import Power, Timing, Utilization, read_report
from flow.runner import Job, ToolFailure, run_tool
from tests.hls.builder import FAKE_TOOLS, fake_tool, write_project

VIVADO = fake_tool("vivado")


def run(kind: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(FAKE_TOOLS / kind), *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def vivado(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "x.tcl").write_text(script, encoding="utf-8")
    return run("vivado", "-mode", "batch", "-source", "x.tcl", folder=folder, **environment)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("vivado_hls", ["build_prj.tcl"]),
        ("vitis_hls", ["--tcl", "build_prj.tcl"]),
        ("vitis-run", ["--tcl", "build_prj.tcl"]),
        ("vitis-run", ["-f", "build_prj.tcl"]),
        ("vivado", ["-batch", "build_prj.tcl"]),
    ],
)
def test_options_the_real_tool_does_not_have_are_refused(kind: str, arguments: list[str], tmp_path: Path) -> None:
    done = run(kind, *arguments, folder=write_project(tmp_path / "p"))
    assert done.returncode == 2
    assert "ERROR: unknown option" in done.stdout


def test_a_script_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert run("vivado_hls", "-f", "none.tcl", folder=tmp_path).returncode == 1


def test_the_whole_way_to_a_routed_design_writes_reports_that_are_read(tmp_path: Path) -> None:
    numbers = '{"lut": 2000, "ff": 1000, "bram18": 3, "dsp": 7, "uram": 0}'
    (tmp_path / "top.v").write_text("module top(); endmodule\n", encoding="utf-8")
    script = """
        create_project -in_memory -part xc7z020clg400-1
        read_verilog [list top.v]
        create_clock -name ap_clk -period 8 [get_ports ap_clk]
        synth_design -top top -part xc7z020clg400-1
        opt_design; place_design; phys_opt_design; route_design
        report_utilization -file used.rpt
        report_utilization -hierarchical -file tree.rpt
        report_timing_summary -file timing.rpt
        report_power -file power.rpt
    """
    done = vivado(script, tmp_path, FAKE_TOOL_NUMBERS=numbers, FAKE_TOOL_VERSION="2023.1")
    assert done.returncode == 0, done.stdout + done.stderr
    used, tree = read_report(tmp_path / "used.rpt"), read_report(tmp_path / "tree.rpt")
    assert isinstance(used, Utilization)
    assert isinstance(tree, Utilization)
    assert (used.source, used.origin.version, used.resources.bram18) == ("routed", "2023.1", 3)
    assert (tree.resources.lut, tree.resources.dsp) == (used.resources.lut, used.resources.dsp) == (1000, 7)
    timing = read_report(tmp_path / "timing.rpt")
    assert isinstance(timing, Timing)
    assert (timing.met, timing.clock("ap_clk").period_ns) == (True, 8.0)
    assert isinstance(read_report(tmp_path / "power.rpt"), Power)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("synth_design -top top -part x", "synth_design': read_verilog first"),
        ("read_verilog none.v", "File 'none.v' does not exist"),
        ("report_utilization -file x.rpt", "report': synth_design first"),
        ("no_such_command", 'invalid command name "no_such_command"'),
        ("puts {unbalanced", "missing close-brace"),
    ],
)
def test_a_wrong_script_fails(script: str, message: str, tmp_path: Path) -> None:
    done = vivado(script, tmp_path)
    assert done.returncode == 1
    assert message in done.stdout


def test_missing_board_files_have_their_own_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "board_missing")
    script = "create_project p -part xc7z020clg400-1\nset_property board_part tul.com.tw:pynq-z2:part0:1.0 x\n"
    (tmp_path / "x.tcl").write_text(script, encoding="utf-8")
    job = Job("vivado project", VIVADO.script_argv("x.tcl"), tmp_path, tmp_path / "log")
    with pytest.raises(ToolFailure) as caught:
        run_tool(job, lambda: None)
    assert caught.value.cause == "board files missing"
    assert "definition was not found for tul.com.tw:pynq-z2:part0:1.0" in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("_tkinter") is None, reason="needs a Python with tkinter")
def test_without_tclsh_pythons_own_tcl_does(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p")
    options = "reset=1 csim=1 synth=1 cosim=1 validation=1 export=1 vsynth=0"
    done = run("vivado_hls", "-f", "build_prj.tcl", options, folder=folder, PATH=os.devnull)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "INFO: Test PASSED" in done.stdout
    assert (folder / "myproject_prj/solution1/syn/report/myproject_csynth.xml").exists()


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p")
    done = run("vivado_hls", "-f", "build_prj.tcl", folder=folder, FAKE_TOOL_MODE="exit2")
    assert done.returncode == 1
    assert "unknown FAKE_TOOL_MODE 'exit2'" in done.stdout + done.stderr
