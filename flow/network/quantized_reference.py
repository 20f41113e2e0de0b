"""The integer reference: what a QuantizedNetwork computes, in numpy, bit for bit.

Everything is exact 64-bit integer arithmetic. Large matrix products run in float64, which is exact and uses BLAS,
where no partial sum can reach 2**53.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import IntArray, QuantizedLayer, QuantizedNetwork, Rounding, Saturation

MAX_BITS = 62
"""Widest format whose arithmetic is certain to stay within int64."""


def encode(values: NDArray[Any], to: FixedFormat) -> IntArray:
    """The codes nearest to ``values`` (ties to even), clipped to the format. NaN raises InputError."""
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**to.fraction)
    if np.isnan(scaled).any():
        raise InputError("NaN has no fixed-point code")
    return np.clip(scaled, to.low, to.high).astype(np.int64)


def decode(codes: IntArray, of: FixedFormat) -> NDArray[np.float64]:
    """The values of codes; exact up to 53 significant bits."""
    return np.ldexp(codes.astype(np.float64), -of.fraction)


def forward(network: QuantizedNetwork, codes: IntArray) -> IntArray:
    """The codes of the network's output for input codes of shape (n, *input_shape). Raises InputError."""
    return trace(network, codes)[-1]


def trace(network: QuantizedNetwork, codes: IntArray) -> list[IntArray]:
    """The codes of every layer's output, in the order of the layers. Raises InputError for a wrong input."""
    x = np.asarray(codes)
    if x.dtype.kind not in "iu" or x.shape[1:] != network.input_shape:
        raise InputError(f"expected integer codes of shape (n, {network.input_shape}), found {x.dtype} {x.shape}")
    if x.size and (x.min() < network.input_format.low or x.max() > network.input_format.high):
        raise InputError(f"input codes {x.min()} to {x.max()} are outside {network.input_format}")
    results: list[IntArray] = []
    for layer in network:
        sources = [x.astype(np.int64) if i < 0 else results[i] for i in layer.inputs]
        formats = [network.format(i) for i in layer.inputs]
        try:
            results.append(_FUNCTIONS[layer.op](layer, sources, formats))
        except InputError as error:
            raise InputError(f"{layer.name}: {error}") from error
    return results


# Rounding and saturation


def shift_right(values: IntArray, bits: int, rounding: Rounding) -> IntArray:
    """``values / 2**bits``, rounded; a negative ``bits`` multiplies. "exact" expects that nothing is lost."""
    if bits <= 0:
        return values << -bits
    if bits > MAX_BITS:
        return np.zeros_like(values)  # |values| < 2**62, so less than half a unit is left
    quotient = values >> bits
    rest = values - (quotient << bits)
    if rounding == "half_even":
        half = 1 << (bits - 1)
        up: IntArray = quotient + ((rest > half) | ((rest == half) & ((quotient & 1) == 1)))
        return up
    if rounding == "toward_zero":
        return quotient + ((rest > 0) & (quotient < 0))
    if rest.any():
        raise InputError("its result has fewer fraction bits than its values, but it is said to be exact")
    return quotient


def requantize(
    values: IntArray, fraction: int, to: FixedFormat, rounding: Rounding, saturation: Saturation
) -> IntArray:
    """Codes with ``fraction`` fraction bits as codes of ``to``."""
    bits = fraction - to.fraction
    low, high = to.low + (saturation == "symmetric"), to.high
    if bits < 0 and saturation != "none":  # what is multiplied could overflow: limit it before
        values = np.clip(values, (low >> -bits) - 1, (high >> -bits) + 1)
    result = shift_right(values, bits, rounding)
    return result if saturation == "none" else np.clip(result, low, high)


def _finish(layer: QuantizedLayer, values: IntArray, fraction: int) -> IntArray:
    return requantize(values, fraction, layer.output, layer.rounding, layer.saturation)


# Weights


def _matmul(x: IntArray, w: IntArray) -> IntArray:
    largest = int(np.abs(x).max(initial=0)) * int(np.abs(w).sum(axis=0).max(initial=0))
    if largest < 1 << 53:
        return np.asarray(x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
    return x @ w


def _windows(x: IntArray, layer: QuantizedLayer, fill: int) -> IntArray:
    """(n, *positions, *kernel, channels): what each output position sees; ``fill`` outside the image."""
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), *layer.padding, (0, 0)], constant_values=fill)
    axes = tuple(range(1, rank + 1))
    seen = np.lib.stride_tricks.sliding_window_view(x, layer.kernel, axis=axes)
    steps = tuple(slice(None, None, s) for s in layer.stride)
    seen = seen[(slice(None), *steps)]
    # (n, *positions, channels, *kernel) -> (n, *positions, *kernel, channels)
    return np.moveaxis(seen, rank + 1, -1)


