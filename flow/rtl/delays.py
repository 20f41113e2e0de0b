"""How long signals take through cells and nets of AMD parts of speed grade -1, before anything is placed.

All times in ns. Where they come from:

- LUTs, flip-flops and nets of 7-series: five critical paths (51 nets) of routed designs in Vivado's timing reports that
  lie in public repositories (two SHA-256 cores on Zynq-7000, three of a RISC-V system on Artix-7, all -1). A LUT takes
  0.124, more where it shares its slice with another: 0.158 on average. A net takes 0.62 + 0.107 ln(loads) by least
  squares. Placed between, the sums of whole paths are 21% below to 29% above what was routed: see ERROR.
- Carry chains, memories and DSPs: Yosys 0.70's models of those cells (techlibs/xilinx/cells_sim.v), which agree with
  the reports where both have a number.
- UltraScale+: routed paths of a Zynq UltraScale+ -1 in public reports, 12 nets; memories and DSPs as in 7-series,
  halved. That is little to go by, so the error is taken to be larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from flow.errors import ToolError
from flow.rtl.netlist import Cell
from flow.rtl.technology import Family

Arc = tuple[str, int, str, int, float]
"""Input port and bit, output port and bit, delay."""


@dataclass(frozen=True)
class Delays:
    """Delays of a family. ``scale`` is what those of memories, DSPs and carries in the tables are multiplied by;
    ``margin`` what clock skew and jitter take of a period; ``error`` how far a path may be off, either way."""

    lut: float
    clock_to_q: float
    setup_d: float
    setup_enable: float
    setup_reset: float
    net: float
    net_log: float
    scale: float
    margin: float
    error: float

    def net_delay(self, loads: int) -> float:
        """The allowance for a net with so many loads."""
        return self.net + self.net_log * math.log(max(loads, 1))


DELAYS: Mapping[Family, Delays] = {
    "xc7": Delays(0.158, 0.49, 0.05, 0.25, 0.5, 0.618, 0.107, 1.0, 0.35, 0.25),
    "xcup": Delays(0.13, 0.09, 0.03, 0.06, 0.08, 0.2, 0.07, 0.5, 0.2, 0.4),
}

_CARRY4: dict[tuple[str, int, str, int], float] = {}
for _line in """
    CYINIT 0: O .482 .598 .584 .642 CO .536 .494 .592 .580
    CI 0: O .222 .334 .239 .313 CO .271 .157 .228 .114
    DI 0: O - .407 .556 .615 CO .379 .465 .540 .526
    DI 1: O - - .537 .596 CO - .445 .520 .507
    DI 2: O - - - .438 CO - - .356 .398
    DI 3: O - - - - CO - - - .385
    S 0: O .223 .400 .523 .582 CO .340 .433 .512 .508
    S 1: O - .205 .558 .618 CO - .469 .548 .528
    S 2: O - - .226 .330 CO - - .292 .378
    S 3: O - - - .227 CO - - - .380
""".split("\n"):
    if _line.strip():
        _pin, _values = _line.split(":")
        _port, _index = _pin.split()
        _words = _values.split()
        for _out, _start in (("O", 1), ("CO", 6)):
            for _bit, _word in enumerate(_words[_start : _start + 4]):
                if _word != "-":
                    _CARRY4[_port, int(_index), _out, _bit] = float(_word)

_MUXES = {"MUXF7": (0.217, 0.223, 0.296), "MUXF8": (0.104, 0.094, 0.273), "MUXF9": (0.104, 0.094, 0.273)}
_RAM_CLOCK_TO_OUT, _RAM_SETUP_ADDRESS, _RAM_SETUP_DATA, _RAM_SETUP_ENABLE = 1.19, 0.245, 0.461, 0.654
_SRL_CLOCK_TO_OUT, _SRL_SETUP_D, _SRL_SETUP_ENABLE = 1.472, 0.173, 0.109
_BRAM_OUT, _BRAM_OUT_REGISTERED = 2.454, 0.882
_BRAM_SETUP = {"ADDR": 0.566, "WE": 0.532, "DI": 0.737, "EN": 0.443, "REGCE": 0.36, "RST": 0.342}
CLOCK_PORTS = frozenset(("C", "CLK", "WCLK", "G", "CLKARDCLK", "CLKBWRCLK"))


def arcs(cell: Cell, delays: Delays) -> Iterator[Arc]:
    """The ways through a cell that have no register in between. Raises ToolError for a cell without known delays."""
    kind, s = cell.type, delays.scale
    if kind.startswith("LUT") or kind == "INV":
        for port in cell.ports:
            if port.startswith("I"):
                yield port, 0, "O", 0, delays.lut
    elif kind in _MUXES:
        for port, ns in zip(("I0", "I1", "S"), _MUXES[kind], strict=True):
            yield port, 0, "O", 0, ns * s
    elif kind == "CARRY4":
        for key, ns in _CARRY4.items():
            yield *key, ns * s
    elif kind == "CARRY8":
        yield from _carry8(s)
    elif kind.startswith("RAM") and not kind.startswith("RAMB"):
        yield from _ram_arcs(cell, delays)
    elif kind.startswith("SRL"):
        for index in range(len(cell.ports.get("A", ()))):
            yield "A", index, "Q", 0, delays.lut
        for port in ("A0", "A1", "A2", "A3"):
            yield port, 0, "Q", 0, delays.lut
    elif kind.startswith("DSP48E"):
        yield from _dsp_arcs(cell, s)
    elif not (kind.startswith(("FD", "LD", "RAMB")) or kind in ("GND", "VCC", "BUFG", "IBUF", "OBUF")):
        raise ToolError(f"Yosys used a cell whose delays are not known: {kind}")


def _carry8(s: float) -> Iterator[Arc]:
    """Two CARRY4 on top of each other."""
    for (port, index, out, bit), ns in _CARRY4.items():
        if port == "CYINIT":
            continue
        if port == "CI":
            yield "CI", 0, out, bit, ns * s
            yield "CI", 0, out, bit + 4, (_CARRY4["CI", 0, "CO", 3] + ns) * s
            continue
        yield port, index, out, bit, ns * s
        yield port, index + 4, out, bit + 4, ns * s
        through = _CARRY4[port, index, "CO", 3] + _CARRY4["CI", 0, out, bit]
        yield port, index, out, bit + 4, through * s


def _ram_arcs(cell: Cell, delays: Delays) -> Iterator[Arc]:
    """LUT RAM reads at once: a port's address to its data. Deep ones have multiplexers of the slice behind."""
    deep = 0.25 * delays.scale if cell.type.startswith(("RAM128", "RAM256", "RAM512")) else 0.0
    reads: list[tuple[str, str]] = [(f"ADDR{x}", f"DO{x}") for x in "ABCDEFGH"]
    reads += [("DPRA", "DPO"), ("A", "SPO"), ("A", "O")]
    reads += [(f"DPRA{i}", "DPO") for i in range(6)] + [(f"A{i}", o) for i in range(6) for o in ("SPO", "O")]
    for address, data in reads:
        sources, targets = len(cell.ports.get(address, ())), len(cell.ports.get(data, ()))
        for i, o in product(range(sources), range(targets)):
            yield address, i, data, o, delays.lut + deep


