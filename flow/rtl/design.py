"""A network as nodes with streams between them: which module does what, and how wide each stream is.

A stream carries beats of ``lanes`` channels of one pixel, channel 0 in the lowest bits, pixels in raster order. Where
neighbours differ in width a converter is put between them; a result that several layers read is forked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import QUANTIZE_OPS, QuantizedLayer, QuantizedNetwork
from flow.rtl.folding import CHANNEL_OPS, FOLDED_OPS, Fold, Folding, check_folding
from flow.rtl.mac import STYLES, WeightCode, sum_bits, weight_code
from flow.rtl.window import Window, bits_for, window_of

Kind = Literal[
    "input", "mac", "unrolled", "pool", "lanes", "scale", "merge", "concat", "pad", "narrow", "widen", "argmax"
]

MAX_BEAT_BITS = 1 << 16
"""Widest stream: beyond it no FPGA has the wires, and simulators slow down."""


@dataclass(frozen=True)
class Stream:
    """What a node sends for one inference: ``positions`` pixels of ``channels``, ``lanes`` of them a beat."""

    positions: int
    channels: int
    lanes: int
    format: FixedFormat

    @property
    def beats(self) -> int:
        """Beats an inference."""
        return self.positions * self.channels // self.lanes

    @property
    def bits(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.format.width


NO_FOLD = Fold()
"""The fold of nodes that have none."""


@dataclass(frozen=True)
class Node:
    """One module instance. ``inputs`` are indices of nodes before it; ``layer`` is None for input and converters.

    ``ratio`` is a converter's; ``code``, ``sum_bits`` and ``mac_latency`` are a multiply-accumulate array's.
    """

    name: str
    kind: Kind
    inputs: tuple[int, ...]
    stream: Stream
    layer: QuantizedLayer | None = None
    fold: Fold = NO_FOLD
    window: Window | None = None
    ratio: int = 1
    code: WeightCode | None = None
    sum_bits: int = 0
    mac_latency: int = 0


@dataclass(frozen=True)
class Design:
    """All nodes in topological order; the first is the input, the last one's stream is the output."""

    network: QuantizedNetwork
    nodes: tuple[Node, ...]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of a result: that of the network, or (1,) for the index of the largest output."""
        return (1,) if self.nodes[-1].kind == "argmax" else self.network.output_shape

    @property
    def consumers(self) -> list[list[tuple[int, int]]]:
        """For each node, the (node, input number) that read it."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for port, source in enumerate(node.inputs):
                found[source].append((index, port))
        return found


def build_design(network: QuantizedNetwork, folding: Folding) -> Design:
    """The nodes of a network. Raises InputError for a layer that has no module, a fold that does not fit, and names
    that can't be told apart in a file system that ignores case."""
    check_folding(network, folding)
    return _Builder(network, folding).build()


