"""QuantizedNetwork: a trained network as integers, free of any framework.

It is the single truth that QKeras, hls4ml projects and generated RTL are checked against: weights and biases as
codes, the exact format of every tensor, and where and how values are rounded and limited. A value is
``code * 2**-format.fraction`` (:mod:`flow.network.fixed`). Arithmetic is exact unless a layer says otherwise.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat

IntArray = NDArray[np.int64]

Op = Literal[
    "dense", "conv", "depthwise", "scale",
    "quantize", "relu", "clip", "hard_tanh", "hard_sigmoid", "sign", "ternary", "table", "softmax",
    "maxpool", "avgpool", "add", "subtract", "multiply", "average", "maximum", "minimum", "concat",
    "reshape", "pad",
]  # fmt: skip
OPS: tuple[Op, ...] = get_args(Op)
WEIGHT_OPS = ("dense", "conv", "depthwise")
"""Layers with a matrix of weights: those that have a strategy and a reuse factor in HLS."""
QUANTIZE_OPS = ("quantize", "relu", "clip", "hard_tanh", "hard_sigmoid", "sign", "ternary", "table")
"""Layers that work on each element and give it a format that does not depend on what comes in."""
MERGE_OPS = ("add", "subtract", "multiply", "average", "maximum", "minimum", "concat")

Rounding = Literal["exact", "half_even", "toward_zero"]
"""How a result that is finer than its format is rounded: never needed, to the nearest (ties to even), or cut off."""
Saturation = Literal["none", "clip", "symmetric"]
"""What happens outside the format: never needed, clipped to it, or clipped to it without its lowest code."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A constant tensor as integers, read-only. ``kind`` tells binary {-1, 1} and ternary {-1, 0, 1} codes apart.

    Raises InputError if a code is outside ``format``.
    """

    values: IntArray
    format: FixedFormat
    kind: Literal["fixed", "binary", "ternary"] = "fixed"

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.int64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        if values.size and (int(values.min()) < self.format.low or int(values.max()) > self.format.high):
            raise InputError(f"codes {values.min()} to {values.max()} are outside {self.format}")
        if self.kind not in ("fixed", "binary", "ternary"):
            raise InputError(f"unknown kind of codes {self.kind!r}")
        if self.kind != "fixed" and values.size and int(np.abs(values).max()) > 1:
            raise InputError(f"{self.kind} codes are -1, 0 and 1")

    def reals(self) -> NDArray[np.float64]:
        """The values the codes stand for; exact, as codes have at most 53 significant bits."""
        return np.ldexp(self.values.astype(np.float64), -self.format.fraction)


def check_name(name: str) -> None:
    """Raises InputError unless ``name`` is an identifier: names of layers reach C++, Tcl and file names."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        raise InputError(f"layer name {name!r} is not made of letters, digits and underscores only")


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """One operation. ``inputs`` are indices of layers before it, -1 is the network's input.

    Shapes are without the batch: (features,), (width, channels) or (height, width, channels).

    - ``output``: the format of the result; ``accumulator``: that of the sum behind it (weight and pooling layers).
    - ``weight``: (in, out) for dense, (*kernel, in, out) for conv, (*kernel, channels) for depthwise, (channels,) for
      scale. ``bias``: (out,), or None for none.
    - ``kernel``, ``stride``, ``padding`` (before and after), per spatial dimension. Pooling over everything has an
      ``out_shape`` of one dimension.
    - ``low`` and ``high``: codes of ``output`` that clip limits to; codes of the input at and beyond which ternary
      gives -1 and 1; the range of input codes that ``table`` covers, others take its first or last entry.
    - ``shift``: clip multiplies negative inputs by ``2**-shift``, or gives ``low`` <= 0 for them if it is None.
    - ``table``: what each input code from ``low`` to ``high`` becomes.
    """

    name: str
    op: Op
    inputs: tuple[int, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    output: FixedFormat
    source: str
    rounding: Rounding = "exact"
    saturation: Saturation = "none"
    accumulator: FixedFormat | None = None
    weight: Codes | None = None
    bias: Codes | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    low: int | None = None
    high: int | None = None
    shift: int | None = None
    table: Codes | None = None

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def fan_in(self) -> int:
        """Products per output value of a weight layer, 0 for others."""
        if self.weight is None or self.op not in WEIGHT_OPS:
            return 0
        shape = self.weight.values.shape
        return math.prod(shape[:-1])

    @property
    def positions(self) -> int:
        """Output positions: height times width for images, width for sequences, 1 for vectors."""
        return math.prod(self.out_shape[:-1])


@dataclass(frozen=True)
class Inexact:
    """A layer where QKeras computes something else than the integers, and by how much at most.

    ``bound`` is in units of the layer's output value, before later layers amplify it; None if nothing is known.
    """

    layer: str
    reason: str
    bound: float | None

    def __str__(self) -> str:
        by = "by an unknown amount" if self.bound is None else f"by at most {self.bound:.3g}"
        return f"{self.layer}: QKeras differs {by}: {self.reason}"


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """Layers in topological order; the last one is the output. Equal networks have equal digests.

    ``inexact`` names the layers where QKeras' own float32 arithmetic, or an approximation in hardware, keeps
    QKeras and the integers from agreeing on every bit; empty means that they do.
    """

    input_name: str
    input_shape: tuple[int, ...]
    input_format: FixedFormat
    layers: tuple[QuantizedLayer, ...]
    inexact: tuple[Inexact, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.input_name)
        if not self.layers:
            raise InputError("a network needs at least one layer")
        for index, layer in enumerate(self.layers):
            if not all(-1 <= i < index for i in layer.inputs) or not layer.inputs:
                raise InputError(f"{layer.name}: inputs {layer.inputs} are not layers before it")
            if self.shape(layer.inputs[0]) != layer.in_shape:
                raise InputError(
                    f"{layer.name}: its input has shape {self.shape(layer.inputs[0])}, not {layer.in_shape}"
                )
        names = [self.input_name, *(layer.name for layer in self.layers)]
        if len(set(names)) != len(names):
            raise InputError("two layers have the same name")

    def __iter__(self) -> Iterator[QuantizedLayer]:
        return iter(self.layers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantizedNetwork) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of a layer's result, -1 for the network's input."""
        return self.input_shape if index < 0 else self.layers[index].out_shape

    def format(self, index: int) -> FixedFormat:
        """The format of a layer's result, -1 for the network's input."""
        return self.input_format if index < 0 else self.layers[index].output

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the network's result."""
        return self.layers[-1].out_shape

    @property
    def output_format(self) -> FixedFormat:
        """The format of the network's result."""
        return self.layers[-1].output

    @property
    def weight_layers(self) -> tuple[QuantizedLayer, ...]:
        """The layers with a matrix of weights."""
        return tuple(layer for layer in self.layers if layer.op in WEIGHT_OPS)

    @cached_property
    def digest(self) -> str:
        """Content digest: the first 16 hex digits of SHA-256 over the canonical JSON and all codes."""
        from flow.network.quantized_io import arrays_of, canonical_json

        sha = hashlib.sha256(canonical_json(self).encode())
        for name, codes in arrays_of(self).items():
            sha.update(f"{name}{codes.values.shape}".encode())
            sha.update(np.ascontiguousarray(codes.values, dtype="<i8").tobytes())
        return sha.hexdigest()[:16]
