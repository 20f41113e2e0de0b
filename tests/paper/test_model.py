"""The reference paper's hardware model: the numbers of its logs to the last digit, and what the correction changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench_paper import PlainLayer, plain_layers, plain_luts, sample_networks
from flow.errors import InputError
from flow.network.network import InvalidCandidate
from flow.paper import CORRECTED, LOGGED, PAPER, HardwareModel, Limits, PaperDesign, PaperLayer, PaperNetwork, evaluate
from flow.paper.logged import D, LoggedDesign
from flow.paper.model import hardware_model, layer_luts, steps
from flow.paper.multipliers import MAX_BITS, PUBLISHED, SYMMETRIC
from flow.paper.work import Work

bits = st.tuples(st.integers(0, 8), st.integers(0, 14))
luts = st.integers(0, 255)
sizes = st.integers(1, 80)


def one_layer(inputs: int, outputs: int, multiplier: int, product: tuple[int, int], out: tuple[int, int]) -> Work:
    columns = [np.array([[v]], dtype=np.int64) for v in (inputs, outputs, 1, multiplier, *product, *out)]
    return Work(*columns, mismatch=np.zeros(1, dtype=bool))


def luts_of(work: Work, tn: int, tm: int) -> int:
    return int(layer_luts(work, np.array([[tn]]), np.array([[tm]]))[0, 0])


# As the paper's results were made


def test_the_headline_design_costs_what_its_log_says_layer_by_layer() -> None:
    found = evaluate(D.design, PAPER)
    assert found.luts == (4176, 22848, 25704, 22392, 21072, 8832)
    assert found.cycles_by_layer == (1530, 18432, 22176, 15120, 21600, 576)
    assert found.group_luts == (4176 + 22848, 25704, 22392, 21072 + 8832)
    assert found.group_cycles == (18432, 22176, 15120, 21600)


@pytest.mark.parametrize(
    ("logged", "lut", "per_s"),
    list(zip(LOGGED, (29_904, 94_496, 299_860), (1293.1926, 1042.4485, 2088.5547), strict=True)),
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_each_logged_design_has_the_claimed_luts_and_images_a_second(
    logged: LoggedDesign, lut: int, per_s: float
) -> None:
    found = evaluate(logged.design, PAPER)
    assert found.lut == lut == logged.claimed_lut
    assert round(found.throughput_per_s, 4) == per_s
    assert round(found.throughput_per_s) == logged.claimed_per_s
    assert found.meets(logged.limits)


# Corrected


@pytest.mark.parametrize(
    ("logged", "group", "resident", "resident_in_paper"),
    [
        (LOGGED[0], 71_376, 195_624, 105_024),
        (LOGGED[1], 226_624, 646_572, 279_996),
        (LOGGED[2], 491_584, 491_584, 299_860),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_no_logged_design_keeps_its_limit_once_all_bits_are_multiplied(
    logged: LoggedDesign, group: int, resident: int, resident_in_paper: int
) -> None:
    found = evaluate(logged.design, CORRECTED)
    assert (found.lut, found.lut_resident) == (group, resident)
    assert not found.meets(logged.limits)
    assert evaluate(logged.design, CORRECTED.with_options(resident=True)).lut == resident
    assert evaluate(logged.design, PAPER).lut_resident == resident_in_paper


def test_correcting_the_multipliers_alone_leaves_the_cycles_alone() -> None:
    only = replace(CORRECTED, image_rows=False)
    for logged in LOGGED:
        found, paper = evaluate(logged.design, only), evaluate(logged.design, PAPER)
        assert found.cycles_by_layer == paper.cycles_by_layer
        assert found.luts == evaluate(logged.design, CORRECTED).luts


def test_real_image_rows_are_height_plus_padding() -> None:
    found = evaluate(D.design, CORRECTED)
    # 5x3 on 32x32x3 in one step; 3x1 on 32x32x48 in four; 1x7 on 16x16x48 in three.
    assert found.cycles_by_layer[:3] == (36 * 34 * 15, 4 * 34 * 32 * 3, 3 * 16 * 22 * 7)


def test_layers_that_are_all_resident_add_luts_and_overlap() -> None:
    apart, together = evaluate(D.design, CORRECTED), evaluate(D.design, CORRECTED.with_options(resident=True))
    assert together.group_luts == (sum(apart.luts),)
    assert together.cycles == max(apart.cycles_by_layer)
    assert together.lut > apart.lut
    assert together.throughput_per_s > apart.throughput_per_s


# The multipliers


def test_a_third_of_uniform_choices_got_multipliers_for_free() -> None:
    free = [PUBLISHED[ai, wi + wf] == 0 for ai in range(4) for wi in range(4) for wf in range(7)]
    assert np.mean(free) == pytest.approx(0.34, abs=0.005)


def test_the_repaired_table_is_symmetric_and_only_grows() -> None:
    assert np.array_equal(SYMMETRIC, SYMMETRIC.T)
    assert SYMMETRIC[8, 13] == 140
    assert np.all(np.diff(SYMMETRIC, axis=0) >= 0)
    assert np.all(SYMMETRIC[1:, 1:] > 0)
    assert not SYMMETRIC[0].any()
    upper = np.triu(np.ones_like(PUBLISHED, dtype=bool))
    upper[8, 13] = False
    assert np.array_equal(PUBLISHED[upper], SYMMETRIC[upper])


# Against the description, one layer at a time


@given(sizes, sizes, luts, bits, bits)
def test_luts_of_a_layer_are_those_of_the_description(
    tn: int, tm: int, multiplier: int, product: tuple[int, int], out: tuple[int, int]
) -> None:
    work = one_layer(80, 80, multiplier, product, out)
    assert luts_of(work, tn, tm) == plain_luts(PlainLayer(80, 80, 1, multiplier, product, out), tn, tm)


@given(sizes, sizes, luts, bits, bits)
def test_a_larger_tile_never_costs_less_nor_takes_longer(
    tn: int, tm: int, multiplier: int, product: tuple[int, int], out: tuple[int, int]
) -> None:
    work = one_layer(90, 90, multiplier, product, out)
    for larger in ((tn + 1, tm), (tn, tm + 1)):
        assert luts_of(work, *larger) >= luts_of(work, tn, tm)
        now, then = (steps(np.array(90), np.array(90), np.array(a), np.array(b)) for a, b in ((tn, tm), larger))
        assert then <= now


@pytest.mark.parametrize("model", [PAPER, CORRECTED], ids=lambda model: model.name)
def test_work_of_networks_is_that_of_the_description(model: HardwareModel) -> None:
    networks = sample_networks(40, seed=3)
    work = model.work(networks)
    columns = (work.inputs, work.outputs, work.cycles, work.multiplier)
    formats = (work.product_int, work.product_frac, work.out_int, work.out_frac)
    for number, network in enumerate(networks):
        for place, layer in enumerate(plain_layers(network, model.total_bits, model.image_rows)):
            found = [int(c[number, place]) for c in (*columns, *formats)]
            assert found == [layer.inputs, layer.outputs, layer.base, layer.multiplier, *layer.product, *layer.out]


def test_strides_and_odd_images_are_padded_to_the_same_size() -> None:
    network = PaperNetwork(
        (PaperLayer.parse("5x3-8-2-s2x3 a1.2 w1.2"), PaperLayer.parse("3x7-4-1 a1.2 w1.2")), input_shape=(13, 10, 3)
    )
    work = CORRECTED.work([network])
    # 13 rows at stride 2: 7, padding 6*2+5-13 = 4; 10 columns at stride 3: 4, padding 3*3+3-10 = 2; pooled 4x2.
    assert work.cycles[0].tolist() == [17 * 12 * 15, (4 + 2) * (2 + 6) * 21]


def test_skip_connections_add_channels_and_take_the_widest_format() -> None:
    first, second = PaperLayer.parse("1x1-8-1 a3.0 w1.2"), PaperLayer.parse("1x1-5-1 a1.6 w1.2")
    third = replace(PaperLayer.parse("1x1-4-1 a2.2 w0.4"), concat=(0, 1))
    work = CORRECTED.work([PaperNetwork((first, second, third))])
    assert work.inputs[0].tolist() == [3, 8, 13]
    assert (work.product_int[0, 2], work.product_frac[0, 2]) == (3 + 0, 6 + 4)
    assert work.multiplier[0, 2] == SYMMETRIC[9, 4]
    with pytest.raises(InvalidCandidate, match="differ in size"):
        CORRECTED.work([PaperNetwork((first, replace(second, pool=2), third))])


# Dense layers


def test_dense_layers_are_1x1_convolutions_of_all_features() -> None:
    work = CORRECTED.with_options(dense=True).work([D.design.network])
    assert work.inputs[0, 6:].tolist() == [8 * 8 * 24, 256]
    assert work.outputs[0, 6:].tolist() == [256, 10]
    assert work.cycles[0, 6:].tolist() == [1, 1]
    parameters = (work.inputs[0, 6:] + 1) * work.outputs[0, 6:]
    assert parameters.sum() == 396_042


def test_dense_layers_without_tiles_cannot_be_counted() -> None:
    with pytest.raises(InputError, match="tiles for 6 layers and 8 count"):
        evaluate(D.design, CORRECTED.with_options(dense=True))


# Contract and input


def test_an_evaluation_is_a_prediction_that_leaves_open_what_the_model_does_not_say() -> None:
    found = evaluate(D.design, PAPER).measurement("xc7z020clg400-1")
    assert (found.source, found.resources.lut, found.resources.dsp) == ("predicted", 29_904, None)
    assert found.resources.bram18 is None
    assert found.throughput_per_s == pytest.approx(1293.1926)
    assert found.tool.endswith("paper")


@given(st.floats(0.5, 9e7))
def test_the_throughput_limit_is_exceeded_by_the_most_cycles_and_not_by_one_more(rate: float) -> None:
    most = Limits(1, rate).max_cycles
    assert most is not None
    assert 1e8 / most > rate >= 1e8 / (most + 1)


def test_texts_of_designs_read_back_as_the_same() -> None:
    for logged in LOGGED:
        assert PaperDesign.parse(str(logged.design.network), logged.design.tiling) == logged.design
    strided = PaperLayer((3, 1), 24, (0, 6), (1, 2), 2, (2, 3))
    assert PaperLayer.parse(str(strided)) == strided


@pytest.mark.parametrize(
    ("network", "tiling", "problem"),
    [
        ("5x3-48", "(3,48)", "not a layer of the paper"),
        ("0x3-48-1 a1.1 w1.1", "(1,1)", "at least 1"),
        ("5x3-48-1 a1.1 w1.1", "3,48", "not tiles of the paper"),
        ("5x3-48-1 a1.1 w1.1", "(3,48)|", "not tiles of the paper"),
        ("5x3-48-1 a1.1 w1.1", "(3,48)(1,1)", "1 convolutions with 2 tiles"),
        ("5x3-48-1 a1.1 w1.1", "(0,48)", "at least 1"),
        ("5x3-48-1 a1.1 w1.1", "(4,48)", r"tile \(4,48\) exceeds its \(3,48\) channels"),
        ("5x3-48-1 a1.1 w9.9", "(3,48)", "18 bits: the paper's table of multipliers ends at 14"),
    ],
)
def test_a_wrong_design_is_refused_with_the_reason(network: str, tiling: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        evaluate(PaperDesign.parse(network, tiling), CORRECTED)


def test_a_model_is_found_by_name() -> None:
    assert hardware_model("paper") is PAPER
    assert CORRECTED.with_options(resident=True, dense=True).label == "corrected, resident, dense layers counted"
    with pytest.raises(InputError, match="did you mean corrected"):
        hardware_model("corected")
    assert len(PUBLISHED) - 1 == MAX_BITS


@pytest.mark.parametrize("groups", [(1, 1), (0, 2), (1, 0), (0,)])
def test_groups_that_do_not_count_up_are_refused(groups: tuple[int, ...]) -> None:
    network = PaperNetwork.parse("1x1-4-1 a1.1 w1.1; 1x1-4-1 a1.1 w1.1")
    with pytest.raises(InputError, match="groups"):
        PaperDesign(network, ((1, 1), (1, 1)), groups)


@pytest.mark.parametrize(("lut", "rate"), [(0, 1.0), (1, -1.0), (1, 1e8), (1, float("nan"))])
def test_limits_that_mean_nothing_are_refused(lut: int, rate: float) -> None:
    with pytest.raises(InputError, match="limits"):
        Limits(lut, rate)
