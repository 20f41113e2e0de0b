"""The same network with fewer bits in one layer's weights: what a user may train instead."""

from __future__ import annotations

import math
from dataclasses import replace

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat, accumulator, smallest_format
from flow.network.network import Layer, Network, WeightStatistics, sum_format, widest


def with_weight_bits(network: Network, name: str, bits: int) -> Network:
    """``network`` with weights of ``bits`` bits in layer ``name``, their integer bits unchanged.

    All formats up to the next quantizer follow; the layer's bias keeps its format. Of the weights' statistics only how
    many are zero is kept: trained again, the other digits will be others. Raises InputError for layers without
    fixed-point weights, and for formats that do not exist.
    """
    layers: list[Layer] = []
    for before in network:
        inputs = [network.input_format if i < 0 else layers[i].output for i in before.inputs]
        layer = _narrow(before, bits) if before.name == name else before
        kept = [i < 0 or layers[i].output == network.layers[i].output for i in before.inputs]
        if before.name == name or not all(kept):
            layer = replace(layer, in_format=inputs[0], output=_output(layer, inputs, before))
        layers.append(layer)
    if all(layer.name != name for layer in network):
        raise InputError(f"the network has no layer {name!r}")
    return replace(network, layers=tuple(layers))


def _narrow(layer: Layer, bits: int) -> Layer:
    if layer.weight is None or layer.weight.kind != "fixed":
        raise InputError(f"{layer.name} has no fixed-point weights")
    weight = WeightFormat("fixed", bits, layer.weight.integer)
    known = layer.statistics
    statistics = None if known is None else WeightStatistics(known.density, math.nan, math.nan)
    return replace(layer, weight=weight, statistics=statistics)


def _output(layer: Layer, inputs: list[FixedFormat], before: Layer) -> FixedFormat:
    """The format of a layer's result for ``inputs``; one that was given, not computed, stays as it was ``before``."""
    x = inputs[0]
    if layer.weight is not None:
        assert before.weight is not None
        old = accumulator(before.in_format, before.weight, before.fan_in, before.bias, before.scale_exponent)
        if before.output != old:
            return before.output
        return accumulator(x, layer.weight, layer.fan_in, layer.bias, layer.scale_exponent)
    match layer.op:
        case "maxpool" | "global_maxpool" | "flatten" | "padding":
            return x
        case "add":
            return sum_format(*inputs) if len(inputs) == 2 else before.output
        case "concat":
            return widest(inputs)
        case "avgpool" | "global_avgpool" | "batchnorm":
            # As many bits more than the input as before.
            return FixedFormat(before.output.width - before.in_format.fraction + x.fraction, before.output.integer,
                               before.output.signed)  # fmt: skip
        case "activation" if before.output == _plain_relu(before.in_format):
            return _plain_relu(x)
    return before.output


def _plain_relu(x: FixedFormat) -> FixedFormat:
    """What a ReLU without a format of its own makes of ``x``."""
    return smallest_format(0, max(x.high, 0), x.fraction)
