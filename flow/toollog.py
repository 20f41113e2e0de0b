"""What a tool's log says about why it failed: the last lines, the error that counts, and what to do about it.

Vendor tools end with status 1 for a missing licence, a full disk and a typing error alike, and sometimes with
status 0 after a crash; only their messages tell these apart.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Cause = Literal[
    "not found",
    "not executable",
    "exit status",
    "killed",
    "out of memory",
    "timeout",
    "cancelled",
    "no output",
    "unparsable",
    "licence missing",
    "part not installed",
    "board files missing",
    "export bug of 2022",
    "disk full",
    "crash",
    "co-simulation differs",
    "other version",
    "does not fit",
    "not routed",
    "timing missed",
    "server unreachable",
]
"""Why a run failed: each has a message of its own."""

TAIL_LINES = 20
"""Lines of a log that an error carries."""

SCAN_BYTES = 8 * 2**20
"""How much of a log's end is searched; a tool that fails says so at the end."""

MAX_LINE = 2000
"""How much of a line is looked at: a tool that prints its weights in one line must not take minutes to search."""

MAX_MESSAGE = 240
"""Longest piece of a log line that goes into a one-line error."""


@dataclass(frozen=True)
class Symptom:
    """A cause that a line of the log shows: its name, the pattern of the line, and what to do."""

    cause: Cause
    pattern: re.Pattern[str]
    hint: str


def _symptom(cause: Cause, pattern: str, hint: str) -> Symptom:
    return Symptom(cause, re.compile(pattern), hint)


# The first that matches counts, so the particular goes before the general. Where the messages come from: Vivado and
# Vitis logs in public issues (finn#948, opentitan#18098, esp#178, hls4ml#1030) and AMD's answer records.
SYMPTOMS: tuple[Symptom, ...] = (
    _symptom(
        "server unreachable",
        r"ERROR: remote_hls: cannot reach ",
        "try `ssh $REMOTE_HLS_HOST true`; what was done is kept, so run it again when the server answers",
    ),
    _symptom(
        "disk full",
        r"(?i).*(no space left on device|disk quota exceeded|not enough (disk )?space)",
        "free some space, or put the run on another disk",
    ),
    _symptom(
        "part not installed",
        r"ERROR: \[(HLS 200-1023|Coretcl 2-106)\]",
        "install the device family with the tool's installer, and check the licence and the part's name",
    ),
    _symptom(
        "licence missing",
        r"(ERROR|@E)\b.*\b(?i:licen[cs]e)|(?i:.*license check-?out failed)",
        "set XILINXD_LICENSE_FILE to a licence for this tool and device",
    ),
    _symptom(
        "board files missing",
        r"ERROR: \[Board 49-\d+\]|ERROR.*(?i:board[_ ]part)",
        "install the board's files, or point board.repoPaths to them",
    ),
    _symptom(
        "export bug of 2022",
        r".*bad lexical cast: source type value could not be interpreted as target",
        "install AMD's patch for answer record 76960: dates after 2021 overflow the IP's revision number",
    ),
    _symptom(
        "out of memory",
        r"(?i).*(std::bad_alloc|out of memory|cannot allocate memory|java heap space|memory exhausted)",
        "give it more memory (fewer jobs at once), or make the design smaller",
    ),
    _symptom(
        "co-simulation differs",
        r"ERROR: Test failed|ERROR: \[COSIM 212-36\d\]",
        "the RTL does not compute what the C does: compare the two result files in tb_data/",
    ),
    _symptom(
        "crash",
        r"(?i).*(abnormal program termination \(\d+\)|segmentation fault|unexpected error has occurred \(11\))",
        "run it again; if it crashes again, use another release of the tool",
    ),
    # What a shell says of a program that got SIGKILL: "loader: line 312:  4711 Killed   ..." (hls4ml#1030).
    _symptom(
        "killed",
        r"(.*: line \d+: +\d+ )?Killed\b",
        "the kernel does that when memory runs out: give it more (fewer jobs at once), or make the design smaller",
    ),
)


@dataclass(frozen=True)
class LogReport:
    """The end of a log, the line that tells most, and the symptom it shows (None: just an error)."""

    tail: tuple[str, ...]
    message: str
    symptom: Symptom | None


def read_log(path: Path) -> LogReport:
    """What the log at ``path`` says. A log that can't be read is an empty one: there is an error to report already."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - SCAN_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        text = ""
    return examine(text.splitlines())


def examine(lines: Sequence[str]) -> LogReport:
    """What these lines of a log say."""
    lines = [line[:MAX_LINE] for line in lines]
    tail = tuple(deque((line.rstrip() for line in lines if line.strip()), TAIL_LINES))
    for symptom in SYMPTOMS:
        for line in reversed(lines):
            if symptom.pattern.match(line.strip()):
                return LogReport(tail, shorten(line), symptom)
    # The first error is the cause; those after it ("command returned error code") follow from it.
    errors = [line for line in lines if re.match(r"\s*(\S+:\d+: )?(ERROR|@E|FATAL|Error)\b", line)]
    return LogReport(tail, shorten(errors[0]) if errors else "", None)


def shorten(line: str) -> str:
    """``line`` without control characters and not too long for an error in one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."
