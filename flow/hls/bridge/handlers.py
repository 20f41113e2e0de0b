"""Keras 3 layer handlers for hls4ml's registry: QKeras layers, and Keras layers that hls4ml 1.3 lacks or gets wrong.

hls4ml 1.3 has no Keras 3 handlers for QKeras at all, none for batch normalization and zero padding, merges two tensors
only, and reads ReLU as a thresholded one. Where the installed hls4ml brings its own handler for a QKeras layer, ours
steps aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import RLock
from typing import Any

from flow.errors import InputError
from flow.hls.bridge.hls_layers import hls_layer
from flow.hls.bridge.kernels import register_kernels
from flow.network.quantized import QuantizedLayer, QuantizedNetwork

HLS4ML_LOCK = RLock()
"""Held while hls4ml works: its registry, and the standard output it prints to, are those of the whole process."""

QKERAS_LAYERS = (
    "QDense", "QDenseBatchnorm", "QConv1D", "QConv2D", "QConv2DBatchnorm", "QDepthwiseConv2D",
    "QDepthwiseConv2DBatchnorm", "QSeparableConv1D", "QSeparableConv2D", "QActivation", "QBatchNormalization",
    "QAveragePooling2D", "QGlobalAveragePooling2D",
)  # fmt: skip
KERAS_LAYERS = (
    # Not in hls4ml's Keras 3 registry
    "keras.src.layers.normalization.batch_normalization.BatchNormalization",
    "keras.src.layers.reshaping.zero_padding1d.ZeroPadding1D",
    "keras.src.layers.reshaping.zero_padding2d.ZeroPadding2D",
    "keras.src.layers.regularization.gaussian_noise.GaussianNoise",
    "keras.src.layers.regularization.activity_regularization.ActivityRegularization",
    # There with float weights, which the C++ compiler would round
    "keras.src.layers.core.dense.Dense",
    "keras.src.layers.convolutional.conv1d.Conv1D",
    "keras.src.layers.convolutional.conv2d.Conv2D",
    "keras.src.layers.convolutional.depthwise_conv1d.DepthwiseConv1D",
    "keras.src.layers.convolutional.depthwise_conv2d.DepthwiseConv2D",
    "keras.src.layers.convolutional.separable_conv1d.SeparableConv1D",
    "keras.src.layers.convolutional.separable_conv2d.SeparableConv2D",
    # There for two inputs only
    "keras.src.layers.merging.add.Add",
    "keras.src.layers.merging.multiply.Multiply",
    "keras.src.layers.merging.maximum.Maximum",
    "keras.src.layers.merging.minimum.Minimum",
    "keras.src.layers.merging.concatenate.Concatenate",
    # There as a thresholded ReLU
    "keras.src.layers.activations.relu.ReLU",
    # There without the sizes of its tables
    "keras.src.layers.activations.softmax.Softmax",
)


@contextmanager
def handlers_for(network: QuantizedNetwork) -> Iterator[frozenset[str]]:
    """While it lasts, hls4ml converts the model that ``network`` was read from, with the network's integers.

    Gives the names of the handlers that are installed; hls4ml's registry is as before afterwards.
    """
    from hls4ml.converters.keras_v3._base import registry

    register_kernels()
    handler = _handler_class()(network)
    before = dict(registry)
    wanted = frozenset(name for name in QKERAS_LAYERS if not _brought_along(registry, name)) | frozenset(KERAS_LAYERS)
    try:
        registry.update(dict.fromkeys(wanted, handler))
        yield wanted
    finally:
        registry.clear()
        registry.update(before)


def _brought_along(registry: dict[str, Any], name: str) -> bool:
    """Whether hls4ml has a handler of its own for a QKeras layer, by its class name or by its full name."""
    return any(key == name or (key.startswith("qkeras.") and key.endswith(f".{name}")) for key in registry)


@lru_cache(maxsize=1)
def _handler_class() -> Any:
    from hls4ml.converters.keras_v3._base import KerasV3LayerHandler

    class FlowHandler(KerasV3LayerHandler):  # type: ignore[misc]
        """Gives hls4ml the layers of a QuantizedNetwork that come from the Keras layer it asks for."""

        # No ``handles``: hls4ml would register it for good, and without a network.

        def __init__(self, network: QuantizedNetwork) -> None:
            self.network = network

        def handle(
            self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]
        ) -> tuple[dict[str, Any], ...]:
            parts = [part for part in self.network if part.source == layer.name]
            if not parts:
                if len(in_tensors) == 1 and tuple(in_tensors[0].shape) == tuple(out_tensors[0].shape):
                    return (_through(layer.name, in_tensors[0].name, out_tensors[0].name),)
                raise InputError(f"{layer.name}: it is not part of the network that is converted")
            return tuple(_named(self.network, parts, in_tensors, out_tensors[0].name))

    return FlowHandler


def _named(
    network: QuantizedNetwork, parts: Sequence[QuantizedLayer], in_tensors: Sequence[Any], out_name: str
) -> Iterator[dict[str, Any]]:
    """hls4ml's dictionaries for the parts of one Keras layer, their tensors named so that the parts are chained."""
    outside = iter([tensor.name for tensor in in_tensors])
    indices = {network.layers.index(part): part for part in parts}
    produced = {index: f"{out_name}_{part.name}" for index, part in indices.items()}
    produced[max(produced)] = out_name
    for index, part in indices.items():
        names = [produced[i] if i in produced else next(outside) for i in part.inputs]
        shapes = [list(network.shape(i)) for i in part.inputs]
        yield {
            **hls_layer(network, part),
            "input_keras_tensor_names": names,
            "output_keras_tensor_names": [produced[index]],
            "input_shape": shapes,
            "output_shape": list(part.out_shape),
        }


def _through(name: str, source: str, target: str) -> dict[str, Any]:
    return {
        "name": name, "class_name": "Activation", "activation": "linear", "input_keras_tensor_names": [source],
        "output_keras_tensor_names": [target],
    }  # fmt: skip
