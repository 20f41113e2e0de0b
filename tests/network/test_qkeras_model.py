"""QKeras models of Networks: the same values, bit for bit, under the same names, after saving and loading too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.errors import InputError, ToolError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import Layer, Network, build_network
from flow.network.qkeras_model import build_model, get_codes, save_model, set_codes, weight_quantizer
from flow.network.quantized_keras import from_keras
from flow.network.quantized_reference import trace
from flow.network.reference import integer_forward
from flow.space.candidate import Candidate, LayerChoice
from tests.network.random_candidates import random_candidate, random_codes, random_inputs

pytestmark = pytest.mark.slow
pytest.importorskip("qkeras")


def outputs_of(model: Any, network: Network, x: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """What every layer of a model gives for input codes, in values."""
    import keras

    tapped = keras.Model(model.input, [model.get_layer(layer.name).output for layer in network])
    results = tapped((x * network.input_format.step).astype(np.float32), training=False)
    results = results if isinstance(results, list) else [results]
    numbers = [keras.ops.convert_to_numpy(r).astype(np.float64) for r in results]
    return {layer.name: values for layer, values in zip(network, numbers, strict=True)}


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random_networks_compute_the_integers_of_the_reference_in_every_layer(start: int) -> None:
    for seed in range(start, start + 20):
        network = build_network(random_candidate(seed))
        codes, x = random_codes(network, seed), random_inputs(network, 8, seed)
        expected = integer_forward(network, codes, x)
        model = build_model(network, codes)
        for name, values in outputs_of(model, network, x).items():
            layer = next(la for la in network if la.name == name)
            assert np.array_equal(values / layer.output.step, expected[name]), f"seed {seed}, {name}"


def test_a_large_network_does_too() -> None:
    """Large tensors take other ways through the framework's libraries."""
    choice = LayerChoice("conv2d", 32, WeightFormat("fixed", 4, 1), FixedFormat(4, 2, False), (3, 3))
    depthwise = LayerChoice(
        "depthwise", 0, WeightFormat("fixed", 6, 1), FixedFormat(4, 2, False), (5, 5), residual=True
    )
    dense = LayerChoice("dense", 64, WeightFormat("fixed", 3, 0), FixedFormat(4, 2, False))
    layers = (choice, depthwise, choice, dense)
    candidate = Candidate((18, 20, 3), FixedFormat(8, 0, False), 10, layers, WeightFormat("fixed", 4, 1))
    network = build_network(candidate)
    codes, x = random_codes(network, 0), random_inputs(network, 32, 0)
    expected = integer_forward(network, codes, x)
    for name, values in outputs_of(build_model(network, codes), network, x).items():
        layer = next(la for la in network if la.name == name)
        assert np.array_equal(values / layer.output.step, expected[name]), name


@pytest.mark.parametrize("start", range(0, 20, 10))
def test_what_is_read_from_the_model_is_the_same_network(start: int) -> None:
    for seed in range(start, start + 10):
        network = build_network(random_candidate(seed))
        codes, x = random_codes(network, seed), random_inputs(network, 8, seed)
        model = build_model(network, codes)
        assert all(
            np.array_equal(found.weight, codes[name].weight) and np.array_equal(found.bias, codes[name].bias)
            for name, found in get_codes(model, network).items()
        )
        quantized = from_keras(model, network.input_format)
        assert not quantized.inexact
        values = trace(quantized, x)[-1] * quantized.output_format.step
        expected = integer_forward(network, codes, x)["output"] * network.layers[-1].output.step
        assert np.array_equal(values, expected), f"seed {seed}"


def weight_layer(weight: str, fan_in: int = 9) -> Layer:
    candidate = Candidate((fan_in,), FixedFormat(4, 1), 3, (), WeightFormat.parse(weight))
    return build_network(candidate).layers[-1]


@pytest.mark.parametrize("weight", ["binary", "ternary", "fixed<1,1>", "fixed<1,-1>", "fixed<2,1>", "fixed<4,-1>",
                                    "fixed<6,3>", "fixed<8,1>"])  # fmt: skip
