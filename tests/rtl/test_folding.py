"""Folding: what a layer can have, what it costs in cycles, and what is refused."""

from __future__ import annotations

import pytest

from flow.errors import InputError
from flow.rtl.folding import Fold, Folding, fold_cost, fold_for, fold_options, layer_cycles, serial_folding
from flow.rtl.schedule import schedule
from tests.rtl.builder import conv_network, dense_network


@pytest.mark.parametrize(
    ("folding", "message"),
    [
        (Folding({"fc1": Fold(3, 1)}), "fc1: 3 outputs a cycle do not divide its 8"),
        (Folding({"fc1": Fold(1, 5)}), "fc1: 5 inputs a cycle do not divide its 16"),
        (Folding({"fc1": Fold(0, 1)}), "fc1: 0 outputs a cycle do not divide its 8"),
        (Folding({"fc9": Fold()}), "there is no layer 'fc9' with a fold"),
        (Folding({"fc1_relu": Fold()}), "there is no layer 'fc1_relu' with a fold"),
        (Folding({"fc1": Fold(style="magic")}), "unknown style 'magic', known: multiply, planes"),
        (Folding(input_lanes=3), "3 lanes do not divide the 16 channels"),
    ],
)
def test_a_fold_that_does_not_fit_is_refused(folding: Folding, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schedule(dense_network(), folding)


def test_the_serial_design_does_one_multiplication_a_cycle() -> None:
    network = dense_network()
    found = schedule(network, serial_folding(network))
    assert found.busy["fc1"] == 16 * 8
    assert found.busy["fc2"] == 8 * 4
    assert (found.interval, found.bottleneck) == (128, "fc1")


def test_a_wide_design_is_bound_by_its_slowest_part() -> None:
    found = schedule(dense_network(), Folding({"fc1": Fold(8, 16), "fc2": Fold(1, 8)}, 16))
    assert found.busy["fc1"] == 1
    assert (found.interval, found.bottleneck) == (4, "fc2")


@pytest.mark.parametrize("interval", [2592, 1300, 700, 324])
def test_a_throughput_is_met_by_the_cheapest_folds(interval: int) -> None:
    network = conv_network()
    folding = fold_for(network, interval)
    assert schedule(network, folding).interval <= interval
    for layer in network.weight_layers:
        bits = network.format(layer.inputs[0]).width
        cheaper = [
            o for o in fold_options(layer) if fold_cost(layer, o, bits) < fold_cost(layer, folding.of(layer), bits)
        ]
        assert all(layer_cycles(layer, option) > interval for option in cheaper)


def test_a_throughput_that_cannot_be_met_is_refused_with_what_can() -> None:
    with pytest.raises(InputError, match="conv can't finish an inference in 100 cycles: it needs 324 at its widest"):
        fold_for(conv_network(), 100)
