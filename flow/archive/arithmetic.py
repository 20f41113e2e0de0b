"""What QKeras' quantizers compute, in numpy: the same values, with the scales they find from weights.

Sources: the ``__call__`` of each quantizer in qkeras-v3 1.2.1, ``qkeras/quantizers.py``. All of it is float32, as
there; each function returns the quantized values and the scale, None where every value has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError

Floats = NDArray[np.float32]
Result = tuple[Floats, Floats | None]

EPSILON = np.float32(1e-7)
"""``keras.config.epsilon()``, unless it was changed."""
ROUNDS = 5
"""Iterations in which a scale is fitted."""
_LOG2 = np.float32(np.log(2.0))


def quantize(kind: str, q: Any, values: Floats) -> Result:
    """``values`` as quantizer ``q`` of class ``kind`` makes them. Raises InputError for what QKeras fails on."""
    with np.errstate(all="ignore"):  # what is not finite in the end is refused by whoever asked
        return _QUANTIZERS[kind](q, values.astype(np.float32))


def _axes(x: Floats) -> tuple[int, ...]:
    """The axes a scale is taken over: all but the channels."""
    return tuple(range(max(x.ndim - 1, 0)))


def _power_of_two(scale: Floats) -> Floats:
    """The power of two nearest to a scale, on a logarithmic axis."""
    exponent: Floats = np.rint(np.log(scale + EPSILON) / _LOG2)
    return np.exp2(exponent)


def _least_squares(x: Floats, q: Floats, power_of_two: bool) -> Floats:
    """The scale that makes ``scale * q`` nearest to ``x``, by channel; of vectors by element."""
    qx: Any
    qq: Any
    if x.ndim > 1:
        qx = np.mean(x * q, axis=_axes(x), keepdims=True, dtype=np.float32)
        qq = np.mean(q * q, axis=_axes(x), keepdims=True, dtype=np.float32)
    else:
        qx, qq = x * q, q * q
    scale: Floats = np.asarray(qx / (qq + EPSILON), dtype=np.float32)
    return _power_of_two(scale) if power_of_two else scale


def _sign(x: Floats) -> Floats:
    """-1 or 1, and 1 for 0."""
    return np.where(x < 0, np.float32(-1), np.float32(1))


def _constant(alpha: Any) -> Floats:
    return np.asarray(1.0 if alpha is None else alpha, dtype=np.float32)


def _largest(x: Floats, axes: tuple[int, ...]) -> Floats:
    largest: Floats = np.max(np.abs(x), axis=axes, keepdims=True).astype(np.float32)
    return largest


def _bits(q: Any, x: Floats) -> Result:
    unsigned = q.bits - bool(q.keep_negative)
    m, m_i = np.float32(2.0**unsigned), np.float32(2.0**q.integer)
    if isinstance(q.alpha, str):
        return _bits_auto(q, x, m, m_i)
    scale = _constant(q.alpha)
    if unsigned > 0:
        low = -m + np.float32(bool(q.symmetric)) if q.keep_negative else np.float32(0)
        xq = m_i * np.clip(np.rint(x * m / m_i), low, m - 1) / m
    else:
        xq = _sign(x) if q.keep_negative else (_sign(x) + 1) / np.float32(2)
    return scale * xq, scale


def _bits_auto(q: Any, x: Floats, m: Floats | np.float32, m_i: Floats | np.float32) -> Result:
    levels = np.float32((2 ** (q.bits - 1) - 1) * 2)
    half = levels / np.float32(2)
    x = x / m_i
    frozen = q.post_training_scale

    def codes(scale: Floats) -> Floats:
        v = np.floor(np.abs(x) / scale + np.float32(0.5))
        return np.sign(x) * np.where(v < half, v, half)

    if frozen is not None:
        scale = np.asarray(frozen, dtype=np.float32) / m
    else:
        scale = (_largest(x, _axes(x) if x.ndim > 1 else (0,)) * 2) / levels
        if q.alpha == "auto_po2":
            scale = _power_of_two(scale)
            for _ in range(ROUNDS):
                scale = _least_squares(x, codes(scale), True)
    z = codes(scale)
    scale = (scale * m).astype(np.float32)
    kept = scale if frozen is None else np.asarray(frozen, dtype=np.float32)
    return scale * (m_i * z / m), kept


def _linear(q: Any, x: Floats) -> Result:
    sign = q.bits == 1 and bool(q.keep_negative)
    shift = np.float32(0.5 if sign else 0)
    unsigned = np.float32(2.0 ** (q.bits - bool(q.keep_negative)))
    low = -shift if sign else np.float32(bool(q.keep_negative)) * (-unsigned + np.float32(bool(q.symmetric)))
    high = shift if sign else unsigned - np.float32(1)
    data_scale = np.float32(2.0 ** (q.integer - q.bits + bool(q.keep_negative)))

    def codes(scale: Floats) -> Floats:
        rounded: Floats = np.rint(np.clip(x / scale, low, high) - shift) + shift
        return rounded

    if not isinstance(q.alpha, str):
        scale = (_constant(q.alpha) * data_scale).astype(np.float32)
        return codes(scale) * scale, scale
    if q.keep_negative:
        scale = _largest(x, _axes(x)) * 2 / (high - low)
    else:
        scale = np.max(x, axis=_axes(x), keepdims=True) / (high - low)
    scale = np.maximum(scale, EPSILON).astype(np.float32)
    if q.alpha == "auto_po2":
        scale, last = _power_of_two(scale), None
        for _ in range(1 if sign else ROUNDS):
            if last is not None and np.array_equal(last, scale):
                break
            last, scale = scale, _least_squares(x, codes(scale), True)
    return codes(scale) * scale, scale


def _binary(q: Any, x: Floats) -> Result:
    sign = _sign(x)
    if q.use_01:
        sign = (sign + 1) / np.float32(2)
    if isinstance(q.alpha, str):
        scale = _least_squares(x, sign, q.alpha == "auto_po2")
    else:
        scale = _constant(q.alpha)
    return scale * sign, scale


def _ternary(q: Any, x: Floats) -> Result:
    if not isinstance(q.alpha, str):
        threshold = np.float32(q.default_threshold if q.threshold is None else q.threshold)
        scale = _constant(q.alpha)
        return scale * np.where(np.abs(x) >= threshold, np.sign(x), np.float32(0)), scale
    if q.threshold is not None:
        raise InputError(f"QKeras has no ternary(alpha={q.alpha!r}) with a threshold")
    po2 = q.alpha == "auto_po2"
    axes = _axes(x) if x.ndim > 1 else tuple(range(x.ndim))
    scale = np.float32(2) * _largest(x, axes) / np.float32(3)
    scale = _power_of_two(scale) if po2 else scale
    signs = np.zeros_like(x)
    for _ in range(q.number_of_unrolls):
        v = scale * np.rint(x / scale)
        signs = np.where(np.abs(v) >= scale / np.float32(2), np.sign(x), np.float32(0))
        scale = _least_squares(x, signs, po2)
    return scale * signs, scale


def _po2(q: Any, x: Floats) -> Result:
    exponents = _exponents(q, np.abs(x), q.bits - 1 - _exponent_sign(q.max_value))
    return _sign(x) * np.exp2(exponents), None


def _relu_po2(q: Any, x: Floats) -> Result:
    bits = q.bits - _exponent_sign(q.max_value)
    slope = np.float32(q.negative_slope)
    above = np.exp2(_exponents(q, np.maximum(x, 0), bits))
    if slope == 0:
        return above, None
    below = -np.exp2(_exponents(q, np.maximum(-x, 0) * slope, bits))
    return np.where(x >= 0, above, below), None


def _exponent_sign(max_value: float | None) -> int:
    return int(max_value is None or max_value > 1)


def _exponents(q: Any, x: Floats, bits: int) -> Floats:
    """Exponents of the powers of two nearest to ``x`` >= 0, of ``bits`` bits and a sign."""
    low, high = -(2.0**bits), 2.0**bits - 1
    if q.quadratic_approximation:
        high = 2 * (high // 2)
    kept = np.maximum(x, EPSILON)
    if q.max_value is not None:
        kept = np.minimum(kept, np.float32(q.max_value))
    logarithm = np.log(np.sqrt(kept) if q.quadratic_approximation else kept) / _LOG2
    whole = np.floor(logarithm) if q.log2_rounding == "floor" else np.rint(logarithm)
    factor = np.float32(2 if q.quadratic_approximation else 1)
    clipped = factor * np.clip(whole, np.float32(low), np.float32(high))
    return np.where(x < EPSILON, np.float32(low), clipped).astype(np.float32)


def _relu(q: Any, x: Floats) -> Result:
    slope = np.float32(q.negative_slope)
    m, m_i = np.float32(2.0 ** (q.bits - (slope != 0))), np.float32(2.0**q.integer)
    p = x * m / m_i
    xq = m_i * np.clip(np.rint(p) / m, np.float32(0), 1 - 1 / m)
    if slope > 0:
        xq = xq + m_i * slope * np.clip(np.rint(p * slope) / (slope * m), np.float32(-1), np.float32(0))
    return xq, np.asarray(1.0, dtype=np.float32)


def _hard_sigmoid(x: Floats) -> Floats:
    clipped: Floats = np.clip(np.float32(0.5) * x + np.float32(0.5), 0, 1)
    return clipped


def _sigmoid(q: Any, x: Floats) -> Result:
    m = np.float32(2.0**q.bits)
    p = np.float32(1) / (np.float32(1) + np.exp(-x)) if q.use_real_sigmoid else _hard_sigmoid(x)
    return np.clip(np.rint(p * m) / m, np.float32(bool(q.symmetric)) / m, 1 - 1 / m), None


def _tanh(q: Any, x: Floats) -> Result:
    m = np.float32(2.0 ** (q.bits - 1))
    p = np.tanh(x) if q.use_real_tanh else np.float32(2) * _hard_sigmoid(x) - np.float32(1)
    return np.clip(np.rint(p * m) / m, -1 + np.float32(bool(q.symmetric)) / m, 1 - 1 / m), None


_QUANTIZERS: dict[str, Callable[[Any, Floats], Result]] = {
    "quantized_bits": _bits, "quantized_linear": _linear, "binary": _binary, "ternary": _ternary,
    "quantized_po2": _po2, "quantized_relu_po2": _relu_po2, "quantized_relu": _relu,
    "quantized_tanh": _tanh, "quantized_sigmoid": _sigmoid,
}  # fmt: skip
