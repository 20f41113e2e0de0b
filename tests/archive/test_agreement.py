"""What is read from a file without a framework is what Keras makes of it: layer by layer, code by code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.archive.assemble import network_of
from flow.archive.read import DEFAULT_INPUT, DEFAULT_PRECISION, read_archive, read_steps
from flow.archive.saved import quantizer_of
from flow.errors import InputError
from flow.estimate.features import weight_statistics
from flow.hls.bridge.check import DEFAULT_INPUT as PROJECT_INPUT
from flow.network.model_file import load_model
from flow.network.network import Network, build_network
from flow.network.qkeras_model import build_model, save_model
from flow.network.quantized import Codes
from flow.network.quantized_assemble import Step, assemble
from flow.network.quantized_keras import from_keras, read_model
from flow.network.quantized_weights import read_weight
from tests.network.random_candidates import random_candidate, random_codes

pytestmark = pytest.mark.slow
keras = pytest.importorskip("keras")
qkeras = pytest.importorskip("qkeras")

from tests.network.gallery import GALLERY, INPUT  # noqa: E402
from tests.network.random_networks import random_model  # noqa: E402


def as_qkeras_has_it(network: Network) -> Network:
    """QKeras takes one bit for {-1, 1}: weights of one bit, {-1, 0} steps, are two bits there, and sums wider."""
    layers = []
    for layer in network:
        if layer.weight is not None and layer.weight.kind == "fixed" and layer.weight.width == 1:
            layer = replace(layer, weight=replace(layer.weight, width=2, integer=layer.weight.integer + 1))
        layers.append(layer)
    return replace(network, layers=tuple(layers))


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_a_candidates_file_holds_the_candidates_network(start: int, tmp_path: Path) -> None:
    for seed in range(start, start + 20):
        network = build_network(random_candidate(seed))
        codes = random_codes(network, seed)
        save_model(build_model(network, codes), tmp_path / "m.keras")
        found = read_archive(tmp_path / "m.keras", network.input_format)
        assert found.floats == ()
        assert [la.name for la in found.network] == [la.name for la in network]
        narrow = any(la.weight is not None and la.weight.width == 1 and la.weight.kind == "fixed" for la in network)
        if not narrow:
            no_bias = {name for name, c in codes.items() if not c.bias.any()}
            expected = network if not no_bias else None
            assert expected is None or found.network == expected, seed
        else:
            assert [la.weight for la in found.network] == [la.weight for la in as_qkeras_has_it(network)]
        for layer in found.network:
            if layer.weight is not None:
                assert layer.statistics is not None
                assert layer.statistics.density == np.count_nonzero(codes[layer.name].weight) / layer.weight_count


def same_steps(found: tuple[Step, ...], expected: tuple[Step, ...]) -> None:
    """Steps are equal but for what float32 rounding does to them, and functions."""
    assert [s.name for s in found] == [s.name for s in expected]
    for mine, theirs in zip(found, expected, strict=True):
        for name in ("op", "source", "inputs", "out_shape", "kernel", "stride", "padding", "format", "rounding",
                     "saturation", "low", "high", "shift", "threshold"):  # fmt: skip
            assert getattr(mine, name) == getattr(theirs, name), (mine.name, name)
        for a, b in ((mine.weight, theirs.weight), (mine.bias, theirs.bias)):
            same_codes(a, b)


def same_codes(a: Codes | None, b: Codes | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert (a.kind, a.format) == (b.kind, b.format)
        assert np.array_equal(a.values, b.values)


@pytest.mark.parametrize("kind", range(9))
def test_random_qkeras_models_are_read_as_keras_makes_them(kind: int, tmp_path: Path) -> None:
    for seed in range(kind, kind + 9 * 12, 9):
        sample = random_model(seed)
        sample.model.save(tmp_path / "m.keras")
        # QKeras loses arguments when it saves (is_quantized_clip): what is in the file counts.
        model = load_model(tmp_path / "m.keras")
        same_steps(read_steps(tmp_path / "m.keras").steps, read_model(model, DEFAULT_PRECISION).steps)
        try:
            found = read_archive(tmp_path / "m.keras", sample.input_format)
            integers = from_keras(model, sample.input_format, float_format=DEFAULT_PRECISION)
        except InputError as error:  # by chance some make no sense
            refused = str(error)
            assert "to 0" in refused or "no prediction for multiply" in refused, (seed, refused)
            continue
        by_name = {layer.name: layer for layer in integers}
        for layer in found.network:
            if layer.weight is not None:  # the integers know the weights, and are never wider
                exact = by_name[layer.name]
                assert exact.output.width <= layer.output.width
                assert exact.weight is not None
                assert layer.statistics is not None
                statistics = (layer.statistics.density, layer.statistics.hard, layer.statistics.digits)
                assert statistics == weight_statistics(exact.weight.values)


@pytest.mark.parametrize("title", GALLERY)
def test_every_kind_of_layer_is_read_as_keras_makes_it(title: str, tmp_path: Path) -> None:
    model = GALLERY[title]()
    model.save(tmp_path / "m.keras")
    found = read_steps(tmp_path / "m.keras")
    in_memory = read_model(model, DEFAULT_PRECISION)
    same_steps(found.steps, in_memory.steps)
    if found.unquantized or not has_weights(found.steps):  # floats are fused first
        return
    network = read_archive(tmp_path / "m.keras", INPUT).network
    assert network == network_of(found.input_name, found.input_shape, INPUT, in_memory.steps)
    integers = {layer.name: layer for layer in from_keras(model, INPUT, float_format=DEFAULT_PRECISION)}
    for layer in network:
        if layer.weight is not None:
            exact = integers[layer.name]
            assert layer.out_shape == exact.out_shape
            assert layer.bias == (None if exact.bias is None else exact.bias.format)
            assert layer.output.width >= exact.output.width


def has_weights(steps: tuple[Step, ...]) -> bool:
    """Whether there is a layer with a matrix of weights."""
    return any(step.op in ("dense", "conv", "depthwise") for step in steps)


@pytest.mark.parametrize("seed", range(40))
def test_quantizers_in_numpy_give_the_codes_of_qkeras(seed: int) -> None:
    q = qkeras.quantizers
    rng = np.random.default_rng(seed)
    bits, integer = int(rng.integers(2, 9)), int(rng.integers(-1, 3))
    made = [
        q.quantized_bits(bits, integer, alpha=1, symmetric=int(rng.integers(2))),
        q.quantized_bits(bits, integer, alpha="auto_po2"),
        q.quantized_bits(bits, max(integer, 0), alpha=0.5, keep_negative=False),
        q.quantized_bits(1, 0, alpha=1),
        q.quantized_bits(bits, 0, alpha="auto"),
        q.quantized_linear(bits, integer, alpha="auto_po2"),
        q.quantized_linear(bits, integer, alpha=0.25, symmetric=0),
        q.quantized_linear(1, 0),
        q.binary(alpha=0.5),
        q.binary(alpha="auto_po2"),
        q.ternary(alpha=1, threshold=0.4),
        q.ternary(alpha="auto_po2"),
        q.quantized_po2(4),
        q.quantized_po2(4, max_value=2.0),
        q.quantized_relu_po2(3, max_value=1.0),
        q.quantized_relu(bits, 0),
        q.quantized_relu(bits, 1, negative_slope=0.25),
    ]
    activations = [q.quantized_tanh(bits), q.quantized_tanh(bits, symmetric=True, use_real_tanh=True),
                   q.quantized_sigmoid(bits), q.quantized_sigmoid(bits, use_real_sigmoid=True)]  # fmt: skip
    shape = ((7, 5), (3, 3, 2, 4), (6,))[seed % 3]
    values = rng.normal(0, 10.0 ** rng.uniform(-2, 0.5), size=shape).astype(np.float32)
    values[rng.random(shape) < 0.2] = 0
    for quantizer in made:
        saved = quantizer_of(keras.saving.serialize_keras_object(quantizer))
        try:
            expected = read_weight(quantizer, values, DEFAULT_PRECISION)
        except InputError as error:
            with pytest.raises(InputError) as mine:
                read_weight(saved, values, DEFAULT_PRECISION)
            assert str(mine.value).split(" ")[:3] == str(error).split(" ")[:3]  # noqa: PT017
            continue
        same_codes(read_weight(saved, values, DEFAULT_PRECISION).codes, expected.codes)
    for quantizer in activations:
        saved = quantizer_of(keras.saving.serialize_keras_object(quantizer))
        assert saved is not None
        assert np.array_equal(saved.on_numpy(values), keras.ops.convert_to_numpy(quantizer(values)))


def test_the_input_format_that_is_assumed_is_the_one_projects_are_written_for() -> None:
    assert DEFAULT_INPUT == PROJECT_INPUT


def test_a_network_can_be_assembled_from_the_file_alone(tmp_path: Path) -> None:
    for seed in range(18):
        sample = random_model(seed)
        sample.model.save(tmp_path / "m.keras")
        found = read_steps(tmp_path / "m.keras")
        try:
            expected = from_keras(load_model(tmp_path / "m.keras"), sample.input_format)
        except InputError:
            continue
        made = assemble(found.input_name, found.input_shape, sample.input_format, found.steps)
        # How far float32 is off is not in the file.
        assert replace(made, inexact=()).digest == replace(expected, inexact=()).digest
