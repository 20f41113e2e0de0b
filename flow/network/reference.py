"""What a Network computes, in integers, given the codes of its weights; no framework.

This takes the formats from the Network, while :mod:`flow.network.quantized` finds them by reading a trained model: that
both and QKeras agree on every bit is what the tests check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LayerCodes:
    """The integers of one weight layer.

    ``weight``: (in, out) for dense, (height, width, in, out) for conv2d, (height, width, channels, 1) for depthwise;
    a code stands for ``code * weight_step(layer)``. ``bias``: (out,), codes of ``layer.bias``.
    """

    weight: IntArray
    bias: IntArray


NetworkCodes = Mapping[str, LayerCodes]
"""The integers of a network by layer name."""


def weight_step(layer: Layer) -> float:
    """The value of one unit of a weight code, the scale of binary and ternary weights included."""
    assert layer.weight is not None
    return 2.0 ** (layer.scale_exponent - layer.weight.fraction)


def weight_shape(layer: Layer) -> tuple[int, ...]:
    """The shape of a weight layer's codes; see :class:`LayerCodes`."""
    if layer.op == "dense":
        return layer.in_shape[0], layer.out_shape[0]
    channels = layer.in_shape[2]
    return (*layer.kernel, channels, layer.out_shape[2] if layer.op == "conv2d" else 1)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a dimension for "same" padding: the odd one comes after (TensorFlow's rule)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def check_codes(network: Network, codes: NetworkCodes) -> None:
    """Raises InputError naming the layer whose codes are missing, of a wrong shape or outside their format."""
    for layer in network:
        if layer.weight is None:
            continue
        assert layer.bias is not None
        if layer.name not in codes:
            raise InputError(f"{layer.name}: its weights are missing")
        found = codes[layer.name]
        for what, values, shape, low, high in (
            ("weights", found.weight, weight_shape(layer), layer.weight.low, layer.weight.high),
            ("biases", found.bias, layer.out_shape[-1:], layer.bias.low, layer.bias.high),
        ):
            if values.shape != shape:
                raise InputError(f"{layer.name}: {what} have shape {values.shape}, not {shape}")
            if values.dtype.kind not in "iu":
                raise InputError(f"{layer.name}: {what} are {values.dtype}, not integer codes")
            if values.min() < low or values.max() > high:
                raise InputError(f"{layer.name}: {what} {values.min()} to {values.max()} are not in {low} to {high}")
        if layer.weight.kind == "binary" and not found.weight.all():
            raise InputError(f"{layer.name}: binary weights are -1 and 1, not 0")


def integer_forward(network: Network, codes: NetworkCodes, x: IntArray) -> dict[str, IntArray]:
    """Codes of every layer's output, by name, for input codes of shape (n, *input_shape).

    Sums are exact; activations round to the nearest code, ties to even, and saturate. Raises InputError for codes
    that are not what the network says.
    """
    check_codes(network, codes)
    x = np.asarray(x)
    low, high = network.input_format.low, network.input_format.high
    if x.dtype.kind not in "iu" or x.shape[1:] != network.input_shape or x.min() < low or x.max() > high:
        raise InputError(
            f"expected integers {low} to {high} of shape (n, {network.input_shape}), found {x.dtype} {x.shape}"
        )
    results: list[IntArray] = []
    for layer in network:
        sources = [x.astype(np.int64) if i < 0 else results[i] for i in layer.inputs]
        formats = [network.input_format if i < 0 else network.layers[i].output for i in layer.inputs]
        results.append(_layer(layer, sources, formats, codes))
    return {layer.name: result for layer, result in zip(network, results, strict=True)}


def _layer(layer: Layer, x: Sequence[IntArray], formats: Sequence[FixedFormat], codes: NetworkCodes) -> IntArray:
    match layer.op:
        case "dense" | "conv2d" | "depthwise":
            return _weights(layer, x[0], formats[0], codes[layer.name])
        case "activation":
            return round_shift(np.maximum(x[0], 0), formats[0].fraction - layer.output.fraction, layer.output)
        case "maxpool":
            return np.asarray(_windows(x[0], layer.kernel, layer.stride).max(axis=(3, 4)))
        case "global_avgpool":  # the divisor, a power of two, is in the format
            return np.asarray(x[0].sum(axis=(1, 2)))
        case "flatten":
            return x[0].reshape(len(x[0]), -1)
    aligned = [_align(v, f.fraction, layer.output.fraction) for v, f in zip(x, formats, strict=True)]
    return aligned[0] + aligned[1] if layer.op == "add" else np.concatenate(aligned, axis=-1)


def _weights(layer: Layer, x: IntArray, form: FixedFormat, found: LayerCodes) -> IntArray:
    assert layer.weight is not None
    assert layer.bias is not None
    if layer.op == "dense":
        sums = x @ found.weight
    else:
        sizes = zip(x.shape[1:3], layer.kernel, layer.stride, strict=True)
        x = np.pad(x, [(0, 0), *(same_padding(*s) for s in sizes), (0, 0)])
        windows = _windows(x, layer.kernel, layer.stride)
        if layer.op == "conv2d":
            sums = np.tensordot(windows, found.weight, axes=((3, 4, 5), (0, 1, 2)))
        else:
            sums = (windows * found.weight[..., 0]).sum(axis=(3, 4))
    products = form.fraction + layer.weight.fraction - layer.scale_exponent
    fraction = layer.output.fraction
    return _align(sums, products, fraction) + _align(found.bias, layer.bias.fraction, fraction)


def _windows(x: IntArray, kernel: tuple[int, int], stride: tuple[int, int]) -> IntArray:
    """(n, rows, columns, *kernel, channels): what each output position sees of the images (n, h, w, channels)."""
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    return np.asarray(np.moveaxis(seen[:, :: stride[0], :: stride[1]], 3, -1))


def _align(values: IntArray, fraction: int, to: int) -> IntArray:
    assert to >= fraction, "sums keep every fraction bit"
    return values << (to - fraction)


def round_shift(values: IntArray, bits: int, to: FixedFormat) -> IntArray:
    """``values / 2**bits`` to the nearest integer, ties to even, clipped to the codes of ``to``."""
    if bits <= 0:
        # Clipped before the shift: beyond the format nothing must overflow.
        return np.asarray(np.clip(np.clip(values, to.low, to.high) << -bits, to.low, to.high))
    half = np.int64(1) << (bits - 1)
    floor = values >> bits
    rest = values - (floor << bits)
    up = (rest > half) | ((rest == half) & (floor & 1 == 1))
    return np.asarray(np.clip(floor + up, to.low, to.high))