class _Builder:
    def __init__(self, network: QuantizedNetwork, folding: Folding) -> None:
        self.network, self.folding = network, folding
        self.nodes: list[Node] = []
        self.results: dict[int, int] = {}
        self.names: set[str] = set()

    def build(self) -> Design:
        network = self.network
        shape, lanes = network.input_shape, self.folding.input_lanes
        stream = Stream(math.prod(shape[:-1]), shape[-1], lanes, network.input_format)
        self.results[-1] = self.add(Node("input", "input", (), stream))
        for layer in network:
            if layer.name.lower() in self.names:
                raise InputError(f"{layer.name}: another layer's name differs from it in case only")
            self.names.add(layer.name.lower())
        unread = [
            layer.name
            for index, layer in enumerate(network.layers[:-1])
            if not any(index in other.inputs for other in network.layers)
        ]
        if unread:
            raise InputError(f"{unread[0]}: nothing reads its result")
        if not any(-1 in layer.inputs for layer in network):
            raise InputError("nothing reads the network's input")
        for index, layer in enumerate(network.layers):
            self.results[index] = self.layer(layer)
        if self.nodes[-1].kind == "input" or self.results[len(network.layers) - 1] != len(self.nodes) - 1:
            raise InputError("the network's last layer changes nothing that has hardware")
        if self.folding.argmax:
            self.argmax()
        return Design(network, tuple(self.nodes))

    def argmax(self) -> None:
        """Give the index of the largest output only."""
        source = self.lanes(len(self.nodes) - 1, 1, "argmax")
        bits = bits_for(self.network.output_shape[-1])
        out = Stream(1, 1, 1, FixedFormat(bits, bits, signed=False))
        self.add(Node(self.unique("argmax"), "argmax", (source,), out))

    def add(self, node: Node) -> int:
        if node.stream.bits > MAX_BEAT_BITS:
            raise InputError(f"{node.name}: beats of {node.stream.bits:,} bits, at most {MAX_BEAT_BITS:,} are built")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def layer(self, layer: QuantizedLayer) -> int:
        sources = [self.results[i] for i in layer.inputs]
        stream = self.nodes[sources[0]].stream
        positions, channels = math.prod(layer.out_shape[:-1]), layer.out_shape[-1]
        fold = self.folding.of(layer)
        if layer.op in FOLDED_OPS or layer.op in CHANNEL_OPS:
            return self.folded(layer, sources[0], Stream(positions, channels, fold.outputs, layer.output), fold)
        if layer.op == "reshape":
            # Streams carry values in the order of their indices, which a reshape keeps: it is a matter of names.
            return self.lanes(sources[0], math.gcd(stream.lanes, channels), layer.name)
        if layer.op in QUANTIZE_OPS or layer.op == "scale":
            out = Stream(positions, channels, stream.lanes, layer.output)
            kind: Kind = "scale" if layer.op == "scale" else "lanes"
            return self.add(Node(layer.name, kind, (sources[0],), out, layer))
        if layer.op in ("add", "subtract", "multiply", "average", "maximum", "minimum"):
            return self.merge(layer, sources)
        if layer.op == "concat":
            return self.concat(layer, sources)
        if layer.op == "pad":
            out = Stream(positions, channels, stream.lanes, layer.output)
            return self.add(Node(layer.name, "pad", (sources[0],), out, layer))
        raise InputError(f"{layer.name}: layers of kind {layer.op} have no hardware yet")

    def folded(self, layer: QuantizedLayer, source: int, out: Stream, fold: Fold) -> int:
        if fold.engine == "unrolled":
            source = self.lanes(source, fold.inputs, layer.name)
            return self.add(Node(layer.name, "unrolled", (source,), out, layer, fold))
        channelwise = layer.op in CHANNEL_OPS
        lanes = fold.outputs if channelwise else fold.inputs
        passes = layer.out_shape[-1] // fold.outputs
        window = window_of(layer, lanes, passes, channelwise=channelwise)
        source = self.lanes(source, lanes, layer.name)
        if layer.op in ("maxpool", "avgpool"):
            return self.add(Node(layer.name, "pool", (source,), out, layer, fold, window))
        assert layer.weight is not None
        code, inputs = weight_code(layer.weight), 1 if channelwise else fold.inputs
        bits = sum_bits(self.nodes[source].stream.format, code, inputs, layer.output.width)
        latency = STYLES[fold.style].latency(inputs, code.bits)
        return self.add(Node(layer.name, "mac", (source,), out, layer, fold, window, 1, code, bits, latency))

    def lanes(self, source: int, lanes: int, reader: str) -> int:
        """The stream of ``source`` with ``lanes`` lanes, through converters if need be."""
        have = self.nodes[source].stream.lanes
        common = math.gcd(have, lanes)
        for kind, ratio, to in (("narrow", have // common, common), ("widen", lanes // common, lanes)):
            if ratio > 1:
                stream = self.nodes[source].stream
                # A vector that was an image is read across its pixels.
                total = stream.positions * stream.channels
                channels = stream.channels if stream.channels % to == 0 else total
                out = Stream(total // channels, channels, to, stream.format)
                name = self.unique(f"{reader}_{kind}")
                made: Kind = "narrow" if kind == "narrow" else "widen"
                source = self.add(Node(name, made, (source,), out, ratio=ratio))
        return source

    def unique(self, name: str) -> str:
        while name.lower() in self.names:
            name += "_"
        self.names.add(name.lower())
        return name

    def merge(self, layer: QuantizedLayer, sources: list[int]) -> int:
        lanes = min(self.nodes[s].stream.lanes for s in sources)
        inputs = tuple(self.lanes(s, lanes, layer.name) for s in sources)
        out = Stream(math.prod(layer.out_shape[:-1]), layer.out_shape[-1], lanes, layer.output)
        return self.add(Node(layer.name, "merge", inputs, out, layer))

    def concat(self, layer: QuantizedLayer, sources: list[int]) -> int:
        shapes = [self.network.shape(i) for i in layer.inputs]
        lanes = math.gcd(*(self.nodes[s].stream.lanes for s in sources), *(shape[-1] for shape in shapes))
        inputs = tuple(self.lanes(s, lanes, layer.name) for s in sources)
        out = Stream(math.prod(layer.out_shape[:-1]), layer.out_shape[-1], lanes, layer.output)
        return self.add(Node(layer.name, "concat", inputs, out, layer))
