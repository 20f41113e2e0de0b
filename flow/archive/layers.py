"""From a node of the graph to a stand-in of its layer: the shape it gives, and its variables out of the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flow.archive.container import Weights
from flow.archive.graph import MAX_SIZE, Node, Shape, _word
from flow.archive.saved import (
    SavedBatchnorm,
    SavedLayer,
    activation_of,
    layer_settings,
    quantizer_of,
    stand_in,
)
from flow.errors import InputError
from flow.network.quantized_layers import READERS

Settings = dict[str, Any]

MAX_VALUES = 1 << 40
"""Most values of a tensor: keeps arithmetic in 64 bits."""

_DEFAULTS = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0, "axis": -1}
_KERNELS = ("kernel", "depthwise", "pointwise")
_QUANTIZERS = ("kernel", "depthwise", "pointwise", "bias", "gamma", "beta", "mean", "variance", "inverse", "average")


def make_layer(node: Node, in_shapes: tuple[Shape, ...], weights: Weights) -> tuple[SavedLayer, Shape]:
    """The layer of a node that reads tensors of ``in_shapes``, and the shape of its result, both without the batch.

    Raises InputError with the reason if the layer can't be read.
    """
    kind = _known_kind(node)
    if not in_shapes:
        raise InputError("it reads nothing")
    settings = layer_settings(node.config)
    out_shape = _out_shape(kind, settings, in_shapes)
    if math.prod(out_shape) > MAX_VALUES or any(not 1 <= n <= MAX_SIZE for n in out_shape):
        raise InputError(f"its result has shape {out_shape}, which is empty or too large")
    attributes: Settings = {**_DEFAULTS, **settings, "name": node.name, "_mask": settings.get("mask")}
    mask = settings.get("mask")
    if mask is not None and mask.shape != (*settings.get("kernel_size", ()), 1, 1):
        raise InputError(f"its mask has shape {mask.shape}, not that of its window")
    _training_only(node.config, attributes)
    attributes["activation"] = activation_of(node.config.get("activation"))
    for name in _QUANTIZERS:
        value = node.config.get(f"{name}_quantizer")
        attributes[f"{name}_quantizer_internal"] = quantizer_of(value, scaled=name in _KERNELS)
    base = SavedBatchnorm if kind.endswith("Batchnorm") else SavedLayer
    attributes |= _variables(kind, settings, in_shapes[0], node, weights)
    module = "qkeras.saved" if kind.startswith("Q") else "keras.saved"
    return stand_in(base, kind, module)(attributes), out_shape


def _known_kind(node: Node) -> str:
    kind, module = node.kind, node.module
    if kind == "Lambda":
        raise InputError("a Lambda layer is program code")
    if kind in ("Sequential", "Functional", "Model"):
        raise InputError("a model inside a model is not supported: save it with its layers in one model")
    if ".ops" in module or kind == "Operation":
        raise InputError(f"{_word(kind)} is an operation, not a layer: use the layer from keras.layers")
    of_keras = module in ("keras.layers", "qkeras") or module.startswith(("keras.src.layers.", "qkeras."))
    if not of_keras:
        raise InputError(f"class {_word(kind)} is neither Keras' nor QKeras'")
    if kind not in READERS or kind.startswith("Q") != module.startswith("qkeras"):
        raise InputError(f"layers of class {_word(kind)} are not supported")
    return kind


def _training_only(config: Mapping[str, Any], attributes: Settings) -> None:
    """Marks of Keras' own quantization and LoRA, which the readers refuse."""
    dtype = config.get("dtype")
    if isinstance(dtype, Mapping) and "Quantized" in str(dtype.get("class_name")):
        attributes["quantization_mode"] = str(dtype.get("class_name"))
    if config.get("lora_rank") is not None:
        attributes["lora_enabled"] = True


# --- shapes -------------------------------------------------------------------------------------------------------


