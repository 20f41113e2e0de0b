"""Fewer bits in one layer's weights give the network a candidate with those bits would."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat, bias_format
from flow.network.narrow import with_weight_bits
from flow.network.network import Network, WeightStatistics, build_network
from flow.space.candidate import Candidate, LayerChoice
from tests.network.random_candidates import random_candidate


def without_biases(network: Network) -> list[tuple[object, ...]]:
    """What the layers are, but for what depends on the format of biases."""
    return [(la.name, la.op, la.in_shape, la.out_shape, la.weight) for la in network]


def test_only_that_layer_and_what_follows_up_to_a_quantizer_changes() -> None:
    relu = FixedFormat(6, 3, signed=False)
    blocks = tuple(LayerChoice("conv2d", 8, WeightFormat("fixed", 8, 1), relu, (3, 3), pool=2) for _ in range(3))
    candidate = Candidate((16, 16, 1), FixedFormat(8, 0, signed=False), 10, blocks, WeightFormat("fixed", 8, 1))
    network = build_network(candidate)
    narrow = with_weight_bits(network, "conv2d2", 5)
    by_name = {la.name: la for la in narrow}
    old = {la.name: la for la in network}
    changed = {name for name in old if by_name[name] != old[name]}
    assert changed == {"conv2d2", "conv2d2_relu"}
    assert by_name["conv2d2"].weight == WeightFormat("fixed", 5, 1)
    assert by_name["conv2d2_relu"].in_format == by_name["conv2d2"].output
    assert by_name["conv2d2_relu"].output == old["conv2d2_relu"].output
    assert by_name["conv2d2"].output.width < old["conv2d2"].output.width


def test_it_is_the_network_of_the_candidate_with_those_bits() -> None:
    """But for biases, whose format a candidate takes from its weights."""
    for seed in range(60):
        candidate = random_candidate(seed)
        network = build_network(candidate)
        for number, choice in enumerate(candidate.layers):
            if choice.weight.kind != "fixed" or choice.weight.width < 2:
                continue
            name = f"{choice.kind}{number + 1}"
            fewer = WeightFormat("fixed", choice.weight.width - 1, choice.weight.integer)
            layers = list(candidate.layers)
            layers[number] = replace(choice, weight=fewer)
            expected = build_network(replace(candidate, layers=tuple(layers)))
            found = with_weight_bits(network, name, fewer.width)
            assert without_biases(found) == without_biases(expected)
            layer = next(la for la in found if la.name == name)
            if layer.bias == bias_format(layer.in_format, fewer, choice.activation.integer):
                assert found == expected


def test_a_result_that_is_given_stays(tmp_path: object) -> None:
    """Layers of floats have results of one precision."""
    network = build_network(random_candidate(3))
    first = next(la for la in network if la.weight is not None and la.weight.kind == "fixed" and la.weight.width > 1)
    given = replace(
        network, layers=tuple(replace(la, output=FixedFormat(16, 6)) if la is first else la for la in network)
    )
    found = with_weight_bits(given, first.name, 1)
    assert next(la for la in found if la.name == first.name).output == FixedFormat(16, 6)


def test_that_a_share_is_zero_is_kept_and_nothing_else() -> None:
    network = build_network(random_candidate(3))
    known = replace(network, layers=tuple(replace(la, statistics=WeightStatistics(0.25, 0.5, 2.0)) for la in network))
    first = next(la for la in network if la.weight is not None and la.weight.kind == "fixed" and la.weight.width > 1)
    found = next(la for la in with_weight_bits(known, first.name, 1) if la.name == first.name)
    assert found.statistics is not None
    assert found.statistics.density == 0.25
    assert found.statistics.hard != found.statistics.hard  # NaN: unknown


def test_what_cannot_be_narrowed_is_refused() -> None:
    network = build_network(random_candidate(3))
    with pytest.raises(InputError, match="no layer 'none'"):
        with_weight_bits(network, "none", 3)
    other = next(la for la in network if la.weight is None)
    with pytest.raises(InputError, match="has no fixed-point weights"):
        with_weight_bits(network, other.name, 3)
