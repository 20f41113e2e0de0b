"""Weights of QKeras and Keras layers as integer codes.

QKeras keeps float weights and rounds them on every call. What it rounds to is read by calling the quantizer itself,
so that scales found from the data (``alpha='auto_po2'``) are those that QKeras uses, and is then put on the grid that
the quantizer's parameters define. Sources: qkeras-v3 1.2.1, ``qkeras/quantizers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat, smallest_format
from flow.network.quantized import Codes

MAX_WEIGHT_BITS = 24
"""Widest weights accepted: float32 has 24 bits, and nothing wider comes out of a quantizer that means fixed point."""

_SNAP = 1e-3
"""Largest distance from the grid, in steps, that is taken for float32 rounding and not for another grid."""


@dataclass(frozen=True)
class WeightReading:
    """A constant as codes, and how far QKeras' float32 values are from them at most (in values, 0 if they agree)."""

    codes: Codes
    deviation: float


def read_weight(quantizer: Any, values: Any, float_format: FixedFormat | None, free_bits: int = 15) -> WeightReading:
    """What ``quantizer`` (None for none) makes of the float ``values``, as codes.

    Without a quantizer the values must lie on a grid of ``free_bits`` bits and a sign by themselves, or they are
    rounded to ``float_format``. Raises InputError with the reason if they can't become integers.
    """
    raw = np.asarray(values, dtype=np.float32)
    if not np.isfinite(raw).all():
        raise InputError("its weights contain infinite or NaN values")
    if quantizer is None:
        return _unquantized(raw, float_format, free_bits)
    check_quantizer(quantizer)
    if getattr(quantizer, "qnoise_factor", 1.0) != 1.0:
        raise InputError(f"{kind_of(quantizer)} with qnoise_factor {quantizer.qnoise_factor} is only partly quantized")
    quantized = call_quantizer(quantizer, raw)
    step = _steps(quantizer)
    if step is None:
        return WeightReading(_free_codes(quantized, MAX_WEIGHT_BITS), 0.0)
    return _on_grid(quantizer, quantized, step, float_format)


def kind_of(quantizer: Any) -> str:
    """The name of a quantizer's class, or of the function."""
    return str(getattr(quantizer, "__name__", type(quantizer).__name__))


_KNOWN = ("quantized_bits", "quantized_linear", "binary", "ternary", "quantized_po2", "quantized_relu_po2",
          "quantized_relu")  # fmt: skip


def check_quantizer(quantizer: Any) -> None:
    """Raises InputError for a quantizer that isn't one of QKeras', or whose results are random."""
    kind = kind_of(quantizer)
    if kind not in _KNOWN or not type(quantizer).__module__.startswith("qkeras."):
        raise InputError(f"quantizer {kind} has no fixed-point equivalent, supported: {', '.join(_KNOWN)}")


