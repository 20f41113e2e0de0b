"""Stand-ins for the layers and quantizers of Keras and QKeras, made from their settings in a file.

They have the attributes that ``flow.network.quantized_layers`` reads, every one of a type that was checked, and numpy
arrays for variables. Their classes carry the names the file gives, but only names that are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow.archive.arithmetic import quantize
from flow.archive.graph import MAX_SIZE, _word
from flow.errors import InputError

Floats = NDArray[np.float32]

MAX_BITS, MAX_INTEGER = 64, 32
MAX_UNROLLS = 64


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("must be true or false")
    return bool(value)


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
        raise ValueError("must be a number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 40 or not value.isprintable():
        raise ValueError("must be a word")
    return value


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _sizes(low: int = 1, nested: int = 1) -> Callable[[Any], Any]:
    """One whole number or a list of 1 to 4; of such lists where ``nested`` is 2."""
    one = _whole(low, MAX_SIZE)

    def check(value: Any, depth: int = 0) -> Any:
        if isinstance(value, list) and depth < nested:
            if not 1 <= len(value) <= 4:
                raise ValueError("must have 1 to 4 entries")
            return tuple(check(item, depth + 1) for item in value)
        return one(value)

    return check


def _axis(value: Any) -> Any:
    one = _whole(-4, 4)
    return [one(item) for item in value[:8]] if isinstance(value, list) else one(value)


def _padding(value: Any) -> Any:
    return _text(value) if isinstance(value, str) else _sizes(0, 2)(value)


def _numbers(value: Any) -> NDArray[np.float32]:
    """An array of numbers in nested lists."""
    try:
        array = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError("must be numbers") from error
    if array.ndim > 6 or array.size > MAX_SIZE or not np.isfinite(array).all():
        raise ValueError("must be finite numbers")
    return array


def _alpha(value: Any) -> Any:
    if value is None or isinstance(value, str):
        if value not in (None, "auto", "auto_po2"):
            raise ValueError("must be auto, auto_po2 or a number")
        return value
    return _real(value) if isinstance(value, int | float) else _numbers(value)


LAYER_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("units", "filters", "depth_multiplier", "groups"), _whole(1, MAX_SIZE)),
    **dict.fromkeys(("kernel_size", "pool_size", "dilation_rate"), _sizes()),
    "strides": _or_none(_sizes()),
    "padding": _padding,
    "data_format": _or_none(_text),
    **dict.fromkeys(("use_bias", "center", "scale", "keepdims"), _flag),
    "epsilon": _real,
    **dict.fromkeys(("negative_slope", "threshold"), _real),
    "max_value": _or_none(_real),
    "axis": _axis,
    "target_shape": _sizes(-1),
    "mask": _or_none(_numbers),
}
"""The settings of layers that matter; all others are about training."""

_BITS = {"bits": _whole(1, MAX_BITS), "integer": _whole(-MAX_INTEGER, MAX_INTEGER), "qnoise_factor": _real}
_PO2 = {"bits": _whole(1, 8), "max_value": _or_none(_real), "quadratic_approximation": _flag,
        "log2_rounding": _text, "qnoise_factor": _real}  # fmt: skip
QUANTIZER_FIELDS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "quantized_bits": {**_BITS, "symmetric": _flag, "keep_negative": _flag, "alpha": _alpha,
                       "post_training_scale": _or_none(_numbers)},
    "quantized_linear": {**_BITS, "symmetric": _flag, "keep_negative": _flag, "alpha": _alpha},
    "binary": {"use_01": _flag, "alpha": _alpha},
    "ternary": {"alpha": _alpha, "threshold": _or_none(_real), "number_of_unrolls": _whole(0, MAX_UNROLLS)},
    "quantized_po2": _PO2,
    "quantized_relu_po2": {**_PO2, "negative_slope": _real},
    "quantized_relu": {**_BITS, "use_sigmoid": _flag, "negative_slope": _real, "relu_upper_bound": _or_none(_real)},
    "quantized_tanh": {"bits": _whole(1, MAX_BITS), "symmetric": _flag, "use_real_tanh": _flag},
    "quantized_sigmoid": {"bits": _whole(1, MAX_BITS), "symmetric": _flag, "use_real_sigmoid": _flag},
}  # fmt: skip
DEFAULTS: Mapping[str, Any] = {
    "bits": 8, "integer": 0, "qnoise_factor": 1.0, "symmetric": False, "keep_negative": True, "alpha": None,
    "post_training_scale": None, "use_01": False, "threshold": None, "number_of_unrolls": 5, "max_value": None,
    "quadratic_approximation": False, "log2_rounding": "rnd", "negative_slope": 0.0, "use_sigmoid": False,
    "relu_upper_bound": None, "use_real_tanh": False, "use_real_sigmoid": False,
}  # fmt: skip
"""Of arguments that older files lack."""
FUNCTIONS = ("linear", "relu", "softmax")
"""Activation functions of Keras that have an integer equivalent."""


class SavedQuantizer:
    """A quantizer of QKeras with its settings as attributes; ``scale`` is set by ``on_numpy``, as QKeras does."""

    is_quantized_clip = True
    default_threshold = 0.33
    kind = ""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.scale: Any = None
        self.__dict__.update(settings)
        if isinstance(settings.get("alpha"), str) and self.kind == "quantized_bits":
            self.symmetric = True

    def __str__(self) -> str:
        return f"{self.kind}({getattr(self, 'bits', '')})"

    @property
    def quantization_scale(self) -> Any:
        """The name of ``scale`` in quantized_linear."""
        return self.scale

    def on_numpy(self, values: Floats) -> Floats:
        """What QKeras makes of ``values``."""
        try:
            result, self.scale = quantize(self.kind, self, values)
        except ValueError as error:
            raise InputError(f"the scales of {self} are not for weights of shape {values.shape}") from error
        if result.shape != values.shape:
            raise InputError(f"the scales of {self} are not for weights of shape {values.shape}")
        return result


class SavedFunction:
    """An activation function of Keras, by name."""

    __module__ = "keras.activations"

    def __init__(self, name: str) -> None:
        self.__name__ = name


class SavedLayer:
    """A layer of Keras or QKeras: its settings, quantizers, activation and variables as attributes."""

    lora_enabled = False
    quantization_mode: str | None = None

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.__dict__.update(attributes)


class SavedBatchnorm(SavedLayer):
    """A layer with a batch normalization folded into it."""

    batchnorm: Any

    def get_folded_weights(self) -> tuple[Floats, Floats]:
        """The kernel and bias that QKeras quantizes: ``gamma / sqrt(variance + epsilon)`` times both, shifted."""
        norm = self.batchnorm
        if norm.beta is None:
            raise InputError("QKeras folds no batch normalization with center=False")
        attributes = vars(self)
        depthwise = "depthwise_kernel" in attributes
        kernel: Floats = attributes["depthwise_kernel" if depthwise else "kernel"]
        bias = attributes["bias"] if attributes["use_bias"] else np.float32(0)
        inverse = np.float32(1) / np.sqrt(norm.moving_variance + np.float32(norm.epsilon))
        inverse = inverse * norm.gamma if norm.gamma is not None else inverse
        folded_bias = inverse * (bias - norm.moving_mean) + norm.beta
        return kernel * (inverse.reshape(kernel.shape[2:]) if depthwise else inverse), folded_bias


def stand_in(base: type[Any], name: str, module: str) -> type[Any]:
    """A class of the given name in the given module of Keras or QKeras; nothing is imported."""
    return type(name, (base,), {"__module__": module, "kind": name})


def layer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a layer's configuration that matter. Raises InputError naming the one that is wrong."""
    return _checked(config, LAYER_FIELDS)


