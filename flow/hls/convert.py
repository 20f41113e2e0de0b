"""From a Keras model and its integers to an hls4ml graph that was told everything, and did as it was told.

hls4ml fills gaps with defaults and replaces what it does not like with a printed warning. Here every type, strategy
and reuse factor is given, and what the finished graph has is compared with it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import InputError, ToolError
from flow.hls.bridge.handlers import HLS4ML_LOCK, handlers_for
from flow.hls.bridge.hls_layers import is_identity, is_xnor, precision, precisions, settings
from flow.hls.fifo import fifo_depths
from flow.hls.fifo_graph import actors_of
from flow.hls.tools import Backend
from flow.implement.implementation import Implementation, LayerImplementation
from flow.implement.rules import IoType, Refusal, check_layer, layer_reuse_factors, strategy_of
from flow.network.fixed import WeightFormat
from flow.network.network import Layer, Op
from flow.network.quantized import WEIGHT_OPS, Codes, QuantizedLayer, QuantizedNetwork

DEFAULT_TYPE = "ufixed<61,17>"
"""A type nobody asks for: hls4ml insists on a default, and where it turns up something was left out."""
_OPS: Mapping[str, Op] = {"dense": "dense", "conv": "conv2d", "depthwise": "depthwise"}


@dataclass(frozen=True)
class Conversion:
    """A converted graph, the FIFO depths it was given (by stream, io_stream only), and what hls4ml said meanwhile."""

    graph: Any
    fifo_depths: Mapping[str, int]
    messages: tuple[str, ...]


def rule_layer(layer: QuantizedLayer) -> Layer:
    """A weight layer as :mod:`flow.implement.rules` sees it."""
    assert layer.weight is not None
    weight = WeightFormat("fixed", layer.weight.format.width, layer.weight.format.integer)
    image = (1,) * (4 - len(layer.in_shape)) if layer.op != "dense" else ()
    shape = (*layer.in_shape[:-1], *image[:-1], layer.in_shape[-1]) if image else layer.in_shape
    out = (*layer.out_shape[:-1], *image[:-1], layer.out_shape[-1]) if image else layer.out_shape
    return Layer(
        layer.name, _OPS[layer.op], (-1,), shape, out, layer.output, layer.output, fan_in=layer.fan_in, weight=weight
    )  # fmt: skip


def check_implementation(network: QuantizedNetwork, implementation: Implementation) -> Refusal | None:
    """Why hls4ml or HLS would not build the network so: layers not named, invalid reuse factors and strategies."""
    wanted = [layer.name for layer in network.weight_layers]
    named = [layer.name for layer in implementation.layers]
    if sorted(wanted) != sorted(named):
        sentence = f"the implementation names the layers {', '.join(named)}, the network has {', '.join(wanted)}"
        return Refusal("layers", sentence)
    for layer in network.weight_layers:
        chosen = implementation.layer(layer.name)
        refusal = check_layer(rule_layer(layer), chosen.strategy, chosen.reuse, implementation.io_type)
        if refusal is not None:
            return refusal
    return None


def even_implementation(network: QuantizedNetwork, io_type: IoType, clock_mhz: float, reuse: int = 1) -> Implementation:
    """The largest valid reuse factor up to ``reuse`` in every layer, with the strategy that the rules say."""
    layers = []
    for layer in network.weight_layers:
        rule = rule_layer(layer)
        factor = max(r for r in layer_reuse_factors(rule) if r <= reuse)
        layers.append(LayerImplementation(layer.name, factor, strategy_of(rule, factor)))
    return Implementation(io_type, clock_mhz, tuple(layers))


def hls_config(network: QuantizedNetwork, implementation: Implementation) -> dict[str, Any]:
    """hls4ml's configuration: every type of every layer, of those hls4ml may insert too, and how each is built."""
    names: dict[str, dict[str, Any]] = {}
    names[network.input_name] = {"Precision": {"result": precision(network.input_format)}}
    for layer in network:
        entry: dict[str, Any] = {"Precision": precisions(network, layer), **settings(network, layer)}
        if layer.op in WEIGHT_OPS:
            chosen = implementation.layer(layer.name)
            entry |= {"Strategy": chosen.strategy, "ReuseFactor": chosen.reuse}
        names[layer.name] = entry
        source = precision(network.format(layer.inputs[0]))
        names |= {f"{prefix}_{layer.name}": {"Precision": {"result": source}} for prefix in ("zp1d", "zp2d", "repack")}
    for name in (network.input_name, *(layer.name for layer in network)):
        names[f"clone_{name}"] = {"Precision": {"result": names[name]["Precision"]["result"]}}
    model = {"Precision": {"default": DEFAULT_TYPE}, "ReuseFactor": 1, "Strategy": "Latency"}
    return {"Model": model, "LayerName": names}