def call_quantizer(quantizer: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What QKeras makes of ``values``. Raises InputError if it fails or gives values that are no numbers.

    A quantizer that was read from a file (``flow.archive``) has ``on_numpy``, which needs no framework.
    """
    try:
        if hasattr(quantizer, "on_numpy"):
            result = np.asarray(quantizer.on_numpy(values), dtype=np.float32)
        else:
            # A tensor, not an array: QKeras' own arithmetic decides, down to the last bit.
            from keras import ops

            result = np.asarray(ops.convert_to_numpy(quantizer(ops.convert_to_tensor(values))), dtype=np.float32)
    except (AssertionError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"QKeras fails on quantizer {quantizer}: {error}") from error
    if not np.isfinite(result).all():
        raise InputError(f"quantizer {quantizer} gives infinite or NaN values")
    return np.broadcast_to(result, values.shape)


def _steps(quantizer: Any) -> NDArray[np.float64] | None:
    """The value of one code, per channel where scales are (broadcastable); None where every code has its own."""
    kind = kind_of(quantizer)
    if kind in ("quantized_po2", "quantized_relu_po2"):
        return None
    tensor = quantizer.quantization_scale if kind == "quantized_linear" else getattr(quantizer, "scale", None)
    if not isinstance(tensor, np.ndarray | float | int | None):
        from keras import ops

        tensor = ops.convert_to_numpy(tensor)
    scale: NDArray[np.float64] = np.array(1.0 if tensor is None else tensor, dtype=np.float64)
    if kind == "quantized_bits":
        unsigned_bits = quantizer.bits - bool(quantizer.keep_negative)
        scale = scale * (2.0 ** (int(quantizer.integer) - unsigned_bits) if unsigned_bits > 0 else 1.0)
    elif kind == "quantized_relu":
        signed = quantizer.negative_slope != 0.0
        scale = scale * 2.0 ** (int(quantizer.integer) - quantizer.bits + signed)
    return scale


def _on_grid(
    quantizer: Any, values: NDArray[np.float32], step: NDArray[np.float64], float_format: FixedFormat | None
) -> WeightReading:
    mantissa, exponent = np.frexp(step)
    # A power of two computed in float32 may miss by some ulp; the grid is the power, the rest is QKeras' deviation.
    nearest = np.where(mantissa > 0.75, exponent, exponent - 1)
    if (np.abs(step / 2.0**nearest - 1) > 1e-5).any():
        if float_format is None:
            raise InputError(
                f"the scales of {quantizer} are no powers of two: use alpha='auto_po2', or name a format for floats "
                "(--float-format)"
            )
        return _unquantized(values, float_format, 15)
    counts = values / 2.0**nearest
    codes = np.rint(counts)
    if (np.abs(counts - codes) > _SNAP * np.maximum(np.abs(codes), 1)).any():
        raise InputError(f"the values of {quantizer} are not on the grid of its parameters")
    deviation = float(np.abs(values - codes * 2.0**nearest).max(initial=0.0))
    return WeightReading(_common_codes(quantizer, codes, np.broadcast_to(nearest, codes.shape)), deviation)


def _common_codes(quantizer: Any, codes: NDArray[np.float64], exponents: NDArray[np.int32]) -> Codes:
    """Codes with an exponent each as codes of one format: as declared if all exponents are the same, else as wide as
    the range of exponents makes necessary."""
    used = exponents[codes != 0]
    if used.size == 0:
        used = exponents.reshape(-1)[:1]
    least, most = int(used.min()), int(used.max())
    integers = np.where(codes != 0, codes, 0) * 2.0 ** np.where(codes != 0, exponents - least, 0)
    values = integers.astype(np.int64)
    declared = _declared(quantizer, least)
    if least == most:
        kind: Literal["fixed", "binary", "ternary"] = "fixed"
        if kind_of(quantizer) == "ternary":
            kind = "ternary"
        elif _is_sign(quantizer) and np.abs(values).min(initial=1) == 1:
            kind = "binary"
        return Codes(values, declared, kind)
    return Codes(values, _limited(values, -least), "fixed")


def _is_sign(quantizer: Any) -> bool:
    kind = kind_of(quantizer)
    return (kind == "binary" and not quantizer.use_01) or (
        kind in ("quantized_bits", "quantized_linear") and quantizer.bits == 1 and bool(quantizer.keep_negative)
    )


def _declared(quantizer: Any, exponent: int) -> FixedFormat:
    """The format a quantizer's parameters declare, with a unit in the last place of ``2**exponent``."""
    kind = kind_of(quantizer)
    if kind in ("binary", "ternary") or _is_sign(quantizer):
        width, signed = 2, True
    elif kind == "quantized_relu":
        width, signed = int(quantizer.bits), quantizer.negative_slope != 0.0
    else:
        width, signed = int(quantizer.bits), bool(quantizer.keep_negative)
    return FixedFormat(width, width + exponent, signed)


def _free_codes(values: NDArray[Any], max_bits: int) -> Codes:
    """Values that lie on some binary grid as codes. Raises InputError if that takes more than ``max_bits``."""
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    scaled = np.rint(mantissa * 2.0**24).astype(np.int64)  # float32 has 24 bits: exact
    nonzero = scaled[scaled != 0]
    if nonzero.size == 0:
        return Codes(np.zeros(values.shape, dtype=np.int64), FixedFormat(1, 1, signed=False))
    zeros = np.log2(nonzero & -nonzero).astype(int)  # trailing zeros
    least = int((exponent[scaled != 0] - 24 + zeros).min())
    span = int(exponent[scaled != 0].max()) - least
    if span > max_bits:
        raise InputError(f"its values need {span} bits and a sign as fixed point, at most {max_bits} are accepted")
    codes = np.rint(np.asarray(values, dtype=np.float64) * 2.0**-least).astype(np.int64)
    return Codes(codes, _limited(codes, -least))


def _limited(codes: NDArray[np.int64], fraction: int) -> FixedFormat:
    found = smallest_format(int(codes.min(initial=0)), int(codes.max(initial=0)), fraction)
    if found.width > MAX_WEIGHT_BITS:
        raise InputError(f"its weights need {found.width} bits in one format, at most {MAX_WEIGHT_BITS} are accepted")
    return found


def _unquantized(values: NDArray[np.float32], float_format: FixedFormat | None, free_bits: int) -> WeightReading:
    try:
        return WeightReading(_free_codes(values, free_bits), 0.0)
    except InputError:
        if float_format is None:
            raise InputError(
                "it has float weights without a quantizer: quantize them, or name a format for floats (--float-format)"
            ) from None
    codes = np.rint(values.astype(np.float64) * 2.0**float_format.fraction)
    if codes.min() < float_format.low or codes.max() > float_format.high:
        raise InputError(f"its float weights from {values.min():.4g} to {values.max():.4g} do not fit {float_format}")
    deviation = float(np.abs(values - codes * 2.0**-float_format.fraction).max())
    return WeightReading(Codes(codes.astype(np.int64), float_format), deviation)
