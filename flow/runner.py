"""Running a tool so that its result can be believed.

Success is exit status 0 *and* every expected file written by this run *and* a parse of what it wrote. Everything
else is an error of its own: one line with what happened, where and what to do, and the last lines of the log with
it. A run has a time limit and a memory limit, can be cancelled, and leaves no process behind, however it ends.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Generic, Literal, TypeVar

from flow.errors import FlowError, ToolError
from flow.processes import MARKER, Guard, ProcessTree, end_marked, kernel_kills
from flow.toollog import Cause, read_log

T = TypeVar("T")

POLL_S = 0.05
"""How often the clock and the cancel event are looked at."""

MEMORY_POLL_S = 0.2
"""How often memory is looked at: reading /proc takes some milliseconds on a busy machine."""

INTERRUPT_GRACE_S = 2.0
"""Seconds a tool gets to end after Ctrl-C: the user is waiting."""

_UNPARSABLE: Cause = "unparsable"

FULL_BYTES = 2**20
"""Less free space than this after a failure means that the disk was full."""


class ToolFailure(ToolError):
    """A tool's run failed. ``str`` is one line; ``cause`` names the kind, ``tail`` is the end of the log."""

    def __init__(self, message: str, cause: Cause, log: Path | None = None, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.cause = cause
        self.log = log
        self.tail = tuple(tail)


class Cancelled(ToolFailure):
    """The run was stopped because the caller asked for it."""


@dataclass(frozen=True)
class Limits:
    """Limits of a run. None: no limit.

    timeout_s     wall-clock seconds.
    memory_bytes  resident memory of the tool and everything it starts, together. Not an address space limit: tools
                  with a Java part reserve far more than they use.
    grace_s       seconds between asking to end (TERM) and making it (KILL).
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    grace_s: float = 10.0


@dataclass(frozen=True)
class Job:
    """One run of a tool.

    name      what errors call it: "vitis_hls csynth".
    argv      program and arguments; no shell is involved.
    cwd       the folder it runs in.
    log       the file that gets its output, replaced by each run.
    expect    files that must be new or changed when it ends.
    limits    see :class:`Limits`.
    cancel    set it to stop the run.
    env       the environment, this program's by default.
    """

    name: str
    argv: Sequence[str]
    cwd: Path
    log: Path
    expect: Sequence[Path] = ()
    limits: Limits = field(default_factory=Limits)
    cancel: Event | None = None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RunResult(Generic[T]):
    """A run that succeeded: what was parsed, how long it took, and the most memory seen (None: not known)."""

    value: T
    seconds: float
    peak_memory_bytes: int | None
    log: Path


@dataclass
class _Watch:
    """What is seen of a process while it runs, and why it was stopped if it was."""

    peak: int | None = None
    stopped: Literal["timeout", "out of memory", "cancelled"] | None = None


def run_tool(job: Job, parse: Callable[[], T]) -> RunResult[T]:
    """Run ``job`` to its end, then ``parse`` what it wrote.

    Raises ToolFailure with the cause, :class:`Cancelled` if ``job.cancel`` was set. On any exception, Ctrl-C
    included, the tool and all its children have ended when this returns.
    """
    if job.cancel is not None and job.cancel.is_set():
        raise Cancelled(f"{job.name}: cancelled before it started", "cancelled", job.log)
    before = {path: _stamp(path) for path in job.expect}
    kills = kernel_kills()
    started = time.monotonic()
    watch = _Watch()
    status = _supervise(job, watch)
    seconds = time.monotonic() - started
    _check(job, status, watch, seconds, before, kills)
    try:
        value = parse()
    except FlowError as error:
        text, cause = f"ended with status 0, but its report can't be read: {error}", _UNPARSABLE
        if isinstance(error, ToolFailure):
            if error.log is not None:
                raise
            text, cause = str(error), error.cause
        raise ToolFailure(f"{job.name}: {text}; log: {job.log}", cause, job.log, read_log(job.log).tail) from error
    return RunResult(value, seconds, watch.peak, job.log)


def _supervise(job: Job, watch: _Watch) -> int:
    """Start the tool, wait for its end or bring it about, and return its exit status. Nothing of it is left then."""
    mark = secrets.token_hex(16)
    guard = Guard(job.limits.grace_s, mark)
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _start(job, mark)
        guard.watch(process.pid)
        tree = ProcessTree(process.pid, mark)
        _wait(job, process, tree, watch)
    except ToolFailure:  # it did not start
        raise
    except BaseException:
        if process is None:
            end_marked(mark)  # interrupted between its start and its being known
        else:
            ProcessTree(process.pid, mark).end(process, min(job.limits.grace_s, INTERRUPT_GRACE_S))
        raise
    finally:
        # If a second Ctrl-C broke off the ending, the guard finishes it: its input closes with this program.
        if process is None or process.returncode is not None:
            guard.stop()
    return process.returncode


def _start(job: Job, mark: str) -> subprocess.Popen[bytes]:
    """Start the tool in a session of its own, its output going to the log."""
    program = job.argv[0]
    env = {**(os.environ if job.env is None else job.env), MARKER: mark}
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("wb") as log:
            return subprocess.Popen(
                list(job.argv),
                cwd=job.cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        if not job.cwd.is_dir():
            raise ToolFailure(f"{job.name}: there is no folder {job.cwd} to run in", "not found") from error
        if shutil.which(program, path=env.get("PATH")) is not None or isinstance(error, PermissionError):
            reason = f"{program} can't be run: {error.strerror}; is it a program for this machine, and executable?"
            raise ToolFailure(f"{job.name}: {reason}", "not executable") from error
        if Path(program).exists():
            reason = f"{program} can't be run: {error.strerror}; what its first line names may be missing"
            raise ToolFailure(f"{job.name}: {reason}", "not executable") from error
        raise ToolFailure(f"{job.name}: {program} not found; is the tool set up?", "not found") from error


def _wait(job: Job, process: subprocess.Popen[bytes], tree: ProcessTree, watch: _Watch) -> None:
    """Wait for the end, or bring it about at a limit. Nothing of the tree is left afterwards."""
    limits = job.limits
    started = time.monotonic()
    looked = 0.0
    used = 0
    while True:
        try:
            process.wait(POLL_S)
            break
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() - looked >= MEMORY_POLL_S:
            looked = time.monotonic()
            used = sum(member.resident for member in tree.members().values())
            watch.peak = max(watch.peak or 0, used) or None
        if limits.memory_bytes is not None and used > limits.memory_bytes:
            watch.stopped = "out of memory"
        elif limits.timeout_s is not None and time.monotonic() - started > limits.timeout_s:
            watch.stopped = "timeout"
        elif job.cancel is not None and job.cancel.is_set():
            watch.stopped = "cancelled"
        if watch.stopped:
            # Memory can't wait for good manners: what is over the limit may take the machine down meanwhile.
            tree.end(process, 0.0 if watch.stopped == "out of memory" else limits.grace_s)
            return
    if tree.leftovers():  # it ended, but something it started did not
        tree.end(process, limits.grace_s)


def _check(
    job: Job,
    status: int,
    watch: _Watch,
    seconds: float,
    before: Mapping[Path, tuple[int, int, int] | None],
    kills: int | None,
) -> None:
    """Raises ToolFailure unless the run ended by itself, with status 0 and every expected file written."""
    log = read_log(job.log)
    took = f"after {seconds:.0f} s"
    peak = f" with {watch.peak / 2**30:.1f} GiB" if watch.peak else ""

    def failure(text: str, cause: Cause) -> ToolFailure:
        kind = Cancelled if cause == "cancelled" else ToolFailure
        return kind(f"{job.name}: {text}; log: {job.log}", cause, job.log, log.tail)

    if watch.stopped == "cancelled":
        raise failure(f"cancelled {took}", "cancelled")
    if watch.stopped == "timeout":
        raise failure(f"stopped: not done within {job.limits.timeout_s:g} s", "timeout")
    if watch.stopped == "out of memory":
        limit = (job.limits.memory_bytes or 0) / 2**30
        raise failure(f"stopped{peak}: over its memory limit of {limit:.1f} GiB {took}", "out of memory")
    number = -status if status < 0 else status - 128 if status > 128 else 0
    missing = [path for path in job.expect if _stamp(path) in (None, before[path])]
    if status == 0 and not missing:
        return
    if _kernel_killed(kills):
        what = "it" if number == signal.SIGKILL else "a process"
        raise failure(f"the kernel killed {what}{peak}: the machine ran out of memory {took}", "out of memory")
    by_signal = number in set(signal.Signals)
    if log.symptom is not None and not (by_signal and log.symptom.cause == "killed"):
        raise failure(f"{log.symptom.cause}: {log.message}; {log.symptom.hint}", log.symptom.cause)
    if _free_bytes(job.cwd) < FULL_BYTES:
        raise failure(f"disk full: no space left at {job.cwd}", "disk full")
    said = f": {log.message}" if log.message else ""
    if by_signal:
        name = f"signal {number} ({signal.Signals(number).name})"
        hint = ", as the kernel does when memory runs out" if number == signal.SIGKILL else ""
        raise failure(f"killed by {name}{hint} {took}{peak}{said}", "killed")
    if status != 0:
        raise failure(f"exit status {status} {took}{said}", "exit status")
    stale = [path for path in missing if path.exists()]
    what = f"{missing[0]} is from an earlier run" if stale else f"there is no {missing[0]}"
    raise failure(f"ended with status 0 {took}, but {what}{said}", "no output")


def _kernel_killed(before: int | None) -> bool:
    """Whether the kernel has killed something for memory since ``before`` was counted."""
    now = kernel_kills()
    return before is not None and now is not None and now > before


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written: not its age, which a skewed clock of a file server gets wrong."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return FULL_BYTES
