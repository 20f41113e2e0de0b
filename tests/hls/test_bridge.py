"""The bridge: what can't be converted is named, and hls4ml's registry is left as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from flow.hls.bridge.check import check_convertible, io_problems
from flow.hls.bridge.handlers import KERAS_LAYERS, QKERAS_LAYERS, handlers_for
from flow.hls.bridge.hls_layers import precision
from flow.network.fixed import FixedFormat
from flow.network.quantized_keras import from_keras

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("hls4ml")
from tests.network.gallery import INPUT, bits, dense, keras, qkeras, sequential  # noqa: E402

# What hls4ml can't build


def image(*layers: Any) -> Any:
    return sequential((6, 6, 2), *layers)


STREAM: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: image(keras.layers.MaxPooling2D(2, padding="same", strides=4, name="pool")),
        "pool: io_stream needs a pooling stride equal to its window",
    ),
    (
        lambda: sequential((5, 5, 2), keras.layers.MaxPooling2D(2, padding="same", name="pool")),
        "pool: io_stream has no pooling with padding",
    ),
    (
        lambda: sequential((12,), keras.layers.Reshape((2, 6), name="a"), keras.layers.Reshape((3, 4), name="b")),
        "b: io_stream can't repack pixels of 6 values to 4",
    ),
    (
        lambda: image(qkeras.QDepthwiseConv2D((1, 3), depthwise_quantizer=bits(), use_bias=False, name="dw")),
        "dw: io_stream declares an array without elements",
    ),
    (
        lambda: image(qkeras.QConv2D(2, (1, 2), strides=2, kernel_quantizer=bits(), use_bias=False, name="conv")),
        "conv: io_stream ignores the vertical stride 2 of kernels of height 1",
    ),
]


@pytest.mark.parametrize(("make", "reason"), STREAM)
def test_what_hls4ml_cannot_stream_is_named_and_fine_otherwise(make: Callable[[], Any], reason: str) -> None:
    model = make()
    (problem,) = check_convertible(model, INPUT, io_type="io_stream")
    assert str(problem).startswith(reason)
    assert check_convertible(model, INPUT) == []


def test_images_are_streamed_unless_asked_otherwise() -> None:
    network = from_keras(image(keras.layers.MaxPooling2D(2, name="pool")), INPUT)
    (problem,) = io_problems(network, "io_parallel")
    assert str(problem) == "pool: io_parallel unrolls images completely, use io_stream"
    assert io_problems(network, "io_parallel", unrolled_images=True) == []
    assert io_problems(network, "io_serial")[0].reason == "unknown io type 'io_serial', known: io_parallel, io_stream"


def test_a_layer_whose_name_hls4ml_would_change_is_named() -> None:
    (problem,) = check_convertible(sequential((3,), dense(2, "p")), INPUT)
    assert str(problem) == "p: hls4ml uses this name itself: rename the layer"


def test_an_input_whose_name_is_a_word_of_cpp_is_named() -> None:
    start = keras.Input((3,), name="double")
    (problem,) = check_convertible(keras.Model(start, dense(2)(start)), INPUT)
    assert str(problem) == "double: the input has a name that means something in C++: rename it"


def test_all_problems_are_named_at_once() -> None:
    model = sequential((3,), dense(2, "a", kernel_quantizer=None), dense(2, "b", activation="gelu"))
    assert [problem.layer for problem in check_convertible(model)] == ["a", "b"]


# The registry


def test_handlers_are_there_while_they_are_needed_and_the_registry_is_as_before_afterwards() -> None:
    from hls4ml.converters.keras_v3._base import registry

    network = from_keras(sequential((3,), dense(2)), INPUT)
    before = dict(registry)
    assert "QDense" not in before
    with handlers_for(network) as installed:
        assert installed == {*QKERAS_LAYERS, *KERAS_LAYERS}
        assert registry["QDense"] is not None
    assert registry == before
    with pytest.raises(ZeroDivisionError), handlers_for(network):
        raise ZeroDivisionError
    assert registry == before


@pytest.mark.parametrize("key", ["QDense", "qkeras.qlayers.QDense"])
def test_ours_step_aside_where_hls4ml_brings_its_own(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hls4ml.converters.keras_v3 import _base

    theirs = object()
    monkeypatch.setitem(_base.registry, key, theirs)
    network = from_keras(sequential((3,), dense(2)), INPUT)
    with handlers_for(network) as installed:
        assert "QDense" not in installed
        assert "QConv2D" in installed
        assert _base.registry[key] is theirs


def test_every_keras_layer_that_ours_replace_exists() -> None:
    import importlib

    for full in KERAS_LAYERS:
        module, name = full.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), name), full
    for name in QKERAS_LAYERS:
        assert hasattr(qkeras, name), name


def test_precisions_are_written_as_hls4ml_reads_them() -> None:
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    text = precision(FixedFormat(8, 3), "half_even", "symmetric")
    assert text == "fixed<8,3,RND_CONV,SAT_SYM>"
    found = FPGABackend.convert_precision_string(text)
    assert (found.width, found.integer, found.signed) == (8, 3, True)
    assert (str(found.rounding_mode), str(found.saturation_mode)) == ("RND_CONV", "SAT_SYM")
    assert precision(FixedFormat(8, 3, signed=False)) == "ufixed<8,3>"
