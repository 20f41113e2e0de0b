"""How wide each layer's hardware is: output and input channels handled in a cycle.

A weight layer with Fold(P, S) does P x S multiply-accumulates a cycle (PE and SIMD in FINN's words, Umuroglu et al.,
"FINN: A Framework for Fast, Scalable Binarized Neural Network Inference", FPGA 2017). Layers that work channel by
channel (depthwise, pooling) have Fold(P, 1). All other layers are as wide as what they read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from flow.errors import InputError
from flow.network.quantized import QuantizedLayer, QuantizedNetwork
from flow.rtl.mac import STYLES, weight_code

FOLDED_OPS = ("dense", "conv")
CHANNEL_OPS = ("depthwise", "maxpool", "avgpool")


@dataclass(frozen=True)
class Fold:
    """Output channels and input channels a cycle, and the style of the multiply-accumulate array."""

    outputs: int = 1
    inputs: int = 1
    style: str = "planes"

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.outputs * self.inputs


@dataclass(frozen=True)
class Folding:
    """The fold of each layer by name, and the channels of the network's input that arrive in a cycle."""

    folds: Mapping[str, Fold] = field(default_factory=dict)
    input_lanes: int = 1

    def of(self, layer: QuantizedLayer) -> Fold:
        """The fold of a layer; one at a time for what is not named."""
        return self.folds.get(layer.name, Fold())


def serial_folding(network: QuantizedNetwork) -> Folding:
    """The smallest hardware: one multiply-accumulate a cycle in every layer."""
    return Folding({layer.name: Fold() for layer in network if is_folded(layer)})


def is_folded(layer: QuantizedLayer) -> bool:
    """Whether a layer has a fold of its own."""
    return layer.op in FOLDED_OPS or layer.op in CHANNEL_OPS


def check_folding(network: QuantizedNetwork, folding: Folding) -> None:
    """Raises InputError if a fold is not one that its layer can have."""
    layers = {layer.name: layer for layer in network}
    for name, fold in folding.folds.items():
        layer = layers.get(name)
        if layer is None or not is_folded(layer):
            raise InputError(f"folding: there is no layer {name!r} with a fold of its own")
        if fold.style not in STYLES:
            raise InputError(f"folding: {name}: unknown style {fold.style!r}, known: {', '.join(STYLES)}")
        limits = (layer.out_shape[-1], layer.in_shape[-1] if layer.op in FOLDED_OPS else 1)
        for what, count, of in zip(("outputs", "inputs"), (fold.outputs, fold.inputs), limits, strict=True):
            if count < 1 or of % count:
                raise InputError(f"folding: {name}: {count} {what} a cycle do not divide its {of}")
    if folding.input_lanes < 1 or network.input_shape[-1] % folding.input_lanes:
        raise InputError(
            f"folding: {folding.input_lanes} lanes do not divide the {network.input_shape[-1]} channels of the input"
        )


def layer_cycles(layer: QuantizedLayer, fold: Fold) -> int:
    """Cycles a folded layer computes for one inference."""
    if layer.op in FOLDED_OPS:
        return layer.positions * (layer.out_shape[-1] // fold.outputs) * (layer.fan_in // fold.inputs)
    kernel = layer.in_shape[:-1] if len(layer.out_shape) == 1 else layer.kernel
    return layer.positions * math.prod(kernel) * (layer.out_shape[-1] // fold.outputs)


def fold_options(layer: QuantizedLayer) -> list[Fold]:
    """Every fold a layer can have, with as many input lanes as channels at most."""
    outputs = _divisors(layer.out_shape[-1])
    inputs = _divisors(layer.in_shape[-1]) if layer.op in FOLDED_OPS else [1]
    return [Fold(p, s) for p in outputs for s in inputs]


def _divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]


def fold_cost(layer: QuantizedLayer, fold: Fold, width: int) -> float:
    """A rough number of LUTs of a layer, to rank folds by; ``width`` is that of its input.

    Fitted by hand to arrays of style "planes" of 8 x 16, counted by Yosys 0.70 for 7-series: LUTs a multiply-accumulate
    for input x weight bits are 4.1 for 2 x 2, 8.2 for 3 x 3, 13.9 for 4 x 4, 23.4 for 8 x 4, 27.1 for 4 x 8, 47.1 for
    8 x 8. Accumulators, requantization and buffers grow with their width.
    """
    output_bits = layer.output.width
    if layer.op in FOLDED_OPS and layer.weight is not None:
        array = (0.68 * width + 0.75) * weight_code(layer.weight).bits * fold.macs
        return array + 2.5 * output_bits * fold.outputs + 1.5 * width * fold.inputs + 60
    return 4.0 * output_bits * fold.outputs + 60


def fold_for(network: QuantizedNetwork, interval: int) -> Folding:
    """The folding of least cost in which no layer needs more than ``interval`` cycles an inference.

    Raises InputError if a layer can't do that even at its widest.
    """
    from flow.rtl.schedule import schedule

    folds: dict[str, Fold] = {}
    for layer in network:
        if not is_folded(layer):
            continue
        width = network.format(layer.inputs[0]).width
        frame = math.prod(layer.in_shape)
        fitting = [
            fold
            for fold in fold_options(layer)
            if layer_cycles(layer, fold) <= interval
            and frame <= interval * (fold.inputs if layer.op in FOLDED_OPS else fold.outputs)
        ]
        if not fitting:
            raise InputError(
                f"{layer.name} can't finish an inference in {interval:,} cycles: it needs "
                f"{min(layer_cycles(layer, fold) for fold in fold_options(layer)):,} at its widest"
            )
        folds[layer.name] = min(fitting, key=lambda fold: (fold_cost(layer, fold, width), fold.outputs))
    beats = math.prod(network.input_shape)
    channels = network.input_shape[-1]
    lanes = next((n for n in _divisors(channels) if beats // n <= interval), channels)
    folding = Folding(folds, lanes)
    found = schedule(network, folding)
    if found.interval > interval:
        raise InputError(
            f"{found.bottleneck} needs {found.interval:,} cycles an inference, more than {interval:,}: "
            "the widths of neighbouring layers do not fit each other"
        )
    return folding
