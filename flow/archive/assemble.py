"""From the steps of a model to its Network: the formats of all tensors, by interval arithmetic over formats.

A Network knows no weights, so sums are as wide as any weights of their format make them (``flow.network.network``);
``flow.network.quantized_assemble``, which builds hardware, looks at the weights and is never wider.

Parts of a model without quantizers have the precision that is given for floats: their weights, and, as hls4ml does it
with one precision for a whole model, the results of all their layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from flow.errors import InputError
from flow.estimate.features import weight_statistics
from flow.network.fixed import FixedFormat, WeightFormat, accumulator, smallest_format
from flow.network.network import Layer, Network, Op, WeightStatistics, sum_format, widest
from flow.network.quantized import QUANTIZE_OPS, Codes
from flow.network.quantized import WEIGHT_OPS as STEP_WEIGHT_OPS
from flow.network.quantized_assemble import Step
from flow.network.quantized_softmax import RESULT as SOFTMAX

Shape = tuple[int, ...]


class LayerProblem(InputError):
    """A step can't be part of a Network; ``source`` is the layer it comes from, ``str`` the reason."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(reason)
        self.source = source


def network_of(
    input_name: str,
    input_shape: Shape,
    input_format: FixedFormat,
    steps: Sequence[Step],
    floats: frozenset[str] = frozenset(),
    float_format: FixedFormat | None = None,
) -> Network:
    """The Network of ``steps``, which are in topological order, with what is known of their weights.

    ``floats``: layers with weights and without a quantizer, whose results get ``float_format``. Raises LayerProblem.
    """
    builder = _Builder(input_name, input_shape, input_format, steps, floats, float_format)
    for step in builder.steps:
        try:
            builder.add(step)
        except LayerProblem:
            raise
        except InputError as error:
            raise LayerProblem(step.source, str(error)) from error
    if not any(layer.weight is not None for layer in builder.layers):
        raise LayerProblem("model", "it has no dense layer and no convolution")
    return Network(input_shape, input_format, tuple(builder.layers))


class _Builder:
    def __init__(
        self, input_name: str, input_shape: Shape, input_format: FixedFormat, steps: Sequence[Step],
        floats: frozenset[str], float_format: FixedFormat | None,
    ) -> None:  # fmt: skip
        self.input_shape, self.input_format = input_shape, input_format
        self.steps = _joined(_without_power_of_two_padding(steps))
        self.float_format = float_format
        self.float_layers = floats
        self.index = {input_name: -1}
        self.floating: set[int] = set()
        self.consumers: dict[str, list[Step]] = {}
        for step in self.steps:
            for name in step.inputs:
                self.consumers.setdefault(name, []).append(step)
        self.layers: list[Layer] = []

    def shape(self, index: int) -> Shape:
        return self.input_shape if index < 0 else self.layers[index].out_shape

    def format(self, index: int) -> FixedFormat:
        return self.input_format if index < 0 else self.layers[index].output

    def add(self, step: Step) -> None:
        inputs = tuple(self.index[name] for name in step.inputs)
        shape, x = self.shape(inputs[0]), self.format(inputs[0])
        if (step.op == "reshape" and step.out_shape == shape) or (step.op == "pad" and not _pads(step)):
            self.index[step.name] = inputs[0]
            return
        layer = Layer(step.name, "activation", inputs, shape, step.out_shape, x, x)
        if step.op in STEP_WEIGHT_OPS:
            layer = self.weights(layer, step)
        elif step.op in QUANTIZE_OPS:
            layer = self.element(layer, step)
        else:
            make = _MAKERS.get(step.op)
            if make is None:
                raise InputError(f"there is no prediction for {step.op}")
            layer = make(self, layer, step)
        floating = step.source in self.float_layers or any(i in self.floating for i in inputs)
        if floating and step.format is None and step.op not in ("softmax", "concat", "maxpool", "reshape", "pad"):
            assert self.float_format is not None
            layer = replace(layer, output=self.float_format)
        if floating and step.format is None and step.op != "softmax":
            self.floating.add(len(self.layers))
        self.index[step.name] = len(self.layers)
        self.layers.append(layer)

    def weights(self, layer: Layer, step: Step) -> Layer:
        assert step.weight is not None
        weight, exponent = weight_format(step.weight)
        window = (1,) * (2 - len(step.kernel)) if step.op != "dense" else ()
        kernel, stride = ((*window, *step.kernel), (*window, *step.stride)) if step.op != "dense" else ((1, 1), (1, 1))
        shape = step.weight.values.shape
        fan_in = math.prod(shape[:-1])
        bias = None if step.bias is None else step.bias.format
        output = accumulator(layer.in_format, weight, fan_in, bias, exponent)
        op: Op = "conv2d" if step.op == "conv" else "dense" if step.op == "dense" else "depthwise"
        statistics = WeightStatistics(*weight_statistics(step.weight.values))
        return replace(
            layer, op=op, output=output, kernel=(kernel[0], kernel[1]), stride=(stride[0], stride[1]), fan_in=fan_in,
            weight=weight, bias=bias, scale_exponent=exponent, statistics=statistics,
        )  # fmt: skip

    def element(self, layer: Layer, step: Step) -> Layer:
        x, to = layer.in_format, step.format
        if to is None:  # a plain ReLU
            return replace(layer, output=smallest_format(0, max(x.high, 0), x.fraction))
        if x.fraction - to.fraction > x.width:
            raise InputError(f"it rounds all values of format {x} to 0")
        return replace(layer, op="table_activation" if step.op == "table" else "activation", output=to)

    def scale(self, layer: Layer, step: Step) -> Layer:
        assert step.weight is not None
        weight, exponent = weight_format(step.weight)
        bias = None if step.bias is None else step.bias.format
        return replace(layer, op="batchnorm", output=accumulator(layer.in_format, weight, 1, bias, exponent))

    def softmax(self, layer: Layer, step: Step) -> Layer:
        return replace(layer, op="softmax", output=SOFTMAX)

    def maxpool(self, layer: Layer, step: Step) -> Layer:
        if len(step.out_shape) == 1:
            return replace(layer, op="global_maxpool", kernel=_pair(step.kernel))
        return replace(layer, op="maxpool", kernel=_pair(step.kernel), stride=_pair(step.stride))

    def avgpool(self, layer: Layer, step: Step) -> Layer:
        """A mean keeps all bits of the sum where it is exact; else as many as the quantizers behind it need."""
        x, whole = layer.in_format, len(step.out_shape) == 1
        count = math.prod(step.kernel)
        exact = count & (count - 1) == 0 and not any(any(p) for p in step.padding)
        behind = [s.format for s in self.consumers.get(step.name, [])]
        extra, fraction = (count - 1).bit_length(), x.fraction
        if not exact and behind and all(f is not None for f in behind):
            fraction = max(fraction, *(f.fraction + 1 for f in behind if f is not None))
        output = FixedFormat(x.integer + fraction + extra, x.integer, x.signed)
        if whole:
            return replace(layer, op="global_avgpool", output=output, kernel=_pair(layer.in_shape[:-1]))
        return replace(layer, op="avgpool", output=output, kernel=_pair(step.kernel), stride=_pair(step.stride))

    def merge(self, layer: Layer, step: Step) -> Layer:
        a, b = (self.format(i) for i in layer.inputs)
        match step.op:
            case "add":
                output = sum_format(a, b)
            case "subtract":
                output = sum_format(a, _negated(b))
            case "average":
                total = sum_format(a, b)
                output = FixedFormat(total.width, total.integer - 1, total.signed)
            case _:
                output = widest([a, b])
        return replace(layer, op="add", output=output)

    def concat(self, layer: Layer, step: Step) -> Layer:
        return replace(layer, op="concat", output=widest([self.format(i) for i in layer.inputs]))

    def reshape(self, layer: Layer, step: Step) -> Layer:
        return replace(layer, op="flatten")

    def pad(self, layer: Layer, step: Step) -> Layer:
        return replace(layer, op="padding")


