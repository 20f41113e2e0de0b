"""``.keras`` files written as Keras 3 writes them, without Keras: a small convolutional network, to be changed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flow.archive.graph import snake_case
from flow.archive.read import read_archive
from flow.errors import InputError

Json = dict[str, Any]


def bits(width: int = 6, integer: int = 0, **more: Any) -> Json:
    """``quantized_bits``, as saved."""
    settings = {
        "bits": width,
        "integer": integer,
        "symmetric": 0,
        "alpha": 1,
        "keep_negative": True,
        "qnoise_factor": 1.0,
    }
    return quantizer("quantized_bits", **{**settings, **more})


def quantizer(kind: str, **settings: Any) -> Json:
    """Any quantizer of QKeras, as saved."""
    return {"module": "qkeras.quantizers", "class_name": kind, "config": settings, "registered_name": f"qkeras>{kind}"}


def relu(width: int = 4, integer: int = 2) -> Json:
    """``quantized_relu``, as saved."""
    return quantizer(
        "quantized_relu", bits=width, integer=integer, use_sigmoid=0, negative_slope=0.0, qnoise_factor=1.0
    )


def layer(kind: str, name: str, **settings: Any) -> Json:
    """A layer's entry, of QKeras if its class starts with a Q."""
    module = "qkeras.qlayers" if kind.startswith("Q") else "keras.layers"
    registered = f"qkeras>{kind}" if kind.startswith("Q") else None
    return {"module": module, "class_name": kind, "config": {"name": name, **settings}, "registered_name": registered}


def dense(name: str, units: int, **more: Any) -> Json:
    """A QDense of 6-bit weights."""
    settings = {
        "units": units,
        "activation": "linear",
        "use_bias": True,
        "kernel_quantizer": bits(),
        "bias_quantizer": bits(8, 2),
    }
    return layer("QDense", name, **{**settings, **more})


def conv(name: str, filters: int, **more: Any) -> Json:
    """A 3x3 QConv2D of 6-bit weights."""
    settings = {
        "filters": filters, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same",
        "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1, "activation": "linear", "use_bias": True,
        "kernel_quantizer": bits(), "bias_quantizer": bits(8, 2), "mask": None,
    }  # fmt: skip
    return layer("QConv2D", name, **{**settings, **more})


def pool(name: str) -> Json:
    """A 2x2 max pooling."""
    return layer("MaxPooling2D", name, pool_size=[2, 2], strides=[2, 2], padding="valid", data_format="channels_last")


def small() -> list[Json]:
    """A CNN of five layers with weights, for 16x16x1 images and ten classes."""
    parts = []
    for number, filters in enumerate((8, 8, 16), start=1):
        parts += [
            conv(f"conv{number}", filters),
            layer("QActivation", f"relu{number}", activation=relu()),
            pool(f"pool{number}"),
        ]
    parts += [layer("Flatten", "flat", data_format="channels_last"), dense("fc", 32)]
    return [*parts, layer("QActivation", "relu4", activation=relu()), dense("out", 10)]


SHAPES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "conv1": ((3, 3, 1, 8), (8,)), "conv2": ((3, 3, 8, 8), (8,)), "conv3": ((3, 3, 8, 16), (16,)),
    "fc": ((64, 32), (32,)), "out": ((32, 10), (10,)),
}  # fmt: skip
"""Of the variables of ``small``."""


def arrays(shapes: Mapping[str, Sequence[tuple[int, ...]]], zeros: float = 0.0) -> dict[str, list[NDArray[np.float32]]]:
    """Random variables; a share of ``zeros`` of them is 0."""
    rng = np.random.default_rng(1)

    def one(shape: tuple[int, ...]) -> NDArray[np.float32]:
        values = rng.normal(0, 0.3, shape)
        return np.where(rng.random(shape) < zeros, 0, values).astype(np.float32)

    return {name: [one(shape) for shape in found] for name, found in shapes.items()}


def sequential(layers: Sequence[Json], shape: Sequence[int] = (16, 16, 1)) -> Json:
    """The configuration of a Sequential model."""
    start = layer("InputLayer", "x", batch_shape=[None, *shape])
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [start, *deepcopy(list(layers))]},
    }


def functional(layers: Sequence[tuple[Json, Sequence[str]]], end: str, shape: Sequence[int] = (8, 8, 2)) -> Json:
    """The configuration of a Functional model: layers with the names of what they read."""
    entries = [{**layer("InputLayer", "x", batch_shape=[None, *shape]), "name": "x", "inbound_nodes": []}]
    for entry, inputs in layers:
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}} for name in inputs]
        node = {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}
        entries.append({**deepcopy(entry), "name": entry["config"]["name"], "inbound_nodes": [node]})
    body = {"name": "m", "layers": entries, "input_layers": ["x", 0, 0], "output_layers": [end, 0, 0]}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": body}


def hdf5(config: Json, variables: Mapping[str, Sequence[NDArray[Any]]]) -> bytes:
    """``model.weights.h5``: the variables of each layer, by its name, in the groups Keras would put them."""
    import h5py

    used: dict[str, int] = {}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for entry in config["config"]["layers"]:
            base = snake_case(entry["class_name"])
            used[base] = used.get(base, -1) + 1
            group = f"layers/{base}" + (f"_{used[base]}" if used[base] else "")
            for number, values in enumerate(variables.get(entry["config"]["name"], [])):
                file[f"{group}/vars/{number}"] = values
    return buffer.getvalue()


def write(
    path: Path,
    model: Json,
    variables: Mapping[str, Sequence[NDArray[Any]]],
    version: str = "3.15.1",
    config: bytes | None = None,
    weights: bytes | None = None,
) -> Path:
    """A ``.keras`` file; ``config`` and ``weights`` are what is in it instead of a model's."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(model).encode() if config is None else config)
        archive.writestr("model.weights.h5", hdf5(model, variables) if weights is None else weights)
    return path


def write_small(path: Path, zeros: float = 0.0) -> Path:
    """``small`` as a file."""
    return write(path, sequential(small()), arrays(SHAPES, zeros))


def plain(activation: str = "relu") -> list[Json]:
    """A Keras model without quantizers."""
    same = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last"}
    return [
        layer("Conv2D", "conv", filters=4, use_bias=False, activation="linear", **same),
        layer("BatchNormalization", "norm", axis=-1, epsilon=1e-3, center=True, scale=True),
        layer("ReLU", "relu", max_value=None, negative_slope=0.0, threshold=0.0),
        layer("Dropout", "drop", rate=0.5),
        layer("Flatten", "flat", data_format="channels_last"),
        layer("Dense", "fc", units=5, use_bias=True, activation=activation),
        layer("Dense", "out", units=3, use_bias=True, activation="softmax"),
    ]


PLAIN = {"conv": ((3, 3, 1, 4),), "norm": ((4,),) * 4, "fc": ((1024, 5), (5,)), "out": ((5, 3), (3,))}
"""Of the variables of ``plain``."""


def refusal(path: Path) -> str:
    """Why a file is not read; it is one line that starts with the file."""
    with pytest.raises(InputError) as caught:
        read_archive(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text.removeprefix(f"{path}: ")
