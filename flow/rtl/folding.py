"""How each layer is built: which engine runs it, and how many output and input channels it handles in a cycle.

Engine "folded" of a weight layer with Fold(P, S) does P x S multiply-accumulates a cycle with weights from memory (PE
and SIMD in FINN's words, Umuroglu et al., "FINN: A Framework for Fast, Scalable Binarized Neural Network Inference",
FPGA 2017). Layers that work channel by channel (depthwise, pooling) have Fold(P, 1). Engine "unrolled" handles a whole
window position a cycle: weights become adders. All other layers are as wide as what they read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from flow.errors import InputError
from flow.network.quantized import QuantizedLayer, QuantizedNetwork
from flow.rtl.mac import STYLES, weight_code
from flow.rtl.patch import slots_of

FOLDED_OPS = ("dense", "conv")
CHANNEL_OPS = ("depthwise", "maxpool", "avgpool")

Engine = Literal["folded", "unrolled"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

MAX_UNROLLED_WEIGHTS = 1 << 14
"""Most weights of an unrolled layer: its adder graph is found in half a minute, and takes 70,000 LUTs at 4 bits."""


@dataclass(frozen=True)
class Fold:
    """Output channels and input channels a cycle, the style of the multiply-accumulate array, and the engine.

    An unrolled layer has all its channels at once (:func:`unrolled`), and no style.
    """

    outputs: int = 1
    inputs: int = 1
    style: str = "planes"
    engine: Engine = "folded"

    @property
    def macs(self) -> int:
        """Channels out times channels in: multiply-accumulates a cycle of a folded layer."""
        return self.outputs * self.inputs


@dataclass(frozen=True)
class Folding:
    """The fold of each layer by name, the channels of the network's input that arrive in a cycle, and ``argmax``:
    whether the design gives the index of the largest output instead of all of them."""

    folds: Mapping[str, Fold] = field(default_factory=dict)
    input_lanes: int = 1
    argmax: bool = False

    def of(self, layer: QuantizedLayer) -> Fold:
        """The fold of a layer; one at a time for what is not named."""
        return self.folds.get(layer.name, Fold())

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        folds = {name: dataclasses.asdict(fold) for name, fold in sorted(self.folds.items())}
        return {"input_lanes": self.input_lanes, "folds": folds, "argmax": self.argmax}

    @classmethod
    def from_dict(cls, data: Any) -> Folding:
        """The folding of :meth:`to_dict`. Raises InputError naming what is wrong."""
        if not isinstance(data, dict) or not isinstance(data.get("folds"), dict) or set(data) != _KEYS:
            raise InputError("a folding has the fields input_lanes, folds and argmax")
        folds = {}
        for name, item in data["folds"].items():
            if not isinstance(item, dict) or set(item) - _FOLD_TYPES.keys():
                raise InputError(f"folding: {name!r} has other fields than {', '.join(_FOLD_TYPES)}")
            for key, value in item.items():
                if type(value) is not _FOLD_TYPES[key]:
                    raise InputError(f"folding: {name!r}: {key} can't be {value!r}")
            folds[str(name)] = Fold(**item)
        if type(data["input_lanes"]) is not int:
            raise InputError(f"folding: input_lanes can't be {data['input_lanes']!r}")
        if type(data["argmax"]) is not bool:
            raise InputError(f"folding: argmax can't be {data['argmax']!r}")
        return cls(folds, data["input_lanes"], data["argmax"])


_KEYS = {"input_lanes", "folds", "argmax"}
_FOLD_TYPES = {"outputs": int, "inputs": int, "style": str, "engine": str}


def serial_folding(network: QuantizedNetwork) -> Folding:
    """The smallest hardware: one multiply-accumulate a cycle in every layer."""
    return Folding({layer.name: Fold() for layer in network if is_folded(layer)})


def is_folded(layer: QuantizedLayer) -> bool:
    """Whether a layer has a fold of its own."""
    return layer.op in FOLDED_OPS or layer.op in CHANNEL_OPS


def unrolled(layer: QuantizedLayer) -> Fold:
    """The fold of a layer that handles a whole window position a cycle."""
    return Fold(layer.out_shape[-1], layer.in_shape[-1], "", "unrolled")


def can_unroll(layer: QuantizedLayer) -> bool:
    """Whether a layer can have the engine "unrolled"."""
    return layer.weight is not None and is_folded(layer) and layer.weight.values.size <= MAX_UNROLLED_WEIGHTS


def check_folding(network: QuantizedNetwork, folding: Folding) -> None:
    """Raises InputError if a fold is not one that its layer can have."""
    layers = {layer.name: layer for layer in network}
    for name, fold in folding.folds.items():
        layer = layers.get(name)
        if layer is None or not is_folded(layer):
            raise InputError(f"folding: there is no layer {name!r} with a fold of its own")
        _check_fold(layer, fold)
    if folding.argmax and len(network.output_shape) != 1:
        raise InputError(f"folding: the largest output is asked for, but outputs are of shape {network.output_shape}")
    if folding.input_lanes < 1 or network.input_shape[-1] % folding.input_lanes:
        raise InputError(
            f"folding: {folding.input_lanes} lanes do not divide the {network.input_shape[-1]} channels of the input"
        )


def _check_fold(layer: QuantizedLayer, fold: Fold) -> None:
    name = layer.name
    if fold.engine not in ENGINES:
        raise InputError(f"folding: {name}: unknown engine {fold.engine!r}, known: {', '.join(ENGINES)}")
    if fold.engine == "unrolled":
        if fold != unrolled(layer):
            raise InputError(f"folding: {name}: an unrolled layer has all its channels at once: {unrolled(layer)}")
        if layer.weight is None:
            raise InputError(f"folding: {name}: a layer without weights can't be unrolled")
        if not can_unroll(layer):
            raise InputError(
                f"folding: {name}: {layer.weight.values.size:,} weights are too many to unroll, at most "
                f"{MAX_UNROLLED_WEIGHTS:,}: fold it"
            )
        return
    if fold.style not in STYLES:
        raise InputError(f"folding: {name}: unknown style {fold.style!r}, known: {', '.join(STYLES)}")
    limits = (layer.out_shape[-1], layer.in_shape[-1] if layer.op in FOLDED_OPS else 1)
    for what, count, of in zip(("outputs", "inputs"), (fold.outputs, fold.inputs), limits, strict=True):
        if count < 1 or of % count:
            raise InputError(f"folding: {name}: {count} {what} a cycle do not divide its {of}")


def layer_cycles(layer: QuantizedLayer, fold: Fold) -> int:
    """Cycles a layer with a fold needs for one inference."""
    if fold.engine == "unrolled":
        return slots_of(layer)
    if layer.op in FOLDED_OPS:
        return layer.positions * (layer.out_shape[-1] // fold.outputs) * (layer.fan_in // fold.inputs)
    passes = layer.out_shape[-1] // fold.outputs
    if streams(layer):
        return math.prod(layer.in_shape[:-1]) * passes
    return layer.positions * math.prod(layer.kernel) * passes


def streams(layer: QuantizedLayer) -> bool:
    """Whether a layer pools windows that do not overlap: its hardware takes a beat a cycle and keeps no window."""
    if layer.op not in ("maxpool", "avgpool"):
        return False
    return len(layer.out_shape) == 1 or all(k <= s for k, s in zip(layer.kernel, layer.stride, strict=True))


def fold_options(layer: QuantizedLayer) -> list[Fold]:
    """Every fold a layer can have, styles apart; folded ones with as many input lanes as channels at most."""
    outputs = _divisors(layer.out_shape[-1])
    inputs = _divisors(layer.in_shape[-1]) if layer.op in FOLDED_OPS else [1]
    found = [Fold(p, s) for p in outputs for s in inputs]
    if can_unroll(layer):
        found.append(unrolled(layer))
    return found


def _divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]


def fold_cost(layer: QuantizedLayer, fold: Fold, width: int) -> float:
    """A rough number of LUTs of a folded layer, to rank folds by; ``width`` is that of its input.

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
    """The folded engines of least cost in which no layer needs more than ``interval`` cycles an inference.

    Raises InputError if a layer can't do that even at its widest.
    """
    from flow.rtl.schedule import schedule

    folds: dict[str, Fold] = {}
    for layer in network:
        if not is_folded(layer):
            continue
        width = network.format(layer.inputs[0]).width
        frame = math.prod(layer.in_shape)
        options = [fold for fold in fold_options(layer) if fold.engine == "folded"]
        fitting = [
            fold
            for fold in options
            if layer_cycles(layer, fold) <= interval
            and frame <= interval * (fold.inputs if layer.op in FOLDED_OPS else fold.outputs)
        ]
        if not fitting:
            raise InputError(
                f"{layer.name} can't finish an inference in {interval:,} cycles: it needs "
                f"{min(layer_cycles(layer, fold) for fold in options):,} at its widest"
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
