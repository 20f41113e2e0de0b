"""QKeras models of Networks: the same fixed-point arithmetic, layer by layer, and every layer under the same name.

With the codes of :func:`set_codes` as weights every value the model handles is on the grid of the Network's formats,
and equals :func:`flow.network.reference.integer_forward` bit for bit as long as no sum needs more than the 24
significant bits of float32.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import InputError, MissingDependency, ToolError
from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network
from flow.network.reference import LayerCodes, NetworkCodes, check_codes, weight_step

BACKENDS = ("tensorflow", "jax")
"""Keras backends that training works on; the first one is the default."""
INPUT_NAME = "x"
"""Name of the input layer; hls4ml keeps "input" for itself."""


def import_qkeras() -> Any:
    """The module ``qkeras``, on the backend KERAS_BACKEND names. Raises MissingDependency, InputError for a backend
    that networks can't be trained on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # start-up notices on stderr say nothing to a user
    os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    chosen = os.environ["KERAS_BACKEND"]
    if chosen not in BACKENDS:
        raise InputError(f"KERAS_BACKEND={chosen} is not supported, use one of {', '.join(BACKENDS)}")
    with _quiet():
        for module, package in ((chosen, chosen), ("keras", "keras"), ("qkeras", "qkeras-v3")):
            try:
                found = import_module(module)
            except ImportError as error:
                raise MissingDependency(package, "search") from error
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries print to standard error while they load says nothing to a user, and no setting stops it all."""
    try:
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except (OSError, AttributeError):  # there is no standard error
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def build_model(network: Network, codes: NetworkCodes | None = None) -> Any:
    """The ``keras.Model`` of a network, with ``codes`` as its weights or, without, random ones.

    Inputs are float32 values (n, *input_shape) on the grid of the network's input format; outputs are logits
    (n, classes), without softmax. Global average pooling pads the image to powers of two, so that means are exact,
    with a layer ``gap_pad`` that the Network doesn't have. Raises InputError where QKeras can't express a layer,
    MissingDependency.
    """
    qkeras = import_qkeras()
    import keras

    x = keras.Input(network.input_shape, name=INPUT_NAME)
    results: list[Any] = []
    for layer in network:
        inputs = [x if i < 0 else results[i] for i in layer.inputs]
        results.append(_apply(qkeras, layer, inputs))
    model = keras.Model(x, results[-1], name="flow")
    if codes is not None:
        set_codes(model, network, codes)
    return model


def set_codes(model: Any, network: Network, codes: NetworkCodes) -> None:
    """Make ``codes`` the weights of a model that :func:`build_model` made. Raises InputError for wrong codes."""
    check_codes(network, codes)
    for layer in network:
        if layer.weight is not None:
            assert layer.bias is not None
            found = codes[layer.name]
            kernel = found.weight.astype(np.float32) * np.float32(weight_step(layer))
            bias = found.bias.astype(np.float32) * np.float32(layer.bias.step)
            model.get_layer(layer.name).set_weights([kernel, bias])


def get_codes(model: Any, network: Network) -> dict[str, LayerCodes]:
    """The codes of a model that :func:`build_model` made, as its quantizers see its weights.

    Raises InputError if the model is not one of ``network``.
    """
    import keras

    codes = {}
    for layer in network:
        if layer.weight is None:
            continue
        assert layer.bias is not None
        try:
            found = model.get_layer(layer.name)
            weight, bias = (q(v) for q, v in zip(found.quantizers, found.weights, strict=True))
        except (ValueError, AttributeError) as error:
            raise InputError(f"the model has no QKeras layer {layer.name} with weights and biases") from error
        weights, biases = (
            np.rint(np.asarray(keras.ops.convert_to_numpy(v), dtype=np.float64) / step).astype(np.int64)
            for v, step in ((weight, weight_step(layer)), (bias, layer.bias.step))
        )
        codes[layer.name] = LayerCodes(weights, biases)
    check_codes(network, codes)
    return codes


def save_model(model: Any, path: Path) -> None:
    """Write a model as a ``.keras`` file, all or nothing. Raises ToolError."""
    temporary = path.with_name(f".{path.stem}.new.keras")  # Keras insists on the ending; a file left over is replaced
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            model.save(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror or error}") from error


def weight_quantizer(layer: Layer) -> Any:
    """The QKeras quantizer of a layer's weights. Values on its grid are left exactly as they are."""
    from qkeras import quantizers

    weight = layer.weight
    assert weight is not None
    scale = 2.0**layer.scale_exponent
    if weight.kind == "binary":
        return quantizers.binary(alpha=scale)
    if weight.kind == "ternary":
        # QKeras' own threshold of 0.33 is above the scale of most layers: it would make every weight 0.
        return quantizers.ternary(alpha=scale, threshold=scale / 2)
    if weight.width == 1:
        # QKeras takes one bit for {-1, 1}; fixed<1,I> is {-1, 0} steps, which two bits hold.
        return quantizers.quantized_bits(2, weight.integer, symmetric=0, keep_negative=True, alpha=1)
    return _quantized_bits(FixedFormat(weight.width, weight.integer))