def convert(
    model: Any,
    network: QuantizedNetwork,
    implementation: Implementation,
    backend: Backend,
    part: str,
    clock_uncertainty: float,
    folder: Path,
    name: str,
) -> Conversion:
    """The graph of ``model`` with the integers of ``network``, to be written to ``folder`` as project ``name``.

    ``clock_uncertainty`` is in percent of the period. Raises InputError for an implementation the rules refuse,
    ToolError if hls4ml fails or does something else than it was told.
    """
    refusal = check_implementation(network, implementation)
    if refusal is not None:
        raise InputError(refusal.sentence)
    spoken = io.StringIO()
    with (
        HLS4ML_LOCK,
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(spoken),
        redirect_stderr(spoken),
    ):
        warnings.simplefilter("always")
        import hls4ml

        try:
            with handlers_for(network):
                graph = hls4ml.converters.convert_from_keras_model(
                    model, output_dir=str(folder), project_name=name, backend=backend, part=part,
                    io_type=implementation.io_type, clock_period=clock_ns(implementation),
                    clock_uncertainty=f"{clock_uncertainty:g}%", hls_config=hls_config(network, implementation),
                    bit_exact=False, allow_da_fallback=False, allow_v2_fallback=False,
                )  # fmt: skip
        except (InputError, ToolError):
            raise
        except Exception as error:  # hls4ml raises bare Exception, asserts, KeyError
            raise ToolError(f"hls4ml cannot convert the model: {type(error).__name__}: {error}") from error
    messages = tuple(line for line in spoken.getvalue().splitlines() if line.strip())
    messages += tuple(str(w.message) for w in warned if "hls4ml" in str(w.filename))
    # Said whenever a 1x1 convolution is given its strategy; the graph is compared with what was asked below.
    messages = tuple(m for m in messages if not m.startswith("Overriding attribute 'strategy'"))
    changed = [line for line in messages if "Invalid ReuseFactor" in line]
    if changed:
        raise ToolError(f"hls4ml changed what was asked: {changed[0]}")
    check_graph(network, implementation, graph)
    depths = _set_depths(graph) if implementation.io_type == "io_stream" else {}
    return Conversion(graph, depths, messages)


def clock_ns(implementation: Implementation) -> float:
    """The clock period in ns, to a femtosecond."""
    return round(1000.0 / implementation.clock_mhz, 6)


def _set_depths(graph: Any) -> dict[str, int]:
    depths = fifo_depths(actors_of(graph))
    given = {}
    for node in graph.get_layers():
        for output in node.outputs:
            variable = node.get_output_variable(output)
            if output in depths and isinstance(getattr(variable, "pragma", None), tuple):
                variable.pragma = ("stream", depths[output])
                given[output] = depths[output]
    # The top function's own streams are AXI ports.
    ports = [*graph.inputs, *graph.outputs]
    return {name: depth for name, depth in given.items() if name not in ports}


# What hls4ml made of it


def check_graph(network: QuantizedNetwork, implementation: Implementation, graph: Any) -> None:
    """Raises ToolError naming the first thing in which the graph is not what was asked for."""
    nodes = {node.name: node for node in graph.get_layers()}
    last = network.layers[-1]
    for layer in network:
        dropped = is_identity(layer) or (
            layer is last and layer.op == "reshape" and implementation.io_type == "io_parallel"
        )
        if layer.name in nodes:
            _check_node(network, layer, nodes[layer.name], implementation)
        elif not dropped and not (layer.op == "reshape" and f"repack_{layer.name}" in nodes):
            raise ToolError(f"hls4ml left out layer {layer.name}")
    default = _convert_type(DEFAULT_TYPE)
    for node in nodes.values():
        for kind, named in node.types.items():
            if _same(named.precision, default):
                raise ToolError(f"hls4ml fell back on a default type: {kind} of {node.name} ({node.class_name})")


def _check_node(network: QuantizedNetwork, layer: QuantizedLayer, node: Any, implementation: Implementation) -> None:
    wanted = precisions(network, layer)
    wanted |= {k.removesuffix("_t"): v for k, v in settings(network, layer).items() if k.endswith("_t")}
    for kind, text in wanted.items():
        if kind == "bias" and layer.bias is None and layer.op != "scale":
            continue
        named = node.types.get(f"{kind}_t")
        if kind == "weight" and is_xnor(layer.weight) and named is not None and named.precision.width == 1:
            continue  # single bits, by a quantizer
        modes = layer.op not in ("reshape", "pad")  # those only pass on what they get, with its modes
        if named is None or not _same(named.precision, _convert_type(text), modes):
            found = None if named is None else named.precision
            raise ToolError(f"{layer.name}: hls4ml made its {kind} {found}, not {text}")
    if layer.op in WEIGHT_OPS:
        chosen = implementation.layer(layer.name)
        got = (str(node.get_attr("strategy")).lower(), int(node.get_attr("reuse_factor")))
        if got != (chosen.strategy.lower(), chosen.reuse):
            raise ToolError(
                f"{layer.name}: hls4ml chose strategy {got[0]} with reuse factor {got[1]}, "
                f"not {chosen.strategy} with {chosen.reuse}"
            )
    _check_values(layer, node, "scale" if layer.op == "scale" else "weight", layer.weight)
    _check_values(layer, node, "bias", layer.bias)
    _check_values(layer, node, "table", layer.table)


def _check_values(layer: QuantizedLayer, node: Any, name: str, codes: Codes | None) -> None:
    """hls4ml transposes weights for strategy Resource: the values are compared, not their order."""
    if codes is None:
        return
    found = np.sort(np.asarray(node.weights[name].data, dtype=np.float64).ravel())
    expected = np.sort(codes.reals().ravel())
    if name == "weight" and is_xnor(codes):
        expected = (expected > 0).astype(np.float64)
    if not np.array_equal(found, expected):
        raise ToolError(f"{layer.name}: hls4ml changed the values of its {name}")


def _convert_type(text: str) -> Any:
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    return FPGABackend.convert_precision_string(text)


def _same(one: Any, other: Any, modes: bool = True) -> bool:
    """Whether two hls4ml types are the same, an integer type being a fixed-point type without fraction."""
    names = ("width", "integer", "signed", *(("rounding_mode", "saturation_mode") if modes else ()))
    return all(str(getattr(one, name, None)) == str(getattr(other, name, None)) for name in names)
