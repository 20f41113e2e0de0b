"""The solver finds the cheapest implementation that is valid and meets the spec, or says why there is none."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import InputError, NothingFeasible
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import STRUCTURAL, Estimator
from flow.estimate.table import table_of
from flow.implement.batch import REASONS
from flow.implement.implementation import Implementation
from flow.implement.rules import check_io, check_layer, io_type_for
from flow.implement.solver import NoImplementation, attempt, refusal_text, solve, solve_batch
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import Network, build_network
from flow.resources import RESOURCE_NAMES, Resources
from flow.space.batch import batch_table
from flow.space.candidate import Candidate, LayerChoice
from flow.space.space import Task, load_space
from flow.spec import Spec
from tests.implement.small import FAMILY, Choice, RandomHardware, best, every_choice, networks, spec_of, specs_around

BITS6 = WeightFormat.parse("fixed<6,1>")
RELU4 = FixedFormat(4, 1, signed=False)
IMAGES = Task((16, 16, 3), FixedFormat(8, 0, signed=False), 10)
VECTORS = Task((16,), FixedFormat(8, 3), 5)
SPACES = [("mlp-tiny", VECTORS), ("mlp-jets", VECTORS), ("cnn-small", IMAGES), ("cnn-cifar10", IMAGES)]
ARRAYS = ("lut", "ff", "bram18", "uram", "dsp", "interval", "latency")
HARDWARE = [CALIBRATED, STRUCTURAL, RandomHardware(1), RandomHardware(2)]


def mlp(inputs: int, *units: int) -> Network:
    blocks = tuple(LayerChoice("dense", n, BITS6, RELU4) for n in units)
    return build_network(Candidate((inputs,), FixedFormat(8, 1), 5, blocks, BITS6))


def random_spec(rng: np.random.Generator) -> Spec:
    """Limits of all sizes, each of them absent in some specs."""

    def maybe(low: float, high: float) -> float | None:
        return float(np.floor(np.exp(rng.uniform(np.log(low), np.log(high))))) if rng.random() < 0.6 else None

    budget = Resources(maybe(3e3, 1e5), maybe(3e3, 1e5), maybe(1, 300), 0.0, maybe(1, 300))
    return spec_of(budget, 10 ** rng.uniform(2, 6), maybe(1, 1e4))


# The best of all choices


@pytest.mark.parametrize("hardware", HARDWARE, ids=["calibrated", "structural", "random-1", "random-2"])
@settings(max_examples=120)
@given(data=st.data(), network=networks())
def test_what_it_finds_is_the_best_of_all_choices(hardware: Estimator, data: st.DataObject, network: Network) -> None:
    choices = every_choice(network, hardware)
    spec = data.draw(specs_around(choices))
    wanted = best(choices, spec)
    solution = solve_batch(table_of([network]), spec, FAMILY, hardware)
    assert solution.feasible[0] == (wanted is not None)
    if wanted is None:
        explain(choices, spec, REASONS[solution.reason[0]], float(solution.needed[0]), float(solution.limit[0]))
        assert solution.violation[0] > 0
        with pytest.raises(NoImplementation):
            solve(network, spec, FAMILY, hardware)
        return
    implementation = solve(network, spec, FAMILY, hardware)
    chosen = next(c for c in choices if c.reuse == tuple(layer.reuse for layer in implementation.layers))
    assert chosen.meets(spec)
    assert chosen.cost == wanted.cost
    assert [float(getattr(solution, n)[0]) for n in ARRAYS] == [*chosen.use, chosen.interval, chosen.latency]
    assert solution.checked[0].tolist() == chosen.checked(spec).tolist()
    assert solution.lut_bound[0] == solution.lut[0]
    assert solution.violation[0] == 0


def explain(choices: list[Choice], spec: Spec, reason: str, needed: float, limit: float) -> None:
    """The reason is true: what is named can't be met, and ``needed`` is the least of it."""
    assert needed > limit
    fast = [c for c in choices if c.interval <= spec.max_interval_cycles]
    if reason == "throughput":
        assert not fast
        assert needed == min(c.interval for c in choices)
    elif reason == "latency":
        assert needed == min(c.latency for c in fast)
        assert limit == spec.max_latency_cycles
    elif reason == "LUT":
        assert limit == spec.budget.lut
        alone = min(c.checked(spec)[0] for c in fast)
        rest = replace(spec, budget=replace(spec.budget, lut=None))
        others = min((c.checked(spec)[0] for c in choices if c.meets(rest)), default=None)
        assert needed == (alone if alone > limit or others is None else others)
    elif reason == "limits together":
        assert fast
        for index, (_, budget) in enumerate(spec.budget):
            assert budget is None or min(c.checked(spec)[index] for c in fast) <= budget
    else:
        assert needed == min(c.checked(spec)[RESOURCE_NAMES.index(reason.lower())] for c in fast)


