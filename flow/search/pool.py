"""A pool of worker processes that survive each other's crashes, and end when this process does, however it ends.

A worker is a program of its own (:func:`flow.search.worker.serve`). It is told its jobs as lines of JSON on standard
input and answers on a pipe. It leads its own session, so that Ctrl-C reaches this process alone, and ends when its
standard input closes, which the kernel does for a killed parent too. What it prints goes to a log file.

Each worker belongs to one thread here, which alone starts it, talks to it and reaps it; others may only kill it.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flow.errors import ToolError
from flow.processes import kernel_kills

STARTS = 2
"""Times a worker is tried to start for a job before the job is given up."""

STOPPED = "the workers have been stopped"

GROWTH_BYTES = 768 * 2**20
"""A worker that holds so much more memory than when it was ready is replaced after its job: Keras and TensorFlow keep
something of every network."""


@dataclass(frozen=True)
class PoolSettings:
    """What workers are and how long they may take.

    ``command``: the program, to which the number of the pipe for answers is added. ``setup``: what it is told first.
    ``environment``: added to this process'. ``job_s``, ``start_s``: longest time for a job and for a start.
    """

    command: Sequence[str]
    setup: Mapping[str, Any]
    log: Path
    jobs: int
    environment: Mapping[str, str]
    job_s: float = 1800.0
    start_s: float = 600.0
    growth_bytes: int = GROWTH_BYTES


class _Gone(Exception):
    """A worker ended or was ended; ``str`` says why, in words that go behind "the worker "."""


class WorkerPool:
    """Runs jobs (mappings for JSON) in ``settings.jobs`` processes, each job in the next one that is free."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self._queue: queue.SimpleQueue[tuple[Mapping[str, Any], Future[dict[str, Any]]] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        try:
            settings.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = settings.log.open("ab", buffering=0)
        except OSError as error:
            raise ToolError(f"cannot write {settings.log}: {error.strerror}") from error
        self._slots = [_Slot(settings, number + 1, self._log, self._closed) for number in range(settings.jobs)]
        self._threads = [threading.Thread(target=self._run, args=(slot,), daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        """Queue a job; the returned function waits for its answer.

        The answer is what the worker says, or ``{"ok": False, "error": ...}`` if it crashed or took too long. Waiting
        raises ToolError if workers can't be started, or the pool is closed.
        """
        future: Future[dict[str, Any]] = Future()
        if self._closed.is_set():
            future.set_exception(ToolError(STOPPED))
        self._queue.put((job, future))
        return future.result

    def close(self) -> None:
        """End all workers at once, in the middle of a job too. Nobody is left waiting."""
        self._closed.set()
        for slot in self._slots:
            slot.signal()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=10)
        with suppress(queue.Empty):
            while True:
                waiting = self._queue.get_nowait()
                if waiting is not None and not waiting[1].done():
                    waiting[1].set_exception(ToolError(STOPPED))
        self._log.close()

    def _run(self, slot: _Slot) -> None:
        slot.prepare()
        while (item := self._queue.get()) is not None:
            job, future = item
            if future.done():
                continue
            try:
                future.set_result(slot.run(job))
            except ToolError as error:
                future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - a bug here must not leave someone waiting for ever
                future.set_exception(ToolError(f"running a worker failed: {type(error).__name__}: {error}"))
            slot.prepare()
        slot.end()


class _Slot:
    """One place for a worker: the process that is there now, if any, and what is known of it."""

    def __init__(self, settings: PoolSettings, number: int, log: IO[bytes], closed: threading.Event) -> None:
        self.settings, self.number, self.log, self.closed = settings, number, log, closed
        self.process: subprocess.Popen[bytes] | None = None
        self.answers: IO[bytes] | None = None
        self.pending = b""
        self.ready_bytes = 0
        self.lock = threading.Lock()  # of starting and killing

    def prepare(self) -> None:
        """Have a worker running before there is a job for it; failures show when there is one."""
        with suppress(ToolError):
            self._ensure(1)

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one job. Raises ToolError if there is no worker to be had."""
        self._ensure(STARTS)
        kills = kernel_kills()
        try:
            self._send(job)
            answer = self._receive(self.settings.job_s)
        except _Gone as gone:
            memory = kills is not None and (kernel_kills() or 0) > kills
            note = ": the machine is out of memory, use fewer jobs" if memory else ""
            return {"ok": False, "error": f"the worker {gone}{note}"}
        used = int(answer.pop("rss_bytes", 0))
        if used > self.ready_bytes + self.settings.growth_bytes:
            self._note(f"holds {used >> 20} MiB: replaced")
            self.end()
        return answer

    def signal(self) -> None:
        """Kill the process and what it started, if there is one. The only method for other threads."""
        with self.lock:
            if self.process is not None and self.process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, wait_s: float = 0.0) -> int | None:
        """Reap the process, which gets ``wait_s`` to end by itself. Its exit status, None if there was none."""
        process = self.process
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait_s)
        with self.lock:
            if process.returncode is None:  # else its number may be another process' by now
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            self.process = None
        for pipe in (process.stdin, self.answers):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.answers, self.pending = None, b""
        return status

    def _ensure(self, tries: int) -> None:
        """Have a worker that is ready for a job. Raises ToolError if it does not start in ``tries`` times."""
        reason = ""
        for _ in range(tries):
            if self.process is not None:
                return
            try:
                self._start()
            except _Gone as gone:
                reason = f"the worker {gone} while it started"
        if self.process is None:
            raise ToolError(f"{reason}; its output is in {self.settings.log}")

    def _start(self) -> None:
        read, write = os.pipe()
        with self.lock:
            if self.closed.is_set():
                os.close(read)
                os.close(write)
                raise ToolError(STOPPED)
            try:
                self.process = subprocess.Popen(
                    [*self.settings.command, str(write)],
                    stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, pass_fds=(write,),
                    env={**os.environ, **self.settings.environment}, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                os.close(read)
                raise ToolError(f"cannot start {self.settings.command[0]}: {error.strerror}") from error
            finally:
                os.close(write)
            self.answers = os.fdopen(read, "rb", buffering=0)
        self._note(f"started, pid {self.process.pid}")
        self._send(self.settings.setup)
        answer = self._receive(self.settings.start_s)
        if "fatal" in answer:
            self.end(wait_s=5)
            raise ToolError(str(answer["fatal"]))
        self.ready_bytes = int(answer.get("rss_bytes", 0))

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _receive(self, limit_s: float) -> dict[str, Any]:
        """The next line of the worker. Raises _Gone if it ends or takes too long; then it is ended."""
        assert self.answers is not None
        limit = time.monotonic() + limit_s
        while b"\n" not in self.pending:
            left = limit - time.monotonic()
            if left <= 0:
                self.end()
                self._note(f"gave no answer within {limit_s:g} s: ended")
                raise _Gone(f"gave no answer within {limit_s:g} s and was ended")
            if select.select([self.answers], [], [], left)[0]:
                part = os.read(self.answers.fileno(), 1 << 16)
                if not part:
                    raise self._gone()
                self.pending += part
        line, _, self.pending = self.pending.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self.end()
            raise _Gone("gave an answer that can't be read")
        return answer

    def _gone(self) -> _Gone | ToolError:
        """Reap a process that has closed its pipes: the error that says how it ended."""
        status = self.end(wait_s=5)
        if self.closed.is_set():
            return ToolError(STOPPED)
        assert status is not None
        how = describe_status(status)
        self._note(how)
        return _Gone(how)

    def _note(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self.log.write(f"[worker {self.number}, {time.strftime('%H:%M:%S')}] {text}\n".encode())


def describe_status(status: int) -> str:
    """An exit status as subprocess gives it, in words, such as ``was ended by signal SIGSEGV``."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return f"was ended by signal {name}"
