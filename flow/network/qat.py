"""Quantization-aware training of a Network as one function of one vector: the forward pass and its gradients.

A weight layer has latent weights ``w``, and per output channel a gain ``g`` and an offset ``b``. Its kernel is
``g * w / |w|`` (weight normalization, arXiv:1602.07868) rounded to the layer's weight format; what comes out is made
free of its mean over the batch before ``b`` is added (mean-only batch normalization, same paper). The mean is a
constant in the last part of training and in hardware, where it is part of the bias: nothing is left to be folded, and
what is trained is what is built. Rounding has straight-through gradients, 0 outside the range of the format
(arXiv:1602.02830).

Everything is written in ``keras.ops`` and runs on TensorFlow and JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network
from flow.network.reference import LayerCodes, weight_shape, weight_step

TEMPERATURE_RATE = 0.2
"""How fast the temperature of the softmax is learnt, against weights. Logits have few bits and a range given by their
format; a factor the hardware doesn't need lets the loss become small all the same."""

_SMALLEST = 0.3
"""Standard deviation of the weights at the start, at least, in steps of their format: one in ten is not rounded to 0
then. Behind two layers of zeros nothing would ever learn."""
_TINY = 1e-8

FloatArray = NDArray[np.float32]
WeightLayer = Callable[[int, Layer, Any], Any]


