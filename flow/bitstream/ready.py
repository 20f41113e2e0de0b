"""For which boards the tools of this machine make bitstreams: what ``flow doctor`` says of each board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flow.bitstream.accelerator import BackendName
from flow.bitstream.families import ALVEO, FABRIC, OPEN, ZYNQ, Family, family_of
from flow.bitstream.make import find_tool
from flow.bitstream.open_board import DEVICES
from flow.bitstream.open_build import find_tools
from flow.bitstream.plan import Kind, Step
from flow.board import Board
from flow.errors import ToolError
from flow.hls.tools import Finder

NEEDS: Mapping[tuple[str, BackendName], tuple[str, ...]] = {
    (ZYNQ.name, "rtl"): ("vivado",),
    (ZYNQ.name, "hls"): ("HLS", "vivado"),
    (FABRIC.name, "rtl"): ("vivado",),
    (ALVEO.name, "rtl"): ("vivado", "v++"),
    (ALVEO.name, "hls"): ("HLS", "v++"),
}
"""The tools of each kind of project; open tools are those of the device."""


@dataclass(frozen=True)
class BoardReady:
    """A board, and for each backend it can have the tools that are missing: none if it can be built."""

    name: str
    missing: Mapping[BackendName, tuple[str, ...]]


@dataclass
class _Found:
    """What was looked for: each tool once, with why it can't be used, None if it can."""

    finder: Finder
    problems: dict[str, str | None] = field(default_factory=dict)

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        for name in names:
            if name not in self.problems:
                self.problems[name] = self._problem(name)
        return tuple(name for name in names if self.problems[name] is not None)

    def _problem(self, name: str) -> str | None:
        if name in DEVICES:
            return _failure(lambda: find_tools(DEVICES[name]))
        if name != "HLS":
            kind: Kind = "vivado" if name == "vivado" else "v++"
            return self._tool(kind)
        problem = self._tool("vitis_hls")
        return problem if problem is None or self._tool("vivado_hls") is not None else None

    def _tool(self, kind: Kind) -> str | None:
        return _failure(lambda: find_tool(Step(kind, kind, "", ()), self.finder))


def _failure(look: Callable[[], object]) -> str | None:
    try:
        look()
    except ToolError as error:
        return str(error)
    return None


def boards_ready(boards: Sequence[Board], finder: Finder | None = None) -> tuple[list[BoardReady], dict[str, str]]:
    """(what can be built for each of ``boards``, why each missing tool can't be used and what to do about it)."""
    found = _Found(finder or Finder())
    ready = [
        BoardReady(board.name, {backend: found.missing(_needs(board, family, backend)) for backend in family.backends})
        for board in boards
        for family in (family_of(board),)
    ]
    return ready, {name: problem for name, problem in found.problems.items() if problem is not None}


def _needs(board: Board, family: Family, backend: BackendName) -> tuple[str, ...]:
    return (board.family,) if family is OPEN else NEEDS[family.name, backend]


def ready_text(ready: Sequence[BoardReady], problems: Mapping[str, str]) -> str:
    """A table of boards and backends, and below it what to do about the tools that are missing."""
    rows = [("bitstreams for", "rtl (our Verilog)", "hls (hls4ml's C++)")]
    rows += [(board.name, _cell(board, "rtl"), _cell(board, "hls")) for board in ready]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = ["  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2]]).rstrip() for row in rows]
    if problems:
        lines += ["", *(f"{name}: {problem}" for name, problem in problems.items())]
    return "\n".join(lines)


def _cell(board: BoardReady, backend: BackendName) -> str:
    if backend not in board.missing:
        return "-"
    missing = board.missing[backend]
    return f"no: {', '.join(missing)}" if missing else "yes"


def ready_dict(ready: Sequence[BoardReady], problems: Mapping[str, str]) -> dict[str, Any]:
    """JSON form."""
    return {
        "boards": [
            {"name": b.name, "backends": {k: {"ready": not v, "missing": list(v)} for k, v in b.missing.items()}}
            for b in ready
        ],
        "problems": dict(problems),
    }
