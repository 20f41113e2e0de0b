"""Several syntheses at once, within a number of jobs and an amount of memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from flow.errors import InputError
from flow.hls.synth import SynthOptions, SynthResult, synthesize
from flow.hls.tools import Tool
from flow.runner import Cancelled


def memory_for(gib: float | None, share: float) -> int | None:
    """Bytes that all syntheses may take together: ``gib``, else a share of the machine's; None if that is not known."""
    if gib is not None:
        return int(gib * 2**30)
    try:
        return int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError):
        return None


@dataclass
class MemoryBudget:
    """An amount of memory that jobs take parts of, in the order they came: a large one is not overtaken for ever."""

    total: int
    _free: int = field(init=False)
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False)
    _queue: list[object] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._free = self.total

    def take(self, amount: int, cancelled: Callable[[], bool]) -> None:
        """Wait until ``amount`` bytes are free and take them. Raises Cancelled, or InputError if it never fits."""
        if amount > self.total:
            raise InputError(
                f"a job needs {amount / 2**30:.1f} GiB, more than the {self.total / 2**30:.1f} GiB for all jobs"
            )
        ticket = object()
        with self._turn:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._free < amount:
                    if cancelled():
                        raise Cancelled("cancelled before it started", "cancelled")
                    self._turn.wait(0.1)
                self._free -= amount
            finally:
                self._queue.remove(ticket)
                self._turn.notify_all()

    def give_back(self, amount: int) -> None:
        """Return what :meth:`take` took."""
        with self._turn:
            self._free += amount
            self._turn.notify_all()


class SynthPool:
    """Runs :func:`synthesize` in threads. As a context manager it ends all runs if the block raises.

    ``memory_bytes`` is what all runs together may hold; each may hold ``options.limits.memory_bytes``, or an equal
    share of it if that is not set. None: no limit but that of the options.
    """

    def __init__(
        self,
        hls: Tool,
        vivado: Tool | None = None,
        options: SynthOptions | None = None,
        *,
        jobs: int = 1,
        memory_bytes: int | None = None,
    ) -> None:
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, not {jobs}")
        options = options or SynthOptions()
        each = options.limits.memory_bytes
        if memory_bytes is not None and each is None:
            each = memory_bytes // jobs
            options = replace(options, limits=replace(options.limits, memory_bytes=each))
        self.hls, self.vivado, self.options = hls, vivado, options
        self._each = each or 0
        self._budget = None if memory_bytes is None else MemoryBudget(memory_bytes)
        self._cancel = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="synth")

    def submit(self, folder: Path | Callable[[], Path]) -> Future[SynthResult]:
        """Have the project in ``folder`` synthesized; the future has the result or the error.

        A function is called for the folder when it is the project's turn, and may wait for it to be written.
        """
        return self._threads.submit(self._run, folder)

    def cancel(self) -> None:
        """Stop the runs in progress and drop those that wait; their futures end with Cancelled. Returns at once."""
        self._cancel.set()

    def close(self) -> None:
        """Wait for all runs, cancelled or not."""
        self._threads.shutdown(wait=True)

    def _run(self, project: Path | Callable[[], Path]) -> SynthResult:
        if self._cancel.is_set():
            raise Cancelled("cancelled before it started", "cancelled")
        folder = project if isinstance(project, Path) else project()
        if self._budget is None:
            return synthesize(folder, self.hls, self.vivado, self.options, self._cancel)
        self._budget.take(self._each, self._cancel.is_set)
        try:
            return synthesize(folder, self.hls, self.vivado, self.options, self._cancel)
        finally:
            self._budget.give_back(self._each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.cancel()
        self.close()
