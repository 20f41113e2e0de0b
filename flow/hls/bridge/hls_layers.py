"""Layers of a QuantizedNetwork as the dictionaries hls4ml builds its graph from, with their precisions.

The values handed over are those of the integers, so hls4ml quantizes nothing itself. Every type is named: result,
accumulator, weights, bias, tables.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from flow.hls.bridge.kernels import CLASSES
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedLayer, QuantizedNetwork, Rounding, Saturation
from flow.network.quantized_softmax import SoftmaxFormats, softmax_formats

_ROUNDING = {"exact": "TRN", "toward_zero": "TRN_ZERO", "half_even": "RND_CONV", "half_up": "RND"}
_SATURATION = {"none": "WRAP", "clip": "SAT", "symmetric": "SAT_SYM"}


def precision(of: FixedFormat, rounding: Rounding | str = "exact", saturation: Saturation = "none") -> str:
    """A format in hls4ml's notation; the modes are left out where nothing is rounded or limited."""
    text = str(of)
    if rounding in ("exact", "toward_zero") and saturation == "none":
        return text
    return f"{text[:-1]},{_ROUNDING[rounding]},{_SATURATION[saturation]}>"


def is_xnor(codes: Codes | None) -> bool:
    """Whether weights are kept as single bits: binary with a scale of 1."""
    return codes is not None and codes.kind == "binary" and codes.format.fraction == 0


def is_identity(layer: QuantizedLayer) -> bool:
    """Whether a layer changes nothing, as dropout at inference: hls4ml drops it."""
    return layer.op == "reshape" and layer.in_shape == layer.out_shape


def precisions(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, str]:
    """Every type of a layer by the name it has in hls4ml's configuration."""
    found = {"result": precision(layer.output, layer.rounding, layer.saturation)}
    if layer.accumulator is not None:
        found["accum"] = precision(layer.accumulator)
    weight_name = "scale" if layer.op == "scale" else "weight"
    if layer.weight is not None:
        integers = layer.weight.kind == "ternary" and layer.weight.format.fraction == 0
        # As integers of 2 bits hls4ml gives ternary weights a product of their own.
        found[weight_name] = "int<2>" if integers else precision(layer.weight.format)
        found["bias"] = "ufixed<1,1>" if layer.bias is None else precision(layer.bias.format)
    if layer.table is not None:
        found["table"] = precision(layer.table.format)
    elif layer.op == "softmax":
        found["result"] = precision(layer.output, "half_even", "clip")
        found["accum"] = precision(_softmax_formats(network, layer).total)
    return found


def _softmax_formats(network: QuantizedNetwork, layer: QuantizedLayer) -> SoftmaxFormats:
    return softmax_formats(network.format(layer.inputs[0]), layer.out_shape[-1])


