"""The calibrated estimator keeps the estimators' contract, and what is exact in hardware is exact in it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.estimate.calibrated import CALIBRATED, CalibratedEstimator, Coefficients, predict_modules, shipped
from flow.estimate.calibrated_refusals import refused
from flow.estimate.calibrated_terms import CELLS, REGIMES, cells_of, regimes_of
from flow.estimate.features import CODE, Details, features_of, weight_statistics
from flow.estimate.table import COLUMNS, OP_CODE, WEIGHT_CODE, LayerTable
from flow.implement.rules import depthwise_reuse_factors, valid_reuse_factors

FAMILIES = ("zynq-7000", "zynq-ultrascale+", "artix-7", "ecp5")
KINDS = ("dense", "conv2d", "depthwise", "activation", "maxpool", "global_avgpool", "flatten", "add", "concat")


def table(*layers: dict[str, int]) -> LayerTable:
    """One network a layer; what is not given is a plain 1 x 1."""
    plain = dict.fromkeys(COLUMNS, 1) | {"bias_width": 0, "w_kind": 0, "w_width": 0, "fan_in": 0}
    rows = [plain | layer | {"network": i} for i, layer in enumerate(layers)]
    return LayerTable.from_columns(len(rows), {n: np.array([r[n] for r in rows], dtype=np.int64) for n in COLUMNS})


def dense(n: int, o: int, x: int = 16, w: int = 8, acc: int = 24, kind: str = "fixed") -> dict[str, int]:
    return {"op": OP_CODE["dense"], "in_c": n, "out_c": o, "fan_in": n, "x_width": x, "w_width": w, "out_width": acc,
            "w_kind": WEIGHT_CODE[kind]}  # fmt: skip


@st.composite
def any_layer(draw: st.DrawFn) -> dict[str, int]:
    op = draw(st.sampled_from(KINDS))
    bits, channels = st.integers(1, 24), st.integers(1, 96)
    layer = {"op": OP_CODE[op], "in_c": draw(channels), "x_width": draw(bits), "out_width": draw(bits) + 8}
    if op in ("dense", "conv2d", "depthwise"):
        kind = draw(st.sampled_from(("fixed", "binary", "ternary")))
        layer |= {"w_kind": WEIGHT_CODE[kind], "w_width": {"binary": 1, "ternary": 2}.get(kind, draw(bits))}
    layer["out_c"] = draw(channels) if op in ("dense", "conv2d") else layer["in_c"]
    if op not in ("dense", "flatten"):
        size, kernel = draw(st.integers(1, 40)), draw(st.integers(1, 5))
        layer |= {"in_h": size, "in_w": size, "out_h": size, "out_w": size, "kernel_h": kernel, "kernel_w": kernel}
    kernel = layer.get("kernel_h", 1) ** 2
    layer["fan_in"] = {"dense": layer["in_c"], "conv2d": kernel * layer["in_c"], "depthwise": kernel}.get(op, 0)
    return layer


def reuse_factors(layer: dict[str, int]) -> tuple[int, ...]:
    if layer["op"] > OP_CODE["depthwise"]:
        return (1,)
    if layer["op"] == OP_CODE["depthwise"]:
        return depthwise_reuse_factors(layer["fan_in"], layer["out_c"])
    return valid_reuse_factors(layer["fan_in"], layer["out_c"])


@given(any_layer(), st.booleans(), st.booleans(), st.sampled_from(FAMILIES))
def test_no_layer_gives_a_negative_or_infinite_amount_and_more_reuse_is_never_faster(
    layer: dict[str, int], stream: bool, latency: bool, family: str
) -> None:
    factors = np.array(reuse_factors(layer))
    rows = table(*[layer] * len(factors))
    streams, latencies = np.full(len(rows), stream), np.full(len(rows), latency)
    found = CALIBRATED.rows(rows, factors, streams, latencies, family)
    for name in ("lut", "ff", "bram18", "uram", "dsp", "interval", "fill"):
        values = getattr(found, name)
        assert values.shape == factors.shape
        assert np.all(np.isfinite(values) & (values >= 0) & (values == np.rint(values))), name
    # The strategy may change on the way from reuse 1 to another, as the solver does.
    first = CALIBRATED.rows(rows, factors, streams, np.where(factors == 1, True, latencies), family)
    for estimate in (found, first):
        for values in (estimate.interval, estimate.fill):
            assert np.all(np.diff(values[factors > 1]) >= 0)
            assert np.all(values[0] <= values[1:])
    low, high = CALIBRATED.bounds(rows, factors, streams, latencies, family, found)
    assert np.all(low >= 0)
    assert np.all((low <= found.resources()) & (found.resources() <= high))


@given(st.lists(any_layer(), min_size=1, max_size=100), st.booleans())
def test_a_row_depends_on_that_row_alone(layers: list[dict[str, int]], stream: bool) -> None:
    rows = table(*layers)
    reuse = np.array([reuse_factors(layer)[-1] for layer in layers])
    flags = np.full(len(rows), stream), np.zeros(len(rows), dtype=bool)
    together = CALIBRATED.rows(rows, reuse, *flags, "zynq-7000")
    last = np.array([len(rows) - 1])
    alone = CALIBRATED.rows(rows.select(last), reuse[last], flags[0][last], flags[1][last], "zynq-7000")
    for name in ("lut", "ff", "bram18", "dsp", "interval", "fill"):
        assert getattr(together, name)[-1] == getattr(alone, name)[0], name


@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 17), st.data())
def test_a_wide_resource_layer_takes_a_dsp_a_multiplier_and_a_cycle_a_step(
    n: int, o: int, bits: int, data: st.DataObject
) -> None:
    factors = [r for r in valid_reuse_factors(n, o) if r > 1]
    if not factors:
        return
    reuse = data.draw(st.sampled_from(factors))
    found = CALIBRATED.rows(table(dense(n, o, 16, bits)), np.array([reuse]), np.array([False]), np.array([False]), "")
    assert found.dsp[0] == math.ceil(n * o / reuse)
    assert found.interval[0] == reuse
    assert found.fill[0] - reuse <= 8


def test_the_published_one_layer_reports_are_met() -> None:
    """Three rows of Dendendelen/wa-hls4ml-search: 256 x 96 and 32 x 128 at 10 bits, 192 x 256 at 2 bits."""
    rows = table(dense(256, 96, 16, 10, 16), dense(32, 128, 16, 12, 16), dense(192, 256, 16, 2, 16))
    none = np.zeros(3, dtype=bool)
    found = CALIBRATED.rows(rows, np.array([512, 512, 768]), none, none, "virtex-ultrascale+")
    assert found.lut == pytest.approx([17174, 14260, 105943], rel=0.05)
    assert found.ff == pytest.approx([2136, 2285, 4351], rel=0.05)
    assert found.dsp.tolist() == [48, 8, 0]
    assert found.bram18.tolist() == [14, 4, 9]
    assert found.interval.tolist() == [512, 512, 768]


def test_wider_weights_never_take_less_memory_and_binary_ones_no_dsp() -> None:
    rows = table(*(dense(64, 64, 16, w) for w in range(2, 17)))
    found = CALIBRATED.rows(rows, np.full(15, 64), np.zeros(15, dtype=bool), np.zeros(15, dtype=bool), "artix-7")
    assert np.all(np.diff(found.bram18) >= 0)
    binary = CALIBRATED.rows(table(dense(64, 64, 16, 1, kind="binary")), np.array([1]), np.array([False]),
                             np.array([True]), "artix-7")  # fmt: skip
    assert binary.dsp[0] == 0
    assert binary.lut[0] > 0


def test_known_weights_replace_the_expected_ones() -> None:
    codes = np.zeros((32, 32), dtype=np.int64)
    codes[:8] = 85  # 0b1010101: four digits, seven bits
    density, hard, digits = weight_statistics(codes)
    assert (density, hard, digits) == (0.25, 1.0, 0.0)
    rows, one = table(dense(32, 32, 16, 8)), np.array([1])
    sparse = CALIBRATED.detailed(rows, one, False, True, "artix-7", Details(density=density, hard=hard, digits=digits))
    assert sparse.dsp[0] == 256
    usual = CALIBRATED.rows(rows, one, np.array([False]), np.array([True]), "artix-7")
    assert sparse.lut[0] < usual.lut[0]
    without = CALIBRATED.detailed(rows, one, False, True, "artix-7", Details(use_dsp=False))
    assert without.dsp[0] == 0
    assert without.lut[0] > usual.lut[0]


def test_a_shorter_clock_takes_more_cycles() -> None:
    arguments = table(dense(64, 32)), np.array([1]), np.array([False]), np.array([True]), "zynq-7000"
    slow, fast = CALIBRATED.rows(*arguments), CALIBRATED.at_clock(3.33).rows(*arguments)
    assert fast.fill[0] > slow.fill[0]


def test_an_adder_tree_of_zeros_costs_nothing_but_its_frame() -> None:
    rows, one = table(dense(64, 64)), np.array([1])
    empty = CALIBRATED.detailed(rows, one, False, True, "artix-7", Details(density=0.0, hard=0.0, digits=0.0))
    assert empty.dsp[0] == 0
    assert empty.lut[0] < CALIBRATED.rows(rows, one, np.array([False]), np.array([True]), "artix-7").lut[0] / 10


def test_every_row_has_a_regime_and_a_cell() -> None:
    rows = table(*({"op": code, "fan_in": 4 if code <= OP_CODE["depthwise"] else 0} for code in CODE.values()))
    one, no = np.ones(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=bool)
    f = features_of(rows, one, no, no, no)
    assert set(regimes_of(f)) == set(range(len(REGIMES))) - {REGIMES.index("folded")}
    assert set(cells_of(f)) <= set(range(len(CELLS)))
    assert predict_modules(shipped(), f).lut.shape == (len(rows),)


def test_hls_refuses_what_it_refused() -> None:
    rows = table(dense(64, 64), dense(32, 96, w=12), dense(32, 96, w=14), dense(64, 32), dense(128, 128))
    latency = np.array([True, True, True, True, False])
    f = features_of(rows, np.array([1, 1, 1, 1, 4]), ~latency & latency, latency, latency)
    assert refused(f).tolist() == [True, False, True, False, True]
    assert not refused(f, vitis=True).any()


def test_synthesis_is_a_wide_interval_around_less() -> None:
    middle, low, high = CALIBRATED.synthesized(np.array([10_000.0, 20_000.0, 50.0, 0.0, 100.0]))
    assert np.all(low <= middle)
    assert np.all(middle <= high)
    assert middle[0] < 8000
    assert high[0] / low[0] > 3


def test_coefficients_survive_their_file() -> None:
    text = shipped().to_json()
    assert Coefficients.from_json(text, "again").to_json() == text


@pytest.mark.parametrize("damage", ["schema", "negative", "missing", "nonsense"])
def test_a_damaged_file_of_coefficients_is_one_clear_error(damage: str) -> None:
    body = json.loads(shipped().to_json())
    if damage == "schema":
        body["schema"] = 99
    elif damage == "negative":
        body["terms"]["folded"]["lut"]["1"] = -1
    elif damage == "missing":
        del body["bands"]
    text = "nonsense" if damage == "nonsense" else json.dumps(body)
    with pytest.raises(InputError, match=r"mine\.json"):
        Coefficients.from_json(text, "mine.json")


def test_a_users_scale_scales_luts_only() -> None:
    twice = CalibratedEstimator(replace(shipped(), scale={"lut": 2.0}))
    arguments = table(dense(128, 64)), np.array([128]), np.array([False]), np.array([False]), "zynq-7000"
    mine, shared = twice.rows(*arguments), CALIBRATED.rows(*arguments)
    assert mine.lut[0] == pytest.approx(2 * shared.lut[0], abs=1)
    assert mine.ff[0] == shared.ff[0]
