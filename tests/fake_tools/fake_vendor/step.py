"""One vendor command: write what it makes, or fail as FAKE_TOOL_MODE asks. Called by stubs.tcl."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from . import settings
from .hls_reports import Design, cosim_rpt, csynth_rpt, csynth_summary, csynth_xml
from .numbers import numbers
from .vivado_reports import hierarchical, power, timing, utilization

KIND = os.environ.get("FAKE_KIND", "vivado_hls")
END_TOOL = 3
"""Exit status of this command that makes the tool end its script with status 0: see stubs.tcl."""


def say(*lines: str) -> None:
    """Print to the tool's log at once."""
    for line in lines:
        print(line, flush=True)


def fail(*lines: str, status: int = 1) -> NoReturn:
    """Print and end the command with an error."""
    say(*lines)
    raise SystemExit(status)


def trouble(mode: str, top: str) -> None:
    """The failures that a long-running command can have."""
    tool = os.getppid()
    if mode == "exit1":
        fail(f"ERROR: [HLS 207-2976] use of undeclared identifier 'x' (firmware/{top}.cpp:12:3)")
    if mode == "licence":
        fail(
            "WARNING: [Common 17-348] Failed to get the license for feature 'Synthesis' and/or device 'xc7z020'.",
            "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xc7z020'. "
            "Please run the Vivado License Manager for assistance.",
        )
    if mode == "disk_full":
        fail("ERROR: [Common 17-1294] Unable to create directory [/x/.Xil]: No space left on device")
    if mode == "error_exit0":
        fail("ERROR: [HLS 200-478] C synthesis failed.", status=END_TOOL)
    if mode == "no_report":
        fail("INFO: [HLS 200-112] Total elapsed time: 3.1 seconds", status=END_TOOL)
    if mode == "bad_alloc":
        fail("terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc")
    if mode in ("killed", "crash"):
        if mode == "crash":
            say("Abnormal program termination (11)", "Please check 'hs_err_pid4242.log' for details")
        os.kill(tool, signal.SIGKILL if mode == "killed" else signal.SIGSEGV)
        time.sleep(60)
    if mode in ("hang", "stubborn"):
        if mode == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("INFO: [SCHED 204-11] Starting scheduling ...")
        ignore = "trap '' TERM; " if mode == "stubborn" else ""
        child = subprocess.Popen(["/bin/sh", "-c", f"{ignore}while :; do sleep 1; done"])
        Path("hang.pid").write_text(f"{tool} {os.getpid()} {child.pid}", encoding="ascii")
        while True:
            time.sleep(60)
    if mode == "memory":
        blocks = []
        for _ in range(int(os.environ.get("FAKE_TOOL_MEMORY", "4096")) // 16):
            blocks.append(b"x" * (16 * 2**20))
            time.sleep(0.01)
        time.sleep(60)


def csynth(top: str, part: str, period: str, uncertainty: str, folder: str, project: str) -> None:
    """``csynth_design``."""
    mode = settings.mode(KIND)
    trouble(mode, top)
    version = settings.version(KIND)
    design = Design(
        top,
        part,
        "2018.3" if mode == "other_version" else version,
        KIND != "vivado_hls",
        float(period),
        float(uncertainty),
        numbers(Path(project)),
    )
    if mode == "timing_missed":
        design = replace(design, numbers=replace(design.numbers, estimated_share=1.458))
    if mode == "undef":
        unknown = dict.fromkeys(("latency_min", "latency_max", "interval_min", "interval_max"))
        design = replace(design, numbers=replace(design.numbers, **unknown))  # type: ignore[arg-type]
    report = Path(folder) / "syn" / "report"
    verilog = Path(folder) / "syn" / "verilog"
    report.mkdir(parents=True, exist_ok=True)
    verilog.mkdir(parents=True, exist_ok=True)
    xml, rpt = csynth_xml(design), csynth_rpt(design)
    if mode == "truncated":
        xml, rpt = xml[: len(xml) // 2], rpt[: len(rpt) // 2]
    (report / f"{top}_csynth.xml").write_text(xml, encoding="utf-8")
    (report / "csynth.xml").write_text(xml, encoding="utf-8")
    (report / f"{top}_csynth.rpt").write_text(rpt, encoding="utf-8")
    if design.vitis:
        (report / "csynth.rpt").write_text(csynth_summary(design), encoding="utf-8")
    (verilog / f"{top}.v").write_text(f"module {top}(input ap_clk, input ap_rst);\nendmodule\n", encoding="utf-8")
    say(f"INFO: [HLS 200-111] Finished generating all RTL models for {top}")


def cosim(top: str, part: str, period: str, uncertainty: str, folder: str, project: str) -> None:
    """``cosim_design``: results that agree with those of the C simulation, or do not."""
    mode = settings.mode(KIND)
    design = Design(
        top,
        part,
        settings.version(KIND),
        KIND != "vivado_hls",
        float(period),
        float(uncertainty),
        numbers(Path(project)),
    )
    report = Path(folder) / "sim" / "report"
    report.mkdir(parents=True, exist_ok=True)
    passed = mode != "cosim_fails"
    (report / f"{top}_cosim.rpt").write_text(cosim_rpt(design, passed), encoding="utf-8")
    results = "0.25 0.75\n" if passed else "0.25 0.5\n"
    (Path(project) / "tb_data" / "rtl_cosim_results.log").write_text(results, encoding="utf-8")


def kernel(top: str, widths: list[tuple[str, str]]) -> str:
    """A kernel with two streams, as ``vitis.py`` reads it."""
    streams = {bus: [bus[0].upper(), int(a or b)] for bus, (a, b) in zip(("s_axis", "m_axis"), widths, strict=True)}
    return json.dumps({"kernel": top, "streams": streams, "memories": []})


def export(top: str, folder: str, xo: str) -> None:
    """``export_design``: an IP, or the kernel ``xo``."""
    if settings.mode(KIND) == "export_bug":
        fail(
            "bad lexical cast: source type value could not be interpreted as target",
            "    while executing",
            '"rdi::set_property core_revision 2603031012 {component component_1}"',
            "ERROR: [IMPL 213-28] Failed to generate IP.",
        )
    archive = Path(folder) / "impl" / "export.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"PK\x05\x06" + bytes(18))
    if top == "flow_accelerator":  # ours: two streams, as wide as its source says
        source = Path("flow_accelerator.cpp").read_text(encoding="utf-8")
        widths = re.findall(r"(?:ap_axiu<(\d+), 0, 0, 0>|ap_uint<(\d+)> data;)", source)[:2]
        streams = [
            f"<stream>{bus} {a or b}</stream>" for bus, (a, b) in zip(("S s_axis", "M m_axis"), widths, strict=True)
        ]
        if xo:
            Path(xo).write_text(kernel(top, widths), encoding="utf-8")
            return
        component = archive.parent / "ip" / "component.xml"
        component.parent.mkdir(parents=True, exist_ok=True)
        component.write_text(f"<component><name>{top}</name>{''.join(streams)}</component>\n", encoding="utf-8")


def part(name: str) -> None:
    """Whether the part is installed."""
    if settings.mode(KIND) != "part_missing":
        return
    if KIND == "vivado":
        fail(f"ERROR: [Coretcl 2-106] Specified part could not be found: '{name}'.")
    fail(f"ERROR: [HLS 200-1023] Part '{name}' is not installed.")


def board(name: str) -> None:
    """Whether the board files are installed."""
    if settings.mode(KIND) == "board_missing":
        fail(f"ERROR: [Board 49-71] The board_part definition was not found for {name}.")


def synth(top: str) -> None:
    """``synth_design``."""
    trouble(settings.mode(KIND), top)
    say("synth_design completed successfully")


def implement(top: str) -> None:
    """``launch_runs impl_1`` or ``place_design``."""
    if settings.mode(KIND) == "overflow":
        fail(
            "ERROR: [Place 30-640] Place Check : This design requires more Slice LUTs cells than are available in the "
            "target device. This design requires 61234 of such cell types but only 53200 compatible sites are "
            "available in the target device."
        )
    if settings.mode(KIND) == "killed_late":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    say(f"{top}: route_design completed successfully")


def vivado_report(report: str, top: str, part: str, period: str, state: str, file: str, inner: str) -> None:
    """``report_*``. Logic synthesis finds about half the LUTs of the HLS estimate, as the real one does."""
    mode = settings.mode(KIND)
    n = numbers(Path.cwd())
    n = replace(n, lut=round(n.lut * 0.5), ff=round(n.ff * 0.7))
    version = "2018.3" if mode == "other_version" else settings.version(KIND)
    design = Design(top, part.removeprefix("xc"), version, False, float(period or 0), 0.0, n)
    if report == "timing":
        missed = mode == "timing_missed"
        text = timing(design, (-0.463 if missed else 0.184) if period else None)
    elif report == "power":
        text = power(design)
    elif inner == "1":
        text = hierarchical(design, state)
    else:
        text = utilization(design, state, prohibited=settings.version(KIND) >= "2021.1")
    if mode == "truncated":
        text = text[: len(text) // 2]
    Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands: dict[str, Callable[..., None]] = {
        "csynth": csynth,
        "cosim": cosim,
        "export": export,
        "part": part,
        "board": board,
        "synth": synth,
        "implement": implement,
    }
    if command in ("utilization", "timing", "power"):
        vivado_report(command, *arguments)
    else:
        commands[command](*arguments)
