"""The streaming layers of an hls4ml graph as actors, for :mod:`flow.hls.fifo`.

What a layer reads and writes is in hls4ml's C++ (``nnet_*_stream.h``), and holds exactly. How many cycles it takes is
what its pragmas ask for, and how long its pipeline is an assumption on the safe side: both decide how deep FIFOs are
made beyond what is needed to get through at all.
"""

from __future__ import annotations

import math
from typing import Any

from flow.errors import ToolError
from flow.hls.fifo import Actor, gather, one_to_one, repack, sliding_window, source, zero_padding

PIPELINE_CYCLES = 24
"""Depth assumed for the pipeline of a layer with strategy Latency: an adder tree of 2048 products, the most that are
built so, has 11 levels; with a cycle for each, 4 for the multipliers and as many for line buffer and streams it is 19.
The rest is a margin."""
SHORT_PIPELINE = 4
"""The same for element-wise layers and pooling."""


def actors_of(graph: Any) -> list[Actor]:
    """The actors of a converted io_stream graph in topological order. Raises ToolError for an unknown layer."""
    actors: list[Actor] = []
    alias: dict[str, str] = {}
    for node in graph.get_layers():
        inputs = [alias.get(name, name) for name in node.inputs]
        if node.class_name in ("Input", "InputLayer"):
            actors.append(source(node.outputs[0], _tokens(node.get_output_variable().shape)))
        elif node.class_name == "Reshape":
            alias[node.outputs[0]] = inputs[0]  # flattening a stream is nothing at all
        else:
            actors.append(_actor(node, inputs))
    return actors


def _tokens(shape: Any) -> int:
    return int(math.prod(shape)) // int(shape[-1])


def _actor(node: Any, inputs: list[str]) -> Actor:
    kind = node.class_name
    out = node.outputs[0]
    results = _tokens(node.get_output_variable().shape)
    if kind in ("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"):
        return _convolution(node, inputs[0])
    if kind in ("PointwiseConv1D", "PointwiseConv2D"):
        stride = _words(node, "stride")
        cycles, held = _product(node)
        if all(s == 1 for s in stride):
            return one_to_one(node.name, inputs, [out], results, cycles, held)
        return _convolution(node, inputs[0])
    if kind in ("Pooling1D", "Pooling2D"):
        shape = [node.get_attr("n_in")] if kind.endswith("1D") else _words(node, "in")
        window = _words(node, "pool")
        return sliding_window(node.name, inputs[0], out, shape, window, _words(node, "stride"), 1, 1, SHORT_PIPELINE)
    if kind in ("GlobalPooling1D", "GlobalPooling2D"):
        tokens = node.get_attr("n_in") if kind.endswith("1D") else math.prod(_words(node, "in"))
        return gather(node.name, inputs[0], out, int(tokens), results, SHORT_PIPELINE)
    if kind in ("ZeroPadding1D", "ZeroPadding2D"):
        sides = (("left", "right"),) if kind.endswith("1D") else (("top", "bottom"), ("left", "right"))
        padding = [(int(node.get_attr(f"pad_{a}")), int(node.get_attr(f"pad_{b}"))) for a, b in sides]
        return zero_padding(node.name, inputs[0], out, _words(node, "in"), padding)
    if kind == "Dense":
        tokens = int(node.get_attr("n_in")) // int(_packet(node))
        cycles = int(node.get_attr("reuse_factor")) + PIPELINE_CYCLES
        return gather(node.name, inputs[0], out, tokens, results, cycles)
    if kind == "Repack":
        return repack(node.name, inputs[0], out, _tokens(node.get_input_variable().shape), results)
    if kind in _ONE_TO_ONE or kind.startswith("Flow"):
        tokens = _tokens(node.get_input_variable().shape)
        if len(inputs) == 1 and kind != "Clone":
            tokens = int(math.prod(node.get_input_variable().shape)) // _packet(node)
        return one_to_one(node.name, inputs, node.outputs, tokens, 1, SHORT_PIPELINE)
    raise ToolError(f"no schedule is known for hls4ml's layer {node.name} of class {kind}: FIFO depths can't be set")


_ONE_TO_ONE = ("Activation", "HardActivation", "Softmax", "BatchNormalization", "Merge", "Concatenate", "Clone")


def _packet(node: Any) -> int:
    """Values in a token of the node's input: a flattened stream still has those of the image."""
    return int(node.get_input_variable().type.n_elem)


def _words(node: Any, prefix: str) -> list[int]:
    """``PREFIX_height`` and ``PREFIX_width``, or the width alone in one dimension."""
    words = ("width",) if node.class_name.endswith("1D") else ("height", "width")
    return [int(node.get_attr(f"{prefix}_{word}")) for word in words]


def _product(node: Any) -> tuple[int, int]:
    """Cycles per window, and results held back, of a layer with weights."""
    reuse = int(node.get_attr("reuse_factor"))
    if node.get_attr("strategy") == "latency":
        return reuse, math.ceil(PIPELINE_CYCLES / reuse)
    return reuse + SHORT_PIPELINE, 0  # one window after the other: nothing waits for the next


def _convolution(node: Any, stream: str) -> Actor:
    cycles, held = _product(node)
    read_cycles = cycles if node.get_attr("strategy") == "latency" else 2
    shape, window, stride = _words(node, "in"), _words(node, "filt"), _words(node, "stride")
    return sliding_window(node.name, stream, node.outputs[0], shape, window, stride, read_cycles, cycles, held)
