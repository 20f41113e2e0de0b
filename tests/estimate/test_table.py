"""Tables of layers: rows of many networks, and which of them are alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.estimate import table as module
from flow.estimate.table import COLUMNS, LayerTable, group_sums, table_of
from flow.network.fixed import FixedFormat
from flow.network.network import Network
from flow.space.batch import batch_table
from flow.space.space import Task, load_space
from tests.implement.small import networks

VECTORS = Task((16,), FixedFormat(8, 3), 5)


def random_table(seed: int) -> LayerTable:
    space = load_space("mlp-tiny")
    return batch_table(space, space.sample(np.random.default_rng(seed), 40), VECTORS).table


def check_distinct(table: LayerTable, mark: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    first, which = table.distinct(mark)
    rows = list(zip(*(getattr(table, n).tolist() for n in COLUMNS[1:]), mark.tolist(), strict=True))
    assert len(first) == len(set(rows))
    assert [rows[first[k]] for k in which] == rows


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_distinct_rows_stand_for_all(seed: int) -> None:
    table = random_table(seed)
    check_distinct(table, np.random.default_rng(seed).random(len(table)) < 0.5)


def test_keys_that_collide_do_not_mix_rows_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIX", np.zeros_like(module._MIX))
    table = random_table(0)
    check_distinct(table, np.zeros(len(table), dtype=bool))


@settings(max_examples=20)
@given(st.lists(networks(), min_size=1, max_size=4))
def test_the_table_of_networks_has_their_layers_in_order(made: list[Network]) -> None:
    table = table_of(made)
    assert table.networks == len(made)
    assert (np.diff(table.network) >= 0).all()
    layers = [layer for network in made for layer in network]
    assert table.fan_in.tolist() == [layer.fan_in for layer in layers]
    assert table.positions.tolist() == [layer.positions for layer in layers]
    assert table.macs.tolist() == [layer.macs for layer in layers]
    assert table.is_weight.tolist() == [layer.weight is not None for layer in layers]
    sums = table.per_network(table.macs.astype(np.float64))
    assert sums.tolist() == [network.macs for network in made]


def test_a_group_without_values_sums_to_nothing() -> None:
    assert group_sums(np.array([1.0, 2.0, 4.0]), np.array([0, 2, 2]), 4).tolist() == [1.0, 0.0, 6.0, 0.0]
