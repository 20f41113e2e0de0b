"""The program behind all four fake tools: banner, options, and then the script in a Tcl interpreter."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from . import settings

STUBS = Path(__file__).parent / "stubs.tcl"

NAMES = {
    "vivado_hls": "Vivado(TM) HLS - High-Level Synthesis from C, C++ and OpenCL",
    "vitis_hls": "Vitis HLS - High-Level Synthesis from C, C++ and OpenCL",
    "vitis-run": "vitis-run",
    "vivado": "Vivado",
}


def main(kind: str, arguments: list[str]) -> None:
    """Behave as the tool ``kind`` called with ``arguments``; never returns."""
    settings.record(kind, arguments)
    release = settings.version(kind)
    if arguments and arguments[0] in ("-version", "--version"):
        print(f"{NAMES[kind]} v{release} (64-bit)\nSW Build 2902540 on Wed May 27 19:54:35 MDT 2020")
        raise SystemExit(0)
    print(f"\n****** {NAMES[kind]} v{release} (64-bit)\n  **** SW Build 2902540 on Wed May 27 19:54:35 MDT 2020")
    print("    ** Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.\n", flush=True)
    script, rest = _script(kind, arguments)
    if not Path(script).is_file():
        print(f"ERROR: [Common 17-55] cannot find Tcl script '{script}'", flush=True)
        raise SystemExit(1)
    package = str(Path(__file__).parent.parent)
    os.environ |= {
        "FAKE_KIND": kind,
        "FAKE_TOOL_MODE": os.environ.get("FAKE_TOOL_MODE", "ok"),
        "FAKE_PYTHON": sys.executable,
        "PYTHONPATH": package,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # The interpreter takes this process's place, as the launcher scripts of the real tools do.
    if tclsh := shutil.which("tclsh"):
        os.execv(tclsh, [tclsh, str(STUBS), script, *rest])  # noqa: S606 - without a shell on purpose
    import importlib.util

    if importlib.util.find_spec("_tkinter") is None:
        raise SystemExit("fake tool: needs tclsh, or a Python with tkinter")
    python = [sys.executable, "-m", "fake_vendor.tcl", str(STUBS), script, *rest]
    os.execv(sys.executable, python)  # noqa: S606 - without a shell on purpose


def _script(kind: str, arguments: list[str]) -> tuple[str, list[str]]:
    """(script, what becomes argv). Options a real tool does not have end the run, as there."""
    if kind == "vivado":
        left = list(arguments)
        script, rest = "", []
        while left:
            option = left.pop(0)
            if option == "-tclargs":
                rest, left = left, []
            elif option == "-source":
                script = left.pop(0)
            elif option == "-mode":
                left.pop(0)
            elif option not in ("-nojournal", "-nolog", "-notrace"):
                _usage(option)
        return script, rest
    if kind == "vitis-run":
        options = dict(zip(arguments[::2], arguments[1::2], strict=False))
        if options.keys() != {"--mode", "--tcl"} or options["--mode"] != "hls":
            _usage(" ".join(arguments))
        return options["--tcl"], []
    if not arguments or arguments[0] != "-f" or len(arguments) < 2:
        _usage(" ".join(arguments))
    return arguments[1], arguments


def _usage(what: str) -> None:
    print(f"ERROR: unknown option {what}", flush=True)
    raise SystemExit(2)
