"""The integers of a Network: exact sums, rounding, formats that hold whatever comes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import Network, build_network
from flow.network.reference import LayerCodes, check_codes, integer_forward, round_shift, same_padding, weight_step
from flow.space.candidate import Candidate, LayerChoice
from tests.network.random_candidates import random_candidate, random_codes, random_inputs

W3, A4 = WeightFormat.parse("fixed<3,1>"), FixedFormat.parse("ufixed<4,2>")


def network_of(*layers: LayerChoice, shape: tuple[int, ...] = (5, 4, 2), head: str = "flatten") -> Network:
    return build_network(Candidate(shape, FixedFormat(4, 1), 3, layers, W3, head))  # type: ignore[arg-type]


@given(seed=st.integers(0, 10**6))
def test_every_value_of_a_network_fits_the_format_of_its_layer(seed: int) -> None:
    network = build_network(random_candidate(seed))
    found = integer_forward(network, random_codes(network, seed), random_inputs(network, 6, seed))
    for layer in network:
        values = found[layer.name]
        assert values.shape[1:] == layer.out_shape
        assert layer.output.low <= values.min()
        assert values.max() <= layer.output.high


@given(value=st.integers(-(2**40), 2**40), bits=st.integers(-8, 20), width=st.integers(1, 20), signed=st.booleans())
def test_rounding_is_to_the_nearest_code_ties_to_even_and_saturates(
    value: int, bits: int, width: int, signed: bool
) -> None:
    to = FixedFormat(width, 1, signed)
    exact = np.float64(value) / np.float64(2.0) ** bits  # 41 bits: exact
    expected = int(np.clip(np.rint(exact), to.low, to.high))
    assert round_shift(np.array([value]), bits, to)[0] == expected


def test_a_convolution_is_what_its_formula_says() -> None:
    network = network_of(LayerChoice("conv2d", 3, W3, A4, (3, 2), (2, 1)))
    layer, codes, x = network.layers[0], random_codes(network, 1), random_inputs(network, 2, 1)
    found, weights = integer_forward(network, codes, x)["conv2d1"], codes["conv2d1"]
    # 5 rows in steps of 2 see rows -1 to 5; 4 columns in steps of 1 see columns 0 to 4.
    for n, row, column, channel in product(range(2), range(3), range(4), range(3)):
        total = 0
        for i, j, c in product(range(3), range(2), range(2)):
            y, z = 2 * row + i - 1, column + j
            if 0 <= y < 5 and 0 <= z < 4:
                total += int(x[n, y, z, c]) * int(weights.weight[i, j, c, channel])
        value = total * 2.0**-3 * weight_step(layer) + weights.bias[channel] * layer.bias.step  # type: ignore[union-attr]
        assert found[n, row, column, channel] * layer.output.step == value


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(5, 3, 2, (1, 1)), (4, 2, 1, (0, 1)), (6, 3, 2, (0, 1)), (4, 1, 3, (0, 0)), (8, 5, 3, (1, 2))],
)
def test_same_padding_puts_the_odd_zero_behind(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize(("shape", "divisor"), [((4, 4), 16), ((7, 7), 64), ((3, 5), 32), ((1, 1), 1)])
def test_global_average_pooling_divides_by_the_size_of_the_image_padded_to_powers_of_two(
    shape: tuple[int, int], divisor: int
) -> None:
    network = network_of(shape=(*shape, 2), head="gap")
    x = random_inputs(network, 3, 0)
    found = integer_forward(network, random_codes(network, 0), x)["gap"]
    step = network.layers[0].output.step
    assert np.array_equal(found * step, x.sum(axis=(1, 2)) * network.input_format.step / divisor)


def test_wrong_codes_are_refused_with_the_layer_and_the_reason() -> None:
    network = network_of(LayerChoice("conv2d", 3, WeightFormat.parse("binary"), A4, (3, 3)))
    codes = random_codes(network, 0)
    good = codes["conv2d1"]
    for bad, reason in (
        (replace(good, weight=good.weight[..., :2]), r"conv2d1: weights have shape \(3, 3, 2, 2\)"),
        (replace(good, weight=good.weight * 2), "conv2d1: weights -2 to 2 are not in -1 to 1"),
        (replace(good, weight=good.weight * 0), "conv2d1: binary weights are -1 and 1"),
        (replace(good, bias=good.bias + 10**6), "conv2d1: biases .* are not in"),
        (LayerCodes(good.weight.astype(float), good.bias), "conv2d1: weights are float64"),
    ):
        with pytest.raises(InputError, match=reason):
            check_codes(network, {**codes, "conv2d1": bad})
    with pytest.raises(InputError, match="output: its weights are missing"):
        check_codes(network, {"conv2d1": good})


def test_wrong_inputs_are_refused() -> None:
    network = network_of()
    codes, x = random_codes(network, 0), random_inputs(network, 2, 0)
    bad: Any
    for bad in (x + 100, x.astype(np.float32), x[:, :3]):
        with pytest.raises(InputError, match="expected integers -8 to 7 of shape"):
            integer_forward(network, codes, bad)