def _out_shape(kind: str, s: Settings, in_shapes: tuple[Shape, ...]) -> Shape:
    x = in_shapes[0]
    name = kind.removeprefix("Q").removesuffix("Batchnorm")
    merge = name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    if len(in_shapes) > 1 and not merge:
        raise InputError(f"it reads {len(in_shapes)} tensors")
    for ending, shape in _SHAPES.items():
        if name.startswith(ending):
            return shape(s, x)
    if name == "Concatenate":
        if any(len(other) != len(x) or other[:-1] != x[:-1] for other in in_shapes):
            raise InputError(f"tensors of shapes {', '.join(map(str, in_shapes))} cannot be joined along the last axis")
        return (*x[:-1], sum(other[-1] for other in in_shapes))
    return x


def _dense(s: Settings, x: Shape) -> Shape:
    return (*x[:-1], _given(s, "units"))


def _conv(s: Settings, x: Shape) -> Shape:
    return (*_window(s, x, "kernel_size"), _given(s, "filters"))


def _depthwise(s: Settings, x: Shape) -> Shape:
    return (*_window(s, x, "kernel_size"), x[-1] * s.get("depth_multiplier", 1))


def _pool(s: Settings, x: Shape) -> Shape:
    if s.get("strides") is None:
        s["strides"] = _given(s, "pool_size")
    return (*_window(s, x, "pool_size"), x[-1])


def _global_pool(s: Settings, x: Shape) -> Shape:
    s.setdefault("data_format", "channels_last")
    return (*((1,) * (len(x) - 1) if s.get("keepdims") else ()), x[-1])


def _flatten(s: Settings, x: Shape) -> Shape:
    _channels_last(s)
    return (math.prod(x),)


def _reshape(s: Settings, x: Shape) -> Shape:
    target = _given(s, "target_shape")
    target = target if isinstance(target, tuple) else (target,)
    if any(isinstance(n, tuple) for n in target) or not 1 <= len(target) <= 3 or target.count(-1) > 1:
        raise InputError(f"target shape {target} is not supported")
    known = math.prod(n for n in target if n != -1)
    found = tuple(math.prod(x) // known if n == -1 and known > 0 else n for n in target)
    if math.prod(found) != math.prod(x):
        raise InputError(f"{x} cannot be reshaped to {target}")
    return found


def _pad(s: Settings, x: Shape) -> Shape:
    padding = _given(s, "padding")
    pairs = (padding,) if len(x) == 2 else padding
    pairs = pairs if isinstance(pairs, tuple) else ()
    good = len(pairs) == len(x) - 1 and all(
        isinstance(p, tuple) and len(p) == 2 and all(isinstance(n, int) for n in p) for p in pairs
    )
    if not good:
        raise InputError(f"padding {_word(padding)} is not understood")
    return (*(n + sum(pair) for n, pair in zip(x, pairs, strict=False)), x[-1])


_SHAPES: Mapping[str, Callable[[Settings, Shape], Shape]] = {
    "Dense": _dense, "Conv": _conv, "SeparableConv": _conv, "DepthwiseConv": _depthwise, "MaxPooling": _pool,
    "AveragePooling": _pool, "GlobalMaxPooling": _global_pool, "GlobalAveragePooling": _global_pool,
    "Flatten": _flatten, "Reshape": _reshape, "ZeroPadding": _pad,
}  # fmt: skip


def _given(s: Settings, name: str) -> Any:
    if name not in s or s[name] is None:
        raise InputError(f"its configuration lacks {name}")
    return s[name]


def _channels_last(s: Settings) -> None:
    if s.get("data_format") not in (None, "channels_last"):
        raise InputError("only data_format='channels_last' is supported")


def _per_axis(value: Any, rank: int, name: str) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,) * rank
    if len(values) != rank or not all(isinstance(n, int) for n in values):
        raise InputError(f"{name} {_word(value)} is not for {rank} dimension{'s' if rank > 1 else ''}")
    return values


