"""Layers of QKeras and Keras as steps with integer constants, one function a kind of layer.

What is read is the layer in memory, not its saved configuration: QKeras drops arguments there
(``quantized_relu(is_quantized_clip=...)``, ``binary(scale_axis=...)``). ``flow.archive`` makes stand-ins of the layers
in a file, with numpy arrays for variables: for those no framework is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import MERGE_OPS, Codes, Op
from flow.network.quantized_activations import activation_fields
from flow.network.quantized_assemble import Step
from flow.network.quantized_weights import WeightReading, kind_of, read_weight

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A layer in its place: the names of the steps it reads, shapes without the batch, and the format for floats."""

    layer: Any
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    float_format: FixedFormat | None

    @property
    def name(self) -> str:
        return str(self.layer.name)

    def step(self, op: Op, **fields: Any) -> Step:
        """A step named as the layer, reading its inputs."""
        return Step(
            **{
                "name": self.name,
                "op": op,
                "source": self.name,
                "inputs": self.inputs,
                "out_shape": self.out_shape,
                **fields,
            }
        )


def read_layer(call: Call) -> list[Step]:
    """The steps of one layer, in order; the last one gives its result, none means that it changes nothing.

    Raises InputError with the reason if the layer can't be expressed in integers.
    """
    kind = type(call.layer).__name__
    module = type(call.layer).__module__
    if kind not in READERS or not module.startswith(("keras.", "qkeras.")):
        raise InputError(f"layers of class {kind} are not supported")
    return READERS[kind](call)


def _with_activation(call: Call, steps: list[Step]) -> list[Step]:
    activation = getattr(call.layer, "activation", None)
    fields = activation_fields(activation)
    if fields is None:
        return steps
    name = f"{call.name}_{kind_of(activation)}"
    return [*steps, Step(name=name, source=call.name, inputs=(steps[-1].name,), out_shape=call.out_shape, **fields)]


# Weights


def _read(call: Call, kernel: str, values: Any | None = None, bias: Any | None = None) -> dict[str, Any]:
    """The fields for a kernel and bias: ``kernel`` is the prefix of the layer's quantizer."""
    layer = call.layer
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        raise InputError("Keras' own quantization and LoRA are not supported")
    weight = read_weight(getattr(layer, f"{kernel}_quantizer_internal", None), values, call.float_format)
    found: dict[str, Any] = {"weight": weight.codes, "deviation": weight.deviation}
    if bias is not None:
        reading = read_weight(getattr(layer, "bias_quantizer_internal", None), bias, call.float_format)
        found |= {"bias": _bias(reading), "deviation": max(weight.deviation, reading.deviation)}
    return found


def _bias(reading: WeightReading) -> Codes | None:
    return reading.codes if reading.codes.values.any() else None


def _numbers(variable: Any) -> Any:
    if isinstance(variable, np.ndarray):
        return variable
    from keras import ops

    return ops.convert_to_numpy(variable)


def _kernel_and_bias(layer: Any, kernel: str) -> tuple[Any, Any | None]:
    """Float kernel and bias as the quantizers see them: with the batch normalization folded in where there is one."""
    if hasattr(layer, "batchnorm"):
        folded, bias = layer.get_folded_weights()
        return _numbers(folded), _numbers(bias)
    values = _numbers(getattr(layer, kernel, None) if getattr(layer, kernel, None) is not None else layer.kernel)
    return values, _numbers(layer.bias) if layer.use_bias else None


def _dense(call: Call) -> list[Step]:
    values, bias = _kernel_and_bias(call.layer, "kernel")
    fields = _read(call, "kernel", values, bias)
    rank = len(call.out_shape) - 1
    if rank == 0:
        return _with_activation(call, [call.step("dense", **fields)])
    # A dense layer over images is a 1x1 convolution.
    weight: Codes = fields["weight"]
    fields["weight"] = replace(weight, values=weight.values.reshape((1,) * rank + weight.values.shape))
    ones = (1,) * rank
    return _with_activation(call, [call.step("conv", kernel=ones, stride=ones, padding=((0, 0),) * rank, **fields)])


