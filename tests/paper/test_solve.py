"""The solver for tiles and groups: the published designs, brute force on small cases, and limits that hold."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench_paper import plain_exact, plain_layers, plain_paper, plain_tiles, sample_networks
from flow.errors import InputError
from flow.paper import CORRECTED, LOGGED, PAPER, HardwareModel, Limits, PaperDesign, PaperLayer, PaperNetwork, evaluate
from flow.paper.design import dense
from flow.paper.logged import D, LoggedDesign
from flow.paper.model import layer_luts
from flow.paper.solve import METHODS, Method, add_dense, least_luts, solve, solve_many
from flow.paper.tiles import breakpoints, layer_fronts

MODELS = (PAPER, CORRECTED, PAPER.with_options(resident=True), CORRECTED.with_options(resident=True))

small_bits = st.tuples(st.integers(0, 3), st.integers(0, 4))
small_layers = st.builds(
    PaperLayer,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    filters=st.integers(1, 4),
    activation=small_bits,
    weight=small_bits,
    pool=st.integers(1, 2),
)
small_networks = st.builds(
    PaperNetwork,
    layers=st.lists(small_layers, min_size=1, max_size=3).map(tuple),
    input_shape=st.just((6, 6, 2)),
    dense=st.just((dense(3, (1, 2), (1, 2)),)),
)
limits = st.builds(Limits, lut=st.integers(1, 1500), throughput_per_s=st.sampled_from([0, 20_000, 100_000, 250_000]))
paper_limits = st.builds(
    Limits, lut=st.sampled_from([8_000, 30_000, 100_000]), throughput_per_s=st.sampled_from([500, 1000, 3000])
)
networks = st.integers(0, 10_000).map(lambda seed: sample_networks(1, seed)[0])


def brute_force(network: PaperNetwork, limits: Limits, model: HardwareModel) -> tuple[int, int] | None:
    """Fewest cycles, then fewest LUTs, by trying all tiles in all groupings."""
    layers = plain_layers(network, model.total_bits, model.image_rows)
    options = [sorted({(cycles, luts) for cycles, luts, _, _ in plain_tiles(layer)}) for layer in layers]
    best = None
    gaps = [(0,) * (len(layers) - 1)] if model.resident else itertools.product((0, 1), repeat=len(layers) - 1)
    for gap in gaps:
        groups = np.cumsum((0, *gap)).tolist()
        for tiles in itertools.product(*options):
            cycles, luts = [0] * len(layers), [0] * len(layers)
            for group, (layer_cycles, layer_lut) in zip(groups, tiles, strict=True):
                cycles[group] = max(cycles[group], layer_cycles)
                luts[group] += layer_lut
            found = sum(cycles), max(luts)
            if found[1] <= limits.lut and 1e8 / found[0] > limits.throughput_per_s and (best is None or found < best):
                best = found
    return best


@pytest.mark.parametrize("logged", LOGGED, ids=lambda logged: logged.name)
def test_the_papers_method_finds_the_published_tiles(logged: LoggedDesign) -> None:
    assert solve(logged.design.network, logged.limits, PAPER, "paper") == logged.design


@pytest.mark.parametrize("logged", LOGGED, ids=lambda logged: logged.name)
def test_the_exact_method_is_as_fast_or_faster_than_what_was_published(logged: LoggedDesign) -> None:
    found = solve(logged.design.network, logged.limits, PAPER)
    assert found is not None
    assert evaluate(found, PAPER).cycles <= evaluate(logged.design, PAPER).cycles
    assert evaluate(found, PAPER).meets(logged.limits)


def test_the_headline_network_can_run_faster_than_the_paper_thought_even_in_its_own_model() -> None:
    found = solve(D.design.network, D.limits, PAPER)
    assert found is not None
    assert evaluate(found, PAPER).throughput_per_s == pytest.approx(1543.2099)


@settings(max_examples=150)
@given(small_networks, limits, st.sampled_from(MODELS))
def test_the_exact_method_is_brute_force(network: PaperNetwork, limits: Limits, model: HardwareModel) -> None:
    found = solve(network, limits, model, "exact")
    wanted = brute_force(network, limits, model)
    result = None if found is None else evaluate(found, model)
    assert (result and (result.cycles, result.lut)) == wanted


@pytest.mark.parametrize(
    ("text", "lut", "model", "fewest"),
    [
        ("1x3-4-1 a1.4 w0.2; 1x2-1-1 a3.1 w1.2; 1x3-4-1 a0.4 w1.4", 183, CORRECTED, 151),
        ("3x2-4-1 a0.3 w2.1; 2x2-1-1 a3.4 w0.0; 3x2-2-1 a1.1 w2.2", 507, CORRECTED, 270),
        ("2x3-2-1 a2.4 w0.3; 3x2-4-1 a2.4 w0.3; 3x1-3-1 a0.3 w1.3", 376, PAPER, 315),
    ],
)
def test_of_groupings_of_equal_cycles_the_one_of_fewest_luts_is_taken(
    text: str, lut: int, model: HardwareModel, fewest: int
) -> None:
    network = replace(PaperNetwork.parse(text), input_shape=(6, 6, 2))
    found = solve(network, Limits(lut), model)
    assert found is not None
    assert (evaluate(found, model).cycles, evaluate(found, model).lut) == brute_force(network, Limits(lut), model)
    assert evaluate(found, model).lut == fewest


@pytest.mark.parametrize("model", [PAPER, CORRECTED], ids=lambda m: m.name)
def test_both_methods_agree_with_plain_python_on_the_papers_space(model: HardwareModel) -> None:
    some = sample_networks(6, seed=11)
    for lut, rate in ((30_000, 1000), (100_000, 3000)):
        limit = Limits(lut, rate)
        layers = [plain_layers(n, model.total_bits, model.image_rows) for n in some]
        exact = [None if d is None else evaluate(d, model).cycles for d in solve_many(some, limit, model, "exact")]
        assert exact == [plain_exact(la, limit) for la in layers]
        paper = [
            None if d is None else (d.tiling, evaluate(d, model).cycles)
            for d in solve_many(some, limit, model, "paper")
        ]
        assert paper == [plain_paper(la, limit) for la in layers]


@settings(max_examples=60)
@given(networks, paper_limits, st.sampled_from(MODELS), st.sampled_from(METHODS))
def test_a_solved_design_keeps_its_limits(
    network: PaperNetwork, limits: Limits, model: HardwareModel, method: Method
) -> None:
    found = solve(network, limits, model, method)
    if found is not None:
        assert evaluate(found, model).meets(limits)
        assert not model.resident or set(found.groups) == {0}


@settings(max_examples=40)
@given(networks, paper_limits, st.sampled_from(MODELS))
def test_the_papers_method_never_beats_the_exact_one(
    network: PaperNetwork, limits: Limits, model: HardwareModel
) -> None:
    paper, exact = (solve(network, limits, model, method) for method in METHODS)
    if paper is not None:
        assert exact is not None
        assert evaluate(exact, model).cycles <= evaluate(paper, model).cycles


@settings(max_examples=40)
@given(networks, paper_limits, st.sampled_from(MODELS))
def test_more_luts_never_slow_a_network_down_and_a_looser_throughput_changes_nothing(
    network: PaperNetwork, limits: Limits, model: HardwareModel
) -> None:
    found = solve(network, limits, model)
    if found is not None:
        richer = solve(network, replace(limits, lut=2 * limits.lut), model)
        assert richer is not None
        assert evaluate(richer, model).cycles <= evaluate(found, model).cycles
        assert solve(network, replace(limits, throughput_per_s=limits.throughput_per_s / 2), model) == found


@settings(max_examples=40)
@given(networks, paper_limits)
def test_taking_turns_for_free_never_hurts(network: PaperNetwork, limits: Limits) -> None:
    apart, together = (solve(network, limits, CORRECTED.with_options(resident=r)) for r in (False, True))
    if together is not None:
        assert apart is not None
        assert evaluate(apart, CORRECTED).cycles <= evaluate(together, CORRECTED).cycles


@pytest.mark.parametrize("method", METHODS)
def test_solving_many_is_solving_each(method: Method) -> None:
    some = sample_networks(300, seed=5)
    together = solve_many(some, Limits(20_000, 1000), CORRECTED, method)
    assert any(d is None for d in together)
    assert any(d is not None for d in together)
    for number in range(0, 300, 23):
        assert together[number] == solve(some[number], Limits(20_000, 1000), CORRECTED, method)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.label)
def test_the_fewest_luts_suffice_and_one_less_does_not(model: HardwareModel) -> None:
    least = least_luts(D.design.network, 1000, model)
    assert least is not None
    assert solve(D.design.network, Limits(least, 1000), model) is not None
    assert solve(D.design.network, Limits(least - 1, 1000), model) is None


def test_no_luts_are_enough_for_an_impossible_throughput() -> None:
    assert least_luts(D.design.network, 1e6, CORRECTED) is None
    assert solve(D.design.network, Limits(10**9, 1e6), CORRECTED) is None


# Tiles


@given(st.integers(1, 400))
def test_breakpoints_are_the_smallest_tiles_of_each_number_of_steps(channels: int) -> None:
    found = breakpoints(channels).tolist()
    assert found == sorted({min(t for t in range(1, channels + 1) if -(-channels // t) == s) for s in
                            {-(-channels // t) for t in range(1, channels + 1)}})  # fmt: skip


@settings(max_examples=30)
@given(networks, st.sampled_from([PAPER, CORRECTED]), st.integers(0, 5), st.data())
def test_the_tiles_that_matter_cost_as_little_as_any(
    network: PaperNetwork, model: HardwareModel, place: int, data: st.DataObject
) -> None:
    layer = plain_layers(network, model.total_bits, model.image_rows)[place]
    cycles = data.draw(st.integers(1, layer.inputs * layer.outputs)) * layer.base
    wanted = min(luts for c, luts, _, _ in plain_tiles(layer) if c <= cycles)
    front = layer_fronts(model.work([network]))[place]
    assert front.luts(np.array([cycles])).tolist() == [wanted]
    tn, tm = front.tiles(np.array([cycles]))
    work = model.work([network])
    tiles = np.ones((1, 6), dtype=np.int64), np.ones((1, 6), dtype=np.int64)
    tiles[0][0, place], tiles[1][0, place] = tn[0], tm[0]
    assert layer_luts(work, *tiles)[0, place] == wanted


@pytest.mark.parametrize("steps", [1, 4095, 4096, 4097, 9_000, 30_000, 393_215, 393_216, 10**9])
def test_layers_of_many_channels_have_more_steps_than_the_table_of_look_ups(steps: int) -> None:
    front = layer_fronts(CORRECTED.with_options(dense=True).work([D.design.network]))[6]
    table = front.stack.tiles[0]
    (index,) = front.last(np.array([steps])).tolist()
    assert table.steps[index] <= steps
    assert index == len(table.steps) - 1 or table.steps[index + 1] > steps


# Dense layers


@pytest.mark.parametrize("method", METHODS)
def test_dense_layers_are_solved_with_the_others_where_they_count(method: Method) -> None:
    model = CORRECTED.with_options(resident=True, dense=True)
    found = solve(D.design.network, Limits(60_000, 1000), model, method)
    assert found is not None
    assert len(found.tiles) == 8
    assert evaluate(found, model).meets(Limits(60_000, 1000))
    without = least_luts(D.design.network, 1000, CORRECTED.with_options(resident=True))
    counted = least_luts(D.design.network, 1000, model)
    assert counted is not None
    assert without is not None
    assert counted > without


def test_dense_layers_added_to_a_design_do_not_slow_it_down() -> None:
    whole = CORRECTED.with_options(dense=True)
    for logged in LOGGED:
        design = add_dense(logged.design, CORRECTED)
        before, after = evaluate(logged.design, CORRECTED), evaluate(design, whole)
        assert after.luts[:6] == before.luts
        assert after.cycles == before.cycles
        assert len(after.luts) == 8
        assert add_dense(design, CORRECTED) is design


def test_dense_layers_that_are_too_slow_for_the_group_get_their_fastest_tiles() -> None:
    network = PaperNetwork((PaperLayer.parse("1x1-1-1 a1.1 w1.1"),), input_shape=(1, 1, 1))
    design = add_dense(PaperDesign(network, ((1, 1),), (0,)), CORRECTED)
    assert design.tiles == ((1, 1), (1, 256), (256, 10))


# Speed and input


def test_a_thousand_designs_are_solved_in_a_second_of_one_core() -> None:
    some = sample_networks(512, seed=0)
    for method in METHODS:
        solve_many(some[:1], Limits(30_000, 1000), PAPER, method)
        times = []
        for _ in range(3):
            start = time.process_time()
            solve_many(some, Limits(30_000, 1000), PAPER, method)
            times.append(time.process_time() - start)
        assert len(some) / min(times) > 1000


def test_networks_of_different_depth_are_not_one_batch() -> None:
    shorter = PaperNetwork(D.design.network.layers[:3])
    with pytest.raises(InputError, match="same depth"):
        solve_many([D.design.network, shorter], D.limits)
    assert solve_many([], D.limits) == []


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="unknown method 'greedy'"):
        solve(D.design.network, D.limits, PAPER, "greedy")  # type: ignore[arg-type]
