"""Random QuantizedNetworks and foldings, made without a framework: functions of their seed.

Sizes are small: a width, an index or a counter that is wrong shows in small tensors as well as in large ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.rtl.folding import Fold, Folding, can_unroll, fold_options, is_folded, unrolled
from flow.rtl.mac import STYLES

T = TypeVar("T")
UNROLLED = 1 / 3
KINDS = ("dense", "conv", "depthwise", "pooling", "residual", "concat", "conv1d", "activations", "merges", "padding")


def random_network(seed: int, kind: str | None = None) -> QuantizedNetwork:
    """The network of a seed; kinds take turns if none is named."""
    return _Random(seed, kind or KINDS[seed % len(KINDS)]).build()


def random_folding(network: QuantizedNetwork, seed: int, most: int = 32) -> Folding:
    """A folding of at most ``most`` multiply-accumulates a cycle in each folded layer; some are unrolled."""
    rng = np.random.default_rng(seed)
    folds = {}
    for layer in network:
        if can_unroll(layer) and rng.random() < UNROLLED:
            folds[layer.name] = unrolled(layer)
        elif is_folded(layer):
            options = [fold for fold in fold_options(layer) if fold.engine == "folded" and fold.macs <= most]
            chosen = options[int(rng.integers(len(options)))]
            folds[layer.name] = Fold(chosen.outputs, chosen.inputs, list(STYLES)[int(rng.integers(len(STYLES)))])
    channels = network.input_shape[-1]
    lanes = [n for n in range(1, channels + 1) if channels % n == 0]
    return Folding(folds, lanes[int(rng.integers(len(lanes)))])


def random_codes(network: QuantizedNetwork, count: int, seed: int) -> NDArray[np.int64]:
    """Input codes, the extremes among them."""
    rng = np.random.default_rng(seed)
    of = network.input_format
    codes = rng.integers(of.low, of.high, size=(count, *network.input_shape), endpoint=True)
    codes[0], codes[-1] = of.low, of.high
    return codes


class _Random:
    def __init__(self, seed: int, kind: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind = kind
        self.steps: list[Step] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def add(self, op: Any, inputs: tuple[str, ...], shape: tuple[int, ...], **fields: Any) -> str:
        name = f"{op}_{len(self.steps)}"
        self.steps.append(Step(name=name, op=op, source=name, inputs=inputs, out_shape=shape, **fields))
        self.shapes[name] = shape
        return name

    def codes(self, shape: tuple[int, ...]) -> Codes:
        kind = self.pick(["fixed", "fixed", "fixed", "binary", "ternary"])
        if kind == "binary":
            return Codes(self.rng.choice([-1, 1], size=shape), FixedFormat(2, 2 - self.between(0, 2)), "binary")
        if kind == "ternary":
            return Codes(self.rng.integers(-1, 2, size=shape), FixedFormat(2, 2 - self.between(0, 2)), "ternary")
        of = FixedFormat(self.between(2, 8), 1)
        return Codes(self.rng.integers(of.low, of.high, size=shape, endpoint=True), of)

    def bias(self, channels: int) -> Codes | None:
        if self.rng.random() < 0.3:
            return None
        of = FixedFormat(self.between(3, 9), self.between(0, 4))
        return Codes(self.rng.integers(of.low, of.high, size=channels, endpoint=True), of)

    def weights(self, x: str, op: str, **fields: Any) -> str:
        shape = self.shapes[x]
        channels = self.between(1, 6) if op != "depthwise" else shape[-1]
        if op == "dense":
            return self.add("dense", (x,), (channels,), weight=self.codes((shape[0], channels)),
                            bias=self.bias(channels))  # fmt: skip
        kernel, stride, padding, out = self.window(shape)
        inner = (channels,) if op == "depthwise" else (shape[-1], channels)
        return self.add(op, (x,), (*out, channels), weight=self.codes((*kernel, *inner)), bias=self.bias(channels),
                        kernel=kernel, stride=stride, padding=padding, **fields)  # fmt: skip

    def window(self, shape: tuple[int, ...], *, same: bool | None = None) -> tuple[Any, Any, Any, tuple[int, ...]]:
        rank = len(shape) - 1
        kernel = tuple(self.between(1, min(3, n)) for n in shape[:-1])
        stride = tuple(self.pick([1, 1, 2, 3]) for _ in range(rank))
        padded = self.rng.random() < 0.5 if same is None else same
        if padded:
            out = tuple(-(-n // s) for n, s in zip(shape, stride, strict=False))
            totals = [max((o - 1) * s + k - n, 0) for n, k, s, o in zip(shape, kernel, stride, out, strict=False)]
            return kernel, stride, tuple((t // 2, t - t // 2) for t in totals), out
        out = tuple((n - k) // s + 1 for n, k, s in zip(shape, kernel, stride, strict=False))
        return kernel, stride, ((0, 0),) * rank, out

    def act(self, x: str, op: str | None = None) -> str:
        shape = self.shapes[x]
        bits = self.between(1, 6)
        rounding = self.pick(["half_even", "half_even", "toward_zero"])
        op = op or self.pick(["relu", "relu", "quantize", "clip", "sign", "ternary", "hard_tanh", "hard_sigmoid"])
        if op in ("relu", "hard_sigmoid"):
            integer = self.between(-1, 3) if op == "relu" else self.between(0, 1)
            of = FixedFormat(bits, integer, signed=False)
            return self.add(op, (x,), shape, format=of, rounding=rounding, saturation="clip")
        if op in ("quantize", "hard_tanh"):
            of = FixedFormat(bits + 1, self.between(1, 3) if op == "quantize" else 1)
            return self.add(op, (x,), shape, format=of, rounding=rounding,
                            saturation=self.pick(["clip", "symmetric"]))  # fmt: skip
        if op == "clip":
            of = FixedFormat(bits + 2, 2)
            return self.add(op, (x,), shape, format=of, rounding=rounding, saturation="clip", low=-1 - bits,
                            high=bits, shift=self.pick([None, 2, 3]) if bits else None)  # fmt: skip
        if op == "table":
            of = FixedFormat(bits + 1, 1)
            return self.add(op, (x,), shape, format=of, function=lambda v: np.clip(np.tanh(v), -1, 1 - 2.0**-bits))
        if op == "sign":
            return self.add(op, (x,), shape, format=FixedFormat(2, 2))
        return self.add(op, (x,), shape, format=FixedFormat(2, 2), threshold=float(self.pick([0.25, 0.5, 1.0])))

    def dense(self, x: str) -> str:
        shape = self.shapes[x]
        if len(shape) > 1:
            x = self.add("reshape", (x,), (math.prod(shape),))
        return self.weights(x, "dense")

    def pool(self, x: str, *, everything: bool = False) -> str:
        shape, op = self.shapes[x], self.pick(["maxpool", "avgpool"])
        if everything:
            return self.add(op, (x,), shape[-1:])
        kernel, stride, padding, out = self.window(shape)
        return self.add(op, (x,), (*out, shape[-1]), kernel=kernel, stride=stride, padding=padding)

    def build(self) -> QuantizedNetwork:
        of = self.pick([FixedFormat(8, 0, signed=False), FixedFormat(self.between(2, 8), 2), FixedFormat(1, 1, False)])
        shape: tuple[int, ...] = (self.between(4, 7), self.between(4, 7), self.between(1, 4))
        if self.kind in ("dense", "activations"):
            shape = (self.between(2, 12),)
        elif self.kind == "conv1d":
            shape = (self.between(5, 9), self.between(1, 4))
        self.shapes["net_input"] = shape
        make: Callable[[str], str] = getattr(self, f"make_{self.kind}")
        make("net_input")
        return assemble("net_input", shape, of, self.steps)

    def make_dense(self, x: str) -> str:
        return self.dense(self.act(self.dense(self.act(self.dense(x)))))

    def make_activations(self, x: str) -> str:
        for op in ("table", "clip", "hard_tanh"):
            x = self.act(self.dense(x), op)
        return self.dense(x)

    def make_conv(self, x: str) -> str:
        x = self.act(self.weights(x, "conv"))
        x = self.act(self.weights(x, "conv"))
        return self.dense(x)

    def make_conv1d(self, x: str) -> str:
        x = self.act(self.weights(x, "conv"), "relu")
        x = self.pool(x)
        return self.dense(self.act(x))

    def make_depthwise(self, x: str) -> str:
        x = self.act(self.weights(x, "depthwise"))
        x = self.act(self.weights(x, "conv"), "relu")
        return self.act(self.pool(x, everything=True), "relu")

    def make_pooling(self, x: str) -> str:
        x = self.act(self.weights(x, "conv"))
        x = self.act(self.pool(x), "quantize")
        return self.dense(self.act(self.pool(x)))

    def same_conv(self, x: str, channels: int) -> str:
        shape = self.shapes[x]
        kernel = (self.between(1, 3), self.between(1, 3))
        padding = tuple(((k - 1) // 2, k - 1 - (k - 1) // 2) for k in kernel)
        return self.add("conv", (x,), (*shape[:-1], channels), weight=self.codes((*kernel, shape[-1], channels)),
                        bias=self.bias(channels), kernel=kernel, stride=(1, 1), padding=padding)  # fmt: skip

    def make_residual(self, x: str) -> str:
        x = self.act(self.weights(x, "conv"), "relu")
        y = self.act(self.same_conv(x, self.shapes[x][-1]), "relu")
        z = self.act(self.same_conv(y, self.shapes[x][-1]), "quantize")
        x = self.act(self.add("add", (x, z), self.shapes[x]), "relu")
        return self.dense(x)

    def make_concat(self, x: str) -> str:
        y = self.act(self.same_conv(x, self.between(1, 4)))
        both = self.add("concat", (x, y), (*self.shapes[x][:-1], self.shapes[x][-1] + self.shapes[y][-1]))
        return self.weights(both, "conv")

    def make_merges(self, x: str) -> str:
        channels = self.shapes[x][-1]
        for op in ("subtract", "maximum", "average", self.pick(["multiply", "minimum"])):
            y = self.act(self.same_conv(x, channels), "quantize")
            x = self.act(self.add(op, (x, y), self.shapes[x]), "quantize")
        return x

    def make_padding(self, x: str) -> str:
        shape = self.shapes[x]
        pads = ((self.between(0, 2), self.between(0, 2)), (self.between(0, 2), self.between(0, 2)))
        x = self.act(self.same_conv(x, self.between(1, 4)))
        out = (*(n + sum(p) for n, p in zip(shape, pads, strict=False)), self.shapes[x][-1])
        x = self.add("pad", (x,), out, padding=pads)
        scale = Codes(self.rng.integers(-7, 8, size=out[-1]), FixedFormat(4, 1))
        x = self.add("scale", (x,), out, weight=scale, bias=self.bias(out[-1]))
        return self.weights(self.act(x), "conv")
