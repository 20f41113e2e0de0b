"""Which kind of project a board gets. A further kind is one entry here: who plans it, and what it can carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from flow.bitstream.accelerator import BackendName
from flow.bitstream.alveo import plan_alveo
from flow.bitstream.fabric import plan_fabric
from flow.bitstream.open_board import DEVICES, plan_open
from flow.bitstream.plan import BitstreamPlan
from flow.bitstream.project import Design
from flow.bitstream.zynq import plan_zynq
from flow.board import Board
from flow.errors import InputError


@dataclass(frozen=True)
class Family:
    """A kind of project. ``link``: how the accelerator is reached. ``backends``: what it can be, the default first."""

    name: str
    link: Literal["axis", "uart"]
    backends: tuple[BackendName, ...]
    plan: Callable[[Design], BitstreamPlan]


ZYNQ = Family("Zynq", "axis", ("hls", "rtl"), plan_zynq)
FABRIC = Family("FPGA without a processor", "uart", ("rtl",), plan_fabric)
ALVEO = Family("Alveo", "axis", ("hls", "rtl"), plan_alveo)
OPEN = Family("FPGA with open tools", "uart", ("rtl",), plan_open)


def family_of(board: Board) -> Family:
    """The kind of project for a board. Raises InputError for a board that none is known for."""
    name = board.toolchain.name
    if name == "vitis":
        return ALVEO
    if name == "vivado":
        return FABRIC if board.ps is None else ZYNQ
    if board.family in DEVICES:
        return OPEN
    raise InputError(f"bitstreams for board {board.name} ({name} toolchain) cannot be built yet")


def check_backend(board: Board, family: Family, backend: str | None) -> BackendName:
    """The backend to use: the one asked for, or the family's default. Raises InputError if it can't be."""
    if backend is None:
        return family.backends[0]
    for known in family.backends:
        if backend == known:
            return known
    raise InputError(
        f"backend {backend!r} does not go with board {board.name} ({family.name}): {' or '.join(family.backends)}"
    )
