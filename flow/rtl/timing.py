"""How fast a design may be on an AMD part, estimated from its mapped netlist: no place and route is run.

Longest path from register to register, with delays of :mod:`flow.rtl.delays`: exact ones for cells, an allowance for
nets by how many loads they have. That is an estimate, always said to be one, and never a routed figure. It is of what
Yosys mapped, which looks for few LUTs; a vendor's tool maps anew, with timing in mind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flow.errors import InputError, ToolError
from flow.rtl.delays import DELAYS, Delays, arcs, launch, setup
from flow.rtl.netlist import Flat
from flow.rtl.technology import Family

OUTSIDE = "outside"
"""The layer of what is before the design's inputs and behind its outputs."""


@dataclass(frozen=True)
class Step:
    """A cell on a path: its layer and type, the net that leaves it, and when the signal is there, in ns."""

    layer: str
    cell: str
    net: str
    at_ns: float


@dataclass(frozen=True)
class Path:
    """From a register (or an input) to a register (or an output): ``delay_ns`` with setup, ``levels`` of logic (a chain
    of carries is one). ``end`` is the register and its pin."""

    delay_ns: float
    levels: int
    steps: tuple[Step, ...]
    end_layer: str
    end: str

    @property
    def start_layer(self) -> str:
        """Where it starts."""
        return self.steps[0].layer

    def text(self) -> str:
        """One line: how long, how deep, from where to where."""
        return (
            f"{self.delay_ns:.2f} ns, {self.levels} levels of logic, from {self.start_layer}: {self.steps[0].net} "
            f"to {self.end_layer}: {self.end}"
        )


@dataclass(frozen=True)
class Timing:
    """An estimate. ``layers`` is the worst path that ends in each layer, the longest first; ``margin_ns`` what clock
    skew and jitter take of a period; ``error`` how far paths may be off, either way."""

    family: Family
    layers: Mapping[str, Path]
    margin_ns: float
    error: float

    @property
    def critical(self) -> Path:
        """The longest path."""
        return next(iter(self.layers.values()))

    @property
    def fmax_mhz(self) -> float:
        """The highest clock by estimate."""
        return 1e3 / (self.critical.delay_ns + self.margin_ns)

    @property
    def fmax_range_mhz(self) -> tuple[float, float]:
        """The highest clock if the path is as much slower or faster than estimated as known ones were."""
        path = self.critical.delay_ns
        return 1e3 / (path * (1 + self.error) + self.margin_ns), 1e3 / (path * (1 - self.error) + self.margin_ns)

    def judge(self, clock_mhz: float) -> str:
        """ "meets" a clock, "misses" it, or is "near": closer than the estimate's error."""
        low, high = self.fmax_range_mhz
        return "meets" if low >= clock_mhz else "misses" if high < clock_mhz else "near"


def estimate(flat: Flat, family: Family, name_of: Callable[[str], str] = str) -> Timing:
    """The longest paths of a design; ``name_of`` makes a layer's name out of that of its instance.

    Paths from inputs of the design are taken to start at a register, and paths to outputs to end at one, as they do
    in a system. Raises InputError for a family without delays, ToolError for a cell without, for a combinational loop
    and for a design without registers.
    """
    delays = DELAYS.get(family)
    if delays is None:
        raise InputError(f"no delays are known for {family}: place and route it instead")
    analysis = _Analysis(flat, delays, name_of)
    analysis.read()
    analysis.propagate()
    return Timing(family, analysis.worst(), delays.margin, delays.error)


