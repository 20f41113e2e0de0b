"""The structural model: physically sensible, and as the solver counts on every estimator to be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.estimate.models import load_estimator, names
from flow.estimate.structural import CELLS, ERRORS, STRUCTURAL, Estimate, Estimator, bram18
from flow.estimate.table import COLUMNS, OP_CODE, WEIGHT_CODE, LayerTable
from flow.implement.options import options_of, streams
from flow.implement.rules import valid_reuse_factors
from flow.network.fixed import FixedFormat
from flow.resources import RESOURCE_NAMES
from flow.space.batch import batch_table
from flow.space.space import Task, load_space
from tests.implement.small import RandomHardware

FAMILIES = ("zynq7000", "zynqmp", "ecp5", "ice40")
TASKS = {
    "mlp-jets": Task((16,), FixedFormat(8, 3), 5),
    "cnn-small": Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10),
    "cnn-cifar10": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
    "paper-iccad19+stride-skip": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
}
FIELDS = (*RESOURCE_NAMES, "interval", "fill")


def dense(
    n_in: int, n_out: int, w: int = 8, x: int = 16, kind: str = "fixed", acc: int = 24, rows: int = 1
) -> LayerTable:
    """A dense layer, ``rows`` times."""
    values = dict.fromkeys(COLUMNS, 1) | {
        "op": OP_CODE["dense"], "in_c": n_in, "out_c": n_out, "fan_in": n_in, "x_width": x, "w_width": w,
        "w_kind": WEIGHT_CODE[kind], "out_width": acc, "bias_width": w, "network": 0,
    }  # fmt: skip
    return LayerTable(1, *(np.full(rows, values[name], dtype=np.int64) for name in COLUMNS))


def estimate(table: LayerTable, reuse: Any, stream: bool = False, family: str = "zynq7000") -> Estimate:
    """Rows with one io type, strategy Latency where the reuse factor is 1."""
    factors = np.broadcast_to(np.asarray(reuse, dtype=np.int64), (len(table),))
    return STRUCTURAL.rows(table, factors, np.full(len(table), stream), factors == 1, family)


def sampled(name: str, seed: int, count: int = 48) -> LayerTable:
    """The layers of random candidates of a space."""
    space = load_space(name, TASKS[name])
    return batch_table(space, space.sample(np.random.default_rng(seed), count), TASKS[name]).table


# What every estimator promises


@pytest.mark.parametrize("estimator", [*map(load_estimator, names()), RandomHardware(4)], ids=[*names(), "random"])
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_contract_of_estimators(estimator: Estimator, name: str, family: str, seed: int) -> None:
    table = sampled(name, seed)
    if not len(table):
        return
    stream = streams(table)[table.network]
    weight = table.is_weight
    layers, layer_stream = table.select(weight), stream[weight]
    options = options_of(layers, layer_stream, family, estimator, "upper")
    wide = layers.select(options.layer)
    arguments = (wide, options.reuse, layer_stream[options.layer], options.latency, family)
    rows = estimator.rows(*arguments)
    for field in FIELDS:
        values = getattr(rows, field)
        assert values.shape == (len(wide),)
        assert np.isfinite(values).all()
        assert (values >= 0).all(), field
        assert (values == np.round(values)).all(), field
    # Each row depends on itself alone.
    order = np.random.default_rng(seed).permutation(len(wide))[:200]
    some = estimator.rows(
        wide.select(order), options.reuse[order], layer_stream[options.layer[order]], options.latency[order], family
    )
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(some, field), getattr(rows, field)[order], err_msg=field)
    # Cycles never fall as a layer's reuse factor grows; options are sorted by it.
    same = np.diff(options.layer) == 0
    for cycles in (rows.fill, rows.interval):
        assert (np.diff(cycles)[same] >= 0).all()
    low, high = estimator.bounds(*arguments, rows)
    np.testing.assert_array_equal(options.checked, high.T)
    assert (low <= rows.resources()).all()
    assert (high >= rows.resources()).all()
    assert (low >= 0).all()
    plain = estimator.rows(table, np.where(weight, 1, 99), stream, np.zeros(len(table), dtype=bool), family)
    again = estimator.rows(table, np.ones(len(table), dtype=np.int64), stream, np.zeros(len(table), dtype=bool), family)
    for field in FIELDS:  # the reuse factor of a layer without weights means nothing
        np.testing.assert_array_equal(getattr(plain, field)[~weight], getattr(again, field)[~weight])
    assert estimator.top().shape == (5,)
    assert estimator.name
    assert estimator.version
    assert estimator.note


# Physics


@settings(max_examples=200)
@given(st.integers(2, 128), st.integers(1, 128), st.integers(9, 18), st.integers(9, 18), st.data())
def test_a_wide_folded_layer_takes_a_dsp_a_multiplier(n: int, o: int, w: int, x: int, data: st.DataObject) -> None:
    """Resource, reuse above 1: in all 497 public rows of 8 bits and more DSP = ceil(n_in * n_out / RF)."""
    reuse = data.draw(st.sampled_from(valid_reuse_factors(n, o)[1:]))
    assert estimate(dense(n, o, w, x), reuse).dsp[0] == math.ceil(n * o / reuse)


@pytest.mark.parametrize("kind", ["binary", "ternary"])
@given(st.integers(1, 128), st.integers(1, 128), st.data())
def test_binary_and_ternary_weights_take_no_dsp(kind: str, n: int, o: int, data: st.DataObject) -> None:
    reuse = data.draw(st.sampled_from(valid_reuse_factors(n, o)))
    width = WEIGHT_CODE[kind] - 1
    assert estimate(dense(n, o, width, kind=kind), reuse).dsp[0] == 0


@settings(max_examples=200)
@given(
    st.integers(1, 96),
    st.integers(1, 96),
    st.integers(2, 12),
    st.integers(2, 16),
    st.data(),
    st.sampled_from(["n_in", "n_out", "x"]),
)
def test_more_work_never_takes_less(n: int, o: int, w: int, x: int, data: st.DataObject, more: str) -> None:
    """Twice the inputs or outputs or a wider input at the same reuse: not less of anything.

    A product may move from LUTs to a DSP and a ROM to a block RAM, so LUTs are added up with what these stand for. Up
    to the fan-in: at more reuse than that outputs take turns, which is another circuit.
    """
    reuse = data.draw(st.sampled_from([r for r in valid_reuse_factors(n, o) if r <= n]))
    grown = {"n_in": dense(2 * n, o, w, x), "n_out": dense(n, 2 * o, w, x), "x": dense(n, o, w, x + 2)}[more]
    before, after = estimate(dense(n, o, w, x), reuse), estimate(grown, reuse)

    def total(e: Estimate) -> float:
        return float(e.lut[0] + (2 * x * w + 40) * e.dsp[0] + 1024 * e.bram18[0])

    assert total(after) >= total(before)
    assert after.ff[0] >= before.ff[0]
    assert after.bram18[0] >= before.bram18[0]


@settings(max_examples=100)
@given(st.integers(1, 96), st.integers(1, 96), st.integers(2, 12), st.integers(1, 16))
def test_nothing_is_free(n: int, o: int, w: int, x: int) -> None:
    """Every weight layer takes LUTs, flip-flops and time, whatever its reuse factor."""
    factors = np.array(valid_reuse_factors(n, o))
    for stream in (False, True):
        found = estimate(dense(n, o, w, x, rows=len(factors)), factors, stream)
        assert (found.lut > 0).all()
        assert (found.ff > 0).all()
        assert (found.interval >= factors).all()
        assert (found.fill > 0).all()


@pytest.mark.parametrize("name", TASKS)
def test_layers_that_only_pass_data_on_in_parallel_take_nothing(name: str) -> None:
    table = sampled(name, 1)
    wires = table.select(np.isin(table.op, [OP_CODE["flatten"], OP_CODE["concat"]]))
    found = estimate(wires, 1, stream=False)
    assert (found.resources() == 0).all()
    assert (found.dsp == 0).all()


def test_no_multiplication_no_dsp() -> None:
    table = sampled("cnn-cifar10", 2, 400)
    plain = table.select(~table.is_weight)
    assert len(plain) > 100
    assert (estimate(plain, 1, stream=True).dsp == 0).all()
    assert (STRUCTURAL.top()[2:] == 0).all()


def test_reuse_trades_multipliers_for_time() -> None:
    factors = np.array(valid_reuse_factors(64, 32)[1:])
    found = estimate(dense(64, 32, 12, rows=len(factors)), factors)
    assert (np.diff(found.dsp) < 0).all()
    assert (np.diff(found.interval) > 0).all()
    # Public one-layer designs: latency is RF + 1 or RF + 2, the interval RF.
    assert (found.fill == factors + 2).all()
    assert (found.interval == factors).all()


@given(st.integers(1, 20_000), st.integers(1, 60_000))
def test_block_rams_hold_the_memory_and_are_not_wasted(width: int, depth: int) -> None:
    blocks = float(bram18(np.array([width], dtype=float), np.array([depth], dtype=float))[0])
    assert blocks * 18 * 1024 >= width * depth
    assert blocks <= math.ceil(width / 36) * math.ceil(depth / 512)
    assert blocks <= width * math.ceil(depth / 16384)


@pytest.mark.parametrize(("width", "depth", "blocks"), [(36, 512, 1), (256, 512, 8), (128, 1280, 12), (1, 16384, 1)])
def test_block_rams_of_real_reports(width: int, depth: int, blocks: int) -> None:
    assert bram18(np.array([float(width)]), np.array([float(depth)])).tolist() == [blocks]


def test_a_wide_product_takes_the_tiles_of_the_family() -> None:
    """25 x 18 fits one DSP48E1; 27 bits fit only a DSP48E2; an iCE40's are 16 x 16."""

    def tiles(family: str, x: int) -> float:
        return float(estimate(dense(16, 16, 16, x), 16, family=family).dsp[0]) / 16

    assert [tiles("zynq7000", x) for x in (25, 27)] == [1, 2]
    assert [tiles("zynqmp", x) for x in (25, 27)] == [1, 1]
    assert [tiles("virtex-ultrascale+", x) for x in (25, 27)] == [1, 1]
    assert [tiles("ecp5", x) for x in (18, 19)] == [1, 2]
    assert [tiles("ice40", x) for x in (16, 18)] == [1, 2]


# How far it is from what HLS reported


def test_the_intervals_are_the_errors_on_public_reports(shared_data: Any) -> None:
    """``benchmarks/structural_error.py`` finds the constants of the model in the data they are from."""
    from benchmarks.structural_error import FILES, errors, quantiles
    from flow.estimate.calibration_data import read_rows

    found = errors(read_rows([shared_data / "synthesis" / name for name in FILES]))
    for number, cell in enumerate(CELLS):
        mine = found.cell == number
        assert mine.sum() > 20
        for column, resource in enumerate(RESOURCE_NAMES):
            ends = quantiles(found, mine, column)[[0, 2]]
            np.testing.assert_allclose(ends, ERRORS[cell][column], rtol=0.05, atol=0.02, err_msg=f"{cell} {resource}")
            assert found.inside[mine, column].mean() > 0.8
