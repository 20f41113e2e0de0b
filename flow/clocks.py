"""How a board makes the accelerator's clock: from the wanted frequency to the one its clock generator really makes.

A generator has integer dividers, so most frequencies do not exist: a Zynq UltraScale+ asked for 200 MHz makes 187.5.
:meth:`ClockGenerator.resolve` takes the fastest existing frequency that is not above the wanted one, because a design
that meets timing there meets it at what was asked for as well. All frequencies are in MHz.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flow.errors import InputError

PS_DIVIDERS = range(1, 64)
"""Values of each of the two 6-bit dividers of a PS clock; 0 is reserved (UG585 table 25-6, UG1085 chapter 37)."""

XRT_MHZ = range(10, 651, 5)
"""Frequencies of the kernel clock of an Alveo shell (``frequency_table`` in the clock driver of XRT)."""


@dataclass(frozen=True)
class ClockSetting:
    """One frequency a generator makes, in MHz, and the divider settings that make it; none: the input as it is."""

    mhz: float
    settings: Mapping[str, float]


@dataclass(frozen=True)
class ClockGenerator(ABC):
    """What makes the accelerator's clock. ``max_mhz`` is the highest frequency that may be asked for."""

    kind: str
    max_mhz: float

    def resolve(self, mhz: float) -> ClockSetting:
        """The fastest setting not above ``mhz``. Raises InputError with the range if there is none."""
        setting = self.fastest(mhz) if 0 < mhz <= self.max_mhz else None
        if setting is None:
            raise InputError(f"a clock of {mhz:g} MHz is out of reach: {self.kind} makes {self.range_text()}")
        return setting

    def range_text(self) -> str:
        """The range that :meth:`resolve` accepts, rounded inwards."""
        return f"{math.ceil(self.least_mhz * 1000) / 1000:g} to {math.floor(self.max_mhz * 1000) / 1000:g} MHz"

    @abstractmethod
    def fastest(self, limit: float) -> ClockSetting | None:
        """The fastest setting of at most ``limit`` MHz, or None."""

    @property
    @abstractmethod
    def least_mhz(self) -> float:
        """The lowest frequency it makes."""


@dataclass(frozen=True)
class PsClock(ClockGenerator):
    """A clock from the processor's IO PLL through two dividers: FCLK0 of Zynq-7000, pl_clk0 of Zynq UltraScale+.

    Only the IO PLL is used: the others set the speed of processor and memory, and PYNQ, which sets this clock again
    when it loads an overlay, knows only the IO PLL on UltraScale+ (Xilinx/PYNQ#1607).
    """

    reference_mhz: float
    pll_mhz: float

    def fastest(self, limit: float) -> ClockSetting | None:
        made = [(self.pll_mhz / (a * b), a, b) for b in PS_DIVIDERS for a in PS_DIVIDERS]
        best = max((m for m in made if m[0] <= limit), key=lambda m: (m[0], m[1]), default=None)
        return None if best is None else ClockSetting(best[0], {"divisor0": best[1], "divisor1": best[2]})

    @property
    def least_mhz(self) -> float:
        return self.pll_mhz / PS_DIVIDERS[-1] ** 2


@dataclass(frozen=True)
class XrtClock(ClockGenerator):
    """The kernel clock of an Alveo shell: the driver sets its MMCM to the next lower frequency of a table."""

    def fastest(self, limit: float) -> ClockSetting | None:
        mhz = max((m for m in XRT_MHZ if m <= min(limit, self.max_mhz)), default=None)
        return None if mhz is None else ClockSetting(float(mhz), {})

    @property
    def least_mhz(self) -> float:
        return float(XRT_MHZ[0])


@dataclass(frozen=True)
class Primitive:
    """A PLL or MMCM of the fabric: output = input * multiply / (divide * output).

    ``multiply`` and ``outputs`` are in units of ``1 / scale``; frequencies are (lowest, highest) in MHz, for the
    slowest speed grade the source lists.
    """

    name: str
    multiply: range
    divide: range
    outputs: tuple[int, ...]
    scale: int
    input_mhz: tuple[float, float]
    compare_mhz: tuple[float, float]
    vco_mhz: tuple[float, float]
    output_mhz: tuple[float, float]
    source: str

    def settings(self, multiply: int, divide: int, output: int) -> dict[str, float]:
        """The parameters of the primitive, by their names in its documentation."""
        if self.name == "SB_PLL40":
            return {"DIVF": multiply - 1, "DIVR": divide - 1, "DIVQ": output.bit_length() - 1}
        if self.name == "EHXPLLL":
            # Feedback from CLKOP, which divides the VCO down to the compare frequency; the clock leaves at CLKOS.
            return {"CLKI_DIV": divide, "CLKFB_DIV": 1, "CLKOP_DIV": multiply, "CLKOS_DIV": output}
        return {
            "CLKFBOUT_MULT_F": multiply / self.scale,
            "DIVCLK_DIVIDE": divide,
            "CLKOUT0_DIVIDE_F": output / self.scale,
        }


