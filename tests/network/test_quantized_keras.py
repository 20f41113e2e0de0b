"""QKeras models as integers: the same on every bit, or named with the layer and the reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import build_network
from flow.network.qkeras_model import build_model
from flow.network.quantized_keras import Unconvertible, from_keras, model_problems
from flow.network.quantized_reference import decode, forward
from flow.network.quantized_weights import read_weight
from flow.network.reference import LayerCodes, integer_forward, weight_shape
from flow.space.candidate import Candidate, LayerChoice
from tests.network.random_networks import KINDS, random_network

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from tests.network.gallery import GALLERY, INPUT, bits, dense, difference, keras, q, qkeras, sequential  # noqa: E402

F = FixedFormat
PIXEL = F(8, 0, signed=False)


# Agreement


@pytest.mark.parametrize("kind", KINDS)
def test_random_networks_agree_with_qkeras_on_every_bit(kind: str) -> None:
    exact = 0
    for seed in range(1000, 1020):
        sample, network = random_network(seed, kind)
        inputs = sample.inputs(24, seed)
        expected = sample.keras_output(inputs)
        found = decode(forward(network, inputs), network.output_format)
        if network.inexact:
            bound = sum(item.bound or 0.0 for item in network.inexact)
            assert bound < 0.1, sample.title
        else:
            assert np.array_equal(expected, found), sample.title
            exact += 1
    assert exact >= 15


@pytest.mark.parametrize("title", GALLERY)
def test_every_kind_of_layer_agrees_with_qkeras_on_every_bit(title: str) -> None:
    model = GALLERY[title]()
    network = from_keras(model, INPUT, float_format=F(12, 4))
    if title.startswith("softmax"):
        assert len(network.inexact) == 1
    elif title.endswith("in floats") or title == "quantized batch normalization":  # 1 / sqrt(variance) is no grid point
        assert {item.reason for item in network.inexact} == {"its float constants are rounded to codes"}
    else:
        assert network.inexact == ()
        assert difference(model, network) == 0


def test_a_candidates_model_agrees_with_what_its_network_says() -> None:
    def block(kind: Any, units: int, weight: str, activation: str, **more: Any) -> LayerChoice:
        return LayerChoice(kind, units, WeightFormat.parse(weight), F.parse(activation), **more)

    blocks = (
        block("conv2d", 4, "fixed<4,1>", "ufixed<4,2>", kernel=(3, 3)),
        block("depthwise", 0, "ternary", "ufixed<3,1>", kernel=(3, 3)),
        block("conv2d", 4, "binary", "ufixed<4,1>", residual=True),
        block("conv2d", 6, "fixed<3,1>", "ufixed<5,2>", kernel=(3, 3), stride=(2, 2), concat=(0,), pool=2),
    )
    network = build_network(Candidate((9, 7, 3), PIXEL, 10, blocks, WeightFormat.parse("fixed<6,2>"), "gap"))
    rng = np.random.default_rng(0)
    codes = {}
    for layer in network:
        if layer.weight is not None and layer.bias is not None:
            weights = rng.integers(layer.weight.low, layer.weight.high, size=weight_shape(layer), endpoint=True)
            weights = np.where(weights < 0, -1, 1) if layer.weight.kind == "binary" else weights
            biases = rng.integers(layer.bias.low, layer.bias.high, size=layer.out_shape[-1:], endpoint=True)
            codes[layer.name] = LayerCodes(weights, biases)
    found = from_keras(build_model(network, codes), network.input_format)
    assert found.inexact == ()
    inputs = rng.integers(0, 256, size=(16, 9, 7, 3))
    expected = decode(integer_forward(network, codes, inputs)["output"], network.layers[-1].output)
    assert np.array_equal(decode(forward(found, inputs), found.output_format), expected)
    # Both name the layers alike; the formats found from the weights are as wide at most.
    ours = {layer.name: layer.output for layer in found}
    for layer in network:
        assert ours[layer.name].width <= layer.output.width
        assert ours[layer.name].fraction == layer.output.fraction


@pytest.mark.parametrize("inputs", [3, 4])
def test_merges_of_more_than_two_tensors_are_split_in_two_at_a_time(inputs: int) -> None:
    start = keras.Input((4, 4, 2), name="net_input")
    parts = [
        qkeras.QConv2D(2, 1, kernel_quantizer=bits(), bias_quantizer=bits(), name=f"c{i}")(start) for i in range(inputs)
    ]
    end = keras.layers.Concatenate(name="cat")([keras.layers.Add(name="sum")(parts), *parts])
    model = keras.Model(start, end)
    network = from_keras(model, PIXEL)
    assert [la.name for la in network if la.op == "add"] == [f"sum_{i}" for i in range(1, inputs - 1)] + ["sum"]
    assert network.output_shape == (4, 4, 2 * inputs + 2)
    assert difference(model, network) == 0


# Weights


@pytest.mark.parametrize(
    ("quantizer", "form", "kind"),
    [
        (bits(4, 0), "fixed<4,1>", "fixed"),
        (bits(4, 0, alpha=0.5), "fixed<4,0>", "fixed"),
        (bits(8, 3, symmetric=1), "fixed<8,4>", "fixed"),
        (bits(4, 0, keep_negative=False), "ufixed<4,0>", "fixed"),
        (bits(1, 0), "fixed<2,2>", "binary"),
        (q.binary(alpha=0.25), "fixed<2,0>", "binary"),
        (q.ternary(alpha=1), "fixed<2,2>", "ternary"),
        (q.ternary(alpha=2.0), "fixed<2,3>", "ternary"),
    ],
)
def test_weights_get_the_format_their_quantizer_declares(quantizer: Any, form: str, kind: str) -> None:
    values = np.random.default_rng(0).normal(0, 0.5, size=(4, 4))
    reading = read_weight(quantizer, values, None)
    assert (str(reading.codes.format), reading.codes.kind) == (form, kind)
    assert np.array_equal(reading.codes.reals().astype(np.float32), np.asarray(quantizer(values.astype("float32"))))


def test_scales_that_differ_from_channel_to_channel_make_weights_as_wide_as_needed() -> None:
    values = np.array([[0.9, 0.07, 0.3], [-0.7, 0.05, -0.2]], dtype=np.float32)
    quantizer = bits(3, 0, alpha="auto_po2")
    reading = read_weight(quantizer, values, None)
    assert np.array_equal(reading.codes.reals().astype(np.float32), np.asarray(quantizer(values)))
    assert len(set(np.asarray(quantizer.scale).ravel())) > 1
    assert reading.codes.format.width > 3


# What stands in the way


def two_inputs() -> Any:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], keras.layers.Add(name="sum")([a, b]))


def shared() -> Any:
    start = keras.Input((3,), name="net_input")
    layer = dense(3, "twice")
    return keras.Model(start, layer(layer(start)))


def operation() -> Any:
    start = keras.Input((3,), name="net_input")
    return keras.Model(start, dense(3, "a")(start) + start)


def broadcast() -> Any:
    start = keras.Input((4, 4, 2), name="net_input")
    small = keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(start)
    return keras.Model(start, keras.layers.Multiply(name="gate")([start, small]))


def relu_names() -> Any:
    start = keras.Input((3,), name="net_input")
    x = dense(3, "a", activation=q.quantized_relu(4))(start)
    return keras.Model(start, qkeras.QActivation(q.quantized_relu(4), name="A_quantized_relu")(x))


REFUSED: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: sequential((8, 2), keras.layers.LSTM(3, name="lstm")), ["lstm: layers of class LSTM are not supported"]),
    (
        lambda: sequential((3,), keras.layers.Lambda(lambda x: x * 2, name="code")),
        ["code: layers of class Lambda are not supported"],
    ),
    (
        lambda: sequential((3,), keras.layers.Dense(2, activation="gelu", name="d")),
        ["d: it has float weights without a quantizer"],
    ),
    (
        lambda: sequential((3,), dense(2, "d", activation="gelu")),
        ["d: activation gelu has no exact fixed-point equivalent, supported: linear, relu, softmax, quantized_relu"],
    ),
    (
        lambda: sequential((3,), dense(2, "d", kernel_quantizer=bits(alpha="auto"))),
        ["d: the scales of quantized_bits(4,0,1,alpha='auto') are no powers of two: use alpha='auto_po2'"],
    ),
    (
        lambda: sequential((3,), dense(2, "d", kernel_quantizer=q.stochastic_ternary(alpha="auto"))),
        ["d: quantizer stochastic_ternary has no fixed-point equivalent"],
    ),
    (
        lambda: sequential((3,), dense(2, "d"), qkeras.QActivation(bits(4, alpha="auto_po2"), name="act")),
        ["act: quantized_bits activations need a constant alpha, not 'auto_po2': it must not depend on data"],
    ),
    (
        lambda: sequential((3,), dense(2, "d"), qkeras.QActivation(q.quantized_relu(4, use_sigmoid=1), name="act")),
        ["act: quantized_relu(use_sigmoid=1) is not supported"],
    ),
    (
        lambda: sequential(
            (3,), dense(2, "d"),
            qkeras.QActivation(q.quantized_relu(3, 2, relu_upper_bound=0.3, is_quantized_clip=False), name="act"),
        ),
        ["act: quantized_relu: upper bound 0.3 is no multiple of 0.5"],
    ),
    (
        lambda: sequential((5, 5, 2), qkeras.QConv2D(2, 3, dilation_rate=2, kernel_quantizer=bits(), name="c")),
        ["c: dilation (2, 2) is not supported"],
    ),
    (
        lambda: sequential((5, 5, 2), qkeras.QConv2D(2, 3, groups=2, kernel_quantizer=bits(), name="c")),
        ["c: 2 groups are not supported"],
    ),
    (
        lambda: sequential(
            (5, 5, 2), qkeras.QDepthwiseConv2D(3, depth_multiplier=2, depthwise_quantizer=bits(), name="c")
        ),
        ["c: depth multiplier 2 is not supported"],
    ),
    (
        lambda: sequential((3, 3, 2), qkeras.QGlobalAveragePooling2D(average_quantizer=bits(8), name="mean")),
        ["mean: average_quantizer makes 1/9 0.109375: supported only where it is exact"],
    ),
    (two_inputs, ["model: models with one input and one output are supported, not 2 inputs and 1 outputs"]),
    (shared, ["twice: it is used more than once: shared layers are not supported"]),
    (operation, ["add: Add is an operation, not a layer: use the layer from keras.layers"]),
    (broadcast, ["mean: global pooling with keepdims=True", "gate: inputs of different shapes"]),
    (relu_names, ["A_quantized_relu: its part A_quantized_relu has the same name as a"]),
    (
        lambda: sequential((3,), dense(2, "a-b")),
        ["a-b: layer name 'a-b' is not made of letters, digits and underscores only"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "reasons"), REFUSED)
def test_what_cannot_be_converted_is_named_with_layer_and_reason(make: Callable[[], Any], reasons: list[str]) -> None:
    found = [str(problem) for problem in model_problems(make(), PIXEL)]
    assert len(found) == len(reasons)
    for text, reason in zip(found, reasons, strict=True):
        assert text.startswith(reason)


def test_every_layer_that_stands_in_the_way_is_named_at_once() -> None:
    model = sequential(
        (8, 8, 2), qkeras.QConv2D(2, 3, dilation_rate=2, kernel_quantizer=bits(), name="one"),
        keras.layers.UpSampling2D(2, name="two"), keras.layers.Flatten(name="flat"),
        keras.layers.Dense(2, name="three"),
    )  # fmt: skip
    with pytest.raises(Unconvertible) as caught:
        from_keras(model, PIXEL)
    assert [p.layer for p in caught.value.problems] == ["one", "two", "three"]
    assert str(caught.value).startswith("the model cannot be converted: one: dilation")
    assert "\n" not in str(caught.value)


def test_a_width_over_the_limit_is_named_with_the_layer() -> None:
    wide = {"kernel_quantizer": bits(24, 2), "bias_quantizer": None, "use_bias": False}
    model = sequential((4,), dense(4, "a", **wide), dense(4, "b", **wide), dense(4, "c", **wide))
    (problem,) = model_problems(model, PIXEL)
    assert str(problem).startswith("c: its accumulator needs")
    assert "at most 62 are supported" in problem.reason


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match="expected a Keras model, found list"):
        from_keras([], PIXEL)


# Where QKeras itself is not exact


def test_sums_beyond_24_bits_are_named_with_a_bound_that_holds() -> None:
    model = sequential((64,), dense(8, "wide", kernel_quantizer=bits(12, 0), bias_quantizer=bits(16, 1)))
    network = from_keras(model, F(12, 0))
    (item,) = network.inexact
    assert item.layer == "wide"
    assert "float32 has 24" in item.reason
    assert item.bound is not None
    assert 0 < difference(model, network, 256) <= item.bound


def test_an_activation_that_qkeras_blurs_is_named() -> None:
    for quantizer in (q.binary(), q.ternary()):
        model = sequential((6,), dense(4, "a"), qkeras.QActivation(quantizer, name="act"))
        network = from_keras(model, F(6, 1))
        (item,) = network.inexact
        assert item.layer == "act"
        assert "use alpha=1" in item.reason
        assert item.bound is not None
        assert difference(model, network, 256) <= item.bound


def test_float_weights_are_rounded_only_on_request_and_then_named_with_a_bound_that_holds() -> None:
    model = sequential(
        (6, 6, 2), qkeras.QConv2D(3, 3, kernel_quantizer=bits(), bias_quantizer=bits(8, 2), name="c"),
        keras.layers.BatchNormalization(name="norm"),
    )  # fmt: skip
    (problem,) = model_problems(model, F(6, 1))
    assert str(problem).startswith("norm: it has float weights without a quantizer: quantize them, or name a format")
    network = from_keras(model, F(6, 1), float_format=F(16, 4))
    (item,) = network.inexact
    assert item.layer == "norm"
    assert item.bound is not None
    assert 0 < difference(model, network, 128) <= item.bound
    (problem,) = model_problems(model, F(6, 1), float_format=F(16, -6))
    assert "do not fit fixed<16,-6>" in problem.reason


@pytest.mark.parametrize(("classes", "form"), [(3, F(6, 1)), (10, F(8, 2)), (40, F(12, 3))])
def test_softmax_stays_within_its_bound(classes: int, form: FixedFormat) -> None:
    model = sequential((6,), dense(classes, kernel_quantizer=bits(6, 2)), keras.layers.Softmax(name="soft"))
    network = from_keras(model, form)
    (item,) = network.inexact
    assert item.layer == "soft"
    assert item.bound is not None
    assert item.bound < 0.02
    assert difference(model, network, 500) <= item.bound