@settings(max_examples=40)
@given(data=st.data(), network=networks())
def test_a_looser_spec_never_costs_more(data: st.DataObject, network: Network) -> None:
    spec = data.draw(specs_around(every_choice(network)))
    looser = replace(
        spec,
        budget=Resources(**{n: v if v is None else v * 1.5 for n, v in spec.budget}),
        min_throughput_per_s=spec.min_throughput_per_s / 2,
        max_latency_us=None if spec.max_latency_us is None else spec.max_latency_us * 1.5,
    )
    tight, loose = (solve_batch(table_of([network]), s, FAMILY) for s in (spec, looser))
    if tight.feasible[0]:
        assert loose.feasible[0]
        assert loose.lut[0] <= tight.lut[0]


# Many networks at once


@pytest.mark.parametrize(("name", "task"), SPACES, ids=[name for name, _ in SPACES])
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_network_is_solved_as_in_any_batch(name: str, task: Task, seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = load_space(name, task)
    codes = space.sample(rng, 24)
    spec = random_spec(rng)
    batch = batch_table(space, codes, task)
    together = solve_batch(batch.table, spec, FAMILY)
    for number, code in enumerate(codes):
        if batch.broken[number]:
            continue
        network = build_network(space.candidate(code, task))
        found = attempt(network, spec, FAMILY)
        assert found.reason == REASONS[together.reason[number]]
        assert found.sentence == refusal_text(together, number, spec)
        alone = solve_batch(table_of([network]), spec, FAMILY)
        for field in (*ARRAYS, "checked", "feasible", "needed", "limit", "violation", "lut_bound", "stream"):
            np.testing.assert_array_equal(getattr(alone, field)[0], getattr(together, field)[number], err_msg=field)
        rows = batch.table.network == number
        reuse = [int(r) for r in together.reuse[rows] if r]
        assert reuse == [layer.reuse for layer in found.implementation.layers]


@pytest.mark.parametrize(("name", "task"), SPACES, ids=[name for name, _ in SPACES])
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_implementation_is_valid(name: str, task: Task, seed: int) -> None:
    """Feasible or not: hls4ml would not change a reuse factor, and HLS would not fail on a layer."""
    rng = np.random.default_rng(seed)
    space, spec = load_space(name, task), random_spec(rng)
    codes = space.sample(rng, 16)
    for number in np.flatnonzero(batch_table(space, codes, task).broken == 0):
        network = build_network(space.candidate(codes[number], task))
        implementation = attempt(network, spec, FAMILY).implementation
        assert implementation.io_type == io_type_for(network)
        assert check_io(network, implementation.io_type) is None
        layers = [layer for layer in network if layer.weight is not None]
        for layer, chosen in zip(layers, implementation.layers, strict=True):
            assert chosen.name == layer.name
            assert check_layer(layer, chosen.strategy, chosen.reuse) is None


def test_invalid_candidates_are_refused_and_unknown() -> None:
    space = load_space("cnn-cifar10", IMAGES)
    codes = space.sample(np.random.default_rng(0), 64)
    batch = batch_table(space, codes, IMAGES)
    solution = solve_batch(batch.table, spec_of(), FAMILY)
    broken = batch.broken > 0
    assert 0 < broken.sum() < 64
    assert {REASONS[r] for r in solution.reason[broken]} == {"invalid"}
    assert not solution.feasible[broken].any()
    assert np.isinf(solution.violation[broken]).all()
    for name in ARRAYS:
        assert np.isnan(getattr(solution, name)[broken]).all()
        assert np.isfinite(getattr(solution, name)[~broken]).all()


def test_an_empty_batch_is_fine() -> None:
    solution = solve_batch(table_of([]), spec_of(), FAMILY)
    assert len(solution.feasible) == 0


@pytest.mark.parametrize("limit", ["time", "time and blocks", "time, blocks and LUTs"])
def test_large_networks_are_solved_exactly_too(limit: str) -> None:
    """Where limits couple ten layers, an integer program solved by HiGHS has the same optimum."""
    optimize = pytest.importorskip("scipy.optimize")
    space, task = load_space("cnn-cifar10", IMAGES), IMAGES
    codes = space.sample(np.random.default_rng(3), 700)
    table = batch_table(space, codes, task).table
    free = solve_batch(table, spec_of(), FAMILY)
    seen: Counter[str] = Counter()
    for number in np.flatnonzero(np.isfinite(free.lut))[:24]:
        latency = float(free.latency[number]) / 100 * (0.02 + 0.3 * (number % 7) / 7)
        most = dict(zip(RESOURCE_NAMES, free.checked[number].tolist(), strict=True))
        budget = Resources(ff=most["ff"] * 1.2, bram18=most["bram18"] * 2 + 8)
        if limit != "time and blocks":
            budget = Resources() if limit == "time" else replace(budget, lut=most["lut"] * 1.3)
        spec = spec_of(budget, 1000.0, latency)
        network = build_network(space.candidate(codes[number], task))
        solution = solve_batch(table_of([network]), spec, FAMILY)
        seen[REASONS[solution.reason[0]]] += 1
        wanted = integer_program(optimize, network, spec)
        assert solution.feasible[0] == (wanted is not None)
        if wanted is not None:
            assert float(solution.lut[0]) == pytest.approx(wanted, rel=1e-6)
            assert solution.lut_bound[0] == solution.lut[0]
    assert seen[""] >= 8, seen


def integer_program(optimize: Any, network: Network, spec: Spec) -> float | None:
    """The least LUTs by HiGHS: a binary variable for each option of each layer, and the largest interval."""
    from flow.implement.options import options_of, plain_rows

    table = table_of([network])
    stream = np.ones(len(table), dtype=bool)
    weight = table.is_weight
    estimator = CALIBRATED.at_clock(1000 / spec.clock_mhz)
    o = options_of(table.select(weight), stream[weight], FAMILY, estimator, spec.bound)
    plain, checked = plain_rows(table.select(~weight), stream[~weight], FAMILY, estimator, spec.bound)
    fixed = estimator.top() + plain.resources().sum(axis=0)
    fixed_checked = estimator.top() + checked.sum(axis=1)
    count, layers = len(o.layer), int(o.layer.max()) + 1
    most = spec.max_latency_cycles
    assert most is not None
    rows, low, high = [np.append(o.fill, 1.0)], [-np.inf], [most - plain.fill.sum()]
    for layer in range(layers):
        own = (o.layer == layer).astype(float)
        rows += [np.append(own, 0.0), np.append(-own * o.interval, 1.0)]
        low, high = [*low, 1.0, 0.0], [*high, 1.0, np.inf]
    for index, (_, budget) in enumerate(spec.budget):
        if budget is not None:
            rows.append(np.append(o.checked[index], 0.0))
            low, high = [*low, -np.inf], [*high, budget - fixed_checked[index]]
    bounds = optimize.Bounds(
        np.append(np.zeros(count), plain.interval.max()),
        np.append((o.interval <= spec.max_interval_cycles).astype(float), spec.max_interval_cycles),
    )
    result = optimize.milp(
        np.append(o.use[0], 0.0),
        constraints=optimize.LinearConstraint(np.array(rows), low, high),
        integrality=np.append(np.ones(count), 0),
        bounds=bounds,
        options={"mip_rel_gap": 0.0},
    )
    return float(result.fun) + fixed[0] if result.status == 0 else None


# Ends of intervals


def test_a_design_whose_middle_fits_but_not_its_upper_end_is_refused_unless_the_middle_is_asked_for() -> None:
    network = mlp(16, 32)
    free = solve_batch(table_of([network]), spec_of(bound="middle"), FAMILY)
    table, none = table_of([network]), np.zeros(len(network.layers), dtype=bool)
    estimator = CALIBRATED.at_clock(10.0)
    arguments = table, free.reuse, none, free.latency_strategy, FAMILY
    estimate = estimator.rows(*arguments)
    upper = estimator.bounds(*arguments, estimate)[1].sum(axis=0) + estimator.top()
    middle = float(free.lut[0])
    assert middle == estimate.lut.sum() + estimator.top()[0]
    budget = Resources(lut=middle)
    assert upper[0] > middle
    refused = attempt(network, spec_of(budget), FAMILY)
    assert refused.reason == "LUT"
    assert "(upper end of its 90% interval)" in refused.sentence
    accepted = attempt(network, spec_of(budget, bound="middle"), FAMILY)
    assert not accepted.reason
    # With room for the upper end, both get the same design.
    assert attempt(network, spec_of(Resources(lut=float(upper[0]))), FAMILY) == accepted


def test_a_tight_budget_takes_the_design_that_is_surer_to_fit_not_the_one_with_fewer_luts() -> None:
    """Where the design with the fewest LUTs is too uncertain, one with a few more and a narrower interval is taken."""
    network, hardware = mlp(16, 8), RandomHardware(1)
    free = solve_batch(table_of([network]), spec_of(), FAMILY, hardware)
    narrow = min(every_choice(network, hardware), key=lambda c: float(c.high[0]))
    assert narrow.high[0] < free.checked[0, 0]
    spec = spec_of(Resources(lut=float(narrow.high[0])))
    tight = solve_batch(table_of([network]), spec, FAMILY, hardware)
    assert tight.feasible[0]
    assert free.lut[0] < tight.lut[0] <= narrow.use[0]
    assert tight.checked[0, 0] <= narrow.high[0]


# What the user is told


def test_too_slow_whatever_it_is_given() -> None:
    network = build_network(
        Candidate(
            (16, 16, 1), FixedFormat(8, 0, signed=False), 10, (LayerChoice("conv2d", 4, BITS6, RELU4, (3, 3)),), BITS6
        )
    )
    spec = spec_of(fps=1e6)
    with pytest.raises(NoImplementation) as caught:
        solve(network, spec, FAMILY)
    assert str(caught.value) == (
        "no implementation meets the spec: its slowest layer takes at least 324 cycles an inference, "
        "1,000,000 inferences/s at 100 MHz leave 100"
    )
    assert caught.value.reason == "throughput"
    assert caught.value.exit_code == NothingFeasible.exit_code == 1


def test_too_large_to_unroll_at_the_required_speed() -> None:
    spec = spec_of(fps=1e8)  # one cycle: only reuse 1 is fast enough, and 16 x 512 weights can't be unrolled
    found = attempt(mlp(16, 512), spec, FAMILY)
    assert found.reason == "unroll limit"
    assert "HLS cannot unroll it more, so its slowest layer takes at least 4 cycles" in found.sentence
    assert found.implementation.layer("dense1").reuse == 4


@pytest.mark.parametrize(
    ("spec", "reason", "sentence"),
    [
        (
            spec_of(Resources(lut=500)),
            "LUT",
            r"it needs at least [\d,]+ LUT \(upper end of its 90% interval\) of 500, [\d.]+ times as much",
        ),
        (
            spec_of(Resources(ff=100), bound="middle"),
            "FF",
            r"it needs at least [\d,]+ FF of 100, [\d.]+ times as much",
        ),
        (spec_of(latency_us=0.05), "latency", r"it takes at least \d+ cycles, 0.05 us at 100 MHz are 5"),
    ],
)
def test_the_reason_says_by_how_much(spec: Spec, reason: str, sentence: str) -> None:
    found = attempt(mlp(16, 64, 32), spec, FAMILY)
    assert found.reason == reason
    assert re.fullmatch(sentence, found.sentence), found.sentence


def test_a_budget_of_zero_blocks_is_a_limit() -> None:
    spec = spec_of(Resources(bram18=0, uram=0, dsp=0), fps=1e4, bound="middle")
    assert not attempt(mlp(16, 8), spec, FAMILY).reason
    assert attempt(mlp(64, 96, 64), spec, FAMILY).sentence.endswith(" BRAM18 of 0")


def test_limits_that_only_fail_together_are_said_so() -> None:
    network = mlp(64, 64)
    slow = attempt(network, spec_of(), FAMILY)
    fast = solve_batch(table_of([network]), spec_of(latency_us=0.2), FAMILY)
    small = solve_batch(table_of([network]), spec_of(), FAMILY)
    assert fast.feasible[0]
    assert not slow.reason
    ff = float((small.ff[0] + fast.ff[0]) // 2)
    found = attempt(network, spec_of(Resources(ff=ff), latency_us=0.2), FAMILY)
    assert found.reason in ("limits together", "FF")


def test_a_network_without_layers_is_an_input_error() -> None:
    with pytest.raises(InputError, match="the network has no layers"):
        solve(Network((4,), FixedFormat(8, 1), ()), spec_of(), FAMILY)


# Implementations as values


@settings(max_examples=30)
@given(networks())
def test_an_implementation_survives_json(network: Network) -> None:
    implementation = solve(network, spec_of(fps=1.0), FAMILY)
    text = json.dumps(implementation.to_dict())
    assert Implementation.from_dict(json.loads(text)) == implementation
    assert implementation.check(network) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("io_type"), "x.json: field 'io_type' is missing"),
        (
            lambda d: d.update(io_type="io_serial"),
            "x.json: io_type must be one of io_parallel, io_stream, not 'io_serial'",
        ),
        (lambda d: d.update(clock_mhz=0), "x.json: clock_mhz must be a number above 0, not 0"),
        (lambda d: d.update(clock_mhz=float("nan")), "x.json: clock_mhz must be a number above 0, not nan"),
        (lambda d: d.update(speed=1), "x.json: unknown field 'speed'"),
        (lambda d: d.update(layers={}), "x.json: layers must be a list"),
        (lambda d: d["layers"].append(d["layers"][0]), "x.json: a layer is listed twice"),
        (lambda d: d["layers"][0].update(reuse_factor=0), "reuse_factor must be a whole number of at least 1, not 0"),
        (lambda d: d["layers"][0].update(reuse_factor=True), "reuse_factor must be a whole number of at least 1"),
        (lambda d: d["layers"][0].update(strategy="Fast"), "strategy must be one of Latency, Resource, not 'Fast'"),
        (lambda d: d["layers"][0].update(name=""), "layers[0]: name must be a text, not ''"),
        (lambda d: d["layers"].insert(0, 3), "layers[0]: expected a mapping of fields, found int"),
    ],
)
def test_a_damaged_implementation_names_file_and_field(change: Any, message: str) -> None:
    data = solve(mlp(16, 8), spec_of(), FAMILY).to_dict()
    change(data)
    with pytest.raises(InputError) as caught:
        Implementation.from_dict(data, "x.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.json: ")


def test_an_implementation_of_another_network_is_refused() -> None:
    implementation = solve(mlp(16, 8), spec_of(), FAMILY)
    refusal = implementation.check(mlp(16, 8, 8))
    assert refusal is not None
    assert refusal.rule == "layers"
    refusal = implementation.check(mlp(15, 7))
    assert refusal is not None
    assert refusal.rule == "reuse factor"
    with pytest.raises(InputError, match="says nothing of layer 'conv9'"):
        implementation.layer("conv9")


def test_a_network_without_weights_needs_no_choice() -> None:
    relu = next(layer for layer in mlp(16, 8) if layer.op == "activation")
    network = Network(relu.in_shape, relu.in_format, (replace(relu, inputs=(-1,)),))
    implementation = solve(network, spec_of(), FAMILY)
    assert implementation.layers == ()
    assert implementation.check(network) is None
    assert attempt(network, spec_of(Resources(lut=1)), FAMILY).reason == "LUT"