# CLKOUT0 of an MMCM divides by 1, or by 2 to 128 in steps of 1/8 (UG472 table 3-7, UG572 table 3-4).
_MMCM_OUTPUTS = (8, *range(16, 128 * 8 + 1))

MMCME2 = Primitive(
    "MMCME2", range(2 * 8, 64 * 8 + 1), range(1, 107), _MMCM_OUTPUTS, 8, (10, 800), (10, 450), (600, 1200), (4.69, 464),
    "counters: UG472; frequencies: DS181, speed grade -1, where the clock tree (BUFG) ends at 464 MHz",
)  # fmt: skip
MMCME4 = Primitive(
    "MMCME4", range(2 * 8, 128 * 8 + 1), range(1, 107), _MMCM_OUTPUTS, 8, (10, 800), (10, 450), (800, 1600),
    (6.25, 667), "counters: UG572; frequencies: DS923, speed grade -1",
)  # fmt: skip
EHXPLLL = Primitive(
    "EHXPLLL", range(1, 129), range(1, 129), tuple(range(1, 129)), 1, (8, 400), (10, 400), (400, 800), (3.125, 400),
    "counters: Lattice FPGA-TN-02200; frequencies: FPGA-DS-02012",
)  # fmt: skip
SB_PLL40 = Primitive(
    "SB_PLL40", range(1, 129), range(1, 17), (2, 4, 8, 16, 32, 64), 1, (10, 133), (10, 133), (533, 1066), (16, 275),
    "counters and frequencies: Lattice FPGA-TN-02052 (DIVQ 1 to 6)",
)  # fmt: skip


@dataclass(frozen=True)
class PllClock(ClockGenerator):
    """A clock from a fabric PLL or MMCM fed by a clock input, or that input itself without any PLL."""

    input_mhz: float
    primitive: Primitive

    def loops(self) -> Iterator[tuple[int, int]]:
        """The (multiply, divide) pairs whose compare and VCO frequencies are allowed; the least divide first."""
        p = self.primitive
        for divide in p.divide:
            compare = self.input_mhz / divide
            if not p.compare_mhz[0] <= compare <= p.compare_mhz[1]:
                continue
            # The slack keeps a VCO exactly at its limit, which rounding could push over it.
            first = math.ceil(p.vco_mhz[0] / compare * p.scale - 1e-6)
            last = math.floor(p.vco_mhz[1] / compare * p.scale + 1e-6)
            for multiply in range(max(first, p.multiply[0]), min(last, p.multiply[-1]) + 1):
                yield multiply, divide

    def fastest(self, limit: float) -> ClockSetting | None:
        p = self.primitive
        best = float(self.input_mhz) if self.input_mhz <= limit else 0.0
        setting = ClockSetting(best, {}) if best else None
        for multiply, divide in self.loops():
            if best == limit:
                break

            def mhz(output: int, top: float = self.input_mhz * multiply, divide: int = divide) -> float:
                return top / (divide * output)

            # The least output divider that stays at or below the limit; outputs are sorted, so mhz() falls.
            at = bisect_left(p.outputs, -limit, key=lambda output: -mhz(output))
            if at == len(p.outputs):
                continue
            made = mhz(p.outputs[at])
            if made > best and made >= p.output_mhz[0]:
                best, setting = made, ClockSetting(made, p.settings(multiply, divide, p.outputs[at]))
        return setting

    @property
    def least_mhz(self) -> float:
        low = self.primitive.output_mhz[0]
        made = [self.input_mhz]
        for multiply, divide in self.loops():
            top = self.input_mhz * multiply
            at = bisect_left(self.primitive.outputs, top / (divide * low), key=float)
            made += [m for o in self.primitive.outputs[max(0, at - 1) : at + 1] if (m := top / (divide * o)) >= low]
        return min(made)
