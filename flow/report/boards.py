"""Boards as text and JSON. In full, each number stands beside the mark of its source."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from flow.board import Board
from flow.report.text import table
from flow.resources import RESOURCE_NAMES

WIDTH = 120
UNKNOWN = "?"


def boards_table(boards: Iterable[Board]) -> str:
    """One line a board. ``usable LUT`` is the default budget, less headroom and shell; ``clock`` the default in MHz."""
    head = ["board", "part", "LUT", "FF", "BRAM18", "URAM", "DSP", "usable LUT", "clock", "toolchain"]
    rows = [
        [
            b.name,
            b.part,
            *(_amount(v) for _, v in b.capacity),
            _amount(b.budget.lut),
            f"{b.default_clock_mhz:g}",
            b.toolchain.name,
        ]
        for b in boards
    ]
    return table(head, rows, right=range(2, 9))


def board_text(board: Board) -> str:
    """All of one board, at most 120 columns: numbers with the mark of their source, the sources below."""
    marks: dict[str, int] = {}

    def mark(field: str) -> str:
        source = board.sources.get(field)
        return "" if source is None else f" [{marks.setdefault(source, len(marks) + 1)}]"

    facts = [
        ("board", f"{board.name}, {board.title}"),
        ("part", f"{board.part}{mark('part')}, family {board.family}"),
        ("board part", "none" if board.board_part is None else f"{board.board_part}{mark('board_part')}"),
        ("processor", board.ps or "none"),
        ("toolchain", " ".join([board.toolchain.name, *board.toolchain.nextpnr]) + mark("toolchain")),
        ("clock", f"{board.default_clock_mhz:g} MHz by default{mark('clock.default_mhz')}"),
        ("", f"made by {board.clock.kind}, {board.clock.range_text()}{mark('clock.max_mhz')}"),
        *(
            [("", f"HLS leaves {board.hls_uncertainty:g}% of the period to routing{mark('clock.uncertainty_percent')}")]
            if board.hls_uncertainty is not None
            else []
        ),
        *(
            ("", f"{name.removesuffix('_mhz')} {mhz:g} MHz{mark(f'clock.{name}')}")
            for name, mhz in _inner_clocks(board)
        ),
        *(
            ("clock input", f"{i.name}, {i.mhz:g} MHz, pin {i.pin or UNKNOWN}{mark(f'inputs.{i.name}')}")
            for i in board.inputs
        ),
        *(("pin", f"{name} {pin}{mark(f'pins.{name}')}") for name, pin in board.pins.items()),
        *(("note", note) for note in board.notes),
    ]
    wide = max(len(name) for name, _ in facts) + 2
    lines = [
        textwrap.fill(
            text, WIDTH, initial_indent=name.ljust(wide), subsequent_indent=" " * wide, break_on_hyphens=False
        )
        for name, text in facts
    ]
    rows = [
        [
            name.upper(),
            f"{_amount(getattr(board.capacity, name))}{mark(f'capacity.{name}')}",
            f"{board.headroom[name]:g}{mark(f'headroom.{name}')}",
            f"{_amount(getattr(board.shell, name))}{mark(f'shell.{name}')}",
            _amount(getattr(board.budget, name)),
        ]
        for name in RESOURCE_NAMES
    ]
    amounts = table(["resource", "capacity", "headroom", "shell", "usable"], rows, right=range(1, 5))
    sources = [
        textwrap.fill(
            source, WIDTH, initial_indent=f"[{number}] ".rjust(5), subsequent_indent=" " * 5, break_on_hyphens=False
        )
        for source, number in marks.items()
    ]
    explained = "usable = capacity * headroom - shell, in whole LUTs, flip-flops, RAMB18, UltraRAM and DSP blocks"
    return "\n\n".join(["\n".join(lines), f"{amounts}\n{explained}", "\n".join(["sources", *sources])])


def board_json(board: Board) -> dict[str, Any]:
    """The board as JSON; ``budget`` is ``usable`` of the tables, ``available`` the same without headroom."""
    return {
        "schema": 1,
        "name": board.name,
        "title": board.title,
        "part": board.part,
        "board_part": board.board_part,
        "family": board.family,
        "ps": board.ps,
        "toolchain": {"name": board.toolchain.name, "nextpnr": list(board.toolchain.nextpnr)},
        "capacity": board.capacity.to_dict(),
        "shell": board.shell.to_dict(),
        "headroom": dict(board.headroom),
        "available": board.available.to_dict(),
        "budget": board.budget.to_dict(),
        "clock": {
            "kind": board.clock.kind,
            "default_mhz": board.default_clock_mhz,
            "least_mhz": board.clock.least_mhz,
            "max_mhz": board.clock.max_mhz,
            "hls_uncertainty_percent": board.hls_uncertainty,
            **dict(_inner_clocks(board)),
        },
        "inputs": [{"name": i.name, "mhz": i.mhz, "pin": i.pin} for i in board.inputs],
        "pins": dict(board.pins),
        "notes": list(board.notes),
        "sources": dict(board.sources),
    }


def _inner_clocks(board: Board) -> list[tuple[str, float]]:
    """Frequencies inside the clock generator, by the names they have in the board's file."""
    names = ("reference_mhz", "pll_mhz")
    return [(n, getattr(board.clock, n)) for n in names if hasattr(board.clock, n)]


def _amount(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"
