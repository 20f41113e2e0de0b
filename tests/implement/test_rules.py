"""Which implementations hls4ml and HLS accept."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.implement.rules import (
    UNROLL_LIMIT,
    check_io,
    check_layer,
    depthwise_reuse_factors,
    divisors,
    io_type_for,
    layer_reuse_factors,
    multipliers,
    strategy_of,
    valid_reuse_factors,
)
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import Layer, Network, build_network
from flow.space.candidate import Candidate, LayerChoice
from tests.implement.small import networks

WA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthesis" / "wa_hls4ml_dense.csv"
BITS4 = WeightFormat.parse("fixed<4,1>")
RELU4 = FixedFormat(4, 1, signed=False)


def mlp(inputs: int, *units: int) -> Network:
    blocks = tuple(LayerChoice("dense", n, BITS4, RELU4) for n in units)
    return build_network(Candidate((inputs,), FixedFormat(8, 1), 5, blocks, BITS4))


def cnn() -> Network:
    blocks = (LayerChoice("conv2d", 4, BITS4, RELU4, (3, 3)), LayerChoice("depthwise", 0, BITS4, RELU4, (3, 3)))
    return build_network(Candidate((6, 6, 2), FixedFormat(8, 1), 5, blocks, BITS4))


@given(st.integers(1, 5000))
def test_divisors_are_all_divisors_in_order(number: int) -> None:
    assert divisors(number) == tuple(d for d in range(1, number + 1) if number % d == 0)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_valid_reuse_factors_are_those_of_hls4ml(n_in: int, n_out: int) -> None:
    backend = pytest.importorskip("hls4ml.backends.fpga.fpga_backend").FPGABackend
    theirs = backend.get_valid_reuse_factors(backend.__new__(backend), n_in, n_out)
    assert valid_reuse_factors(n_in, n_out) == tuple(theirs)


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_factor_that_uses_one_multiplier_is_always_valid(n_in: int, n_out: int) -> None:
    factors = valid_reuse_factors(n_in, n_out)
    assert factors[0] == 1
    assert factors[-1] == n_in * n_out
    assert all(n_in * n_out % r == 0 for r in factors)
    assert list(factors) == sorted(set(factors))


@given(st.integers(1, 49), st.integers(1, 128))
def test_depthwise_factors_walk_channels_then_positions(kernel: int, channels: int) -> None:
    for factor in depthwise_reuse_factors(kernel, channels):
        assert channels % factor == 0 or factor % channels == 0
        assert kernel * channels % factor == 0


@given(networks())
def test_valid_factors_pass_and_their_neighbours_are_named(network: Network) -> None:
    for layer in network:
        if layer.weight is None:
            continue
        factors = layer_reuse_factors(layer)
        for factor in factors:
            assert check_layer(layer, strategy_of(layer, factor), factor) is None
        for wrong in set(range(2, factors[-1] + 2)) - set(factors):
            refusal = check_layer(layer, "Resource", wrong)
            assert refusal is not None
            assert refusal.rule == "reuse factor"
            below = max(r for r in factors if r < wrong)
            assert str(below) in refusal.sentence.rpartition("nearest valid:")[2]


def test_hls_does_not_unroll_4096_multiplications() -> None:
    layer = mlp(64, 128).layers[0]  # 8,192 weights
    refusal = check_layer(layer, "Resource", 1)
    assert refusal is not None
    assert refusal.rule == "unroll limit"
    assert (
        "8,192 weights at reuse factor 1 are 8,192 multiplications a step, HLS unrolls fewer than 4,096"
        in refusal.sentence
    )
    refusal = check_layer(layer, "Resource", 2)
    assert refusal is not None
    assert multipliers(8192, 2) == UNROLL_LIMIT
    assert check_layer(layer, "Resource", 4) is None


@pytest.mark.skipif(not WA.exists(), reason="needs shared data")
def test_no_run_that_hls_built_is_refused_and_none_that_it_refused_is_offered() -> None:
    """All one-layer runs: whatever failed breaks a rule, but for a batch of 24 that was interrupted."""
    with WA.open(newline="") as file:
        runs = list(csv.DictReader(file))
    missed = 0
    for run in runs:
        weights = int(run["d_in"]) * int(run["d_out"])
        weight = WeightFormat("fixed", int(run["prec"]), 1)
        shape = (int(run["d_in"]),), (int(run["d_out"]),)
        layer = Layer("dense", "dense", (-1,), *shape, FixedFormat(16, 6), FixedFormat(16, 6), fan_in=int(run["d_in"]),
                      weight=weight)  # fmt: skip
        refusal = check_layer(layer, run["strategy"].capitalize(), int(run["rf"]))
        built = run["hls_synth_success"] == "TRUE"
        assert layer.weight_count == weights
        assert not (built and refusal is not None), refusal
        missed += not built and refusal is None
    assert missed == 24


def test_strategy_latency_is_for_small_unrolled_layers() -> None:
    small, large = mlp(32, 96).layers[0], mlp(32, 128).layers[0]
    assert strategy_of(small, 1) == "Latency"
    assert strategy_of(large, 1) == "Resource"
    assert strategy_of(small, 2) == "Resource"
    refusal = check_layer(large, "Latency", 2)
    assert refusal is not None
    assert refusal.sentence == "dense1: strategy Latency unrolls all 4,096 weights, HLS fewer than 4,096"
    refusal = check_layer(small, "Unrolled", 1)
    assert refusal is not None
    assert refusal.rule == "strategy"


def test_how_large_depends_on_the_bits_of_the_weights() -> None:
    """3,072 weights pass at 12 bits and fail at 14."""
    layer = mlp(32, 96).layers[0]
    wide, wider = (replace(layer, weight=WeightFormat("fixed", bits, 1)) for bits in (12, 14))
    assert strategy_of(wide, 1) == "Latency"
    assert check_layer(wide, "Latency", 1) is None
    assert strategy_of(wider, 1) == "Resource"
    refusal = check_layer(wider, "Latency", 1)
    assert refusal is not None
    assert refusal.sentence == (
        "dense1: strategy Latency is reliable up to 36,864 bits of weights, the layer has 43,008"
    )
    assert check_layer(wider, "Resource", 1) is None


def test_unrolled_convolutions_can_be_reused_up_to_their_fan_in_and_depthwise_ones_not_at_all() -> None:
    conv, depthwise = (next(la for la in cnn() if la.op == op) for op in ("conv2d", "depthwise"))
    most = conv.fan_in
    assert check_layer(conv, "Resource", most, "io_parallel") is None
    refusal = check_layer(conv, "Resource", 2 * most, "io_parallel")
    assert refusal is not None
    assert refusal.rule == "reuse factor"
    assert check_layer(conv, "Resource", 2 * most, "io_stream") is None
    refusal = check_layer(depthwise, "Resource", 2, "io_parallel")
    assert refusal is not None
    assert refusal.rule == "strategy"
    assert check_layer(depthwise, "Latency", 1, "io_parallel") is None


def test_images_are_streamed_and_vectors_are_not() -> None:
    assert io_type_for(mlp(16, 8)) == "io_parallel"
    assert io_type_for(cnn()) == "io_stream"
    assert check_io(mlp(16, 8), "io_stream") is None
    assert check_io(cnn(), "io_stream") is None
    refusal = check_io(cnn(), "io_parallel")
    assert refusal is not None
    assert refusal.sentence == "conv2d1: io_parallel unrolls images completely, use io_stream"
    refusal = check_io(mlp(16, 8), "io_serial")
    assert refusal is not None
    assert refusal.rule == "io type"


@given(st.integers(1, 100_000), st.integers(1, 1000))
def test_multipliers_times_steps_cover_the_weights(weights: int, reuse: int) -> None:
    assert multipliers(weights, reuse) == math.ceil(weights / reuse)
