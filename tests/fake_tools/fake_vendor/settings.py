"""What a fake tool does, from environment variables.

FAKE_TOOL_MODE     how it fails, or ``ok``: ``MODE``, or ``KIND:MODE`` for one tool, several separated by commas.
                   Modes: see :data:`MODES`.
FAKE_TOOL_VERSION  the release it claims to be, as in ``2022.2``; by default one that is supported.
FAKE_TOOL_NUMBERS  the numbers of its reports: JSON, or the path of a JSON file. By default ``fake_numbers.json``
                   beside the script, else they are derived from the design (``numbers.py``).
FAKE_TOOL_FACTOR   resources are these numbers times this factor: a tool that deviates from a prediction.
FAKE_TOOL_RECORD   a file to which every call is appended, one JSON list a line: the tool, then its arguments.
FAKE_TOOL_MEMORY   MiB that mode ``memory`` takes, 4096 by default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

VERSIONS = {"vivado_hls": "2020.1", "vitis_hls": "2022.2", "vitis-run": "2023.2", "vivado": "2020.1", "v++": "2022.2"}

MODES = {
    "ok": "works",
    "exit1": "the source does not compile: an ERROR line and exit status 1",
    "no_report": "exit status 0 after a crash, without a report",
    "error_exit0": "an ERROR line, no report, exit status 0",
    "killed": "killed by SIGKILL, as the kernel does when memory runs out",
    "crash": "dies of SIGSEGV",
    "bad_alloc": "its own allocation fails",
    "hang": "sleeps for ever, with a child",
    "stubborn": "as hang, but does not listen to SIGTERM",
    "memory": "takes more and more memory in a child",
    "truncated": "the report breaks off, exit status 0",
    "other_version": "the report was written by another release",
    "licence": "no licence",
    "part_missing": "the part is not installed",
    "board_missing": "the board files are not installed",
    "disk_full": "no space left on device",
    "timing_missed": "works, but the clock is not met",
    "cosim_fails": "works, but co-simulation does not agree",
    "export_bug": "the 2022 bug: export_design stops with a bad lexical cast",
    "overflow": "the design does not fit: placement fails",
    "killed_late": "killed by SIGKILL during implementation",
    "hold_missed": "works, but hold is not met",
    "unconstrained": "works, but no clock reaches the design",
    "clock_off": "the processor's PLL runs at another frequency",
    "no_bitstream": "exit status 0 before the bitstream is written",
    "small_memory": "works; the board has no memory above 2 GiB",
    "undef": "works, but latency and interval are not known",
}


def mode(kind: str) -> str:
    """How the tool ``kind`` behaves."""
    chosen = "ok"
    for item in filter(None, os.environ.get("FAKE_TOOL_MODE", "ok").split(",")):
        tool, _, name = item.rpartition(":")
        if name not in MODES:
            raise SystemExit(f"fake tool: unknown FAKE_TOOL_MODE {item!r}")
        if tool in ("", kind):
            chosen = name
    return chosen


def version(kind: str) -> str:
    """The release it claims to be."""
    return os.environ.get("FAKE_TOOL_VERSION") or VERSIONS[kind]


def record(kind: str, arguments: Sequence[str]) -> None:
    """Note a call for the test that made it."""
    if path := os.environ.get("FAKE_TOOL_RECORD"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps([kind, *arguments]) + "\n")
