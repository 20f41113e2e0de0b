"""The loop: budgets, hard constraints, the ladder, determinism, resuming."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flow.errors import ToolError
from flow.resources import Resources
from flow.search.loop import HOPELESS, Outcome, Search
from flow.search.measured import record_measurements
from flow.search.pareto import pareto_front
from flow.search.runlog import read_events
from flow.search.samplers import SAMPLERS
from flow.search.settings import Problem, SearchSettings, resolve
from flow.search.store import RunDirectory
from flow.search.winners import winners_dict
from flow.space.candidate import Candidate
from tests.search.formula import FormulaEvaluator, SilentDisplay, accuracy_of

SETTINGS = SearchSettings(board="pynq-z2", space="mlp-tiny", trials=25, seed=3, time_s=1e6)


def problem_of(**changes: object) -> Problem:
    return resolve(replace(SETTINGS, **changes))  # type: ignore[arg-type]


def search_in(folder: Path, problem: Problem, evaluator: FormulaEvaluator, resumed: bool = False) -> Outcome:
    if resumed:
        run = RunDirectory.resume(folder.parent, folder.name)
    else:
        run = RunDirectory.create(folder.parent, folder.name, overwrite=False)
        run.write_settings({"schema": 1})
    try:
        search = Search(problem, run, evaluator, SilentDisplay())
        outcome = search.go()
        assert search.test(outcome.front) == []
        return outcome
    finally:
        run.close()


def told(outcome: Outcome) -> list[tuple[int, str, float | None, float]]:
    return [(e.proposal.number, e.candidate.digest, e.accuracy, e.cost) for e in outcome.entries]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_uses_its_trials_and_keeps_every_candidate_within_the_limits(tmp_path: Path, sampler: str) -> None:
    problem = problem_of(sampler=sampler, lut=8000.0)
    evaluator = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem, evaluator)
    assert outcome.reason == "trials"
    assert len(outcome.entries) == 25
    assert len({e.candidate.digest for e in outcome.entries}) == 25, "no candidate is tried twice"
    for entry in outcome.entries:
        assert not entry.measurement.resources.exceeds(problem.spec.budget)
        assert (entry.measurement.throughput_per_s or 0) >= problem.spec.min_throughput_per_s
    assert len(evaluator.asked) == len(set(evaluator.asked)), "no rung is trained twice"


def test_refused_candidates_are_counted_and_never_trained(tmp_path: Path) -> None:
    problem = problem_of(lut=1500.0, trials=8)
    evaluator = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem, evaluator)
    assert sum(outcome.proposer.rejected.values()) > 0
    assert {d for d, _ in evaluator.asked} == {e.candidate.digest for e in outcome.entries}
    counts = [e["counts"] for e in read_events(tmp_path / "run" / "log.jsonl") if e["event"] == "rejected"]
    assert counts[-1] == dict(outcome.proposer.rejected)


def test_the_front_is_the_pareto_front_of_the_fully_trained(tmp_path: Path) -> None:
    outcome = search_in(tmp_path / "run", problem_of(), FormulaEvaluator())
    full = [e for e in outcome.entries if "full" in e.rungs]
    points = [(float(e.rungs["full"]["val_accuracy"]), e.cost) for e in full]
    assert outcome.front == [full[i] for i in pareto_front(points)]
    for winner in outcome.front:
        assert winner.test == pytest.approx(accuracy_of(winner.candidate, "full") - 0.01)
        # Nothing that was only trained briefly could have won against a winner: it costs more and promises less.
    short_only = [e for e in outcome.entries if "full" not in e.rungs]
    assert short_only, "the short rung saves full trainings"
    for entry in short_only:
        assert any(w.cost <= entry.cost and (w.accuracy or 0) >= (entry.accuracy or 0) for w in full)


def test_nobody_wins_who_is_not_above_the_floor(tmp_path: Path) -> None:
    whole = search_in(tmp_path / "a", problem_of(), FormulaEvaluator())
    floor = float(whole.front[1].accuracy or 0)
    run = RunDirectory.create(tmp_path, "b", overwrite=False)
    run.write_settings({"schema": 1})
    outcome = Search(problem_of(), run, FormulaEvaluator(), SilentDisplay(), floor=floor).go()
    run.close()
    assert outcome.front
    assert all((e.accuracy or 0) > floor for e in outcome.front)
    assert told(outcome) == told(whole), "the floor changes who wins, not what is tried"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_search_and_another_seed_another(tmp_path: Path, sampler: str) -> None:
    first = search_in(tmp_path / "a", problem_of(sampler=sampler), FormulaEvaluator())
    again = search_in(tmp_path / "b", problem_of(sampler=sampler), FormulaEvaluator())
    other = search_in(tmp_path / "c", problem_of(sampler=sampler, seed=4), FormulaEvaluator())
    assert told(first) == told(again)
    assert told(first) != told(other)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("after", [1, 9, 30])
def test_a_killed_search_resumes_to_the_same_end_and_repeats_nothing(tmp_path: Path, sampler: str, after: int) -> None:
    whole = search_in(tmp_path / "whole", problem_of(sampler=sampler), FormulaEvaluator())
    evaluator = FormulaEvaluator()

    def die(candidate: Candidate, rung: str) -> str | None:
        if len(evaluator.asked) > after:
            raise Killed
        return None

    evaluator.fails = die
    with pytest.raises(Killed):
        search_in(tmp_path / "run", problem_of(sampler=sampler), evaluator)
    on_disk = {
        (path.parent.name, rung)
        for path in (tmp_path / "run" / "candidates").glob("*/evaluation.json")
        for rung in json.loads(path.read_text())["rungs"]
    }
    # Submitted, but not yet taken, is what may be lost: at most the candidates in flight.
    assert len(on_disk) >= after - SETTINGS.window
    later = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem_of(sampler=sampler), later, resumed=True)
    assert told(outcome) == told(whole)
    assert [e.candidate.digest for e in outcome.front] == [e.candidate.digest for e in whole.front]
    assert not on_disk & set(later.asked)


def test_a_resumed_search_takes_what_is_on_disk_even_when_its_time_is_up(tmp_path: Path) -> None:
    done = search_in(tmp_path / "run", problem_of(), FormulaEvaluator())
    evaluator = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem_of(time_s=1e-9, trials=1000), evaluator, resumed=True)
    assert told(outcome)[: len(done.entries)] == told(done)
    assert outcome.reason == "time"
    assert not evaluator.asked


def test_the_test_split_is_touched_once_in_the_life_of_a_run(tmp_path: Path) -> None:
    search_in(tmp_path / "run", problem_of(), FormulaEvaluator())
    evaluator = FormulaEvaluator()
    outcome = search_in(tmp_path / "run", problem_of(), evaluator, resumed=True)
    assert all(e.test is not None for e in outcome.front)
    assert not [rung for _, rung in evaluator.asked if rung == "test"]


def test_a_resumed_search_keeps_what_was_measured_meanwhile(tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = search_in(run, problem_of(), FormulaEvaluator())
    entry = before.front[0]
    # As if the search had been ended before the test split.
    file = run / "candidates" / entry.candidate.digest / "evaluation.json"
    stored = json.loads(file.read_text())
    stored["accuracy"]["test"] = None
    file.write_text(json.dumps(stored))
    report = replace(
        entry.measurement, source="hls", tool="vitis_hls", version="2023.2", low=Resources(), high=Resources()
    )
    assert record_measurements(run, entry.candidate.digest, [report])
    problem = problem_of()
    after = search_in(run, problem, FormulaEvaluator(), resumed=True)
    wanted = [entry.measurement.to_dict(), report.to_dict()]
    assert json.loads(file.read_text())["accuracy"]["test"] is not None
    assert json.loads(file.read_text())["measurements"] == wanted
    assert winners_dict(problem, after.front, True, "trials")["winners"][0]["measurements"] == wanted


def test_a_failing_candidate_is_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    def fails(candidate: Candidate, rung: str) -> str | None:
        return "the worker was killed (SIGKILL)" if int(candidate.digest, 16) % 3 == 0 else None

    outcome = search_in(tmp_path / "run", problem_of(), FormulaEvaluator(fails))
    failed = [e for e in outcome.entries if e.error]
    assert failed
    assert len(outcome.entries) == 25
    assert not set(map(id, failed)) & set(map(id, outcome.front))
    stored = json.loads((tmp_path / "run" / "candidates" / failed[0].candidate.digest / "evaluation.json").read_text())
    assert (stored["status"], stored["error"]) == ("failed", "the worker was killed (SIGKILL)")
    evaluator = FormulaEvaluator()
    again = search_in(tmp_path / "run", problem_of(), evaluator, resumed=True)
    assert told(again) == told(outcome), "a failure is not tried again: the same decisions follow"
    assert not evaluator.asked


def test_a_search_whose_candidates_all_fail_stops_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"first {HOPELESS} candidates all failed, the last one with: no GPU"):
        search_in(tmp_path / "run", problem_of(trials=100), FormulaEvaluator(lambda candidate, rung: "no GPU"))


def test_a_small_space_ends_when_all_of_it_is_tried(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "schema: 1\nname: s\nlayers:\n  - {kind: dense, units: [4, 8], weight: [binary, ternary, 'fixed<3,1>'], "
        "activation: ['ufixed<2,1>']}\noutput: {weight: ['fixed<4,1>']}\n"
    )
    for sampler in SAMPLERS:
        problem = problem_of(space=str(path), sampler=sampler, trials=50)
        outcome = search_in(tmp_path / f"run-{sampler}", problem, FormulaEvaluator())
        assert outcome.reason == "space exhausted"
        assert len(outcome.entries) == 6


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let any file grow beyond ``size`` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_the_search_with_one_line_and_loses_nothing(tmp_path: Path) -> None:
    whole = search_in(tmp_path / "whole", problem_of(), FormulaEvaluator())
    with files_of_at_most(6000), pytest.raises(ToolError, match=r"cannot write .*: File too large") as caught:
        search_in(tmp_path / "run", problem_of(), FormulaEvaluator())
    assert "\n" not in str(caught.value)
    outcome = search_in(tmp_path / "run", problem_of(), FormulaEvaluator(), resumed=True)
    assert told(outcome) == told(whole)


def test_study_journal_is_an_optuna_study_of_every_trial(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    for sampler in SAMPLERS:
        folder = tmp_path / sampler
        outcome = search_in(folder, problem_of(sampler=sampler), FormulaEvaluator())
        search_in(folder, problem_of(sampler=sampler), FormulaEvaluator(), resumed=True)
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
        study = optuna.load_study(study_name="flow", storage=optuna.storages.JournalStorage(backend))
        numbers = [t.user_attrs["number"] for t in study.trials]
        assert sorted(numbers) == list(range(25)), "each trial once, however often the run was resumed"
        by_number = {t.user_attrs["number"]: t for t in study.trials}
        for entry in outcome.entries:
            assert by_number[entry.proposal.number].values == [entry.accuracy, entry.cost]


def test_a_damaged_journal_is_written_again(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    search_in(tmp_path / "run", problem_of(), FormulaEvaluator())
    path = tmp_path / "run" / "study.journal"
    path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / "run" / "study.journal.lock").symlink_to(path)  # what a kill leaves behind
    search_in(tmp_path / "run", problem_of(), FormulaEvaluator(), resumed=True)
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    study = optuna.load_study(study_name="flow", storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == 25
