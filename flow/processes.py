"""A process with everything it started: how much memory they hold, and how to end them all.

Linux only where it reads /proc; elsewhere the process group is what is known, and memory is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Waits in its own session until this program is gone, however it ended, and then ends the group: `read` returns
# when the write end of its standard input closes, which the kernel does for a killed process too.
_GUARD = 'read _; kill -TERM -- "-$1"; sleep "$2"; kill -KILL -- "-$1"'


class Member(NamedTuple):
    """A living process: parent, process group, session, start time in clock ticks, resident memory in bytes."""

    parent: int
    group: int
    session: int
    start: int
    resident: int


@dataclass
class ProcessTree:
    """A process that leads its own session, and all that came from it: its session and its descendants.

    What left the session *and* lost its parent is found again only if it was seen before that.
    """

    pid: int
    seen: set[tuple[int, int]] = field(default_factory=set)
    """(pid, start time) of members so far: a pid alone may be used again."""

    def members(self) -> dict[int, Member]:
        """The living members by pid. Empty where there is no /proc."""
        table = _processes()
        found = {
            pid: member
            for pid, member in table.items()
            if self.pid in (pid, member.session) or (pid, member.start) in self.seen
        }
        grew = True
        while grew:  # descendants that made a session of their own, and theirs
            more = {pid: m for pid, m in table.items() if pid not in found and m.parent in found}
            found |= more
            grew = bool(more)
        self.seen = {(pid, member.start) for pid, member in found.items()}
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the group and to every member outside it, once to each."""
        outside = [pid for pid, member in self.members().items() if member.group != self.pid]
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        for pid in outside:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def end(self, process: subprocess.Popen[bytes], grace_s: float) -> None:
        """Ask all to end, and after ``grace_s`` seconds make them. Returns when the leader is reaped."""
        self.signal(signal.SIGTERM)
        limit = time.monotonic() + grace_s
        while time.monotonic() < limit:
            if process.poll() is not None and not self.leftovers():
                break
            time.sleep(0.02)
        self.signal(signal.SIGKILL)
        process.wait()

    def leftovers(self) -> list[int]:
        """Members other than the leader."""
        return [pid for pid in self.members() if pid != self.pid]


def _processes() -> dict[int, Member]:
    """All processes that are not zombies, by pid."""
    table = {}
    try:
        entries = os.listdir(PROC)
    except OSError:
        return {}
    for name in entries:
        if not name.isdigit():
            continue
        try:
            stat = (PROC / name / "stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        # The command, in parentheses, may hold anything; the fields after it are numbers (proc(5)).
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[0] != b"Z":
            parent, group, session, start, pages = (int(fields[i]) for i in (1, 2, 3, 19, 21))
            table[int(name)] = Member(parent, group, session, start, pages * PAGE_BYTES)
    return table


def start_guard(pid: int, grace_s: float) -> subprocess.Popen[bytes] | None:
    """A tiny shell that ends the process group ``pid`` should this program be killed. None if there is no shell."""
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(pid), str(max(1, round(grace_s)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def stop_guard(guard: subprocess.Popen[bytes] | None) -> None:
    """End a guard that is no longer needed, before its standard input closes."""
    if guard is not None:
        guard.kill()
        guard.wait()
        if guard.stdin:
            guard.stdin.close()


def kernel_kills() -> int | None:
    """How many processes the kernel has killed for memory in this control group (cgroup v2); None if unknown."""
    try:
        text = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii")
    except OSError:
        return None
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    return int(counts["oom_kill"]) if counts.get("oom_kill", "").isdigit() else None
