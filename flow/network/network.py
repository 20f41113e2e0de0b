"""Network: a candidate's layers with shapes and fixed-point formats, without weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from flow.errors import InputError
from flow.network.fixed import (
    FixedFormat,
    WeightFormat,
    accumulator,
    bias_format,
    scale_exponent,
    smallest_format,
)

if TYPE_CHECKING:
    from flow.space.candidate import Candidate, LayerChoice

Op = Literal[
    "dense", "conv2d", "depthwise", "activation", "maxpool", "global_avgpool", "flatten", "add", "concat",
    "avgpool", "global_maxpool", "softmax", "table_activation", "batchnorm", "padding",
]  # fmt: skip
"""Candidates have those of the first line; models of users (``flow.archive``) the others, too."""
WEIGHT_OPS = ("dense", "conv2d", "depthwise")
OUTPUT_INTEGER_BITS = 3
"""Integer bits the biases of the output layer (logits) are given, as if an activation of that range followed."""


class InvalidCandidate(InputError):
    """The candidate breaks a validity rule; ``rule`` is a short name for counting, ``str`` the whole reason."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


@dataclass(frozen=True)
class WeightStatistics:
    """What a predictor may know of trained weights: the share that is not zero, the share of those whose product takes
    a multiplier, and the mean number of canonical signed digits of the others (``flow.estimate.features.Details``)."""

    density: float
    hard: float
    digits: float