def _window(s: Settings, x: Shape, size: str) -> tuple[int, ...]:
    """The spatial part of what a convolution or pooling gives."""
    _channels_last(s)
    s.setdefault("data_format", "channels_last")
    rank = len(x) - 1
    if rank < 1:
        raise InputError(f"it needs an image or a sequence, not a vector of {x[0]}")
    kernel = s[size] = _per_axis(_given(s, size), rank, size)
    stride = _per_axis(s.get("strides", 1), rank, "strides")
    s["strides"] = stride
    padding = s.setdefault("padding", "valid")
    if padding not in ("same", "valid") and not (padding == "causal" and rank == 1):
        raise InputError(f"padding {_word(padding)} is not supported")
    if padding != "valid":
        return tuple(-(-n // t) for n, t in zip(x, stride, strict=False))
    if any(k > n for n, k in zip(x, kernel, strict=False)):
        raise InputError(f"its window {kernel} is larger than what it reads, {x[:-1]}")
    return tuple((n - k) // t + 1 for n, k, t in zip(x, kernel, stride, strict=False))


# --- variables ----------------------------------------------------------------------------------------------------


def _variables(kind: str, s: Settings, x: Shape, node: Node, weights: Weights) -> Settings:
    """The arrays of a layer by the names the readers use, and ``None`` for biases that aren't there."""
    name = kind.removeprefix("Q")
    bias = s.setdefault("use_bias", True) if name.startswith(("Dense", "Conv", "Depthwise", "Separable")) else False
    found: Settings = {"use_bias": bias, "bias": None} if name not in ("BatchNormalization",) else {}
    many = s.get("depth_multiplier", 1)
    if name.startswith("Dense"):
        wanted = {"kernel": (x[-1], s["units"]), "bias": (s["units"],)}
    elif name.startswith("Conv"):
        wanted = {"kernel": (*s["kernel_size"], x[-1] // s.get("groups", 1), s["filters"]), "bias": (s["filters"],)}
    elif name.startswith("Depthwise"):
        wanted = {"depthwise_kernel": (*s["kernel_size"], x[-1], many), "bias": (x[-1] * many,)}
    elif name.startswith("Separable"):
        ones = (1,) * (len(x) - 1)
        wanted = {"depthwise_kernel": (*s["kernel_size"], x[-1], many),
                  "pointwise_kernel": (*ones, x[-1] * many, s["filters"]), "bias": (s["filters"],)}  # fmt: skip
    elif name == "BatchNormalization":
        return _norm(s, x[-1], node, node.group, weights)
    else:
        return found
    if not bias:
        del wanted["bias"]
    arrays = weights.read(node.group, node.name, list(wanted.values()))
    found |= dict(zip(wanted, arrays, strict=True))
    if name.endswith("Batchnorm"):
        norm = {"epsilon": 1e-3, **s}
        channels = found["bias"].size if bias else next(iter(wanted.values()))[-1]
        channels = x[-1] * many if name.startswith("Depthwise") else channels
        norm |= _norm(norm, channels, node, f"{node.group}/batchnorm", weights)
        found["batchnorm"] = SavedLayer(norm)
    return found


def _norm(s: Settings, channels: int, node: Node, group: str, weights: Weights) -> Settings:
    """Of a batch normalization: gamma and beta where there are any, then the moving averages."""
    s.setdefault("epsilon", 1e-3)
    s.setdefault("axis", -1)
    names = ["gamma"] * s.setdefault("scale", True) + ["beta"] * s.setdefault("center", True)
    names += ["moving_mean", "moving_variance"]
    arrays = weights.read(group, node.name, [(channels,)] * len(names))
    found: Settings = dict.fromkeys(("gamma", "beta"))
    found |= {"scale": s["scale"], "center": s["center"], "epsilon": s["epsilon"], "axis": s["axis"]}
    return found | dict(zip(names, arrays, strict=True))


def folded(layer: SavedLayer, norm: SavedLayer) -> SavedLayer:
    """A layer without quantizers and the batch normalization right behind it as one, as hls4ml fuses them."""
    kind = type(layer).__name__
    beta = norm.beta if norm.beta is not None else np.zeros_like(norm.moving_mean)
    batchnorm = SavedLayer({**vars(norm), "beta": beta})
    both: SavedLayer = stand_in(SavedBatchnorm, kind, "keras.saved")({**vars(layer), "batchnorm": batchnorm})
    return both


def told_differently(node: Node, in_shapes: Sequence[Shape]) -> str:
    """Where the file states other shapes for what a layer reads than its layers give; empty if it doesn't."""
    for told, shape in zip(node.told, in_shapes, strict=False):
        if told is not None and told != shape:
            return f"its configuration is damaged: it says that it reads {told}, which is {shape}"
    return ""