def _quantized_bits(to: FixedFormat) -> Any:
    from qkeras import quantizers

    # alpha=1: without it the layers switch to symmetric ranges and scales of their own.
    return quantizers.quantized_bits(to.width, to.integer - 1, symmetric=0, keep_negative=True, alpha=1)


def _quantized_relu(to: FixedFormat) -> Any:
    from qkeras import quantizers

    if to.integer < 0:
        raise InputError(f"QKeras has no ReLU of {to}: activations need at least 0 integer bits")
    return quantizers.quantized_relu(to.width, to.integer)


def padded_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of an image padded to powers of two."""
    height, width = (1 << (size - 1).bit_length() for size in shape[:2])
    return height, width


def _apply(qkeras: Any, layer: Layer, inputs: list[Any]) -> Any:
    import keras

    layers, name, x = keras.layers, layer.name, inputs[0]
    if layer.weight is not None:
        return _weight_layer(qkeras, layer)(x)
    match layer.op:
        case "activation":
            return qkeras.QActivation(_quantized_relu(layer.output), name=name)(x)
        case "maxpool":
            return layers.MaxPooling2D(layer.kernel, layer.stride, padding="valid", name=name)(x)
        case "global_avgpool":
            height, width = padded_size(layer.in_shape)
            after = (height - layer.in_shape[0], width - layer.in_shape[1])
            if any(after):
                x = layers.ZeroPadding2D(((0, after[0]), (0, after[1])), name=f"{name}_pad")(x)
            return layers.GlobalAveragePooling2D(name=name)(x)
        case "flatten":
            return layers.Flatten(name=name)(x)
        case "add":
            return layers.Add(name=name)(inputs)
        case "concat":
            return layers.Concatenate(name=name)(inputs)
    raise InputError(f"{name}: unknown operation {layer.op!r}")


def _weight_layer(qkeras: Any, layer: Layer) -> Any:
    assert layer.bias is not None
    weights, bias, name = weight_quantizer(layer), _quantized_bits(layer.bias), layer.name
    if layer.op == "dense":
        return qkeras.QDense(layer.out_shape[0], kernel_quantizer=weights, bias_quantizer=bias, name=name)
    window = {"kernel_size": layer.kernel, "strides": layer.stride, "padding": "same", "bias_quantizer": bias}
    if layer.op == "conv2d":
        return qkeras.QConv2D(layer.out_shape[2], kernel_quantizer=weights, name=name, **window)
    if layer.stride[0] != layer.stride[1]:
        raise InputError(f"{name}: depthwise convolutions need the same stride in both dimensions, not {layer.stride}")
    return qkeras.QDepthwiseConv2D(depthwise_quantizer=weights, name=name, **window)