def _check_window(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise InputError("only data_format='channels_last' is supported")
    if any(d != 1 for d in _tuple(getattr(layer, "dilation_rate", 1))):
        raise InputError(f"dilation {layer.dilation_rate} is not supported")
    if getattr(layer, "depth_multiplier", 1) != 1:
        raise InputError(
            f"depth multiplier {layer.depth_multiplier} is not supported: "
            "hls4ml's depthwise product has one filter a channel"
        )
    if getattr(layer, "groups", 1) != 1:
        raise InputError(f"{layer.groups} groups are not supported: hls4ml has convolutions of one group only")


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, Sequence) else (int(value),)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one dimension with padding="same" (TensorFlow's rule: the odd one comes after)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _window(layer: Any, in_shape: Shape, kernel: Any, stride: Any) -> dict[str, Any]:
    rank = len(in_shape) - 1
    sizes, steps = _tuple(kernel) * (1 if isinstance(kernel, Sequence) else rank), _tuple(stride)
    steps = steps if len(steps) == rank else steps * rank
    padding = str(layer.padding).lower()
    if padding == "same":
        pads = tuple(same_padding(n, k, s) for n, k, s in zip(in_shape, sizes, steps, strict=False))
    elif padding == "causal":
        pads = ((sizes[0] - 1, 0),)
    elif padding == "valid":
        pads = ((0, 0),) * rank
    else:
        raise InputError(f"padding {layer.padding!r} is not supported")
    return {"kernel": sizes, "stride": steps, "padding": pads}


def _conv(call: Call) -> list[Step]:
    layer = call.layer
    _check_window(layer)
    values, bias = _kernel_and_bias(layer, "kernel")
    fields = _read(call, "kernel", values, bias)
    mask = getattr(layer, "_mask", None)
    if mask is not None:
        weight: Codes = fields["weight"]
        keep = np.broadcast_to(_numbers(mask), weight.values.shape)
        if not np.isin(keep, (0, 1)).all():
            raise InputError("kernel masks must be made of 0 and 1")
        fields["weight"] = Codes(weight.values * keep.astype(np.int64), weight.format, "fixed")
    window = _window(layer, call.in_shapes[0], layer.kernel_size, layer.strides)
    return _with_activation(call, [call.step("conv", **fields, **window)])


def _flat_depthwise(codes: Codes) -> Codes:
    """Without the last dimension, the depth multiplier of 1."""
    return replace(codes, values=codes.values[..., 0])


def _depthwise(call: Call) -> list[Step]:
    layer = call.layer
    _check_window(layer)
    values, bias = _kernel_and_bias(layer, "depthwise_kernel")
    fields = _read(call, "depthwise", values, bias)
    fields["weight"] = _flat_depthwise(fields["weight"])
    window = _window(layer, call.in_shapes[0], layer.kernel_size, layer.strides)
    return _with_activation(call, [call.step("depthwise", **fields, **window)])


def _separable(call: Call) -> list[Step]:
    layer = call.layer
    _check_window(layer)
    rank = len(call.out_shape) - 1
    # QKeras hands its 1D kernels to the quantizers with a height of 1.
    height = (None,) if rank == 1 else ()
    first = _read(call, "depthwise", _numbers(layer.depthwise_kernel)[height])
    weight: Codes = first["weight"]
    first["weight"] = _flat_depthwise(replace(weight, values=weight.values[0] if rank == 1 else weight.values))
    bias = _numbers(layer.bias) if layer.use_bias else None
    second = _read(call, "pointwise", _numbers(layer.pointwise_kernel)[height], bias)
    weight = second["weight"]
    second["weight"] = replace(weight, values=weight.values[0] if rank == 1 else weight.values)
    window = _window(layer, call.in_shapes[0], layer.kernel_size, layer.strides)
    ones = (1,) * rank
    between = (*call.out_shape[:-1], call.in_shapes[0][-1])
    depthwise = call.step("depthwise", **first, **window)
    depthwise = replace(depthwise, name=f"{call.name}_depthwise", out_shape=between)
    pointwise = call.step("conv", **second, kernel=ones, stride=ones, padding=((0, 0),) * rank)
    pointwise = replace(pointwise, name=f"{call.name}_pointwise", inputs=(depthwise.name,))
    return _with_activation(call, [depthwise, pointwise])


def _batch_norm(call: Call) -> list[Step]:
    layer = call.layer
    rank = len(call.out_shape)
    if layer.axis not in (-1, rank, [rank], [-1]):
        raise InputError("batch normalization is supported over the last axis only")
    gamma = _numbers(layer.gamma) if layer.scale else np.float32(1)
    beta = _numbers(layer.beta) if layer.center else np.float32(0)
    mean, variance = _numbers(layer.moving_mean), _numbers(layer.moving_variance)
    inverse_quantizer = None
    if type(layer).__name__ == "QBatchNormalization":
        gamma = _quantized(layer.gamma_quantizer_internal, gamma) if layer.scale else gamma
        beta = _quantized(layer.beta_quantizer_internal, beta) if layer.center else beta
        mean = _quantized(layer.mean_quantizer_internal, mean)
        variance = _quantized(layer.variance_quantizer_internal, variance)
        inverse_quantizer = layer.inverse_quantizer_internal
    inverse = np.float32(1) / np.sqrt(variance + np.float32(layer.epsilon), dtype=np.float32) * gamma
    scale = read_weight(inverse_quantizer, inverse, call.float_format)
    offset = np.float32(beta) - np.float32(mean) * scale.codes.reals().astype(np.float32)
    bias = read_weight(None, offset, call.float_format, free_bits=22)
    deviation = max(scale.deviation, bias.deviation)
    return [call.step("scale", weight=scale.codes, bias=_bias(bias), deviation=deviation)]


def _quantized(quantizer: Any, values: Any) -> Any:
    if quantizer is None:
        return values
    return read_weight(quantizer, values, None).codes.reals().astype(np.float32)


# Element by element


def _activation(call: Call) -> list[Step]:
    fields = activation_fields(call.layer.activation)
    return [] if fields is None else [call.step(**fields)]


def _relu(call: Call) -> list[Step]:
    layer = call.layer
    if layer.max_value is not None or layer.negative_slope != 0 or layer.threshold != 0:
        raise InputError("ReLU with max_value, negative_slope or threshold is not supported: use quantized_relu")
    return [call.step("relu")]


def _softmax(call: Call) -> list[Step]:
    if call.layer.axis not in (-1, len(call.out_shape)):
        raise InputError("softmax is supported over the last axis only")
    return [call.step("softmax")]


def _nothing(call: Call) -> list[Step]:
    return [call.step("reshape")]


# Pooling, shapes, several inputs


def _pool(op: Op) -> Callable[[Call], list[Step]]:
    def read(call: Call) -> list[Step]:
        layer = call.layer
        _check_window(layer)
        if len(call.out_shape) == 1:
            spatial = call.in_shapes[0][:-1]
            fields: dict[str, Any] = {"kernel": spatial, "stride": spatial, "padding": ((0, 0),) * len(spatial)}
        elif len(call.out_shape) == len(call.in_shapes[0]) and not hasattr(layer, "pool_size"):
            raise InputError("global pooling with keepdims=True is not supported")
        else:
            fields = _window(layer, call.in_shapes[0], layer.pool_size, layer.strides)
        quantizer = getattr(layer, "average_quantizer_internal", None)
        if quantizer is not None:
            count = float(np.prod(fields["kernel"]))
            factor = _quantized(quantizer, np.float32(1 / count))
            if float(factor) * count != 1.0:
                raise InputError(
                    f"average_quantizer makes 1/{count:g} {float(factor):g}: supported only where it is exact"
                )
        return _with_activation(call, [call.step(op, **fields)])

    return read


def _shape(call: Call) -> list[Step]:
    return [call.step("reshape")]


def _pad(call: Call) -> list[Step]:
    layer = call.layer
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise InputError("only data_format='channels_last' is supported")
    padding = layer.padding
    pairs = (padding,) if len(call.in_shapes[0]) == 2 else padding
    return [call.step("pad", padding=tuple((int(a), int(b)) for a, b in pairs))]


def _merge(op: Op) -> Callable[[Call], list[Step]]:
    def read(call: Call) -> list[Step]:
        shapes, inputs = call.in_shapes, call.inputs
        if op == "concat":
            if call.layer.axis not in (-1, len(call.out_shape)):
                raise InputError("concatenation is supported along the last axis only")
        elif any(s != shapes[0] for s in shapes):
            raise InputError(f"inputs of different shapes {shapes} are not supported: nothing is broadcast")
        if len(inputs) < 2 or (len(inputs) > 2 and op in ("average", "subtract")):
            raise InputError(f"{op} of {len(inputs)} inputs is not supported")
        # hls4ml merges two tensors at a time.
        steps, left, channels = [], inputs[0], shapes[0][-1]
        for number, right in enumerate(inputs[1:], start=1):
            name = call.name if number == len(inputs) - 1 else f"{call.name}_{number}"
            channels += shapes[number][-1] if op == "concat" else 0
            steps.append(call.step(op, name=name, inputs=(left, right), out_shape=(*call.out_shape[:-1], channels)))
            left = name
        return steps

    return read


READERS: dict[str, Callable[[Call], list[Step]]] = {
    **dict.fromkeys(("QDense", "QDenseBatchnorm", "Dense"), _dense),
    **dict.fromkeys(("QConv1D", "QConv2D", "QConv2DBatchnorm", "Conv1D", "Conv2D"), _conv),
    **dict.fromkeys(("QDepthwiseConv2D", "QDepthwiseConv2DBatchnorm", "DepthwiseConv1D", "DepthwiseConv2D"),
                    _depthwise),
    **dict.fromkeys(("QSeparableConv1D", "QSeparableConv2D", "SeparableConv1D", "SeparableConv2D"), _separable),
    **dict.fromkeys(("QBatchNormalization", "BatchNormalization"), _batch_norm),
    **dict.fromkeys(("QActivation", "Activation"), _activation),
    "ReLU": _relu,
    "Softmax": _softmax,
    **dict.fromkeys(("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "AlphaDropout",
                     "GaussianNoise", "ActivityRegularization"), _nothing),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D"), _pool("maxpool")),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
                     "QAveragePooling2D", "QGlobalAveragePooling2D"), _pool("avgpool")),
    **dict.fromkeys(("Flatten", "Reshape"), _shape),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _pad),
    **{("Concatenate" if op == "concat" else op.capitalize()): _merge(op) for op in MERGE_OPS},  # type: ignore[arg-type]
}  # fmt: skip
