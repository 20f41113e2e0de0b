"""From a ``.keras`` file to the Network it holds and what is known of its weights, with JSON and h5py alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flow.archive.assemble import LayerProblem, network_of
from flow.archive.container import Weights, open_container
from flow.archive.graph import Graph, Node, Shape, graph_of
from flow.archive.layers import folded, make_layer, told_differently
from flow.archive.saved import SavedLayer
from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.network import Network
from flow.network.quantized_assemble import Step
from flow.network.quantized_layers import Call, read_layer

DEFAULT_PRECISION = FixedFormat(16, 6)
"""The precision hls4ml gives a model when it is told nothing: ``fixed<16,6>``."""
DEFAULT_INPUT = FixedFormat(8, 0, signed=False)
"""The format of inputs where nothing states it: pixels from 0 to below 1."""
SHOWN = 4
"""Layers that can't be read of which the reason is printed."""


@dataclass(frozen=True)
class Archive:
    """What a file holds. ``floats``: layers of float weights, which got ``float_format``; ``keras_version``: what
    wrote it."""

    path: Path
    network: Network
    floats: tuple[str, ...]
    float_format: FixedFormat
    keras_version: str


@dataclass(frozen=True)
class SavedModel:
    """The operations in a file, formats not yet known. ``unquantized``: layers with weights and no quantizer."""

    input_name: str
    input_shape: Shape
    steps: tuple[Step, ...]
    unquantized: frozenset[str]
    keras_version: str


def read_archive(
    path: Path, input_format: FixedFormat = DEFAULT_INPUT, float_format: FixedFormat = DEFAULT_PRECISION
) -> Archive:
    """Read a Sequential or Functional model of Keras 3 and QKeras from a ``.keras`` file.

    ``input_format``: the format of its input, which no file states. ``float_format``: of weights without a quantizer,
    and of the results of such layers. Raises InputError: for files that are none of those, damaged or too large, and
    naming every layer that has no equivalent in hardware, with the reason.
    """
    model = read_steps(path, float_format, fuse=True)
    try:
        network = network_of(
            model.input_name, model.input_shape, input_format, model.steps, model.unquantized, float_format
        )
    except LayerProblem as error:
        raise _unreadable(path, [(error.source, str(error))]) from error
    rounded = [
        step.source for step in model.steps if step.source in model.unquantized or _is_rounded(step, float_format)
    ]
    return Archive(path, network, tuple(dict.fromkeys(rounded)), float_format, model.keras_version)


def read_steps(path: Path, float_format: FixedFormat | None = DEFAULT_PRECISION, *, fuse: bool = False) -> SavedModel:
    """The operations of a model with their integer weights, as ``flow.network.quantized_keras`` reads them from the
    model in memory. Raises InputError as ``read_archive``; without a ``float_format`` weights must be quantized.

    ``fuse``: batch normalizations go into float weights right before them, as hls4ml does it.
    """
    container = open_container(path)
    try:
        graph = graph_of(container.config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    with Weights(container) as weights:
        steps, unquantized = _Reader(path, graph, weights, float_format, fuse).read()
    return SavedModel(graph.input_name, graph.input_shape, steps, unquantized, container.keras_version)


class _Reader:
    """Reads the layers of a graph in order."""

    def __init__(
        self, path: Path, graph: Graph, weights: Weights, float_format: FixedFormat | None, fuse: bool
    ) -> None:
        self.path, self.graph, self.weights, self.float_format = path, graph, weights, float_format
        self.fuse = fuse
        self.shapes: dict[str, Shape] = {graph.input_name: graph.input_shape}
        self.results = {graph.input_name: graph.input_name}
        """What the result of a layer is called: its last step."""
        self.calls: dict[str, Call] = {}
        self.steps: dict[str, list[Step]] = {}
        self.readers = Counter(name for node in graph.nodes for name in node.inputs)
        self.unquantized: set[str] = set()

    def read(self) -> tuple[tuple[Step, ...], frozenset[str]]:
        """The steps of all layers, and the names of layers with weights that nothing quantizes."""
        problems: list[tuple[str, str]] = []
        for node in self.graph.nodes:
            if not all(name in self.shapes for name in node.inputs):  # what it reads is not known
                problems += [(node.name, node.problem)] if node.problem else []
                continue
            try:
                with np.errstate(all="ignore"):  # constants that are no numbers in the end are refused
                    self.add(node)
            except InputError as error:
                if str(error).startswith(f"{self.path}: "):  # the file is damaged
                    raise
                hint = ": name another precision for floats" if "do not fit" in str(error) else ""
                problems.append((node.name, f"{error}{hint}"))
        if problems:
            raise _unreadable(self.path, problems)
        steps = [step for part in self.steps.values() for step in part]
        taken = {self.graph.input_name}
        for step in steps:
            if step.name in taken:
                reason = f"its part {step.name} has the same name as another layer"
                raise _unreadable(self.path, [(step.source, reason)])
            taken.add(step.name)
        return tuple(steps), frozenset(self.unquantized)

    def add(self, node: Node) -> None:
        """Read one layer. Raises InputError with the reason if that isn't possible."""
        if node.problem:
            raise InputError(node.problem)
        in_shapes = tuple(self.shapes[name] for name in node.inputs)
        damaged = told_differently(node, in_shapes)
        if damaged:
            raise InputError(damaged)
        layer, shape = make_layer(node, in_shapes, self.weights)
        before = node.inputs[0]
        if self.fuse and self.is_fused(node, layer, shape):
            call = replace(self.calls[before], layer=folded(self.calls[before].layer, layer))
            self.steps[before] = read_layer(call)
            self.shapes[node.name], self.results[node.name] = shape, self.results[before]
            return
        call = Call(layer, tuple(self.results[name] for name in node.inputs), in_shapes, shape, self.float_format)
        steps = read_layer(call)
        self.calls[node.name], self.steps[node.name], self.shapes[node.name] = call, steps, shape
        self.results[node.name] = steps[-1].name if steps else self.results[before]
        if _is_float(layer, steps):
            self.unquantized.add(node.name)

    def is_fused(self, node: Node, layer: SavedLayer, shape: Shape) -> bool:
        """Whether a batch normalization goes into the weights before it: floats that nothing else reads."""
        before = node.inputs[0]
        if node.kind != "BatchNormalization" or before not in self.unquantized or self.readers[before] > 1:
            return False
        # Over the last axis only, and with nothing between: an activation would be another step.
        return len(self.steps[before]) == 1 and layer.axis in (-1, len(shape), [-1], [len(shape)])


def _is_float(layer: Any, steps: Sequence[Step]) -> bool:
    """Whether a layer has a matrix of weights that nothing quantizes."""
    weighted = any(step.op in ("dense", "conv", "depthwise") for step in steps)
    quantizers = [getattr(layer, f"{name}_quantizer_internal", None) for name in ("kernel", "depthwise", "pointwise")]
    return weighted and not any(q is not None for q in quantizers)


def _is_rounded(step: Step, float_format: FixedFormat) -> bool:
    """Whether constants were rounded to the format for floats: of a batch normalization, of biases without a quantizer,
    or with scales that are no powers of two."""
    if step.deviation < float_format.step * 2.0**-10:  # QKeras' own float32 rounding is smaller
        return False
    return any(codes is not None and codes.format == float_format for codes in (step.weight, step.bias))


def _unreadable(path: Path, problems: Sequence[tuple[str, str]]) -> InputError:
    shown = [reason if name == "model" else f"layer {name}: {reason}" for name, reason in problems[:SHOWN]]
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return InputError(f"{path}: {'; '.join(shown)}{more}")