_MAKERS: Mapping[str, Callable[[_Builder, Layer, Step], Layer]] = {
    "scale": _Builder.scale, "softmax": _Builder.softmax, "maxpool": _Builder.maxpool, "avgpool": _Builder.avgpool,
    **dict.fromkeys(("add", "subtract", "average", "maximum", "minimum"), _Builder.merge),
    "concat": _Builder.concat, "reshape": _Builder.reshape, "pad": _Builder.pad,
}  # fmt: skip


def weight_format(codes: Codes) -> tuple[WeightFormat, int]:
    """The format of a layer's weights, and the power of two that scales them (0 for fixed-point weights).

    Unsigned weights are signed ones of a bit more.
    """
    found = codes.format
    if codes.kind != "fixed":
        return WeightFormat.parse(codes.kind), -found.fraction
    more = not found.signed
    return WeightFormat("fixed", found.width + more, found.integer + more), 0


def _negated(x: FixedFormat) -> FixedFormat:
    """The format of the negative of a value."""
    return smallest_format(-x.high, -x.low, x.fraction)


def _pads(step: Step) -> bool:
    return any(any(pair) for pair in step.padding)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    height, width = ((1,) * (2 - len(values)) + tuple(values))[-2:]
    return height, width


def _joined(steps: Sequence[Step]) -> list[Step]:
    """Concatenations of several tensors in one, as a Network has them; hls4ml takes them two by two."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if step.op == "concat" and last is not None and last.op == "concat" and last.source == step.source:
            merged[-1] = replace(step, inputs=(*last.inputs, *step.inputs[1:]))
        else:
            merged.append(step)
    return merged


def _without_power_of_two_padding(steps: Sequence[Step]) -> list[Step]:
    """Without the padding that the QKeras models of Networks have before a global average.

    ``flow.network.qkeras_model`` pads images to powers of two so that means are exact. In hardware that is no layer:
    a sum does not change by zeros. The sum is divided by the padded size all the same.
    """
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    dropped = {}
    for step in steps:
        behind = readers.get(step.name, [])
        if step.op != "pad" or len(behind) != 1 or behind[0].op != "avgpool" or len(behind[0].out_shape) != 1:
            continue
        inside = [n - sum(pair) for n, pair in zip(step.out_shape, step.padding, strict=False)]
        powers = [1 << max(n - 1, 0).bit_length() for n in inside]
        if all(before == 0 for before, _ in step.padding) and powers == list(step.out_shape[:-1]):
            dropped[step.name] = (step.inputs, tuple(inside))
    kept = []
    for step in steps:
        if step.name in dropped:
            continue
        if step.inputs[0] in dropped:
            step = replace(step, inputs=dropped[step.inputs[0]][0])
        kept.append(step)
    return kept
