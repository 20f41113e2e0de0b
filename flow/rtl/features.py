"""What the hardware of a design's parts depends on, as numbers: what prices are fitted to, and taken from.

A part is an instance of the top, as ``flow.rtl.parts`` has them: a node, a FIFO before one, or a fork behind one.
Weights of folded layers count by their format and number only, so that networks without trained weights are priced the
same way; those of unrolled layers by the adders that they become.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from flow.errors import InputError
from flow.network.fixed import smallest_format
from flow.network.quantized import QuantizedLayer
from flow.rtl.adder_graph import graph_of
from flow.rtl.design import Design, Node, Stream
from flow.rtl.mac import weight_code
from flow.rtl.memories import bram18_blocks, ram_luts, ram_style, rom_luts, rom_style
from flow.rtl.patch import patch_of, slots
from flow.rtl.schedule import Schedule
from flow.rtl.window import bits_for


@dataclass(frozen=True)
class Facts:
    """Numbers of one part; 0 where it has no such thing. Widths are in bits.

    ``kind``: that of the node, or fifo, fork; ``op``: the layer's. ``lanes_in`` and ``lanes``: channels of a beat;
    ``fan``: inputs of each sum a cycle; ``arrays``: separate arrays (depthwise: one a lane), each of ``outputs`` sums.
    ``rom_depth`` x ``rom_bits`` and ``ring_depth`` x ``ring_bits``: weights, and window buffer or FIFO; ``*_block``:
    whether they are block RAM. ``bias_depth``: words of biases. ``taps``, ``passes``, ``padded``, ``counters`` (bits of
    all the window's counters): the window. ``dropped``: bits a requantization rounds off, ``carry``: whether that adds,
    ``clipped``: bits above the result. ``ratio``: a converter's, or branches of a fork. ``table``: entries of a table.
    """

    kind: str
    op: str = ""
    style: str = ""
    engine: str = "folded"
    lanes_in: int = 0
    lanes: int = 0
    fan: int = 0
    arrays: int = 0
    outputs: int = 0
    in_width: int = 0
    in_signed: int = 0
    weight_width: int = 0
    binary: int = 0
    sum_width: int = 0
    out_width: int = 0
    rom_depth: int = 0
    rom_bits: int = 0
    rom_block: int = 0
    ring_depth: int = 0
    ring_bits: int = 0
    ring_block: int = 0
    bias_depth: int = 0
    taps: int = 0
    passes: int = 0
    padded: int = 0
    counters: int = 0
    dropped: int = 0
    carry: int = 0
    clipped: int = 0
    ratio: int = 0
    table: int = 0
    channels: int = 0
    weights: int = 0
    adder_bits: int = 0

    def to_dict(self) -> dict[str, Any]:
        """By name, in order: a row of a samples file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Facts:
        """The inverse, from texts. Raises InputError naming the field."""
        found: dict[str, Any] = {}
        for item in fields(cls):
            if item.name not in data:
                raise InputError(f"samples: column {item.name} is missing")
            try:
                found[item.name] = data[item.name] if item.name in TEXTS else int(data[item.name])
            except ValueError as error:
                raise InputError(f"samples: {item.name} can't be {data[item.name]!r}") from error
        return cls(**found)

    @property
    def rom(self) -> tuple[float, int]:
        """(LUTs, RAMB18) of the weights, by the formulas the generator decides with."""
        if self.rom_block:
            return 0.0, bram18_blocks(self.rom_depth, self.rom_bits)
        return rom_luts(self.rom_depth, self.rom_bits), 0

    @property
    def ring(self) -> tuple[float, int]:
        """(LUTs, RAMB18) of the window buffer or FIFO."""
        if self.ring_depth == 0:
            return 0.0, 0
        if self.ring_block:
            return 0.0, bram18_blocks(self.ring_depth, self.ring_bits)
        return ram_luts(self.ring_depth, self.ring_bits), 0


TEXTS = frozenset(("kind", "op", "style", "engine"))


def facts_of(design: Design, schedule: Schedule) -> dict[str, Facts]:
    """The facts of every part of a design, by the name of its instance in the top."""
    found: dict[str, Facts] = {}
    for index, node in enumerate(design.nodes):
        for port, source in enumerate(node.inputs):
            depth = schedule.fifos.get((node.name, port))
            if depth is not None:
                found[f"q_{node.name}_{'ab'[port]}_fifo_u"] = _buffer(depth, design.nodes[source].stream.bits)
        readers = len(design.consumers[index])
        if readers > 1:
            found[f"fork_{node.name}"] = Facts("fork", lanes=1, out_width=node.stream.bits, ratio=readers)
        if node.kind != "input":
            inputs = [design.nodes[i] for i in node.inputs]
            found[f"u_{node.name}"] = _node(node, inputs, schedule.rings.get(node.name, 0))
    return found


def _buffer(depth: int, bits: int) -> Facts:
    block = int(ram_style(depth, bits) == "block")
    return Facts("fifo", ring_depth=depth, ring_bits=bits, ring_block=block, counters=bits_for(depth))


def _node(node: Node, inputs: list[Node], ring: int) -> Facts:
    source = inputs[0].stream
    known: dict[str, Any] = {
        "kind": node.kind, "lanes_in": source.lanes, "lanes": node.stream.lanes, "in_width": source.format.width,
        "in_signed": int(source.format.signed), "out_width": node.stream.format.width, "ratio": node.ratio,
        "channels": node.stream.channels,
    }  # fmt: skip
    layer = node.layer
    if layer is None:
        return Facts(**known)
    known |= {"op": layer.op} | _rounding(layer, inputs)
    if node.window is not None:
        known |= _window(node, ring, source.bits)
    if node.kind == "mac":
        known |= _array(node, layer)
    if node.kind == "unrolled":
        known |= _unrolled(node, layer, source)
    if layer.table is not None:
        known["table"] = layer.table.values.size
    return Facts(**known)


def _window(node: Node, ring: int, bits: int) -> dict[str, Any]:
    window = node.window
    assert window is not None
    counts = (window.out_height, window.out_width, *window.kernel, window.run, window.passes, ring, ring, window.frame)
    return {
        "ring_depth": ring, "ring_bits": bits, "ring_block": int(ring > 0 and ram_style(ring, bits) == "block"),
        "taps": window.kernel[0] * window.kernel[1], "passes": window.passes, "padded": int(window.padded),
        "counters": sum(bits_for(n) for n in counts if n > 1),
    }  # fmt: skip


def _array(node: Node, layer: QuantizedLayer) -> dict[str, Any]:
    window, code, lanes = node.window, node.code, node.stream.lanes
    assert code is not None
    assert layer.weight is not None
    alone = layer.op == "depthwise"
    fan = 1 if alone else node.fold.inputs
    known: dict[str, Any] = {
        "style": node.fold.style, "engine": node.fold.engine, "fan": fan, "arrays": lanes if alone else 1,
        "outputs": 1 if alone else lanes, "weight_width": code.bits, "binary": int(code.binary),
        "sum_width": node.sum_bits, "weights": layer.weight.values.size,
    }  # fmt: skip
    if window is not None:
        depth, bits = window.steps, lanes * fan * code.bits
        known |= {"rom_depth": depth, "rom_bits": bits, "rom_block": int(rom_style(depth, bits) == "block")}
        if layer.bias is not None and bool(layer.bias.values.any()):
            known["bias_depth"] = window.passes
    return known


def _unrolled(node: Node, layer: QuantizedLayer, source: Stream) -> dict[str, Any]:
    assert layer.weight is not None
    patch, graph, bits = patch_of(layer), graph_of(layer, source.format), source.bits
    widths = [smallest_format(min(s.low, -1), max(s.high, 0), 0).width for s in graph.sums if s.b is not None]
    word = (patch.kernel[0] - 1) * bits
    rows = patch.width if word else 0
    counts = (patch.out_height, patch.out_width, patch.width, slots(patch))
    return {
        "engine": node.fold.engine, "fan": layer.fan_in if layer.op != "depthwise" else math.prod(patch.kernel),
        "outputs": node.stream.lanes, "weight_width": weight_code(layer.weight).bits, "ring_depth": rows,
        "ring_bits": word, "ring_block": int(rows > 0 and ram_style(rows, word) == "block"),
        "taps": patch.kernel[0] * patch.kernel[1], "padded": int(patch.padded),
        "counters": sum(bits_for(n) for n in counts if n > 1), "weights": layer.weight.values.size,
        "adder_bits": sum(min(width, layer.output.width) for width in widths),
    }  # fmt: skip


def _rounding(layer: QuantizedLayer, inputs: list[Node]) -> dict[str, int]:
    fraction = max(node.stream.format.fraction for node in inputs)
    integer = max(node.stream.format.integer for node in inputs)
    dropped = max(fraction - layer.output.fraction, 0)
    # What is never negative is cut off on its way towards zero.
    rounds = dropped > 0 and (
        layer.rounding == "half_even" or (layer.rounding == "toward_zero" and layer.output.signed)
    )
    above = max(integer - layer.output.integer, 0) if layer.saturation != "none" else 0
    return {"dropped": dropped, "carry": int(rounds), "clipped": above}
