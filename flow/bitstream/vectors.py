"""The test vectors that go with a bitstream: inputs, the outputs the integers give, and labels where there are any."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.hls.samples import random_samples
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_reference import encode, forward

if TYPE_CHECKING:
    from flow.network.datasets import Dataset

IMAGES = 500
"""Test samples recorded: enough to tell accuracies a percent or two apart, and still a small file."""
RANDOM_IMAGES = 64


def record(network: QuantizedNetwork, dataset: Dataset | None) -> tuple[bytes, str]:
    """(content of vectors.npz, what is in it). Raises InputError if the data set's samples are not the network's."""
    if dataset is None:
        codes = random_samples(network, RANDOM_IMAGES).codes
        return _npz({"inputs": codes, "outputs": forward(network, codes)}), f"{len(codes)} random inputs; no labels"
    if dataset.info.input_format != network.input_format or dataset.info.shape != network.input_shape:
        raise InputError(
            f"data set {dataset.info.name} has inputs {dataset.info.shape} of {dataset.info.input_format}, "
            f"the network {network.input_shape} of {network.input_format}"
        )
    inputs = encode(dataset.x_test[:IMAGES], network.input_format)
    labels = np.asarray(dataset.y_test[:IMAGES])
    arrays = {"inputs": inputs, "outputs": forward(network, inputs), "labels": labels}
    return _npz(arrays), f"the first {len(inputs)} test samples of {dataset.info.name}, with labels"


def preparation(dataset: Dataset | None) -> Mapping[str, Any] | None:
    """What turns raw samples into the network's inputs: ``(raw - offset) * scale``."""
    if dataset is None:
        return None
    return {"offset": np.asarray(dataset.offset).tolist(), "scale": np.asarray(dataset.scale).tolist()}


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz of the narrowest integers; the same bytes for the same arrays."""
    buffer = io.BytesIO()
    small = {}
    for name, array in arrays.items():
        of = np.result_type(np.min_scalar_type(int(array.min())), np.min_scalar_type(int(array.max())))
        small[name] = array.astype(of)
    np.savez_compressed(buffer, allow_pickle=False, **small)
    return buffer.getvalue()