def _dsp_arcs(cell: Cell, s: float) -> Iterator[Arc]:
    """A multiplier block without registers where there are none. Ways that the pre-adder takes count as without it."""
    has = _dsp_registers(cell)
    if has["P"]:
        return
    multiplies = "MULTIPLY" in cell.parameters.get("USE_MULT", "MULTIPLY")
    for port, free, ns in (
        ("A", not has["M"] and not has["A"], 2.823 if multiplies else 1.523),
        ("B", not has["M"] and not has["B"], 2.69 if multiplies else 1.509),
        ("C", not has["C"], 1.325),
        ("PCIN", True, 1.107),
    ):
        if free:
            for i, o in product(range(len(cell.ports.get(port, ()))), range(len(cell.ports.get("P", ())))):
                yield port, i, "P", o, ns * s


def _dsp_registers(cell: Cell) -> dict[str, bool]:
    return {name: _number(cell.parameters.get(f"{name}REG", "1")) != 0 for name in "ABCDMP"}


def _number(text: str) -> int:
    """A parameter in a netlist: binary digits."""
    digits = text.strip()
    return int(digits, 2) if digits and set(digits) <= {"0", "1"} else 0


def launch(cell: Cell, port: str, delays: Delays) -> float | None:
    """Clock edge to an output, None for one that no register drives directly."""
    kind, s = cell.type, delays.scale
    if kind.startswith(("FD", "LD")):
        return delays.clock_to_q
    if kind.startswith("SRL"):
        return _SRL_CLOCK_TO_OUT * s
    if kind.startswith("RAMB"):
        side = "DOA_REG" if port.startswith(("DOA", "DOPA")) else "DOB_REG"
        return (_BRAM_OUT_REGISTERED if _number(cell.parameters.get(side, "0")) else _BRAM_OUT) * s
    if kind.startswith("RAM"):
        return _RAM_CLOCK_TO_OUT * s
    if kind.startswith("DSP48E"):
        has = _dsp_registers(cell)
        last = next((ns for name, ns in (("P", 0.329), ("C", 1.687), ("M", 1.671), ("A", 2.952), ("B", 2.813))
                     if has[name]), None)  # fmt: skip
        return None if last is None else last * s
    return None


def setup(cell: Cell, port: str, delays: Delays) -> float | None:
    """Before the clock edge that an input must be there, None where there is no register behind it or it is a clock."""
    kind, s = cell.type, delays.scale
    if port in CLOCK_PORTS:
        return None
    if kind.startswith(("FD", "LD")):
        return {"D": delays.setup_d, "CE": delays.setup_enable, "GE": delays.setup_enable}.get(port, delays.setup_reset)
    if kind.startswith("SRL"):
        return {"D": _SRL_SETUP_D * s, "CE": _SRL_SETUP_ENABLE * s}.get(port)
    if kind.startswith("RAMB"):
        return next((ns * s for start, ns in _BRAM_SETUP.items() if port.startswith(start)), 0.737 * s)
    if kind.startswith("RAM"):
        if port == "WE":
            return _RAM_SETUP_ENABLE * s
        return (_RAM_SETUP_DATA if port.startswith("D") and not port.startswith("DPRA") else _RAM_SETUP_ADDRESS) * s
    if kind.startswith("DSP48E"):
        return _dsp_setup(cell, port, s)
    return None


def _dsp_setup(cell: Cell, port: str, s: float) -> float | None:
    has = _dsp_registers(cell)
    multiplies = "MULTIPLY" in cell.parameters.get("USE_MULT", "MULTIPLY")
    first = {
        "A": 0.254 if has["A"] else 1.416 if has["M"] else (2.739 if multiplies else 1.441) if has["P"] else None,
        "B": 0.324 if has["B"] else 1.285 if has["M"] else (2.608 if multiplies else 1.428) if has["P"] else None,
        "C": 0.168 if has["C"] else 1.244 if has["P"] else None,
        "D": 0.248 if has["D"] else 2.31 if has["M"] else None,
        "PCIN": 1.025 if has["P"] else None,
    }
    if port in first:
        found = first[port]
        return None if found is None else found * s
    # Enables, resets and modes: as late as a flip-flop's reset.
    return 0.5 * s
