"""The prediction of one network is what the solver decided by, and says where it comes from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.board import load_board
from flow.errors import InputError
from flow.estimate import predict as module
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.predict import TOP, after_synthesis, predict, predict_batch
from flow.estimate.structural import STRUCTURAL, Estimator
from flow.estimate.table import table_of
from flow.implement.solver import attempt, solve, solve_batch
from flow.network.fixed import FixedFormat
from flow.network.network import InvalidCandidate, Network, build_network
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.space.batch import batch_table
from flow.space.space import Task, load_space
from flow.spec import make_spec
from tests.implement.small import FAMILY, RandomHardware, networks, spec_of

PART = "xc7z020clg400-1"
TASKS = {
    "mlp-jets": Task((16,), FixedFormat(8, 3), 5),
    "cnn-small": Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10),
    "cnn-cifar10": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
}


@pytest.mark.parametrize(
    "estimator", [CALIBRATED, STRUCTURAL, RandomHardware(3)], ids=["calibrated", "structural", "random"]
)
@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_totals_are_those_the_solver_decided_by(estimator: Estimator, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    space, task = load_space(name, TASKS[name]), TASKS[name]
    spec = spec_of(Resources(lut=10 ** rng.uniform(3, 5)), 10 ** rng.uniform(2, 6), 10 ** rng.uniform(0, 4))
    for code in space.sample(rng, 6):
        try:
            network = build_network(space.candidate(code, task))
        except InvalidCandidate:
            continue
        solution = solve_batch(table_of([network]), spec, FAMILY, estimator)
        total = predict(
            network, attempt(network, spec, FAMILY, estimator).implementation, PART, FAMILY, estimator
        ).total
        for resource in RESOURCE_NAMES:
            assert getattr(total.resources, resource) == getattr(solution, resource)[0], resource
            assert getattr(total.high, resource) == solution.checked[0, RESOURCE_NAMES.index(resource)], resource
        assert total.interval_cycles == solution.interval[0]
        assert total.latency_cycles == solution.latency[0]


@pytest.mark.parametrize("chunk", [3, module.CHUNK])
@pytest.mark.parametrize("name", TASKS)
def test_many_at_once_are_predicted_as_each_one_alone(name: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)  # networks that end anywhere in a chunk
    space, task, spec = load_space(name, TASKS[name]), TASKS[name], spec_of(Resources(), 1e4, 1e4)
    codes = space.sample(np.random.default_rng(5), 40)
    batch = batch_table(space, codes, task)
    solved = solve_batch(batch.table, spec, FAMILY)
    many = predict_batch(
        batch.table, solved.reuse, solved.stream, solved.latency_strategy, FAMILY,
        CALIBRATED.at_clock(1000 / spec.clock_mhz),
    )  # fmt: skip
    valid = np.flatnonzero(batch.broken == 0)
    assert len(valid) > 2
    for i in valid:
        network = build_network(space.candidate(codes[i], task))
        total = predict(network, attempt(network, spec, FAMILY).implementation, PART, FAMILY).total
        for amounts, batched in ((total.resources, many.resources), (total.low, many.low), (total.high, many.high)):
            assert [v for _, v in amounts] == batched[i].tolist()
        assert (total.interval_cycles, total.latency_cycles) == (many.interval[i], many.latency[i])


def mlp() -> Network:
    space = load_space("mlp-jets")
    return build_network(space.candidate(space.sample(np.random.default_rng(0), 1)[0], TASKS["mlp-jets"]))


@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-85f", "pynq-z2"])
def test_a_board_that_hls4ml_does_not_build_for_is_told_in_the_prediction(board: str) -> None:
    network, chip = mlp(), load_board(board)
    implementation = attempt(network, make_spec(chip), chip.family).implementation
    note = predict(network, implementation, chip.part, chip.family).total.note
    assert ("hls4ml builds nothing for" in note) == (board != "pynq-z2")


def test_logic_synthesis_is_a_stage_of_its_own_with_a_wider_interval() -> None:
    network = mlp()
    total = predict(network, solve(network, spec_of(), FAMILY), PART, FAMILY).total
    after = after_synthesis(total)
    assert after.source == "predicted"
    assert after.note.startswith("predicts logic synthesis")
    assert "logic synthesis" not in total.note
    assert (after.latency_cycles, after.interval_cycles) == (total.latency_cycles, total.interval_cycles)
    for name in ("lut", "ff"):
        ends = [getattr(m, name) for m in (total.low, total.resources, total.high)]
        wider = [getattr(m, name) for m in (after.low, after.resources, after.high)]
        assert wider[0] < wider[1] < wider[2]
        assert wider[1] < ends[1]  # synthesis throws away what HLS counts twice
        assert wider[2] / wider[0] > ends[2] / max(ends[0], 1)
    assert Measurement.from_dict(after.to_dict()) == after


def test_what_is_unknown_or_nothing_stays_so_through_synthesis() -> None:
    total = Measurement("predicted", "x", "1", PART, 100.0, Resources(100, None, 0, None, 4), 5, 5,
                        Resources(50, None, 0, None, 4), Resources(200, None, 0, None, 4))  # fmt: skip
    after = after_synthesis(total)
    assert after.resources.ff is None
    assert after.high.uram is None
    assert after.resources.bram18 == after.low.bram18 == 0
    with pytest.raises(InputError, match="hls"):
        after_synthesis(replace(total, source="hls"))


@settings(max_examples=40)
@given(networks())
def test_layers_add_up_to_the_total(network: Network) -> None:
    prediction = predict(network, solve(network, spec_of(), FAMILY), PART, FAMILY)
    layers, total = prediction.layers, prediction.total
    assert [layer.name for layer in layers] == [*(layer.name for layer in network), TOP]
    summed = layers[0].resources
    for layer in layers[1:]:
        summed += layer.resources
    assert summed == total.resources
    assert total.interval_cycles == max(layer.interval_cycles for layer in layers)
    stream = any(len(layer.out_shape) == 3 for layer in network)
    fill = sum(layer.fill_cycles for layer in layers)
    assert total.latency_cycles == max(fill + (total.interval_cycles if stream else 0), 1)
    for own, made in zip(network, layers, strict=False):
        assert (made.reuse is None) == (made.strategy is None) == (own.weight is None)


@settings(max_examples=40)
@given(networks())
def test_intervals_hold_the_prediction_and_survive_json(network: Network) -> None:
    total = predict(network, solve(network, spec_of(), FAMILY), PART, FAMILY).total
    for name, value in total.resources:
        low, high = getattr(total.low, name), getattr(total.high, name)
        assert 0 <= low <= value <= high
    assert total.low.lut is not None
    assert total.high.lut is not None
    assert total.low.lut < total.high.lut
    assert Measurement.from_dict(total.to_dict()) == total


def test_it_says_where_it_comes_from() -> None:
    space = load_space("mlp-jets")
    network = build_network(space.candidate(space.sample(np.random.default_rng(0), 1)[0], TASKS["mlp-jets"]))
    spec = replace(spec_of(), clock_mhz=125.0)
    total = predict(network, solve(network, spec, FAMILY), PART, FAMILY).total
    assert (total.source, total.tool, total.version) == ("predicted", CALIBRATED.name, CALIBRATED.version)
    assert total.note == CALIBRATED.note
    assert (total.part, total.clock_mhz) == (PART, 125.0)
    assert total.interval_cycles is not None
    assert total.throughput_per_s == 125e6 / total.interval_cycles


def test_an_implementation_that_hls_would_refuse_is_refused() -> None:
    space = load_space("mlp-jets")
    codes = space.sample(np.random.default_rng(0), 2)
    network, other = (build_network(space.candidate(code, TASKS["mlp-jets"])) for code in codes)
    implementation = solve(network, spec_of(), FAMILY)
    first = replace(implementation.layers[0], reuse=7)
    with pytest.raises(
        InputError, match=r"not valid: dense1: reuse factor 7 is not valid for 16 x \d+ weights, nearest"
    ):
        predict(network, replace(implementation, layers=(first, *implementation.layers[1:])), PART, FAMILY)
    with pytest.raises(InputError, match="the implementation"):
        predict(other, implementation, PART, FAMILY)
    with pytest.raises(InputError, match="unknown io type"):
        predict(network, replace(implementation, io_type="io_serial"), PART, FAMILY)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no layers"):
        predict(replace(network, layers=()), implementation, PART, FAMILY)