def settings(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    """What else hls4ml's configuration says about a layer."""
    if layer.op == "softmax":
        f = _softmax_formats(network, layer)
        exponential = precision(f.exponential, "half_up", "clip")
        return {
            "Implementation": "stable",
            "exp_table_size": f.exponential_entries,
            "inv_table_size": f.inverse_entries,
            "table_t": exponential,
            "exp_table_t": exponential,
            "inv_table_t": precision(f.inverse, "half_up", "clip"),
            "inv_inp_t": precision(f.address, "half_even", "clip"),
            "inp_norm_t": precision(f.difference, "half_even", "clip"),
        }
    if layer.op in ("quantize", "relu", "hard_tanh", "hard_sigmoid") or is_identity(layer):
        return {"table_t": precision(layer.output)}  # there is no table, but hls4ml writes the type
    return {}


def hls_layer(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    """The dictionary for one layer, its tensors not yet named."""
    builder = _BUILDERS.get(layer.op, _element_wise)
    return {"name": layer.name, "data_format": "channels_last", **builder(network, layer)}


def _rank(shape: tuple[int, ...]) -> str:
    return f"{len(shape) - 1}D"


def _constants(layer: QuantizedLayer, name: str = "weight") -> dict[str, Any]:
    from hls4ml.model.quantizers import BinaryQuantizer

    assert layer.weight is not None
    found: dict[str, Any] = {f"{name}_data": layer.weight.reals()}
    found["bias_data"] = None if layer.bias is None else layer.bias.reals()
    found["use_bias"] = layer.bias is not None
    if is_xnor(layer.weight):
        found["depthwise_quantizer" if name == "depthwise" else "weight_quantizer"] = BinaryQuantizer(bits=1)
    return found


def _dense(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    return {
        "class_name": "Dense", "n_in": layer.in_shape[-1], "n_out": layer.out_shape[-1], **_constants(layer)
    }  # fmt: skip


def _window(layer: QuantizedLayer) -> dict[str, Any]:
    """Sizes of a window over an image or a sequence, in hls4ml's words."""
    found: dict[str, Any] = {"n_chan": layer.in_shape[-1], "n_filt": layer.out_shape[-1]}
    words = ("width",) if len(layer.kernel) == 1 else ("height", "width")
    sides = (("left", "right"),) if len(layer.kernel) == 1 else (("top", "bottom"), ("left", "right"))
    for i, (word, (before, after)) in enumerate(zip(words, sides, strict=True)):
        found[f"in_{word}"], found[f"out_{word}"] = layer.in_shape[i], layer.out_shape[i]
        found[f"filt_{word}"], found[f"stride_{word}"] = layer.kernel[i], layer.stride[i]
        found[f"pad_{before}"], found[f"pad_{after}"] = layer.padding[i]
    return found


def _conv(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    return {"class_name": f"Conv{_rank(layer.in_shape)}", **_window(layer), **_constants(layer)}


def _depthwise(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    constants = _constants(layer, "depthwise")
    constants["depthwise_data"] = constants["depthwise_data"][..., np.newaxis]
    return {
        "class_name": f"DepthwiseConv{_rank(layer.in_shape)}", "depth_multiplier": 1, **_window(layer), **constants
    }  # fmt: skip


def _scale(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    channels = layer.in_shape[-1]
    constants = _constants(layer, "scale")
    if constants["bias_data"] is None:
        constants["bias_data"] = np.zeros(channels)
    size = math.prod(layer.in_shape)
    return {
        "class_name": "BatchNormalization", "n_in": size, "n_out": size,
        "n_filt": -1 if len(layer.in_shape) == 1 else channels, **constants,
    }  # fmt: skip


def _element_wise(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    names = {"quantize": "linear", "relu": "relu"}
    return {"class_name": "Activation", "activation": names[layer.op], "n_in": math.prod(layer.in_shape)}


def _hard(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    from hls4ml.model.types import FixedPrecisionType

    half = {"width": 1, "integer": 0, "signed": False}
    return {
        "class_name": "HardActivation", "activation": layer.op, "n_in": math.prod(layer.in_shape),
        "slope": 0.5, "shift": 0.5, "slope_prec": FixedPrecisionType(**half), "shift_prec": FixedPrecisionType(**half),
    }  # fmt: skip


def _ours(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    found: dict[str, Any] = {"class_name": CLASSES[layer.op]}
    if layer.op == "clip":
        # As wide a type for the slope as bits are shifted out: ap_fixed aborts in simulation when it rounds more bits
        # away than a value has.
        slope = 2.0 ** -(layer.shift or 0)
        found |= {
            "leaky": layer.shift is not None, "slope": slope, "slope_width": 1 + (layer.shift or 0),
            "low": layer.low, "high": layer.high,
        }  # fmt: skip
    elif layer.op == "ternary":
        assert layer.low is not None
        assert layer.high is not None
        source = network.format(layer.inputs[0])
        reaches_low, reaches_high = layer.low >= source.low, layer.high <= source.high
        found |= {
            "reaches_low": reaches_low, "low": layer.low if reaches_low else 0,
            "reaches_high": reaches_high, "high": layer.high if reaches_high else 0,
        }  # fmt: skip
    elif layer.table is not None:
        found |= {"low": layer.low, "high": layer.high, "table_data": layer.table.reals()}
    return found


def _softmax(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    return {
        "class_name": "Softmax", "activation": "softmax", "axis": -1, "n_in": math.prod(layer.in_shape),
        "n_outer": math.prod(layer.in_shape[:-1]), "n_inner": 1,
    }  # fmt: skip


def _pool(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    kind = "Max" if layer.op == "maxpool" else "Average"
    rank = _rank(layer.in_shape)
    window = _window(layer) if len(layer.out_shape) > 1 else _whole(layer)
    window |= {f"pool_{w}": window.pop(f"filt_{w}") for w in ("height", "width") if f"filt_{w}" in window}
    if rank == "1D":
        window |= {"n_in": layer.in_shape[0], "n_out": layer.out_shape[0] if len(layer.out_shape) > 1 else 1}
    name = f"{kind}Pooling{rank}" if len(layer.out_shape) > 1 else f"Global{kind}Pooling{rank}"
    return {"class_name": name, "count_pad": False, **window}


def _whole(layer: QuantizedLayer) -> dict[str, Any]:
    """The window of global pooling: all of the image, one result."""
    ones = (1,) * len(layer.kernel)
    return _window(replace(layer, out_shape=(*ones, layer.out_shape[-1])))


def _merge(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    if layer.op == "concat":
        rank = len(layer.out_shape)
        return {"class_name": "Concatenate", "op": f"Concatenate{rank}d", "axis": -1}
    return {"class_name": "Merge", "op": layer.op}


def _reshape(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    if is_identity(layer):
        return {"class_name": "Activation", "activation": "linear", "n_in": math.prod(layer.in_shape)}
    return {"class_name": "Reshape", "target_shape": list(layer.out_shape)}


def _pad(network: QuantizedNetwork, layer: QuantizedLayer) -> dict[str, Any]:
    found: dict[str, Any] = {"class_name": f"ZeroPadding{_rank(layer.in_shape)}", "n_chan": layer.in_shape[-1]}
    words = ("width",) if len(layer.padding) == 1 else ("height", "width")
    sides = (("left", "right"),) if len(layer.padding) == 1 else (("top", "bottom"), ("left", "right"))
    for i, (word, (before, after)) in enumerate(zip(words, sides, strict=True)):
        found[f"in_{word}"], found[f"out_{word}"] = layer.in_shape[i], layer.out_shape[i]
        found[f"pad_{before}"], found[f"pad_{after}"] = layer.padding[i]
    return found


_BUILDERS = {
    "dense": _dense, "conv": _conv, "depthwise": _depthwise, "scale": _scale, "hard_tanh": _hard,
    "hard_sigmoid": _hard, "softmax": _softmax, "maxpool": _pool, "avgpool": _pool, "reshape": _reshape, "pad": _pad,
    **dict.fromkeys(CLASSES, _ours),
    **dict.fromkeys(("add", "subtract", "multiply", "average", "maximum", "minimum", "concat"), _merge),
}  # fmt: skip
