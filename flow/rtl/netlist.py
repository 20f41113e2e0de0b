"""A synthesized module as Yosys writes it in JSON: its ports, cells and nets; counted, put together, written again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flow.errors import InputError
from flow.resources import Resources
from flow.rtl.technology import Technology, resources_of

Bit = int | str
"""A net of one bit by its number, or a constant: "0", "1", "x", "z"."""

Ports = Mapping[str, tuple[str, tuple[Bit, ...]]]
"""Direction ("input", "output", "inout") and bits, lowest first, of each port."""


@dataclass(frozen=True)
class Cell:
    """An instance. ``ports`` gives the bits of each port, lowest first, ``outputs`` the ports that drive.

    Parameters and attributes are as in the file, not decoded.
    """

    name: str
    type: str
    ports: Mapping[str, tuple[Bit, ...]]
    outputs: frozenset[str] = frozenset()
    parameters: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def bit(self, port: str) -> Bit | None:
        """The lowest bit of a port, None if it has none."""
        bits = self.ports.get(port, ())
        return bits[0] if bits else None


@dataclass(frozen=True)
class Netlist:
    """A module. ``names`` gives a readable name of a net."""

    ports: Ports
    cells: tuple[Cell, ...]
    names: Mapping[int, str]

    @property
    def counts(self) -> dict[str, int]:
        """Cells by type."""
        return dict(sorted(Counter(cell.type for cell in self.cells).items()))

    @property
    def loads(self) -> Counter[int]:
        """How many inputs of cells and outputs of the module each net leads to."""
        loads: Counter[int] = Counter()
        for cell in self.cells:
            for port, bits in cell.ports.items():
                if port not in cell.outputs:
                    loads.update(bit for bit in bits if isinstance(bit, int))
        for direction, bits in self.ports.values():
            if direction == "output":
                loads.update(bit for bit in bits if isinstance(bit, int))
        return loads


def read_netlist(text: str | bytes, module: str, where: str = "netlist") -> Netlist:
    """``module`` of a file of Yosys' ``write_json``. Raises InputError if it is none or has no such module."""
    try:
        found = json.loads(text)["modules"][module]
        ports = {name: (str(port["direction"]), _bits(port["bits"])) for name, port in found["ports"].items()}
        cells = tuple(_cell(name, cell) for name, cell in found["cells"].items())
        names = dict(_names(found.get("netnames", {})))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: not a netlist of Yosys with a module {module}") from error
    return Netlist(ports, cells, names)


def _cell(name: str, cell: Mapping[str, Any]) -> Cell:
    directions = cell.get("port_directions", {})
    return Cell(
        name,
        str(cell["type"]),
        {port: _bits(bits) for port, bits in cell["connections"].items()},
        frozenset(port for port, way in directions.items() if way == "output"),
        {key: str(value) for key, value in cell.get("parameters", {}).items()},
        {key: str(value) for key, value in cell.get("attributes", {}).items()},
    )


def _bits(bits: Any) -> tuple[Bit, ...]:
    if not isinstance(bits, list) or not all(isinstance(bit, int | str) for bit in bits):
        raise TypeError("bits")
    return tuple(bits)


