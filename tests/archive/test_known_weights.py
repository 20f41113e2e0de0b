"""What is known of weights reaches the estimate, and no layer of a user's model is a silent zero."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from flow.board import load_board
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.predict import predict
from flow.estimate.table import KnownTable, LayerTable, table_of
from flow.implement.solver import attempt, solve_batch
from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network, Op, WeightStatistics, build_network
from flow.spec import make_spec
from tests.network.random_candidates import random_candidate

BOARD = load_board("zcu102")
SPEC = make_spec(BOARD, bound="middle")
UNKNOWN = WeightStatistics(math.nan, math.nan, math.nan)


def with_statistics(network: Network, statistics: WeightStatistics | None) -> Network:
    """The network with the same known of all weights."""
    layers = (replace(la, statistics=statistics if la.weight is not None else None) for la in network)
    return replace(network, layers=tuple(layers))


def test_without_statistics_a_table_is_a_plain_one() -> None:
    assert type(table_of([build_network(random_candidate(1))])) is LayerTable


def test_a_table_keeps_what_is_known_where_rows_are_selected() -> None:
    networks = [with_statistics(build_network(random_candidate(s)), WeightStatistics(s / 9, 0.5, 2)) for s in range(8)]
    table = table_of([*networks, build_network(random_candidate(8))])
    assert isinstance(table, KnownTable)
    chosen = table.select(np.flatnonzero(table.is_weight & (table.network == 3)))
    assert isinstance(chosen, KnownTable)
    assert set(chosen.density) == {3 / 9}
    assert np.isnan(table.density[table.network == 8]).all()


def test_networks_are_the_same_whatever_is_known_of_their_weights() -> None:
    network = build_network(random_candidate(2))
    assert with_statistics(network, WeightStatistics(0.5, 0.5, 2)) == network


@pytest.mark.parametrize("seed", range(12))
def test_nothing_known_changes_nothing(seed: int) -> None:
    network = build_network(random_candidate(seed))
    unknown = with_statistics(network, UNKNOWN)
    assert isinstance(table_of([unknown]), KnownTable)
    plain, found = attempt(network, SPEC, BOARD.family), attempt(unknown, SPEC, BOARD.family)
    assert plain == found
    parts = [predict(n, plain.implementation, BOARD.part, BOARD.family) for n in (network, unknown)]
    assert parts[0] == parts[1]


def test_the_solver_and_the_prediction_agree_on_what_is_known() -> None:
    for seed in range(12):
        network = with_statistics(build_network(random_candidate(seed)), WeightStatistics(0.1, 0.0, 1.0))
        solution = solve_batch(table_of([network]), SPEC, BOARD.family)
        implementation = attempt(network, SPEC, BOARD.family).implementation
        total = predict(network, implementation, BOARD.part, BOARD.family).total
        assert total.resources.lut == solution.lut[0]
        assert total.interval_cycles == solution.interval[0]


def test_fewer_weights_that_are_not_zero_take_less_where_they_are_constants() -> None:
    fast = replace(SPEC, min_throughput_per_s=SPEC.clock_mhz * 1e6)  # reuse factor 1 everywhere
    less = 0
    for seed in range(40):
        network = build_network(random_candidate(seed))
        if len(network.input_shape) > 1 or attempt(network, fast, BOARD.family).reason:
            continue
        implementation = attempt(network, fast, BOARD.family).implementation
        luts = []
        for density in (0.0, 0.2, 1.0):
            known = with_statistics(network, WeightStatistics(density, 0.0, 2.0))
            luts.append(predict(known, implementation, BOARD.part, BOARD.family).total.resources.lut or 0)
        assert luts == sorted(luts), seed
        less += luts[0] < luts[2]
    assert less >= 3


@pytest.mark.parametrize("op", [op for op in get_args(Op) if op not in ("dense", "conv2d", "depthwise")])
def test_no_operation_is_a_silent_zero(op: Op) -> None:
    """But a reshape, which is wires."""
    x = FixedFormat(12, 4)
    whole = op in ("global_avgpool", "global_maxpool", "flatten")
    inputs = (-1, -1) if op in ("add", "concat") else (-1,)
    out = (8,) if whole else (4, 4, 8)
    layer = Layer("a", op, inputs, (4, 4, 8), out, x, FixedFormat(8, 4), kernel=(2, 2), stride=(1, 1))
    table = table_of([Network((4, 4, 8), x, (layer,))])
    stream = np.ones(1, dtype=bool)
    estimate = CALIBRATED.rows(table, np.zeros(1, dtype=np.int64), stream, ~stream, BOARD.family)
    assert estimate.lut[0] > 0
    assert estimate.interval[0] >= 1
    low, high = CALIBRATED.bounds(table, np.zeros(1, dtype=np.int64), stream, ~stream, BOARD.family, estimate)
    assert (low[0] <= estimate.resources()[0]).all()
    assert (high[0] >= estimate.resources()[0]).all()