def _weights(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    weight, source = layer.weight, x[0]
    assert weight is not None
    if layer.op == "dense":
        sums = _matmul(source, weight.values)
    elif layer.op == "scale":
        sums = source * weight.values
    else:
        windows = _windows(source, layer, 0)
        positions, rank = windows.shape[: source.ndim - 1], len(layer.kernel)
        if layer.op == "conv":
            kernel = weight.values.reshape(-1, weight.values.shape[-1])
            flat = windows.reshape(-1, kernel.shape[0])
            sums = _matmul(flat, kernel).reshape(*positions, -1)
        else:
            axes = tuple(range(len(positions), len(positions) + rank))
            sums = (windows * weight.values).sum(axis=axes)
    fraction = formats[0].fraction + weight.format.fraction
    if layer.bias is not None:
        common = max(fraction, layer.bias.format.fraction)
        sums = (sums << (common - fraction)) + (layer.bias.values << (common - layer.bias.format.fraction))
        fraction = common
    return _finish(layer, sums, fraction)


# Element by element


def _quantize(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    return _finish(layer, x[0], formats[0].fraction)


def _relu(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    return _finish(layer, np.maximum(x[0], 0), formats[0].fraction)


def _clip(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    assert layer.low is not None
    assert layer.high is not None
    fraction = formats[0].fraction
    positive = _finish(layer, np.maximum(x[0], 0), fraction)
    negative: IntArray = np.zeros_like(positive)
    if layer.shift is not None:
        negative = _finish(layer, np.minimum(x[0], 0), fraction + layer.shift)
    result: IntArray = np.clip(positive + negative, layer.low, layer.high)
    return result


def _hard(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    # clip(x / 2 + 1 / 2, 0, 1) with one more fraction bit, at least one for the 1 / 2
    fraction = max(formats[0].fraction + 1, 1)
    one = 1 << fraction
    half = np.clip(x[0] << (fraction - formats[0].fraction - 1), -one, one) + one // 2
    sigmoid = np.clip(half, 0, one)
    return _finish(layer, 2 * sigmoid - one if layer.op == "hard_tanh" else sigmoid, fraction)


def _sign(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    return np.where(x[0] >= 0, np.int64(1), np.int64(-1))


def _ternary(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    assert layer.low is not None
    assert layer.high is not None
    result: IntArray = (x[0] >= layer.high).astype(np.int64) - (x[0] <= layer.low)
    return result


def _table(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    assert layer.table is not None
    assert layer.low is not None
    assert layer.high is not None
    result: IntArray = layer.table.values[np.clip(x[0], layer.low, layer.high) - layer.low]
    return result


def _softmax(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    from flow.network.quantized_softmax import softmax_codes

    result: IntArray = softmax_codes(x[0], formats[0], layer.output)
    return result


# Pooling


def _pool_windows(layer: QuantizedLayer, x: IntArray, fill: int) -> IntArray:
    """(n, *out_shape without channels, window, channels)."""
    if len(layer.out_shape) == 1:
        return x.reshape(x.shape[0], -1, x.shape[-1])
    windows = _windows(x, layer, fill)
    return windows.reshape(*windows.shape[: x.ndim - 1], -1, x.shape[-1])


def _maxpool(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    result: IntArray = _pool_windows(layer, x[0], formats[0].low).max(axis=-2)
    return result


def _avgpool(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    """The sum over the part of the window inside the image, divided by its size, cut off towards zero."""
    sums = _pool_windows(layer, x[0], 0).sum(axis=-2) << (layer.output.fraction - formats[0].fraction)
    counts = _pool_windows(layer, np.ones_like(x[0][:1]), 0).sum(axis=-2)
    result: IntArray = np.sign(sums) * (np.abs(sums) // counts)
    return result


# Several inputs, and none of the values changed


def _merge(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    if layer.op == "multiply":
        return _finish(layer, x[0] * x[1], formats[0].fraction + formats[1].fraction)
    fraction = layer.output.fraction
    a, b = (v << (fraction - f.fraction) for v, f in zip(x, formats, strict=True))
    result: IntArray
    match layer.op:
        case "add":
            result = a + b
        case "subtract":
            result = a - b
        case "average":
            result = (a + b) >> 1  # the output has the fraction bit that this needs
        case "maximum":
            result = np.maximum(a, b)
        case "minimum":
            result = np.minimum(a, b)
        case _:
            result = np.concatenate([a, b], axis=-1)
    return result


def _reshape(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    return x[0].reshape(x[0].shape[0], *layer.out_shape)


def _pad(layer: QuantizedLayer, x: list[IntArray], formats: list[FixedFormat]) -> IntArray:
    return np.pad(x[0], [(0, 0), *layer.padding, (0, 0)])


_Function = Callable[[QuantizedLayer, list[IntArray], list[FixedFormat]], IntArray]
_FUNCTIONS: dict[str, _Function] = {
    "dense": _weights, "conv": _weights, "depthwise": _weights, "scale": _weights,
    "quantize": _quantize, "relu": _relu, "clip": _clip, "hard_tanh": _hard, "hard_sigmoid": _hard,
    "sign": _sign, "ternary": _ternary, "table": _table, "softmax": _softmax,
    "maxpool": _maxpool, "avgpool": _avgpool, "reshape": _reshape, "pad": _pad,
    **dict.fromkeys(("add", "subtract", "multiply", "average", "maximum", "minimum", "concat"), _merge),
}  # fmt: skip
