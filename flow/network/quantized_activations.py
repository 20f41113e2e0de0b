"""Activations of QKeras and Keras as element-wise integer operations.

Sources: the ``__call__`` of each quantizer in qkeras-v3 1.2.1, ``qkeras/quantizers.py``. All of QKeras' rounding is
to the nearest, ties to even.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized_weights import call_quantizer, kind_of

_TANH_NOISE = "QKeras' float32 straight-through estimator blurs {kind}(alpha=None): use alpha=1"


def activation_fields(activation: Any) -> dict[str, Any] | None:
    """The fields of a Step for an activation, or None if it does nothing. Raises InputError with the reason."""
    kind = kind_of(activation)
    if activation is None or (_of_keras(activation) and kind == "linear"):
        return None
    if _of_keras(activation) and kind in ("relu", "softmax"):
        return {"op": kind}
    if not type(activation).__module__.startswith("qkeras.") or kind not in _READERS:
        raise InputError(
            f"activation {kind} has no exact fixed-point equivalent, supported: "
            f"linear, relu, softmax, {', '.join(_READERS)}"
        )
    if getattr(activation, "qnoise_factor", 1.0) != 1.0:
        raise InputError(f"{kind} with qnoise_factor {activation.qnoise_factor} is only partly quantized")
    fields: dict[str, Any] = _READERS[kind](activation)
    return fields


def _of_keras(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("keras.")


def _whole(quantizer: Any, name: str) -> int:
    value = getattr(quantizer, name)
    if np.ndim(value) or int(value) != value:
        raise InputError(f"{kind_of(quantizer)}: {name} must be one whole number, not {value!r}")
    return int(value)


def _constant_exponent(quantizer: Any) -> int:
    """The exponent of a constant power-of-two alpha; 0 for None."""
    alpha = quantizer.alpha
    if alpha is None:
        return 0
    if isinstance(alpha, str) or np.size(alpha) != 1 or float(np.asarray(alpha).reshape(())) <= 0:
        raise InputError(
            f"{kind_of(quantizer)} activations need a constant alpha, not {alpha!r}: it must not depend on data"
        )
    mantissa, exponent = math.frexp(float(np.asarray(alpha).reshape(())))
    if mantissa != 0.5:
        raise InputError(f"{kind_of(quantizer)}: alpha {alpha!r} is no power of two")
    return exponent - 1


def _bits(quantizer: Any) -> dict[str, Any]:
    bits, integer, signed = _whole(quantizer, "bits"), _whole(quantizer, "integer"), bool(quantizer.keep_negative)
    exponent = _constant_exponent(quantizer)
    if bits == 1 and signed:
        return {"op": "sign", "format": FixedFormat(2, 2 + exponent)}
    if exponent:
        raise InputError("quantized_bits activations need alpha=1: another scale is a shift of the value, not a format")
    return {
        "op": "quantize",
        "format": FixedFormat(bits, integer + signed, signed),
        "rounding": "half_even",
        "saturation": "symmetric" if quantizer.symmetric and signed else "clip",
        "wide": True,
    }


def _relu(quantizer: Any) -> dict[str, Any]:
    bits, integer, slope = _whole(quantizer, "bits"), _whole(quantizer, "integer"), float(quantizer.negative_slope)
    if quantizer.use_sigmoid:
        raise InputError("quantized_relu(use_sigmoid=1) is not supported")
    to = FixedFormat(bits, integer + (slope != 0), slope != 0)
    fields: dict[str, Any] = {
        "op": "relu", "format": to, "rounding": "half_even", "saturation": "clip",
        "wide": not quantizer.is_quantized_clip,
    }  # fmt: skip
    high = to.high
    if quantizer.relu_upper_bound is not None and not quantizer.is_quantized_clip:
        bound = float(quantizer.relu_upper_bound) / to.step
        if bound != int(bound) or bound <= 0:
            raise InputError(f"quantized_relu: upper bound {quantizer.relu_upper_bound} is no multiple of {to.step:g}")
        high = min(high, int(bound))
    low, shift = 0, None
    if slope:
        # QKeras limits the negative side to -2**integer * slope.
        lowest = 2.0 ** (bits - 1) * slope
        if lowest != int(lowest):
            raise InputError(f"quantized_relu: negative slope {slope:g} is too small for {bits} bits")
        low, shift = -int(lowest), -int(math.log2(slope))
    if (low, high, shift) != (0, to.high, None):
        fields |= {"op": "clip", "low": low, "high": high, "shift": shift}
    return fields


def _hard(quantizer: Any, real: bool, to: FixedFormat) -> dict[str, Any]:
    name = kind_of(quantizer).removeprefix("quantized_")
    if not real and hasattr(quantizer, "get_config"):  # one in memory: a saved one is what QKeras starts with
        from qkeras import quantizers

        if quantizers._sigmoid is not quantizers.hard_sigmoid:
            raise InputError(
                f"quantized_{name}: only QKeras' hard sigmoid is supported, set_internal_sigmoid changed it"
            )
    if real or (quantizer.symmetric and name == "sigmoid"):

        def function(x: NDArray[np.float32]) -> NDArray[np.float32]:
            return call_quantizer(quantizer, x)

        return {"op": "table", "format": to, "function": function}
    return {
        "op": f"hard_{name}", "format": to, "rounding": "half_even",
        "saturation": "symmetric" if quantizer.symmetric else "clip",
    }  # fmt: skip


def _tanh(quantizer: Any) -> dict[str, Any]:
    return _hard(quantizer, bool(quantizer.use_real_tanh), FixedFormat(_whole(quantizer, "bits"), 1))


def _sigmoid(quantizer: Any) -> dict[str, Any]:
    return _hard(quantizer, bool(quantizer.use_real_sigmoid), FixedFormat(_whole(quantizer, "bits"), 0, signed=False))


def _binary(quantizer: Any) -> dict[str, Any]:
    if quantizer.use_01:
        raise InputError("binary(use_01=1) activations are not supported")
    noise = _TANH_NOISE.format(kind="binary") if quantizer.alpha is None else ""
    return {"op": "sign", "format": FixedFormat(2, 2 + _constant_exponent(quantizer)), "noise": noise}


def _ternary(quantizer: Any) -> dict[str, Any]:
    exponent = _constant_exponent(quantizer)
    threshold = quantizer.default_threshold if quantizer.threshold is None else quantizer.threshold
    if isinstance(threshold, str) or not float(threshold) > 0:
        raise InputError(f"ternary activations need a constant positive threshold, not {threshold!r}")
    return {
        "op": "ternary", "format": FixedFormat(2, 2 + exponent), "threshold": float(np.float32(threshold)),
        "noise": _TANH_NOISE.format(kind="ternary") if quantizer.alpha is None else "",
    }  # fmt: skip


_READERS = {
    "quantized_relu": _relu, "quantized_bits": _bits, "quantized_tanh": _tanh, "quantized_sigmoid": _sigmoid,
    "binary": _binary, "ternary": _ternary,
}  # fmt: skip
