"""Generated hardware computes what the integer reference computes, bit for bit, in the cycles that were promised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_reference import forward
from flow.rtl.diagram import block_diagram
from flow.rtl.folding import Fold, Folding, serial_folding
from flow.rtl.mac import STYLES
from flow.rtl.plan import build_plan
from flow.rtl.price import load_prices
from flow.rtl.simulate import Stalls, simulate
from flow.rtl.verilator import Verilator
from tests.rtl.builder import conv_network, dense_network, weights
from tests.rtl.random_networks import KINDS, random_codes, random_folding, random_network

NETWORKS = int(os.environ.get("FLOW_RTL_NETWORKS", "10"))
"""How many random networks are simulated; 100 take some minutes."""


def check(network: QuantizedNetwork, folding: Folding, seed: int, verilator: Verilator, cache: Path) -> None:
    plan = build_plan(network, folding)
    codes = random_codes(network, 12, seed)
    expected = forward(network, codes)

    free = simulate(plan, codes, cache, tools=verilator)
    assert (free.outputs == expected).all()
    assert free.interval == plan.schedule.interval
    assert free.latency >= plan.schedule.least_latency

    even = simulate(plan, codes, cache, Stalls(even=True), verilator)
    assert (even.outputs == expected).all()
    assert even.interval == plan.schedule.interval
    assert even.latency == plan.schedule.latency

    stalled = simulate(plan, codes, cache, Stalls(30, 40, seed), verilator)
    assert (stalled.outputs == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NETWORKS), ids=lambda seed: f"{seed}-{KINDS[seed % len(KINDS)]}")
def test_a_random_network_is_bit_and_cycle_exact(seed: int, verilator: Verilator, cache: Path) -> None:
    network = random_network(seed)
    check(network, random_folding(network, seed), seed, verilator, cache)


@pytest.mark.parametrize("lanes", [1, 5])
def test_the_index_of_the_largest_output_is_given(lanes: int, verilator: Verilator, cache: Path) -> None:
    network = dense_network()
    last = network.layers[-1]
    assert last.output.signed
    name = next(layer.name for layer in reversed(network.layers) if layer.op == "dense")
    lanes = lanes if last.out_shape[-1] % lanes == 0 else last.out_shape[-1]
    plan = build_plan(network, Folding({name: Fold(lanes, 1)}, argmax=True))
    codes = random_codes(network, 40, 3)
    expected = forward(network, codes).argmax(axis=-1)[:, None]
    even = simulate(plan, codes, cache, Stalls(even=True), verilator)
    assert (even.outputs == expected).all()
    assert (even.interval, even.latency) == (plan.schedule.interval, plan.schedule.latency)
    assert (simulate(plan, codes, cache, Stalls(30, 40, 1), verilator).outputs == expected).all()
    assert "argmax" in block_diagram(plan.design, plan.schedule)
    prices = load_prices("xc7")
    assert prices is not None
    assert prices.design(plan.design, plan.schedule, "part", 100.0).resources.lut is not None


@pytest.mark.parametrize("style", STYLES)
def test_each_array_style_is_exact_for_each_kind_of_weight(style: str, verilator: Verilator, cache: Path) -> None:
    for bits in (1, 2, 3, 5, 8):
        network = dense_network(weight=weights((16, 8), bits))
        folding = Folding({"fc1": Fold(4, 16, style), "fc2": Fold(1, 2, style)}, 4)
        check(network, folding, bits, verilator, cache)


def test_a_serial_convolution_is_exact(verilator: Verilator, cache: Path) -> None:
    network = conv_network()
    check(network, serial_folding(network), 1, verilator, cache)