@dataclass(frozen=True)
class Layer:
    """One operation. ``inputs`` are indices of layers before it, -1 is the network's input.

    Shapes are (height, width, channels), (width, channels) or (features,). ``output`` is the exact format of the
    result. For weight layers ``fan_in`` is the products summed per output and ``scale_exponent`` the power of two on
    the weights; ``statistics`` is what is known of them, which makes no other network of it.
    """

    name: str
    op: Op
    inputs: tuple[int, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    in_format: FixedFormat
    output: FixedFormat
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    fan_in: int = 0
    weight: WeightFormat | None = None
    bias: FixedFormat | None = None
    scale_exponent: int = 0
    statistics: WeightStatistics | None = field(default=None, compare=False)

    @property
    def positions(self) -> int:
        """Output positions: height times width for images, 1 for vectors."""
        return math.prod(self.out_shape[:-1])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.fan_in * math.prod(self.out_shape)

    @property
    def weight_count(self) -> int:
        """Weights, biases not counted."""
        return self.fan_in * self.out_shape[-1]


@dataclass(frozen=True)
class Network:
    """Layers in topological order; the last one gives the logits."""

    input_shape: tuple[int, ...]
    input_format: FixedFormat
    layers: tuple[Layer, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(
            la.weight_count + (la.out_shape[-1] if la.bias else 0) for la in self.layers if la.weight is not None
        )

    @property
    def weight_bits(self) -> int:
        """Bits of all weights, biases not counted."""
        return sum(la.weight_count * la.weight.width for la in self.layers if la.weight is not None)


def build_network(candidate: Candidate) -> Network:
    """The network of a candidate: "same" padding for convolutions, "valid" for pooling, exact accumulators.

    Raises InvalidCandidate with the rule that is broken.
    """
    return _Builder(candidate).build()


class _Builder:
    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.layers: list[Layer] = []
        self.block_ends: list[int] = []

    def shape(self, index: int) -> tuple[int, ...]:
        return self.candidate.input_shape if index < 0 else self.layers[index].out_shape

    def format(self, index: int) -> FixedFormat:
        return self.candidate.input_format if index < 0 else self.layers[index].output

    def add(
        self,
        name: str,
        op: Op,
        inputs: tuple[int, ...],
        out_shape: tuple[int, ...],
        output: FixedFormat,
        **more: object,
    ) -> int:
        in_shape, in_format = self.shape(inputs[0]), self.format(inputs[0])
        self.layers.append(Layer(name, op, inputs, in_shape, out_shape, in_format, output, **more))  # type: ignore[arg-type]
        return len(self.layers) - 1

    def build(self) -> Network:
        candidate, last = self.candidate, -1
        for number, choice in enumerate(candidate.layers):
            last = self.block(number, choice, last)
            self.block_ends.append(last)
        last = self.vector(last)
        self.weight_layer("output", "dense", last, candidate.classes, candidate.output_weight, OUTPUT_INTEGER_BITS)
        return Network(candidate.input_shape, candidate.input_format, tuple(self.layers))

    def vector(self, last: int) -> int:
        """An image becomes a vector before a dense layer, as the head says."""
        shape = self.shape(last)
        if len(shape) == 1:
            return last
        x = self.format(last)
        if self.candidate.head == "flatten":
            return self.add("flatten", "flatten", (last,), (math.prod(shape),), x)
        # Averages are taken over the image padded with zeros to powers of two: exact, and a shift in hardware.
        extra = sum((size - 1).bit_length() for size in shape[:2])
        output = FixedFormat(x.width + extra, x.integer, x.signed)
        return self.add("gap", "global_avgpool", (last,), (shape[2],), output, kernel=shape[:2])

    def block(self, number: int, choice: LayerChoice, last: int) -> int:
        name = f"{choice.kind}{number + 1}"
        if choice.activation.signed:
            raise InvalidCandidate("format", f"{name}: ReLU activations are unsigned, {choice.activation} is signed")
        if choice.kind == "dense":
            if choice.pool != 1 or choice.concat or choice.residual:
                raise InvalidCandidate("dense block", f"{name}: a dense layer takes no pooling and no skip connection")
            last = self.vector(last)
        elif len(self.shape(last)) != 3:
            raise InvalidCandidate("order", f"{name}: a convolution needs an image, not a vector")
        last = self.concat(name, choice, last)
        block_input = last
        last = self.weight_layer(
            name,
            choice.kind,
            last,
            choice.units,
            choice.weight,
            choice.activation.integer,
            choice.kernel,
            choice.stride,
        )
        last = self.add(f"{name}_relu", "activation", (last,), self.shape(last), choice.activation)
        if choice.residual:
            last = self.residual(name, block_input, last)
        return self.pool(name, choice.pool, last)

    def concat(self, name: str, choice: LayerChoice, last: int) -> int:
        sources = [last]
        for block in choice.concat:
            if block >= len(self.block_ends):
                raise InvalidCandidate("skip source", f"{name}: concat names block {block}, which is not before it")
            if self.block_ends[block] not in sources:
                sources.append(self.block_ends[block])
        if len(sources) == 1:
            return last
        shapes = [self.shape(s) for s in sources]
        if any(s[:-1] != shapes[0][:-1] for s in shapes):
            raise InvalidCandidate("skip shape", f"{name}: concatenated images differ in size: {shapes}")
        output = widest([self.format(s) for s in sources])
        channels = sum(s[-1] for s in shapes)
        return self.add(f"{name}_concat", "concat", tuple(sources), (*shapes[0][:-1], channels), output)

    def weight_layer(
        self,
        name: str,
        op: Op,
        last: int,
        units: int,
        weight: WeightFormat,
        out_integer: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
    ) -> int:
        shape, x = self.shape(last), self.format(last)
        out_shape: tuple[int, ...]
        if op == "dense":
            kernel = stride = (1, 1)
            out_shape, fan_in = (units,), shape[0]
        else:
            out_shape = (-(-shape[0] // stride[0]), -(-shape[1] // stride[1]), units or shape[2])
            fan_in = kernel[0] * kernel[1] * (shape[2] if op == "conv2d" else 1)
        exponent = scale_exponent(weight, fan_in)
        bias = bias_format(x, weight, out_integer, exponent)
        try:
            output = accumulator(x, weight, fan_in, bias, exponent)
        except InputError as error:
            raise InvalidCandidate("accumulator", f"{name}: {error}") from error
        return self.add(
            name,
            op,
            (last,),
            out_shape,
            output,
            kernel=kernel,
            stride=stride,
            fan_in=fan_in,
            weight=weight,
            bias=bias,
            scale_exponent=exponent,
        )

    def residual(self, name: str, source: int, last: int) -> int:
        if self.shape(source) != self.shape(last):
            raise InvalidCandidate(
                "residual shape", f"{name}: residual adds {self.shape(source)} to {self.shape(last)}"
            )
        return self.add(
            f"{name}_add", "add", (source, last), self.shape(last), sum_format(self.format(source), self.format(last))
        )

    def pool(self, name: str, size: int, last: int) -> int:
        if size == 1:
            return last
        height, width, channels = self.shape(last)
        if height < size or width < size:
            raise InvalidCandidate("pooling", f"{name}: pooling {size} on a {height}x{width} image")
        return self.add(
            f"{name}_pool",
            "maxpool",
            (last,),
            (height // size, width // size, channels),
            self.format(last),
            kernel=(size, size),
            stride=(size, size),
        )


def widest(formats: list[FixedFormat]) -> FixedFormat:
    """The smallest format that holds every value of all ``formats``."""
    signed = any(f.signed for f in formats)
    integer = max(f.integer + (signed and not f.signed) for f in formats)
    return FixedFormat(integer + max(f.fraction for f in formats), integer, signed)


def sum_format(a: FixedFormat, b: FixedFormat) -> FixedFormat:
    """The exact format of ``a + b``."""
    fraction = max(a.fraction, b.fraction)
    low, high = (
        (getattr(a, end) << (fraction - a.fraction)) + (getattr(b, end) << (fraction - b.fraction))
        for end in ("low", "high")
    )
    return smallest_format(low, high, fraction)
