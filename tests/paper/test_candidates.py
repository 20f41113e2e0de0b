"""The paper's networks and the candidates of this package are the same thing in two forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow.errors import InputError
from flow.network import build_network
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate
from flow.paper import CORRECTED, LOGGED, PAPER, Limits, PaperNetwork, evaluate
from flow.paper.candidates import choices_from_codes, from_candidate, predict_candidate, to_candidate
from flow.paper.design import INPUT_BITS
from flow.paper.logged import D, LoggedDesign
from flow.paper.solve import solve
from flow.paper.work import Work
from flow.space.space import Task, load_space

TASK = Task((32, 32, 3), FixedFormat(7, 1, signed=False), 10)


@pytest.mark.parametrize(
    ("logged", "macs"),
    list(zip(LOGGED, (15.5, 73.5, 119.6), strict=True)),
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_the_candidate_of_a_logged_design_has_its_multiply_accumulates(logged: LoggedDesign, macs: float) -> None:
    network = build_network(to_candidate(logged.design))
    assert round(sum(layer.macs for layer in network if layer.op == "conv2d") / 1e6, 1) == macs


def test_the_candidate_of_the_headline_design_has_its_parameters() -> None:
    network = build_network(to_candidate(D.design))
    by_op = {op: sum(la.weight_count + la.out_shape[-1] for la in network if la.op == op) for op in ("conv2d", "dense")}
    assert by_op == {"conv2d": 70_776, "dense": 396_042}


@pytest.mark.parametrize("logged", LOGGED, ids=lambda logged: logged.name)
def test_a_network_comes_back_from_its_candidate(logged: LoggedDesign) -> None:
    assert from_candidate(to_candidate(logged.design.network)) == logged.design.network
    assert from_candidate(to_candidate(logged.design)).input_bits == INPUT_BITS


def test_the_input_can_have_the_format_of_a_data_set() -> None:
    pixels = FixedFormat(8, 0, signed=False)
    candidate = to_candidate(D.design, pixels)
    assert candidate.input_format == pixels
    assert from_candidate(candidate).input_bits == (0, 8)


def test_a_format_without_bits_is_no_candidate() -> None:
    network = PaperNetwork.parse("1x1-24-1 a0.0 w1.1")
    with pytest.raises(InvalidCandidate, match="no bits"):
        to_candidate(network)


def test_what_the_papers_hardware_does_not_run_is_refused() -> None:
    candidate = to_candidate(D.design)
    first = candidate.layers[0]
    for change, problem in (
        ({"kind": "depthwise", "units": 0}, "depthwise layer"),
        ({"residual": True}, "residual connection"),
        ({"weight": WeightFormat.parse("binary")}, "binary weights"),
        ({"weight": WeightFormat("fixed", 4, -1)}, "must not be negative"),
    ):
        with pytest.raises(InputError, match=problem):
            from_candidate(replace(candidate, layers=(replace(first, **change), *candidate.layers[1:])))
    with pytest.raises(InputError, match="takes images"):
        from_candidate(replace(candidate, head="gap"))
    with pytest.raises(InputError, match="takes images"):
        from_candidate(replace(candidate, input_shape=(16,)))


def test_a_candidate_is_predicted_with_the_best_tiles_and_groups() -> None:
    found = predict_candidate(to_candidate(D.design), D.limits, PAPER, "xc7z020clg400-1")
    design = solve(D.design.network, D.limits, PAPER)
    assert found is not None
    assert design is not None
    assert found.throughput_per_s == evaluate(design, PAPER).throughput_per_s
    assert found.resources.lut == evaluate(design, PAPER).lut
    assert predict_candidate(to_candidate(D.design), Limits(1000, 1000)) is None


@pytest.mark.parametrize("name", ["paper-iccad19", "paper-iccad19+stride", "paper-iccad19+skip"])
def test_codes_of_the_papers_space_ask_the_same_work_as_their_candidates(name: str) -> None:
    space = load_space(name)
    codes = space.sample(np.random.default_rng(2), 300)
    choices = choices_from_codes(space, codes)
    work = CORRECTED.with_options(dense=True).work_of(choices)
    same = 0
    for number, code in enumerate(codes):
        rule = "skip shape" if work.mismatch[number] else None
        if choices.no_bits[number]:
            rule = "format"
        try:
            one = CORRECTED.with_options(dense=True).work([from_candidate(space.candidate(code, TASK))])
        except InvalidCandidate as error:
            found: str | None = error.rule
        else:
            found = None
            assert rows(work, number) == rows(one, 0)
            same += 1
        assert found == rule
    assert same > 10


def rows(work: Work, number: int) -> list[list[int]]:
    columns = (work.inputs, work.outputs, work.cycles, work.multiplier, work.product_int, work.product_frac)
    return [column[number].tolist() for column in (*columns, work.out_int, work.out_frac)]


def test_images_of_different_sizes_are_no_more_joined_than_in_a_candidate() -> None:
    space = load_space("paper-iccad19+skip")
    codes = space.sample(np.random.default_rng(4), 200)
    work = PAPER.work_of(choices_from_codes(space, codes))
    checked = 0
    for number, code in enumerate(codes):
        try:
            build_network(space.candidate(code, TASK))
        except InvalidCandidate as error:
            if error.rule == "skip shape":
                assert work.mismatch[number]
                checked += 1
        else:
            assert not work.mismatch[number]
            checked += 1
    assert checked > 50


def test_a_space_of_another_kind_is_refused() -> None:
    space = load_space("mlp-tiny")
    with pytest.raises(InputError, match="space mlp-tiny is not of the paper's kind"):
        choices_from_codes(space, space.sample(np.random.default_rng(0), 1))
