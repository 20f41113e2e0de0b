"""``log.jsonl`` of a run: one event a line, whole lines only, whatever kills the process or fills the disk."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.errors import InputError, ToolError
from flow.fileio import read_text

START = '{"t":'
"""How every event begins; ``t`` is its time in seconds since the run began."""

MAX_T = 1e12
"""Largest time accepted, in seconds: thirty thousand years."""


class RunLog:
    """Appends events to a log file. One process at a time: the run directory's lock sees to it."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, cutting off a last line that a kill has left unfinished. Raises ToolError."""
        self.path = path
        try:
            self._file = path.open("ab", buffering=0)
            content = path.read_bytes()
            if content and not content.endswith(b"\n"):
                self._file.truncate(content.rfind(b"\n") + 1)
        except OSError as error:
            raise ToolError(f"cannot write {path}: {error.strerror}") from error

    def append(self, t: float, event: str, more: Mapping[str, Any]) -> None:
        """Write one event, all of it or nothing. Raises ToolError if the disk is full."""
        line = (json.dumps({"t": round(t, 3), "event": event, **more}, allow_nan=False) + "\n").encode()
        size = None
        try:
            size = os.fstat(self._file.fileno()).st_size
            written = 0
            while written < len(line):
                written += self._file.write(line[written:]) or 0
        except OSError as error:
            if size is not None:
                with contextlib.suppress(OSError):
                    self._file.truncate(size)
            raise ToolError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


def read_events(file: Path) -> list[dict[str, Any]]:
    """The events of a log; each has a number ``t`` and a text ``event``. An unfinished last line is left out.

    Raises InputError with file, line and what to do if another line is damaged.
    """
    if not file.exists():
        return []
    try:
        lines = read_text(file, "run log").split("\n")
    except InputError as error:
        raise InputError(f"{error}; move it away, the rest of the run does not need it") from error
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = _event(line)
        if event is None and (start := line.rfind(START)) > 0:  # behind what a full disk has left of another
            event = _event(line[start:])
        if event is not None:
            events.append(event)
        elif number != len(lines):
            raise InputError(f"{file}:{number}: not an event of a run log; delete this line")
    return events


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    t = event.get("t")
    known = isinstance(t, int | float) and not isinstance(t, bool) and abs(t) < MAX_T
    return event if known else None
