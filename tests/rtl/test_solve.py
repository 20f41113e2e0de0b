"""The folding solver: limits are kept, nothing cheaper was there, and what cannot be is said."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from flow.board import load_board
from flow.errors import NothingFeasible
from flow.network.quantized import QuantizedNetwork
from flow.rtl.folding import is_folded
from flow.rtl.plan import build_plan
from flow.rtl.price import load_prices
from flow.rtl.schedule import schedule
from flow.rtl.solve import converter, divisors, options_of, reads, solve_folding
from flow.spec import Spec, make_spec
from tests.rtl.builder import conv_network, dense_network
from tests.rtl.random_networks import KINDS, random_network


def spec_for(cycles: int, bram: float | None = 200) -> Spec:
    """At most so many cycles an inference."""
    spec = make_spec(load_board("pynq-z2"), fps=100e6 / cycles)
    return replace(spec, budget=replace(spec.budget, bram18=bram))


@pytest.mark.parametrize("cycles", [20_000, 900, 330])
def test_the_interval_is_kept(cycles: int) -> None:
    network = conv_network()
    spec = spec_for(cycles)
    found = schedule(network, solve_folding(network, spec))
    assert found.interval <= spec.max_interval_cycles


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_all_kinds_are_solved_and_can_be_built(kind: str) -> None:
    network = random_network(KINDS.index(kind), kind)
    plan = build_plan(network, solve_folding(network, spec_for(4000)))
    assert plan.schedule.interval <= 4000


def cheapest(network: QuantizedNetwork, cycles: int, most_bram: float) -> float:
    """The least price of all combinations, by trying them."""
    prices = load_prices("xc7")
    layers = [layer for layer in network if is_folded(layer)]
    options = [options_of(network, layer, cycles, prices) for layer in layers]
    best = float("inf")
    beats, channels = 1, network.input_shape[-1]
    for size in network.input_shape:
        beats *= size
    for lanes in (n for n in divisors(channels) if beats // n <= cycles):
        for chosen in itertools.product(*options):
            cost, have, before = 0.0, lanes, None
            for layer, option in zip(layers, chosen, strict=True):
                frame, width = 1, network.format(layer.inputs[0]).width
                for size in layer.in_shape:
                    frame *= size
                joined = reads(network, layer, before)
                extra = converter(have, option.takes, frame, width, cycles, prices) if joined else 0.0
                cost += float("inf") if extra is None else option.lut + extra
                have, before = option.gives, layer
            if sum(option.bram18 for option in chosen) <= most_bram:
                best = min(best, cost)
    return best


@pytest.mark.parametrize("cycles", [40, 130])
def test_nothing_cheaper_is_there(cycles: int) -> None:
    network = dense_network()
    folding = solve_folding(network, spec_for(cycles))
    prices = load_prices("xc7")
    cost, have, before = 0.0, folding.input_lanes, None
    for layer in network:
        if not is_folded(layer):
            continue
        fold = folding.of(layer)
        (option,) = [o for o in options_of(network, layer, cycles, prices) if o.fold == fold]
        width = network.format(layer.inputs[0]).width
        extra = converter(have, option.takes, layer.in_shape[0], width, cycles, prices)
        assert extra is not None
        assert reads(network, layer, before)
        cost += option.lut + extra
        have, before = option.gives, layer
    assert cost == pytest.approx(cheapest(network, cycles, 200))


def test_less_time_costs_more() -> None:
    network, prices = conv_network(), load_prices("xc7")
    assert prices is not None
    luts = []
    for cycles in (5000, 800, 330):
        plan = build_plan(network, solve_folding(network, spec_for(cycles)))
        luts.append(prices.design(plan.design, plan.schedule, "part", 100.0).resources.lut or 0)
    assert luts == sorted(luts)
    assert luts[0] < luts[-1]


def test_a_latency_is_kept_by_a_shorter_interval() -> None:
    network = conv_network()
    loose = schedule(network, solve_folding(network, spec_for(5000)))
    spec = replace(spec_for(5000), max_latency_us=loose.latency / 100 / 2)
    assert schedule(network, solve_folding(network, spec)).latency <= loose.latency / 2


def test_what_cannot_be_is_said() -> None:
    network = conv_network()
    with pytest.raises(NothingFeasible, match="the input of 36 pixels takes longer than 20 cycles"):
        solve_folding(network, spec_for(20))
    with pytest.raises(NothingFeasible, match="at most 5 cycles of latency"):
        solve_folding(network, replace(spec_for(5000), max_latency_us=0.05))
    with pytest.raises(NothingFeasible, match="no folding keeps 100,000 cycles within -1 RAMB18"):
        solve_folding(network, spec_for(100_000, bram=-1))