def _names(netnames: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Names of nets, the best last, so that it wins: from the Verilog rather than made up by Yosys, and short."""
    order = sorted(netnames.items(), key=lambda item: (bool(item[1].get("hide_name", 0)), len(item[0])), reverse=True)
    for name, net in order:
        bits = net["bits"]
        for index, bit in enumerate(bits):
            if isinstance(bit, int):
                yield bit, name if len(bits) == 1 else f"{name}[{index}]"


def netlist_json(netlist: Netlist, module: str) -> str:
    """A netlist in Yosys' JSON, as place and route reads it."""
    cells = {
        cell.name: {
            "hide_name": 0,
            "type": cell.type,
            "parameters": dict(cell.parameters),
            "attributes": dict(cell.attributes),
            "port_directions": {port: "output" if port in cell.outputs else "input" for port in cell.ports},
            "connections": {port: list(bits) for port, bits in cell.ports.items()},
        }
        for cell in netlist.cells
    }
    ports = {name: {"direction": way, "bits": list(bits)} for name, (way, bits) in netlist.ports.items()}
    names = {name: {"hide_name": 0, "bits": [bit], "attributes": {}} for bit, name in netlist.names.items()}
    found = {"attributes": {"top": "1"}, "ports": ports, "cells": cells, "netnames": names}
    return json.dumps({"creator": "flow", "modules": {module: found}})


@dataclass(frozen=True)
class Flat:
    """A design without hierarchy. ``layers`` says of each cell which instance it was in."""

    netlist: Netlist
    layers: tuple[str, ...]


def flatten(top: Netlist, parts: Mapping[str, Netlist]) -> Flat:
    """``top`` with the cells that ``parts`` are named after replaced by what is in them; a dot separates names.

    Nothing is optimized away across the borders. Raises InputError if a part does not fit its instance.
    """
    joined = _Joined()
    base = {"": joined.take(top)}
    for cell in top.cells:
        if cell.name not in parts:
            continue
        part = parts[cell.name]
        offset = base[cell.name] = joined.take(part)
        for port, bits in cell.ports.items():
            inner = part.ports.get(port, ("", ()))[1]
            if len(inner) != len(bits):
                raise InputError(f"{cell.name} has no port {port} of {len(bits)} bits")
            for outside, inside in zip(bits, inner, strict=True):
                joined.join(joined.place(outside, base[""]), joined.place(inside, offset))
    cells: list[Cell] = []
    layers: list[str] = []
    names: dict[int, str] = {}
    for prefix, netlist in (*parts.items(), ("", top)):
        if prefix not in base:
            raise InputError(f"there is no instance {prefix} in the design")
        offset = base[prefix]
        dot = f"{prefix}." if prefix else ""
        for cell in netlist.cells:
            if prefix or cell.name not in parts:
                ports = {port: joined.bits(bits, offset) for port, bits in cell.ports.items()}
                cells.append(Cell(dot + cell.name, cell.type, ports, cell.outputs, cell.parameters, cell.attributes))
                layers.append(prefix)
        for bit, name in netlist.names.items():
            net = joined.bits((bit,), offset)[0]
            if isinstance(net, int):
                names[net] = dot + name
    outer = {name: (way, joined.bits(bits, base[""])) for name, (way, bits) in top.ports.items()}
    return Flat(Netlist(outer, tuple(cells), names), tuple(layers))


class _Joined:
    """Nets of several modules numbered through, and which of them are one net (or a constant)."""

    def __init__(self) -> None:
        self.parent: list[int] = [0, 1, 2, 3]
        self.constants = {"0": 0, "1": 1, "x": 2, "z": 3}
        self.values = {place: value for value, place in self.constants.items()}

    def take(self, netlist: Netlist) -> int:
        """Make room for a module's nets; returns what is added to their numbers."""
        offset = len(self.parent)
        bits = [bit for _, bits in netlist.ports.values() for bit in bits if isinstance(bit, int)]
        bits += [bit for cell in netlist.cells for bits in cell.ports.values() for bit in bits if isinstance(bit, int)]
        bits += list(netlist.names)
        self.parent += range(offset, offset + max(bits, default=0) + 1)
        return offset

    def place(self, bit: Bit, offset: int) -> int:
        return self.constants[bit] if isinstance(bit, str) else bit + offset

    def find(self, net: int) -> int:
        while self.parent[net] != net:
            self.parent[net] = self.parent[self.parent[net]]
            net = self.parent[net]
        return net

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.find(a), self.find(b)))
        self.parent[high] = low  # constants have the lowest numbers, so they stay what they are

    def bits(self, bits: tuple[Bit, ...], offset: int) -> tuple[Bit, ...]:
        found = (self.find(self.place(bit, offset)) for bit in bits)
        return tuple(self.values.get(net, net) for net in found)


def netlist_resources(netlist: Netlist, tech: Technology) -> Resources:
    """What a netlist takes. Raises ToolError for a cell whose size is not known."""
    resources = resources_of(netlist.counts, tech)
    packed = {"ice40": ice40_logic_cells, "ecp5": ecp5_luts}.get(tech.family)
    return resources if packed is None else replace(resources, lut=packed(netlist, resources.lut))


def ecp5_luts(netlist: Netlist, cells: float | None) -> float | None:
    """LUTs of an ECP5 netlist as nextpnr packs them: those of its ``cells``, and four for each carry chain, which
    begins and ends with a carry cell of its own (measured with nextpnr 0.11)."""
    carries = [cell for cell in netlist.cells if cell.type == "CCU2C"]
    passed_on = {cell.bit("COUT") for cell in carries}
    chains = sum(not isinstance(bit, int) or bit not in passed_on for bit in (cell.bit("CIN") for cell in carries))
    return None if cells is None else cells + 4 * chains


def ice40_logic_cells(netlist: Netlist, cells: float | None) -> float:
    """Logic cells of an iCE40 netlist as nextpnr packs them; ``cells`` alone do not tell.

    A flip-flop shares the cell of the LUT that drives it, if it is all that this LUT drives; a carry that of the LUT
    which adds the same two bits. What finds no partner has a cell of its own, and so has what leads a carry from logic
    into a chain, or out of it other than to one LUT.
    """
    loads = netlist.loads
    luts = [cell for cell in netlist.cells if cell.type == "SB_LUT4"]
    carries = [cell for cell in netlist.cells if cell.type == "SB_CARRY"]
    driven = {cell.bit("O") for cell in luts}
    adders = Counter((cell.bit("I1"), cell.bit("I2"), cell.bit("I3")) for cell in luts)
    summed = Counter(cell.bit("I3") for cell in luts)
    chained = Counter(cell.bit("CI") for cell in carries)
    passed_on = {cell.bit("CO") for cell in carries}
    extra = 0
    for cell in netlist.cells:
        if cell.type.startswith("SB_DFF"):
            data = cell.bit("D")
            extra += not (isinstance(data, int) and data in driven and loads[data] == 1)
    for cell in carries:
        start, end = cell.bit("CI"), cell.bit("CO")
        key = (cell.bit("I0"), cell.bit("I1"), start)
        extra += adders[key] == 0
        adders[key] -= adders[key] > 0
        extra += isinstance(start, int) and start not in passed_on
        extra += isinstance(end, int) and loads[end] > min(chained[end], 1) + min(summed[end], 1)
    return len(luts) + extra
