"""FPGA boards: the part, what the shell around the accelerator takes, how far a part may be filled, and the clock.

A board is one file, ``boards/NAME.yaml`` or the user's own; ``docs/howto-board.md`` says how to write one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flow.clocks import ClockGenerator, ClockSetting
from flow.errors import InputError, unknown_name
from flow.fileio import data_dir
from flow.resources import Resources

ToolchainName = Literal["vivado", "vitis", "open"]


@dataclass(frozen=True)
class Toolchain:
    """What builds bitstreams for a board.

    For open tools, ``nextpnr`` are nextpnr's arguments that pick the device, ``loader`` is what openFPGALoader calls
    the board, None if it does not know it, and ``pll_core`` says that an iCE40's oscillator is on a pin that does not
    lead into the PLL.
    """

    name: ToolchainName
    nextpnr: tuple[str, ...] = ()
    loader: str | None = None
    pll_core: bool = False


@dataclass(frozen=True)
class ClockInput:
    """An oscillator wired to the fabric: its frequency in MHz and its pin, ``None`` if that isn't known."""

    name: str
    mhz: float
    pin: str | None


@dataclass(frozen=True)
class Board:
    """One board. Resources in the units of :mod:`flow.resources`, clocks in MHz.

    ``capacity`` is all of the part, ``shell`` what must be around the accelerator to feed it (DMA, interconnect,
    UART), ``headroom`` the share of the part, shell included, that may be used if timing is to close. ``sources`` says
    where each number comes from, by dotted field (``capacity.lut``). ``ps_preset``: settings of the processor's IP, by
    name, for a Vivado without this board's files. ``hls_uncertainty``: what HLS must leave of the clock period to
    routing, in percent; None leaves that to the tool's default.
    """

    name: str
    title: str
    part: str
    board_part: str | None
    family: str
    ps: Literal["zynq7", "zynqmp"] | None
    toolchain: Toolchain
    capacity: Resources
    shell: Resources
    headroom: Mapping[str, float]
    clock: ClockGenerator
    default_clock_mhz: float
    inputs: tuple[ClockInput, ...]
    pins: Mapping[str, str]
    ps_preset: Mapping[str, str]
    notes: tuple[str, ...]
    sources: Mapping[str, str]
    hls_uncertainty: float | None = None

    @property
    def available(self) -> Resources:
        """All that is there beside the shell: the most an accelerator can have, if timing closes at all."""
        return _at_least_zero(self.capacity - self.shell)

    @property
    def budget(self) -> Resources:
        """What an accelerator may take by default: ``capacity * headroom - shell``, whole and never below 0.

        The shell counts towards the ceiling because timing suffers from how full the whole part is.
        """
        # Rounding first: 0.7 of 90 is 62.99999999999999 in binary, and 63 slices are there.
        ceiling = Resources(
            **{n: None if v is None else math.floor(round(v * self.headroom[n], 6)) for n, v in self.capacity}
        )
        return _at_least_zero(ceiling - self.shell)

    def resolve_clock(self, mhz: float) -> ClockSetting:
        """The clock the board really makes when asked for ``mhz``, never faster. Raises InputError with the range."""
        try:
            return self.clock.resolve(mhz)
        except InputError as error:
            raise InputError(f"board {self.name}: {error}") from error


def _at_least_zero(amounts: Resources) -> Resources:
    return Resources(**{n: None if v is None else max(v, 0) for n, v in amounts})


def list_boards() -> list[str]:
    """Names of the shipped boards, sorted."""
    return sorted(path.stem for path in data_dir("boards").glob("*.yaml"))


def load_board(name_or_path: str) -> Board:
    """A shipped board by name, or a user's ``.yaml`` file. Raises InputError naming file, line and field."""
    from flow.board_file import read_board  # it builds Board, so it can't be imported before

    if name_or_path.endswith((".yaml", ".yml")):
        return read_board(Path(name_or_path))
    names = list_boards()
    if name_or_path not in names:
        raise unknown_name("board", name_or_path, names)
    return read_board(data_dir("boards") / f"{name_or_path}.yaml")
