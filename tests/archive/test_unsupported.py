"""A layer that has no equivalent in hardware is named with the reason, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.archive import builder as b
from tests.archive.builder import refusal


def one(tmp_path: Path, entry: dict[str, Any], *shapes: tuple[int, ...], shape: tuple[int, ...] = (16, 16, 1)) -> str:
    """Why a model of that one layer is refused."""
    variables = b.arrays({entry["config"]["name"]: shapes})
    return refusal(b.write(tmp_path / "m.keras", b.sequential([entry], shape), variables))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b.layer("Lambda", "l", function={}), "layer l: a Lambda layer is program code"),
        (b.layer("LSTM", "l", units=3), "layer l: layers of class LSTM are not supported"),
        (b.layer("QLSTM", "l", units=3), "layer l: layers of class QLSTM are not supported"),
        ({**b.layer("Mine", "l"), "module": "mine.layers"}, "layer l: class Mine is neither Keras' nor QKeras'"),
        ({**b.layer("Mine", "l"), "module": None}, "layer l: class Mine is neither Keras' nor QKeras'"),
        ({**b.layer("Add", "l"), "module": "keras.src.ops.numpy"}, "layer l: Add is an operation, not a layer"),
        (b.sequential([]) | {"config": {"name": "l"}}, "layer l: a model inside a model is not supported"),
        (b.conv("c", 4, dilation_rate=[2, 2]), "layer c: dilation (2, 2) is not supported"),
        (b.conv("c", 4, data_format="channels_first"), "layer c: only data_format='channels_last' is supported"),
        (b.conv("c", 4, padding="causal"), "layer c: padding causal is not supported"),
        (b.conv("c", 4, kernel_size=[20, 3], padding="valid"), "layer c: its window (20, 3) is larger than"),
        (b.conv("c", 4, strides=0), "layer c: strides must be a whole number from 1 to 1048576, not 0"),
        (b.conv("c", 4, kernel_quantizer=b.quantizer("bernoulli")), "layer c: quantizer bernoulli has no fixed-point"),
        (
            b.conv("c", 4, kernel_quantizer="quantized_bits(4)"),
            "layer c: its quantizer quantized_bits(4) is not underst",
        ),
        (
            b.conv("c", 4, kernel_quantizer=b.bits(99)),
            "layer c: quantized_bits: bits must be a whole number from 1 to 64",
        ),
        (b.conv("c", 4, activation="tanh"), "layer c: activation tanh has no exact fixed-point equivalent"),
        (b.layer("Flatten", "f"), "it has no dense layer and no convolution"),
        (b.layer("Reshape", "r", target_shape=[5, -1]), "layer r: (16, 16, 1) cannot be reshaped to (5, -1)"),
        (b.layer("ReLU", "r", max_value=6.0), "layer r: ReLU with max_value, negative_slope or threshold"),
        (b.layer("ZeroPadding2D", "p", padding=[[1, 1]]), "layer p: padding ((1, 1),) is not understood"),
        (b.layer("Softmax", "s", axis=1), "layer s: softmax is supported over the last axis only"),
    ],
)
def test_a_layer_that_has_no_equivalent_is_named_with_the_reason(
    tmp_path: Path, entry: dict[str, Any], reason: str
) -> None:
    assert one(tmp_path, entry, (3, 3, 1, 4), (4,)).startswith(reason)


def test_every_layer_that_is_not_supported_is_named(tmp_path: Path) -> None:
    entries = [b.layer("GRU", "a"), b.layer("Lambda", "b"), b.conv("c", 4)]
    config = b.functional([(entries[0], ["x"]), (entries[1], ["x"]), (b.layer("Add", "d"), ["a", "b"])], "d")
    text = refusal(b.write(tmp_path / "m.keras", config, {}))
    assert text == "layer a: layers of class GRU are not supported; layer b: a Lambda layer is program code"


def test_multiplying_two_tensors_has_no_prediction(tmp_path: Path) -> None:
    config = b.functional([(b.conv("a", 2), ["x"]), (b.layer("Multiply", "m"), ["a", "x"])], "m")
    variables = b.arrays({"a": ((3, 3, 2, 2), (2,))})
    assert refusal(b.write(tmp_path / "m.keras", config, variables)) == "layer m: there is no prediction for multiply"


def test_shared_layers_loops_and_several_inputs_are_refused(tmp_path: Path) -> None:
    config = b.functional([(b.dense("a", 2), ["x"]), (b.dense("c", 2), ["a"])], "c", shape=(2,))
    variables = b.arrays({"a": ((2, 2), (2,)), "c": ((2, 2), (2,))})

    def changed(change: Any) -> str:
        copy = json.loads(json.dumps(config))
        change(copy["config"]["layers"], copy["config"])
        return refusal(b.write(tmp_path / "m.keras", copy, variables))

    def share(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"] *= 2

    def loop(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "c"

    def nowhere(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "z"

    def two(layers: Any, body: Any) -> None:
        body["input_layers"] = [["x", 0, 0], ["y", 0, 0]]

    def told(layers: Any, body: Any) -> None:
        layers[2]["inbound_nodes"][0]["args"][0]["config"]["shape"] = [None, 7]

    assert changed(share) == "layer a: it is used more than once: shared layers are not supported"
    assert changed(loop) == "its configuration is damaged: layer c depends on itself"
    assert changed(nowhere) == "its configuration is damaged: no layer z"
    assert changed(two) == "models with one input and one output are supported, not 2 inputs"
    assert "it says that it reads (7,), which is (2,)" in changed(told)


def test_floats_that_do_not_fit_the_precision_say_what_to_do(tmp_path: Path) -> None:
    config = b.sequential([b.layer("Dense", "d", units=2, use_bias=False, activation="linear")], (4,))
    path = b.write(tmp_path / "m.keras", config, {"d": [np.full((4, 2), 40.123, np.float32)]})
    assert refusal(path).endswith("do not fit fixed<16,6>: name another precision for floats")
