"""Random candidates and weights, for the property that a Network, its integers and its QKeras model say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate, Network, build_network
from flow.network.reference import LayerCodes, weight_shape
from flow.space.candidate import Candidate, LayerChoice

FLOAT_BITS = 24
"""Significant bits of float32: networks with wider sums are beyond what QKeras can compute exactly."""


def random_candidate(seed: int) -> Candidate:
    """The first valid candidate of a seed whose sums fit float32: any kind of layer, size and format."""
    rng = np.random.default_rng(seed)
    while True:
        candidate = _candidate(rng)
        try:
            network = build_network(candidate)
        except InvalidCandidate:
            continue
        if all(layer.output.width <= FLOAT_BITS for layer in network):
            return candidate


def random_codes(network: Network, seed: int) -> dict[str, LayerCodes]:
    """Weights and biases over the whole of their ranges."""
    rng = np.random.default_rng(seed)
    codes = {}
    for layer in network:
        if layer.weight is None:
            continue
        assert layer.bias is not None
        weight = rng.integers(layer.weight.low, layer.weight.high, size=weight_shape(layer), endpoint=True)
        if layer.weight.kind == "binary":
            weight = np.where(weight >= 0, 1, -1)
        bias = rng.integers(layer.bias.low, layer.bias.high, size=layer.out_shape[-1:], endpoint=True)
        # Small biases among them, or activations would be 0 and saturated only.
        bias = np.where(rng.random(bias.shape) < 0.7, bias // 16, bias)
        codes[layer.name] = LayerCodes(weight, bias)
    return codes


def random_inputs(network: Network, count: int, seed: int) -> NDArray[np.int64]:
    """Input codes, the extremes among them."""
    form = network.input_format
    codes = np.random.default_rng(seed).integers(form.low, form.high, size=(count, *network.input_shape), endpoint=True)
    codes[0], codes[-1] = form.low, form.high
    return codes


def _candidate(rng: np.random.Generator) -> Candidate:
    def pick(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    def weight() -> WeightFormat:
        kind = pick("fixed", "fixed", "binary", "ternary")
        if kind != "fixed":
            return WeightFormat.parse(kind)
        width = int(rng.integers(1, 7))
        return WeightFormat("fixed", width, int(rng.integers(-2, 4)))

    def activation() -> FixedFormat:
        return FixedFormat(int(rng.integers(1, 7)), int(rng.integers(0, 4)), signed=False)

    image = rng.random() < 0.8
    steady = rng.random() < 0.5  # images keep their size, as most skip connections need it
    shape = tuple(int(v) for v in rng.integers(1, 12, size=2)) if image else ()
    shape = (*shape, int(rng.integers(1, 5)))
    layers = []
    for number in range(int(rng.integers(1, 5)) if image else 0):
        kind = pick("conv2d", "conv2d", "depthwise")
        stride = int(rng.integers(1, 4))
        other = stride if kind == "depthwise" else int(rng.integers(1, 4))
        residual = rng.random() < 0.4
        concat = tuple(i for i in range(number) if rng.random() < 0.4)
        units = pick(2, 2, 3, 5) if kind == "conv2d" else 0
        kernel = (pick(1, 2, 3, 5), pick(1, 2, 3, 5))
        strides, pool = ((1, 1), 1) if residual or steady else ((stride, other), pick(1, 1, 2))
        layers.append(LayerChoice(kind, units, weight(), activation(), kernel, strides, pool, residual, concat))
    layers += [
        LayerChoice("dense", int(rng.integers(1, 7)), weight(), activation()) for _ in range(int(rng.integers(3)))
    ]
    signed = bool(rng.integers(2))
    form = FixedFormat(int(rng.integers(1, 7)), int(rng.integers(-1, 3)), signed)
    return Candidate(shape, form, int(rng.integers(2, 5)), tuple(layers), weight(), pick("flatten", "gap"))