class _Analysis:
    """Arrival times of all nets. ``came`` is where the latest edge of a net came from: a net, through a cell."""

    def __init__(self, flat: Flat, delays: Delays, name_of: Callable[[str], str]) -> None:
        self.flat, self.delays, self.name_of = flat, delays, name_of
        self.cells = flat.netlist.cells
        self.loads = flat.netlist.loads
        self.driver: dict[int, int] = {}
        self.arrival: dict[int, float] = {}
        self.came: dict[int, tuple[int, int]] = {}
        self.edges: dict[int, list[tuple[int, float, int]]] = {}
        self.waiting: Counter[int] = Counter()
        self.ends: list[tuple[int, int, str, float]] = []

    def read(self) -> None:
        """All ways through cells, all places where paths start and end."""
        for number, cell in enumerate(self.cells):
            for port in cell.outputs:
                start = launch(cell, port, self.delays)
                for bit in cell.ports.get(port, ()):
                    if isinstance(bit, int):
                        self.driver[bit] = number
                        if start is not None:
                            self.arrival[bit] = start
            for port, bits in cell.ports.items():
                needed = None if port in cell.outputs else setup(cell, port, self.delays)
                if needed is not None:
                    self.ends += [(bit, number, port, needed) for bit in bits if isinstance(bit, int)]
        for direction, bits in self.flat.netlist.ports.values():
            for bit in bits:
                if isinstance(bit, int) and direction == "input":
                    self.arrival.setdefault(bit, self.delays.clock_to_q)
                elif isinstance(bit, int):
                    self.ends.append((bit, -1, "output", self.delays.setup_d))
        for number, cell in enumerate(self.cells):
            for in_port, i, out_port, o, ns in arcs(cell, self.delays):
                sources, targets = cell.ports.get(in_port, ()), cell.ports.get(out_port, ())
                if i < len(sources) and o < len(targets):
                    source, target = sources[i], targets[o]
                    if isinstance(source, int) and isinstance(target, int):
                        through = ns + self.wire(source, number, in_port)
                        self.edges.setdefault(source, []).append((target, through, number))
                        self.waiting[target] += 1

    def wire(self, net: int, number: int, port: str) -> float:
        """The allowance for a net to one of its loads; what stays inside a slice takes no time."""
        source = self.cells[self.driver[net]].type if net in self.driver else ""
        target = self.cells[number].type if number >= 0 else ""
        from_lut, loads = source.startswith(("LUT", "RAM")) and not source.startswith("RAMB"), self.loads[net]
        inside = (
            (source.startswith("CARRY") and target.startswith("CARRY") and port == "CI")
            or (from_lut and target.startswith("CARRY") and port in ("S", "DI"))
            or ((from_lut or source.startswith("MUXF")) and target.startswith("MUXF") and port != "S")
            or ((from_lut or source.startswith(("CARRY", "MUXF"))) and target.startswith("FD") and port == "D"
                and loads == 1)
            or port in ("PCIN", "ACIN", "BCIN")
        )  # fmt: skip
        return 0.0 if inside else self.delays.net_delay(loads)

    def propagate(self) -> None:
        """Arrival times from the starts on, each net after all that lead to it."""
        ready = [net for net in self.edges if self.waiting[net] == 0]
        while ready:
            net = ready.pop()
            at = self.arrival.get(net, 0.0)
            for target, ns, number in self.edges.get(net, ()):
                if at + ns > self.arrival.get(target, -1.0):
                    self.arrival[target] = at + ns
                    self.came[target] = (net, number)
                self.waiting[target] -= 1
                if self.waiting[target] == 0:
                    ready.append(target)
        stuck = [net for net, left in self.waiting.items() if left > 0]
        if stuck:
            raise ToolError(f"the design has a combinational loop through {self.name(stuck[0])}")

    def worst(self) -> dict[str, Path]:
        """The longest path into each layer."""
        found: dict[str, tuple[float, int, int, str]] = {}
        for net, number, port, needed in self.ends:
            total = self.arrival.get(net, 0.0) + self.wire(net, number, port) + needed
            layer = self.layer(number)
            if layer not in found or total > found[layer][0]:
                found[layer] = (total, net, number, port)
        if not any(number >= 0 for _, _, number, _ in found.values()):
            raise ToolError("the design has no registers: there is nothing to time")
        ordered = sorted(found.items(), key=lambda item: -item[1][0])
        return {layer: self.path(*end) for layer, end in ordered}

    def path(self, total: float, net: int, end: int, pin: str) -> Path:
        """The path that ends at a cell's pin, traced back."""
        steps: list[Step] = []
        levels = 0
        while True:
            back = self.came.get(net)
            number = self.driver.get(net, -1)
            kind = self.cells[number].type if number >= 0 else "input"
            chained = kind.startswith("CARRY") and bool(steps) and steps[-1].cell == kind
            levels += back is not None and not kind.startswith("MUXF") and not chained
            steps.append(Step(self.layer(number), kind, self.name(net), round(self.arrival.get(net, 0.0), 3)))
            if back is None:
                break
            net = back[0]
        target = "output"
        if end >= 0:
            held = next((bit for port in ("Q", "O") for bit in self.cells[end].ports.get(port, ())), None)
            what = self.name(held) if isinstance(held, int) else self.cells[end].type
            target = f"{what} ({self.cells[end].type}/{pin})"
        return Path(round(total, 3), levels, tuple(reversed(steps)), self.layer(end), target)

    def layer(self, number: int) -> str:
        return self.name_of(self.flat.layers[number]) if number >= 0 else OUTSIDE

    def name(self, net: int) -> str:
        """A net's name inside its layer."""
        name = self.flat.netlist.names.get(net, f"net {net}")
        layer = self.flat.layers[self.driver[net]] if net in self.driver else ""
        return name.removeprefix(f"{layer}.")
