"""Modes: what is decided together or one after the other, always within the limits and the same training budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.network.network import build_network
from flow.search.check import checker_for
from flow.search.loop import Outcome
from flow.search.modes import INNER, MODES, SeparateProposer, without_limits
from flow.search.settings import Problem, SearchSettings, resolve
from flow.search.subspace import Subspace, architectures, bit_columns, bits_of, formats_of
from flow.space.candidate import Candidate
from tests.search.formula import FormulaEvaluator
from tests.search.test_loop import Killed, search_in, told

SETTINGS = SearchSettings(board="pynq-z2", space="mlp-tiny", trials=24, seed=3, time_s=1e6, lut=9000.0)


def problem_of(**changes: object) -> Problem:
    return resolve(replace(SETTINGS, **changes))  # type: ignore[arg-type]


def architecture(candidate: Candidate) -> tuple[object, ...]:
    return tuple((layer.kind, layer.units, layer.kernel, layer.pool, layer.stride) for layer in candidate.layers)


def budget_of(outcome: Outcome, settings: SearchSettings) -> int:
    """Epochs that the trainings of a search were meant to take."""
    each = {"short": settings.epochs_short, "full": settings.epochs_full}
    return sum(each[rung] for entry in outcome.entries for rung in entry.rungs)


@pytest.mark.parametrize("sampler", ["random", "tpe", "ehvi"])
@pytest.mark.parametrize("mode", MODES)
def test_every_winner_keeps_the_limits_and_no_candidate_is_trained_twice(
    tmp_path: Path, mode: str, sampler: str
) -> None:
    problem = problem_of(mode=mode, sampler=sampler)
    evaluator = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem, evaluator)
    assert (outcome.reason, len(outcome.entries)) == ("trials", 24)
    assert outcome.front
    checker = checker_for(problem)
    for winner in outcome.front:
        assert checker.check(winner.proposal.code[None, :]).feasible.all()
        assert not winner.measurement.resources.exceeds(problem.spec.budget)
    assert len(evaluator.asked) == len(set(evaluator.asked))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("total", [50, 300, 777])
def test_no_mode_exceeds_the_training_budget_and_all_use_it_up(tmp_path: Path, mode: str, total: int) -> None:
    problem = problem_of(mode=mode, trials=10_000, epochs_total=total)
    s = problem.settings
    outcome = search_in(tmp_path / "run", problem, FormulaEvaluator())
    assert outcome.reason == "training budget"
    spent = budget_of(outcome, s)
    assert total - s.epochs_short - s.epochs_full < spent <= total
    assert any("full" in e.rungs for e in outcome.entries)


def test_separate_looks_for_the_best_architecture_first_then_for_bits_that_fit(tmp_path: Path) -> None:
    problem = problem_of(mode="separate")
    outcome = search_in(tmp_path / "run", problem, FormulaEvaluator())
    first = [e for e in outcome.entries if e.proposal.stage == 1]
    second = [e for e in outcome.entries if e.proposal.stage == 2]
    assert (len(first), len(second)) == (12, 12)
    richest = {bits_of(max(d.options, key=bits_of)) for i, d in enumerate(problem.space.decisions)
               if i in bit_columns(problem.space)}  # fmt: skip
    for entry in first:
        assert {layer.weight.width for layer in entry.candidate.layers} <= richest
        assert not entry.proposal.final
    limit = problem.spec.budget.lut or 0
    assert any((e.measurement.resources.lut or 0) > limit for e in first), "limits are not looked at"
    chosen = {architecture(e.candidate) for e in second}
    assert len(chosen) == 1
    proposer = outcome.proposer
    assert isinstance(proposer, SeparateProposer)
    over = {problem.space.candidate(code, problem.task).digest for code in proposer.passed_over}
    best = max((e for e in first if e.candidate.digest not in over), key=lambda e: (e.accuracy, -e.proposal.number))
    assert chosen == {architecture(best.candidate)}
    for code in proposer.passed_over:
        assert checker_for(problem).check(code[None, :]).feasible.sum() == 0


def test_separate_passes_over_architectures_that_fit_with_no_formats(tmp_path: Path) -> None:
    """Within the tightest limits only small networks fit, which the first half has no reason to prefer."""
    codes = problem_of().space.sample(np.random.default_rng(0), 2000)
    tight = next(
        lut for lut in range(1000, 20_000, 250)
        if checker_for(problem_of(lut=float(lut))).check(codes).feasible.sum() > 10
    )  # fmt: skip
    outcome = search_in(tmp_path / "run", problem_of(mode="separate", lut=float(tight), trials=12), FormulaEvaluator())
    proposer = outcome.proposer
    assert isinstance(proposer, SeparateProposer)
    assert proposer.passed_over
    assert all(e.proposal.final for e in outcome.front)


def test_nested_tries_several_formats_for_each_architecture(tmp_path: Path) -> None:
    outcome = search_in(tmp_path / "run", problem_of(mode="nested"), FormulaEvaluator())
    runs = [architecture(e.candidate) for e in outcome.entries]
    groups = [runs[i : i + INNER] for i in range(0, len(runs), INNER)]
    assert all(len(set(group)) == 1 for group in groups)
    assert len({group[0] for group in groups}) == len(groups)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("after", [5, 22])
def test_a_killed_search_resumes_to_the_same_end_in_every_mode(tmp_path: Path, mode: str, after: int) -> None:
    problem = problem_of(mode=mode, epochs_total=700)
    whole = search_in(tmp_path / "whole", problem, FormulaEvaluator())
    evaluator = FormulaEvaluator()

    def die(candidate: Candidate, rung: str) -> str | None:
        if len(evaluator.asked) > after:
            raise Killed
        return None

    evaluator.fails = die
    with pytest.raises(Killed):
        search_in(tmp_path / "run", problem, evaluator)
    outcome = search_in(tmp_path / "run", problem, FormulaEvaluator(), resumed=True)
    assert told(outcome) == told(whole)
    assert [e.candidate.digest for e in outcome.front] == [e.candidate.digest for e in whole.front]


@pytest.mark.parametrize("space", ["cnn-small", "mlp-tiny", "cnn-cifar10"])
def test_a_subspace_has_the_codes_of_the_whole_with_the_taken_decisions(space: str) -> None:
    whole = resolve(SearchSettings(board="pynq-z2", space=space)).space
    rng = np.random.default_rng(0)
    for narrowed in (architectures(whole, richest=True), formats_of(whole, whole.sample(rng, 1)[0])):
        codes = narrowed.sample(rng, 200)
        full = narrowed.full(codes)
        assert np.array_equal(full, whole.canonical(full))
        assert len(np.unique(codes, axis=0)) == len(np.unique(full, axis=0)), "equal candidates have equal codes"
        assert np.array_equal(narrowed.canonical(codes), codes)
        open_columns = np.flatnonzero(narrowed.sizes > 1)
        assert set(open_columns) <= set(np.flatnonzero(whole.sizes > 1))
        assert len(np.unique(full[:, open_columns], axis=0)) > 1


def test_formats_of_an_architecture_change_its_bits_and_nothing_else() -> None:
    problem = resolve(replace(SETTINGS, space="cnn-small", lut=None))
    rng = np.random.default_rng(1)
    code = problem.space.sample(rng, 1)[0]
    narrowed = formats_of(problem.space, code)
    assert isinstance(narrowed, Subspace)
    shapes = set()
    for other in narrowed.full(narrowed.sample(rng, 30)):
        network = build_network(problem.space.candidate(other, problem.task))
        shapes.add(tuple((layer.op, layer.out_shape, layer.kernel, layer.fan_in) for layer in network))
    assert len(shapes) == 1


def test_without_limits_everything_valid_fits() -> None:
    problem = problem_of(space="cnn-cifar10", dataset="cifar10", lut=20_000.0)
    checker = checker_for(problem)
    codes = problem.space.sample(np.random.default_rng(0), 2000)
    limited = checker.check(codes)
    checker.spec = without_limits(problem.spec)
    free = checker.check(codes)
    assert free.feasible.sum() > limited.feasible.sum()
    assert np.array_equal(free.feasible, free.broken == 0)