def quantizer_of(value: Any, *, scaled: bool = False) -> Any | None:
    """The quantizer that a configuration describes, None for none.

    ``scaled``: it is one of a kernel, which QKeras gives scales of their own where no ``alpha`` is set. Raises
    InputError with the reason.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("class_name"), str):
        raise InputError(f"its quantizer {_word(value)} is not understood")
    kind, module = value["class_name"], value.get("module")
    of_qkeras = module == "qkeras.quantizers" or (
        module is None and str(value.get("registered_name")).startswith("qkeras>")
    )
    if kind not in QUANTIZER_FIELDS or not of_qkeras:
        raise InputError(f"quantizer {_word(kind)} has no fixed-point equivalent: {', '.join(QUANTIZER_FIELDS)} have")
    config = value.get("config")
    if not isinstance(config, Mapping):
        raise InputError(f"its quantizer {kind} has no settings")
    fields = QUANTIZER_FIELDS[kind]
    settings = {name: DEFAULTS[name] for name in fields} | _checked(config, fields, f"{kind}: ")
    if settings.get("negative_slope") and not _is_power_of_two(settings["negative_slope"]):
        raise InputError(f"{kind}: negative slope {settings['negative_slope']:g} is no power of two")
    if scaled and "alpha" in settings and settings["alpha"] is None:
        settings["alpha"] = "auto_po2"
        settings |= {"symmetric": True} if "symmetric" in settings else {}
    return stand_in(SavedQuantizer, kind, "qkeras.quantizers")(settings)


def activation_of(value: Any) -> Any | None:
    """The activation that a configuration describes: None, a function of Keras or a quantizer. Raises InputError."""
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        value = value.get("config")  # {"module": "builtins", "class_name": "function", "config": "relu"}
    if value is None or isinstance(value, str):
        name = "linear" if value is None else value
        if name not in FUNCTIONS:
            raise InputError(
                f"activation {_word(name)} has no exact fixed-point equivalent, supported: "
                f"{', '.join((*FUNCTIONS, *QUANTIZER_FIELDS))}"
            )
        return SavedFunction(name)
    return quantizer_of(value)


def _is_power_of_two(value: float) -> bool:
    return value > 0 and float(np.frexp(value)[0]) == 0.5


def _checked(config: Mapping[str, Any], fields: Mapping[str, Callable[[Any], Any]], where: str = "") -> dict[str, Any]:
    found = {}
    for name, check in fields.items():
        if name in config:
            try:
                found[name] = check(config[name])
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}{name} {error}, not {_word(config[name])}") from error
    return found
