"""Samples for a project: of data where there are any, and what becomes of them is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.errors import InputError
from flow.hls.samples import dataset_samples, file_samples, random_samples
from flow.network.datasets import load_dataset
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.network.quantized_reference import decode

PIXELS = FixedFormat(8, 0, signed=False)


def network(shape: tuple[int, ...] = (4,), of: FixedFormat = PIXELS) -> QuantizedNetwork:
    """Inputs of a shape and format, and a layer that sums them up."""
    size = int(np.prod(shape))
    weight = Codes(np.ones((size, 1), dtype=np.int64), FixedFormat(2, 2))
    steps = [
        Step("flat", "reshape", "flat", ("x",), (size,)),
        Step("out", "dense", "out", ("flat",), (1,), weight=weight),
    ]
    return assemble("x", shape, of, steps)


def test_random_samples_are_the_same_for_the_same_network_and_reach_both_ends() -> None:
    one = random_samples(network(), 5)
    assert np.array_equal(one.codes, random_samples(network(), 5).codes)
    assert (one.codes[0] == 0).all()
    assert (one.codes[1] == 255).all()
    assert one.text == "5 random inputs of ufixed<8,0>, no data"
    assert random_samples(network(), 1).codes.shape == (1, 4)


def test_samples_of_a_data_set_are_its_validation_split() -> None:
    data = load_dataset("digits")
    net = network(data.info.shape, data.info.input_format)
    found = dataset_samples(data, net, 7)
    assert np.array_equal(decode(found.codes, data.info.input_format), data.x_val[:7])
    assert found.text == "7 samples of digits, validation split"
    with pytest.raises(InputError, match=r"data set digits has inputs \(8, 8, 1\) of ufixed<5,1>, the network \(4,\)"):
        dataset_samples(data, network(), 7)


@pytest.mark.parametrize("name", ["x", "x_val", "anything"])
def test_samples_of_a_file_are_rounded_and_what_is_lost_is_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    arrays: dict[str, Any] = {name: np.array([[0, 0.25, 0.5, 255 / 256], [1.5, -1.0, 0.001, 0.5]])}
    np.savez(path, **arrays)
    found = file_samples(path, network(), 10)
    assert found.codes.tolist() == [[0, 64, 128, 255], [255, 0, 0, 128]]
    assert found.text == (
        "2 samples of mine.npz, rounded by at most 0.001 as ufixed<8,0>, 25.0% of the values clipped to 0 to 0.996094"
    )
    exact = file_samples(path, network(), 1)
    assert exact.text == "1 samples of mine.npz, exact as ufixed<8,0>"


def test_images_without_channels_and_flat_ones_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    images = np.arange(8).reshape(2, 2, 2) / 256
    np.savez(path, x=images)
    assert file_samples(path, network((2, 2, 1)), 2).codes.shape == (2, 2, 2, 1)
    assert file_samples(path, network((4,)), 2).codes.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros(3), "z": np.zeros(3)}, "no array of samples (x, x_val, x_test, x_train) in it, found y, z"),
        ({"x": np.zeros((3, 5))}, "samples of x have shape (5,), the model takes (4,)"),
        ({"x": np.zeros(4)}, "x has shape (4,), expected (samples, 4)"),
        ({"x": np.zeros((0, 4))}, "x has shape (0, 4), expected (samples, 4)"),
        ({"x": np.full((1, 4), np.nan)}, "x holds NaN or infinity"),
        ({"x": np.array([["a"] * 4])}, "x is no array of real numbers"),
        ({"x": np.array([[{}] * 4], dtype=object)}, "not an .npz file of numbers: Object arrays cannot be loaded"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError) as caught:
        file_samples(path, network(), 3)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04broken", b"\x93NUMPY" + bytes(20), b"hello"])
def test_a_file_that_is_no_archive_is_refused_in_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        file_samples(path, network(), 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"samples are read from an \.npz"):
        file_samples(tmp_path / "x.csv", network(), 3)
