"""Training: good accuracies in seconds, the same again for a seed, and of the very network that is built."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.errors import InputError
from flow.network.datasets import load_dataset
from flow.network.datasets.types import Dataset
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import build_network
from flow.network.qat import QatNetwork, rounded_kernel, rounded_relu
from flow.network.qkeras_model import build_model, save_model, weight_quantizer
from flow.network.reference import integer_forward, weight_shape, weight_step
from flow.network.training import TrainingFailed, default_batch, evaluate, train
from flow.space.candidate import Candidate, LayerChoice

pytestmark = pytest.mark.slow
pytest.importorskip("qkeras")

LAYERS = (
    LayerChoice("conv2d", 8, WeightFormat("fixed", 4, 1), FixedFormat(4, 1, False), (3, 3), pool=2),
    LayerChoice("conv2d", 16, WeightFormat("fixed", 3, 1), FixedFormat(3, 1, False), (3, 3), pool=2),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    pytest.importorskip("sklearn")
    return load_dataset("digits")


def candidate_for(data: Dataset, *layers: LayerChoice, output: str = "fixed<4,1>", head: Any = "flatten") -> Candidate:
    info = data.info
    return Candidate(info.shape, info.input_format, info.classes, layers, WeightFormat.parse(output), head)


def test_a_small_network_learns_the_digits_within_seconds(digits: Dataset) -> None:
    losses: list[float] = []
    result = train(candidate_for(digits, *LAYERS), digits, epochs=10, seed=0, progress=lambda _, v: losses.append(v))
    assert result.val_accuracy >= 0.95
    assert result.epochs == len(losses) == 10
    assert losses[-1] == result.loss < losses[0] / 4
    assert 0 < result.seconds < 60


@pytest.mark.parametrize("weight", ["binary", "ternary", "fixed<2,1>"])
def test_weights_of_one_and_two_bits_learn_too(digits: Dataset, weight: str) -> None:
    layers = [replace(layer, weight=WeightFormat.parse(weight)) for layer in LAYERS]
    assert train(candidate_for(digits, *layers), digits, epochs=10, seed=0).val_accuracy >= 0.9


def test_the_accuracy_is_that_of_the_integers(digits: Dataset) -> None:
    layer = replace(LAYERS[0], activation=FixedFormat(2, 1, False), residual=True)
    candidate = candidate_for(digits, LAYERS[0], replace(layer, kind="depthwise", units=0, pool=1), head="gap")
    result = train(candidate, digits, epochs=3, seed=1)
    network = build_network(candidate)
    x = np.rint(digits.x_val / network.input_format.step).astype(np.int64)
    logits = integer_forward(network, result.codes, x)["output"]
    assert result.val_accuracy == np.mean(np.argmax(logits, axis=-1) == digits.y_val)


def test_a_seed_gives_the_same_weights_again_and_another_seed_others(digits: Dataset) -> None:
    candidate = candidate_for(digits, *LAYERS)
    first, second, other = (train(candidate, digits, epochs=2, seed=seed) for seed in (7, 7, 8))
    assert first.val_accuracy == second.val_accuracy
    assert first.loss == second.loss
    for name, codes in first.codes.items():
        assert np.array_equal(codes.weight, second.codes[name].weight)
        assert np.array_equal(codes.bias, second.codes[name].bias)
    assert not all(np.array_equal(c.weight, other.codes[n].weight) for n, c in first.codes.items())


def test_a_saved_model_has_the_same_accuracy_on_the_validation_samples(digits: Dataset, tmp_path: Path) -> None:
    candidate = candidate_for(digits, LAYERS[0])
    result = train(candidate, digits, epochs=2, seed=0)
    save_model(build_model(build_network(candidate), result.codes), tmp_path / "model.keras")
    assert evaluate(tmp_path / "model.keras", digits, "val") == result.val_accuracy
    assert 0.5 < evaluate(tmp_path / "model.keras", digits, "test") < 1


def rare_class(data: Dataset, share: float) -> Dataset:
    """Two classes, eights and others; few of the eights are left for training."""
    rng = np.random.default_rng(0)
    y = (data.y_train == 8).astype(np.int64)
    keep = (y == 0) | (rng.random(len(y)) < share)
    info = replace(data.info, classes=2, class_names=("other", "eight"))
    return replace(
        data, info=info, x_train=data.x_train[keep], y_train=y[keep], y_val=(data.y_val == 8).astype(np.int64)
    )


def test_class_weights_find_more_of_a_rare_class(digits: Dataset) -> None:
    data = rare_class(digits, 0.1)
    candidate = candidate_for(data, replace(LAYERS[0], units=2))
    network = build_network(candidate)
    found = []
    for weighted in (False, True):
        result = train(candidate, data, epochs=6, seed=0, class_weights=weighted)
        x = np.rint(data.x_val[data.y_val == 1] / network.input_format.step).astype(np.int64)
        found.append(np.mean(np.argmax(integer_forward(network, result.codes, x)["output"], axis=-1)))
    assert found[1] > found[0]


def test_features_beyond_8_bits_are_trained_on_as_they_are() -> None:
    rng = np.random.default_rng(0)
    for form in (FixedFormat(16, 6), FixedFormat(20, 4), FixedFormat(7, 3)):
        x = rng.integers(form.low // 4, form.high // 4, size=(400, 5)) * np.float32(form.step)
        data = made_up(x.astype(np.float32), (x[:, 0] > x[:, 1]).astype(np.int64), form)
        hidden = LayerChoice("dense", 8, WeightFormat("fixed", 6, 1), FixedFormat(6, 3, False))
        assert train(candidate_for(data, hidden), data, epochs=20, seed=0).val_accuracy > 0.9


def made_up(x: Any, y: Any, form: FixedFormat) -> Dataset:
    digits = load_dataset("digits")
    info = replace(digits.info, name="made up", shape=x.shape[1:], classes=2, input_format=form)
    half = len(x) // 2
    return replace(digits, info=info, x_train=x[:half], y_train=y[:half], x_val=x[half:], y_val=y[half:])


def test_a_loss_that_is_no_number_is_an_error_that_says_so(digits: Dataset) -> None:
    x = np.full((64, 3), np.nan, np.float32)
    data = made_up(x, np.arange(64) % 2, FixedFormat(20, 4))
    with pytest.raises(TrainingFailed, match="the loss became nan in epoch 1 of 5"):
        train(candidate_for(data), data, epochs=5, seed=0)


def test_a_candidate_for_another_data_set_is_refused(digits: Dataset, tmp_path: Path) -> None:
    candidate = replace(candidate_for(digits, *LAYERS), input_shape=(8, 8, 3))
    with pytest.raises(InputError, match=r"the candidate takes \(8, 8, 3\) of ufixed<5,1>"):
        train(candidate, digits, epochs=1, seed=0)
    with pytest.raises(InputError, match="epochs must be at least 1"):
        train(candidate_for(digits), digits, epochs=0, seed=0)
    save_model(build_model(build_network(candidate)), tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"a model of inputs \(8, 8, 3\) and 10 classes"):
        evaluate(tmp_path / "model.keras", digits, "val")


def test_batches_suit_the_data_and_the_memory(digits: Dataset) -> None:
    small = build_network(candidate_for(digits, *LAYERS))
    assert default_batch(small, 1078) == 32
    assert default_batch(small, 50_000) == 256
    assert default_batch(small, 10) == 10
    wide = tuple(replace(LAYERS[0], units=128, pool=1) for _ in range(4))
    large = build_network(replace(candidate_for(digits, *wide), input_shape=(32, 32, 3)))
    assert default_batch(large, 45_000) == 16


@pytest.mark.parametrize("weight", ["binary", "ternary", "fixed<1,1>", "fixed<2,1>", "fixed<4,-1>", "fixed<8,2>"])
def test_training_rounds_weights_to_what_the_model_can_hold(weight: str) -> None:
    from keras import ops

    layer = build_network(Candidate((50,), FixedFormat(4, 1), 6, (), WeightFormat.parse(weight))).layers[-1]
    assert layer.weight is not None
    step = weight_step(layer)
    values = np.random.default_rng(0).normal(0, 1.5 * step * max(layer.weight.high, 1), weight_shape(layer))
    rounded = ops.convert_to_numpy(rounded_kernel(layer, ops.convert_to_tensor(values.astype(np.float32))))
    on_grid = ops.convert_to_tensor((np.rint(rounded / step) * step).astype(np.float32))
    kept = ops.convert_to_numpy(weight_quantizer(layer)(on_grid))
    assert np.allclose(rounded, kept, rtol=0, atol=1e-6)
    every = np.array([c for c in range(layer.weight.low, layer.weight.high + 1) if c or layer.weight.kind != "binary"])
    assert np.allclose(
        rounded, every[np.argmin(np.abs(values[..., None] - every * step), -1)] * step, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("to", ["ufixed<1,1>", "ufixed<2,1>", "ufixed<3,0>", "ufixed<6,2>"])
def test_training_rounds_activations_as_qkeras_does(to: str) -> None:
    from keras import ops
    from qkeras import quantizers

    form = FixedFormat.parse(to)
    x = ops.convert_to_tensor(np.arange(-40, 40, dtype=np.float32) / 16)  # halves of codes among them
    expected = quantizers.quantized_relu(form.width, form.integer)(x)
    assert np.array_equal(ops.convert_to_numpy(rounded_relu(form, x)), ops.convert_to_numpy(expected))


def test_start_values_give_every_channel_mean_0_and_deviation_1(digits: Dataset) -> None:
    from keras import ops

    layers = tuple(replace(layer, weight=WeightFormat("fixed", 12, 2)) for layer in LAYERS)
    qat = QatNetwork(build_network(candidate_for(digits, *layers, output="fixed<12,2>")))
    x = digits.x_train[:256]
    start, means = qat.initial(np.random.default_rng(0), x)
    logits, found = qat.training_logits(ops.convert_to_tensor(start), ops.convert_to_tensor(means), False, x)
    assert np.allclose(ops.convert_to_numpy(found), means, atol=0.05)  # biases are rounded
    assert np.allclose(ops.convert_to_numpy(ops.mean(logits, axis=0)), 0, atol=0.02)
    assert np.allclose(ops.convert_to_numpy(ops.std(logits, axis=0)), 1, atol=0.05)


@pytest.mark.skipif(find_spec("jax") is None, reason="needs JAX")
def test_jax_trains_as_well() -> None:
    program = """
        from flow.network.datasets import load_dataset
        from flow.network.training import train
        from tests.network.test_training import LAYERS, candidate_for
        digits = load_dataset("digits")
        print(train(candidate_for(digits, *LAYERS), digits, epochs=6, seed=0).val_accuracy)
    """
    assert float(output_of(program, "jax")) > 0.9


def test_another_backend_is_refused_by_name() -> None:
    program = """
        from flow.errors import FlowError
        from flow.network.training import configure
        try:
            configure()
        except FlowError as error:
            print(error)
    """
    expected = "KERAS_BACKEND=numpy is not supported, use one of tensorflow, jax"
    assert output_of(program, "numpy") == expected


def output_of(program: str, backend: str) -> str:
    """The last line a program prints with a Keras backend."""
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": backend}, check=True
    )
    return done.stdout.strip().splitlines()[-1]
