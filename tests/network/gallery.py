"""Small models with one kind of layer each, and what building models by hand takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_reference import decode, forward
from tests.network.random_networks import Sample

keras = pytest.importorskip("keras")
qkeras = pytest.importorskip("qkeras")
q = qkeras.quantizers

INPUT = FixedFormat(7, 2)
"""The input format of all models here."""


def bits(width: int = 4, integer: int = 0, **more: Any) -> Any:
    return q.quantized_bits(width, integer, **{"alpha": 1, **more})


def dense(units: int = 3, name: str = "out", **more: Any) -> Any:
    return qkeras.QDense(units, name=name, **{"kernel_quantizer": bits(), "bias_quantizer": bits(8, 2), **more})


def sequential(shape: tuple[int, ...], *layers: Any) -> Any:
    """A model with the input ``net_input`` and weights drawn at random."""
    model = keras.Sequential([keras.Input(shape, name="net_input"), *layers])
    rng = np.random.default_rng(3)
    for variable in model.weights:
        if "variance" in variable.path or "gamma" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape).astype("float32"))
        elif "iteration" not in variable.path and "seed" not in variable.path:
            variable.assign(rng.normal(0, 0.5, variable.shape).astype("float32"))
    return model


def difference(model: Any, network: QuantizedNetwork, count: int = 64) -> float:
    """The largest difference between the model and its integers on random inputs."""
    sample = Sample(model, network.input_format, "")
    inputs = sample.inputs(count, seed=2)
    return float(np.abs(sample.keras_output(inputs) - decode(forward(network, inputs), network.output_format)).max())


def five_tensors() -> Any:
    """Merges of more than two tensors: hls4ml knows merges of two."""
    start = keras.Input((4, 4, 2), name="net_input")
    parts = [
        qkeras.QConv2D(2, 1, kernel_quantizer=bits(), bias_quantizer=bits(), name=f"part_{i}")(start) for i in range(4)
    ]
    x = keras.layers.Concatenate(name="cat")([keras.layers.Add(name="sum")(parts), *parts])
    return keras.Model(start, qkeras.QActivation(q.quantized_relu(5, 2), name="act")(x))


GALLERY: dict[str, Callable[[], Any]] = {
    "real tanh and sigmoid": lambda: sequential(
        (6,), dense(4, "a"), qkeras.QActivation(q.quantized_tanh(6, use_real_tanh=True), name="b"), dense(3, "c"),
        qkeras.QActivation(q.quantized_sigmoid(5, use_real_sigmoid=True, symmetric=True), name="d"),
    ),
    "dense over pixels": lambda: sequential((4, 4, 2), dense(3, activation=q.quantized_relu(4, 1))),
    "separable 1D": lambda: sequential(
        (8, 2),
        qkeras.QSeparableConv1D(
            4, 3, depthwise_quantizer=bits(), pointwise_quantizer=bits(alpha="auto_po2"), bias_quantizer=bits(),
            activation=q.quantized_relu(5, 1), name="sep",
        ),
    ),
    "dense with folded batch normalization": lambda: sequential(
        (6,), qkeras.QDenseBatchnorm(5, kernel_quantizer=bits(), bias_quantizer=bits(8, 2), name="a")
    ),
    "depthwise with folded batch normalization": lambda: sequential(
        (5, 5, 2),
        qkeras.QDepthwiseConv2DBatchnorm(3, depthwise_quantizer=bits(), bias_quantizer=bits(8, 2), name="a"),
    ),
    "quantized averages": lambda: sequential(
        (4, 4, 2), qkeras.QAveragePooling2D(2, average_quantizer=bits(8), name="a"),
        qkeras.QGlobalAveragePooling2D(average_quantizer=bits(8), activation=q.quantized_relu(4, 0), name="b"),
    ),
    "quantized_linear and powers of two": lambda: sequential(
        (6,), dense(4, "a", kernel_quantizer=q.quantized_linear(5, 0)),
        dense(3, "b", kernel_quantizer=q.quantized_po2(4), bias_quantizer=None, use_bias=False),
    ),
    "masked kernel": lambda: sequential(
        (5, 5, 1),
        qkeras.QConv2D(2, 3, mask=np.eye(3, dtype="float32"), kernel_quantizer=bits(), bias_quantizer=bits(), name="a"),
    ),
    "dropout and noise do nothing": lambda: sequential(
        (6,), keras.layers.GaussianNoise(0.5, name="noise"), dense(4, "a"), keras.layers.Dropout(0.5, name="b")
    ),
    "causal padding": lambda: sequential(
        (8, 2), keras.layers.ZeroPadding1D((2, 1), name="a"),
        qkeras.QConv1D(3, 3, strides=2, kernel_quantizer=bits(), bias_quantizer=bits(), name="b"),
    ),
    "batch normalization in floats": lambda: sequential(
        (5, 5, 2), qkeras.QConv2D(3, 3, kernel_quantizer=bits(), use_bias=False, name="a"),
        keras.layers.BatchNormalization(name="b"), keras.layers.ReLU(name="c"),
        qkeras.QActivation(q.quantized_relu(6, 2), name="d"), keras.layers.GlobalAveragePooling2D(name="e"),
        qkeras.QActivation(q.quantized_relu(6, 2), name="f"), dense(3),
    ),
    "softmax": lambda: sequential((6,), dense(7, kernel_quantizer=bits(6, 1)), keras.layers.Softmax(name="soft")),
    "softmax activation": lambda: sequential((6,), dense(10), keras.layers.Activation("softmax", name="soft")),
    "image from a vector": lambda: sequential(
        (6,), dense(12, "a", activation=q.quantized_relu(4, 1)), keras.layers.Reshape((2, 2, 3), name="b"),
        qkeras.QConv2D(2, 2, kernel_quantizer=bits(), bias_quantizer=bits(), name="c"),
        keras.layers.Flatten(name="d"),
    ),
    "thresholds out of reach": lambda: sequential(
        (6,), dense(4, "a", activation=q.ternary(alpha=1, threshold=100.0)),
        dense(3, "b", kernel_quantizer=q.binary(alpha=1)),
    ),
    "mean of a sequence": lambda: sequential(
        (8, 2),
        qkeras.QConv1D(
            3, 3, kernel_quantizer=bits(), bias_quantizer=bits(), activation=q.quantized_relu(4, 1), name="a"
        ),
        keras.layers.GlobalAveragePooling1D(name="b"), qkeras.QActivation(q.quantized_relu(5, 1), name="c"), dense(3),
    ),
    "maximum of a sequence": lambda: sequential(
        (8, 2), qkeras.QConv1D(3, 3, kernel_quantizer=bits(), bias_quantizer=bits(), name="a"),
        keras.layers.GlobalMaxPooling1D(name="b"), dense(3),
    ),
    "quantized batch normalization": lambda: sequential(
        (6,), dense(4, "a"), qkeras.QBatchNormalization(name="b"),
        qkeras.QActivation(q.quantized_relu(5, 1), name="c"), dense(3),
    ),
    "convolutions in floats": lambda: sequential(
        (8, 2), keras.layers.DepthwiseConv1D(3, name="a"), qkeras.QActivation(q.quantized_relu(5, 1), name="b"),
        keras.layers.SeparableConv1D(3, 3, name="c"), qkeras.QActivation(q.quantized_relu(5, 1), name="d"), dense(3),
    ),
    "five tensors": five_tensors,
}  # fmt: skip