@pytest.mark.parametrize("fan_in", [1, 9, 100])
def test_quantizers_give_the_nearest_weight_and_leave_weights_as_they_are(weight: str, fan_in: int) -> None:
    from keras import ops

    from flow.network.reference import weight_step

    layer = weight_layer(weight, fan_in)
    assert layer.weight is not None
    step = weight_step(layer)
    every = np.array([c for c in range(layer.weight.low, layer.weight.high + 1) if c or layer.weight.kind != "binary"])
    quantizer = weight_quantizer(layer)
    kept = ops.convert_to_numpy(quantizer(ops.convert_to_tensor((every * step).astype(np.float32))))
    assert np.array_equal(kept, every * step)
    if weight.startswith("fixed<1"):
        return  # carried by two bits, which hold one more value that no weight has
    values = np.random.default_rng(0).normal(0, 2 * step * layer.weight.high, 500).astype(np.float32)
    nearest = every[np.argmin(np.abs(values[:, None] - every * step), axis=1)] * step
    found = ops.convert_to_numpy(quantizer(ops.convert_to_tensor(values)))
    # QKeras adds and subtracts the value itself for the gradient: off the grid by its rounding.
    assert np.allclose(found, nearest, rtol=0, atol=1e-6 * float(np.abs(values).max()))


def test_a_saved_model_gives_the_same_outputs_in_a_fresh_process(tmp_path: Path) -> None:
    layers = (
        LayerChoice("conv2d", 4, WeightFormat.parse("fixed<3,1>"), FixedFormat(3, 1, False), (3, 3), pool=2),
        LayerChoice("depthwise", 0, WeightFormat.parse("ternary"), FixedFormat(4, 1, False), (3, 3), residual=True),
        LayerChoice("conv2d", 3, WeightFormat.parse("binary"), FixedFormat(1, 1, False), (3, 3), concat=(0,)),
    )
    candidate = Candidate((14, 10, 2), FixedFormat(8, 0, False), 5, layers, WeightFormat.parse("fixed<4,1>"), "gap")
    network = build_network(candidate)
    codes, x = random_codes(network, 0), random_inputs(network, 8, 0)
    path = tmp_path / "new folder" / "model.keras"
    save_model(build_model(network, codes), path)
    assert [p.name for p in path.parent.iterdir()] == ["model.keras"]
    np.save(tmp_path / "x.npy", (x * network.input_format.step).astype(np.float32))
    program = (
        "import sys, json, numpy as np, qkeras, keras\n"
        "m = keras.saving.load_model(sys.argv[1])\n"
        "y = m(np.load(sys.argv[2]), training=False)\n"
        "print(json.dumps([np.asarray(y, float).tolist(), [l.name for l in m.layers]]))\n"
    )
    argv = [sys.executable, "-c", program, str(path), str(tmp_path / "x.npy")]
    done = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, check=True
    )
    values, names = json.loads(done.stdout)
    expected = integer_forward(network, codes, x)["output"] * network.layers[-1].output.step
    assert np.array_equal(values, expected)
    assert [n for n in names if n not in ("x", "gap_pad")] == [layer.name for layer in network]


def test_weights_are_replaced_as_a_whole_and_wrong_ones_are_refused() -> None:
    network = build_network(Candidate((3,), FixedFormat(4, 1), 2, (), WeightFormat("fixed", 3, 1)))
    model = build_model(network, random_codes(network, 0))
    set_codes(model, network, random_codes(network, 1))
    assert np.array_equal(get_codes(model, network)["output"].weight, random_codes(network, 1)["output"].weight)
    with pytest.raises(InputError, match="output: its weights are missing"):
        set_codes(model, network, {})
    hidden = LayerChoice("dense", 2, WeightFormat("fixed", 3, 1), FixedFormat(2, 1, False))
    other = build_network(Candidate((3,), FixedFormat(4, 1), 2, (hidden,), WeightFormat("fixed", 3, 1)))
    with pytest.raises(InputError, match="dense1"):
        get_codes(model, other)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LayerChoice("dense", 2, WeightFormat("fixed", 3, 1), FixedFormat(3, -1, False)), "no ReLU of ufixed<3,-1>"),
        (
            LayerChoice("depthwise", 0, WeightFormat("fixed", 3, 1), FixedFormat(3, 1, False), (3, 3), (1, 2)),
            "same stride",
        ),
    ],
)
def test_what_qkeras_cannot_express_is_an_error_of_one_line(layer: LayerChoice, reason: str) -> None:
    candidate = Candidate((4, 4, 1), FixedFormat(4, 1), 3, (layer,), WeightFormat("fixed", 3, 1))
    with pytest.raises(InputError, match=reason):
        build_model(build_network(candidate))


def test_a_folder_that_cannot_be_written_is_a_tool_error(tmp_path: Path) -> None:
    network = build_network(random_candidate(3))
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot write"):
        save_model(build_model(network, random_codes(network, 0)), tmp_path / "file" / "model.keras")
