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

KILL_WAIT_S = 5.0
"""Longest wait for killed processes to be gone; one that waits for a dead file server may never go."""

MARKER = "FLOW_TOOL_RUN"
"""The environment variable that marks a run's processes: children inherit it, whatever session they are in."""

# Waits in its own session until this program is gone, however it ended, to end the processes with its mark: `read`
# returns when the write end of its standard input closes, which the kernel does for a killed program too. The group,
# which it is told as soon as it is known, is for machines without /proc. Arguments: seconds of grace, the mark.
_GUARD = """
read group
read _
end() {
    [ -z "$group" ] || kill -s "$1" -- "-$group"
    for process in /proc/[0-9]*; do
        if grep -qs "$mark" "$process/environ"; then kill -s "$1" "${process#/proc/}"; fi
    done
}
mark=$2
end TERM
sleep "$1"
end KILL
"""


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

    What left the session *and* lost its parent is told by ``mark``, the value of :data:`MARKER` in its environment;
    that is looked up only where ``thorough``.
    """

    pid: int
    mark: str = ""
    seen: set[tuple[int, int]] = field(default_factory=set)
    """(pid, start time) of members so far: a pid alone may be used again."""

    def members(self, thorough: bool = False) -> dict[int, Member]:
        """The living members by pid. Empty where there is no /proc."""
        table = _processes()
        found = {
            pid: member
            for pid, member in table.items()
            if self.pid in (pid, member.session)
            or (pid, member.start) in self.seen
            or (thorough and self.mark and _has_mark(pid, self.mark))
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
        outside = [pid for pid, member in self.members(thorough=True).items() if member.group != self.pid]
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
        # A killed process needs a moment: nothing of it may still write when this returns.
        limit = time.monotonic() + KILL_WAIT_S
        while self.leftovers() and time.monotonic() < limit:
            time.sleep(0.01)

    def leftovers(self) -> list[int]:
        """Members other than the leader."""
        return [pid for pid in self.members(thorough=True) if pid != self.pid]


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


def _has_mark(pid: int, mark: str) -> bool:
    """Whether a process was started in an environment with this mark. Processes of others can't be read."""
    try:
        return f"\0{MARKER}={mark}\0".encode() in b"\0" + (PROC / str(pid) / "environ").read_bytes() + b"\0"
    except OSError:
        return False


def end_marked(mark: str) -> None:
    """Kill all processes with ``mark``: for a run that was interrupted while it started."""
    for _ in range(10):  # the mark shows once the new process has become the tool
        for pid in _processes():
            if _has_mark(pid, mark):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


class Guard:
    """A tiny shell that ends the processes with a mark should this program be killed.

    It is started before them, because after it there would be a moment without one. Where there is no shell,
    nothing is guarded.
    """

    def __init__(self, grace_s: float, mark: str) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", str(max(1, round(grace_s))), f"{MARKER}={mark}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def watch(self, group: int) -> None:
        """Tell it the group to end too."""
        if self._shell and self._shell.stdin:
            with suppress(OSError):
                self._shell.stdin.write(f"{group}\n".encode())
                self._shell.stdin.flush()

    def stop(self) -> None:
        """End the guard itself, before its standard input closes."""
        if self._shell:
            self._shell.kill()
            self._shell.wait()
            if self._shell.stdin:
                with suppress(OSError):
                    self._shell.stdin.close()


def kernel_kills() -> int | None:
    """How many processes the kernel has killed for memory in this control group (cgroup v2); None if unknown."""
    try:
        text = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii")
    except OSError:
        return None
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    return int(counts["oom_kill"]) if counts.get("oom_kill", "").isdigit() else None
