"""HlsSynthesizer: has the candidates of a search synthesized by Vivado HLS or Vitis HLS, several at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from flow.errors import InputError, ToolError
from flow.hls.pool import SynthPool, memory_for
from flow.hls.synth import SynthOptions
from flow.hls.tools import BACKEND_TOOLS, Finder, Tool, backend_of, check_release
from flow.resources import Measurement
from flow.runner import Limits
from flow.search.entry import Entry
from flow.search.settings import Problem

if TYPE_CHECKING:
    from flow.board import Board

SHARE = 0.7
"""Share of the machine's memory that syntheses may take together if nothing else is said: trainings need the rest."""

WriteProject = Callable[[Entry, Mapping[str, Any]], Callable[[], Path]]
"""Starts to write the HLS project of an entry for a target; what it returns waits for its folder, or raises FlowError.
The target: ``backend``, ``part`` and ``uncertainty``, as ``flow.hls.project.HlsTarget`` has them."""


class HlsSynthesizer:
    """A Synthesizer (:mod:`flow.search.feedback`) with an HLS tool; use it as a context manager.

    Memory and number of syntheses are limited as the settings of ``problem`` say. ``write`` has the projects written.
    """

    def __init__(self, problem: Problem, tool: Tool, write: WriteProject) -> None:
        s = problem.settings
        self.tool, self.write = tool, write
        self.target = {
            "backend": backend_of(tool),
            "part": problem.board.part,
            "uncertainty": problem.board.hls_uncertainty,
        }
        options = SynthOptions(limits=Limits(timeout_s=s.synth_timeout))
        self._pool = SynthPool(tool, options=options, jobs=s.synth_jobs, memory_bytes=memory_for(s.synth_memory, SHARE))

    @property
    def name(self) -> str:
        """The tool and its release."""
        return str(self.tool)

    def submit(self, entry: Entry) -> Callable[[], tuple[Measurement, float]]:
        """See ``Synthesizer.submit``."""
        future = self._pool.submit(self.write(entry, self.target))

        def wait() -> tuple[Measurement, float]:
            result = future.result()
            return result.hls, sum(result.seconds.values())

        return wait

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, where)


def find_tool(problem: Problem, recorded: str | None, resumed: bool) -> Tool | None:
    """The HLS tool of a search, None for a search without.

    A tool that was not asked for is used if it is there and of a supported release. ``recorded``: what a ``resumed``
    run was begun with, which it has to go on with. Raises InputError or ToolError for a tool that was asked for, or
    that a resumed run needs, and can't be had.
    """
    settings, board = problem.settings, problem.board
    if resumed and recorded is None:
        if settings.tool is not None:
            raise InputError("this run was started without a tool: leave --tool out, or start a new run")
        return None
    if settings.estimator_only or (settings.tool is None and not _has_hls(board)):
        return None
    if not _has_hls(board):
        raise InputError(f"board {board.name} has no AMD part ({board.part}): leave --tool out")
    kinds = tuple(kind for known in ("Vitis", "Vivado") for kind in BACKEND_TOOLS[known])
    try:
        tool = Finder(explicit=settings.tool).find(kinds)
        check_release(tool)
    except ToolError as error:
        if resumed:
            raise ToolError(f"this run was started with {recorded}, and goes on with it only: {error}") from error
        if settings.tool is not None:
            raise
        if "not found" not in str(error):
            print(f"flow: warning: no synthesis in this search: {error}", file=sys.stderr)
        return None
    if resumed and str(tool) != recorded:
        raise InputError(f"this run was started with {recorded}, not with {tool}: name the same release with --tool")
    return tool


def _has_hls(board: Board) -> bool:
    return board.toolchain.name != "open"