class QatNetwork:
    """The parameters of a network in one vector, and the functions of it that training needs."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = [layer for layer in network if layer.weight is not None]
        self.shapes: list[tuple[int, ...]] = []
        for layer in self.layers:
            self.shapes += [weight_shape(layer), layer.out_shape[-1:], layer.out_shape[-1:]]
        self.shapes.append((1,))  # logarithm of the temperature
        self.ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1].tolist()
        ends = np.cumsum([0, *(layer.out_shape[-1] for layer in self.layers)]).tolist()
        self.channels = [slice(a, b) for a, b in pairwise(ends)]

    def initial(self, rng: np.random.Generator, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(parameters, means) for a start: channels of mean 0 and standard deviation 1 on the samples ``x``.

        That is the data-dependent initialization of arXiv:1602.07868. Kernels of coarse formats are made larger, so
        that some weights are not rounded to 0.
        """
        from keras import ops

        parameters: list[Any] = []
        means: list[Any] = []

        def weight_layer(index: int, layer: Layer, inputs: Any) -> Any:
            w = ops.convert_to_tensor(
                (rng.standard_normal(weight_shape(layer)) / math.sqrt(layer.fan_in)).astype(np.float32)
            )
            unit = _kernel(layer, w, ops.ones(layer.out_shape[-1:]))
            out = _linear(layer, inputs, unit)
            axes = tuple(range(len(out.shape) - 1))
            # A channel that never changes keeps the gain it would have with inputs of variance 1.
            spread = ops.std(out, axis=axes)
            gain = ops.where(spread > 1e-3, 1.0 / ops.maximum(spread, 1e-3), 1.0)
            gain = ops.maximum(gain, _SMALLEST * weight_step(layer) * math.sqrt(layer.fan_in))
            out = _linear(layer, inputs, rounded_kernel(layer, _kernel(layer, w, gain)))
            mean = ops.mean(out, axis=axes)
            parameters.extend([w, gain, ops.zeros_like(gain)])
            means.append(mean)
            return out - mean

        _walk(self.network, ops.convert_to_tensor(x), weight_layer)
        flat = [ops.convert_to_numpy(p).ravel() for p in parameters]
        start = np.concatenate([*flat, np.zeros(1, np.float32)]).astype(np.float32)
        return start, np.concatenate([ops.convert_to_numpy(m) for m in means]).astype(np.float32)

    def training_logits(self, parameters: Any, means: Any, frozen: Any, x: Any) -> tuple[Any, Any]:
        """(logits over temperature, means of this batch) for inputs ``x``; with ``frozen``, ``means`` are used."""
        from keras import ops

        parts = self.split(parameters)
        known = [means[part] for part in self.channels]
        found: list[Any] = []

        def weight_layer(index: int, layer: Layer, inputs: Any) -> Any:
            w, gain, offset = parts[3 * index : 3 * index + 3]
            out = _linear(layer, inputs, rounded_kernel(layer, _kernel(layer, w, gain)))
            mean = ops.mean(out, axis=tuple(range(len(out.shape) - 1)))
            found.append(ops.stop_gradient(mean))
            return out + rounded_bias(layer, offset - ops.where(frozen, known[index], mean))

        logits = _walk(self.network, x, weight_layer)
        return logits * ops.exp(TEMPERATURE_RATE * parts[-1]), ops.concatenate(found)

    def codes(self, parameters: FloatArray, means: FloatArray) -> dict[str, LayerCodes]:
        """The integers that trained parameters stand for."""
        from keras import ops

        parts = self.split(ops.convert_to_tensor(parameters))
        known = [means[part] for part in self.channels]
        codes = {}
        for index, layer in enumerate(self.layers):
            assert layer.bias is not None
            w, gain, offset = parts[3 * index : 3 * index + 3]
            weight = _weight_codes(layer, _kernel(layer, w, gain))
            bias = _bias_codes(layer.bias, offset - ops.convert_to_tensor(known[index]))
            codes[layer.name] = LayerCodes(*(ops.convert_to_numpy(v).astype(np.int64) for v in (weight, bias)))
        return codes

    def split(self, parameters: Any) -> list[Any]:
        """The parameters one by one: ``w``, ``g``, ``b`` of each weight layer, then the temperature's logarithm."""
        from keras import ops

        parts = ops.split(parameters, self.ends)
        return [ops.reshape(part, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def _walk(network: Network, x: Any, weight_layer: WeightLayer) -> Any:
    """The result of the last layer; ``weight_layer`` makes those of weight layers."""
    from keras import ops

    results: list[Any] = []
    count = 0
    for layer in network:
        inputs = [x if i < 0 else results[i] for i in layer.inputs]
        if layer.weight is not None:
            result = weight_layer(count, layer, inputs[0])
            count += 1
        else:
            match layer.op:
                case "activation":
                    result = rounded_relu(layer.output, inputs[0])
                case "maxpool":
                    result = ops.max_pool(inputs[0], layer.kernel, layer.stride, "valid", "channels_last")
                case "global_avgpool":
                    count_bits = layer.output.fraction - layer.in_format.fraction
                    result = ops.sum(inputs[0], axis=(1, 2)) * 2.0**-count_bits
                case "flatten":
                    result = ops.reshape(inputs[0], (-1, *layer.out_shape))
                case "add":
                    result = inputs[0] + inputs[1]
                case _:
                    result = ops.concatenate(inputs, axis=-1)
        results.append(result)
    return results[-1]


def _linear(layer: Layer, x: Any, kernel: Any) -> Any:
    from keras import ops

    if layer.op == "dense":
        return ops.matmul(x, kernel)
    convolution = ops.conv if layer.op == "conv2d" else ops.depthwise_conv
    return convolution(x, kernel, layer.stride, "same", "channels_last")


def _kernel(layer: Layer, w: Any, gain: Any) -> Any:
    """``gain * w / |w|`` per output channel."""
    from keras import ops

    axes = (0, 1) if layer.op == "depthwise" else tuple(range(len(w.shape) - 1))
    norm = ops.sqrt(ops.sum(w * w, axis=axes, keepdims=True) + _TINY)
    return w / norm * (ops.reshape(gain, (1, 1, -1, 1)) if layer.op == "depthwise" else gain)


def _weight_codes(layer: Layer, kernel: Any) -> Any:
    from keras import ops

    weight = layer.weight
    assert weight is not None
    scaled = kernel / weight_step(layer)
    if weight.kind == "binary":
        return ops.where(scaled >= 0, 1.0, -1.0)
    return ops.clip(ops.round(scaled), weight.low, weight.high)


def _bias_codes(to: FixedFormat, bias: Any) -> Any:
    from keras import ops

    return ops.clip(ops.round(bias / to.step), to.low, to.high)


def _straight_through(value: Any, low: float, high: float, rounded: Any) -> Any:
    """``rounded`` with the gradient of ``value`` where that is within ``low`` and ``high``, else 0."""
    from keras import ops

    within = ops.clip(value, low, high)
    return within + ops.stop_gradient(rounded - within)


def rounded_kernel(layer: Layer, kernel: Any) -> Any:
    """A kernel on the grid of the layer's weights."""
    assert layer.weight is not None
    step = weight_step(layer)
    return _straight_through(
        kernel, layer.weight.low * step, layer.weight.high * step, _weight_codes(layer, kernel) * step
    )


def rounded_bias(layer: Layer, bias: Any) -> Any:
    """Biases on the grid of the layer's biases."""
    to = layer.bias
    assert to is not None
    return _straight_through(bias, to.low * to.step, to.high * to.step, _bias_codes(to, bias) * to.step)


def rounded_relu(to: FixedFormat, x: Any) -> Any:
    """ReLU rounded to ``to``, as QKeras' quantized_relu."""
    from keras import ops

    high = to.high * to.step
    return _straight_through(x, 0.0, high, ops.clip(ops.round(x / to.step), 0, to.high) * to.step)
