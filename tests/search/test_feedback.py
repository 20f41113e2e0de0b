"""What a tool reports flows back: measured winners, rejections, corrections, failures; resuming repeats all of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.errors import FlowError, InputError, ToolError
from flow.estimate.predict import predict
from flow.network.network import build_network
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.search.entry import Entry
from flow.search.feedback import GIVE_UP, Synthesizer
from flow.search.loop import Outcome, Search
from flow.search.runlog import read_events
from flow.search.settings import Problem, SearchSettings, resolve
from flow.search.store import RunDirectory
from flow.search.winners import winners_dict
from tests.search.formula import FormulaEvaluator, SilentDisplay

SETTINGS = SearchSettings(board="pynq-z2", space="mlp-tiny", trials=24, seed=3, time_s=1e6, lut=6000.0, bound="middle")
PART, FAMILY = "xc7z020clg400-1", "zynq7000"


class Reporter:
    """Stands for a tool: reports each design's prediction times a factor and up to 10% of the design's own.

    ``fails`` says which calls (counted from 0) fail, and with what.
    """

    name = "vitis_hls 2022.2"

    def __init__(
        self, factor: float, fails: Callable[[int], FlowError | None] = lambda call: None, **more: Any
    ) -> None:
        self.factor, self.fails, self.more = factor, fails, more
        self.asked: list[str] = []
        self.out = self.most_out = 0

    def report(self, entry: Entry) -> Measurement:
        """What it will say."""
        predicted = predict(build_network(entry.candidate), entry.implementation, PART, FAMILY).total
        factor = self.factor * random.Random(entry.candidate.digest).uniform(0.9, 1.1)
        amounts = {
            n: round(v * (factor if n in self.more.get("of", RESOURCE_NAMES) else 1))
            for n, v in predicted.resources
            if v is not None
        }
        return replace(predicted, source="hls", tool="Vitis HLS", version="2022.2", resources=Resources(**amounts),
                       low=Resources(), high=Resources(), note="")  # fmt: skip

    def submit(self, entry: Entry) -> Callable[[], tuple[Measurement, float]]:
        """See flow.search.feedback.Synthesizer."""
        error, report = self.fails(len(self.asked)), self.report(entry)
        self.asked.append(entry.candidate.digest)
        self.out += 1
        self.most_out = max(self.most_out, self.out)

        def wait() -> tuple[Measurement, float]:
            self.out -= 1
            if error is not None:
                raise error
            return report, 60.0

        return wait


def problem_of(**changes: Any) -> Problem:
    return resolve(replace(SETTINGS, **changes))


def search_in(
    folder: Path, problem: Problem, tool: Synthesizer | None, resumed: bool = False,
    evaluator: FormulaEvaluator | None = None,
) -> tuple[Search, Outcome, SilentDisplay]:  # fmt: skip
    if resumed:
        run = RunDirectory.resume(folder.parent, folder.name)
    else:
        run = RunDirectory.create(folder.parent, folder.name, overwrite=False)
        run.write_settings({"schema": 1})
    display = SilentDisplay()
    try:
        search = Search(problem, run, evaluator or FormulaEvaluator(), display, synthesizer=tool)
        outcome = search.go()
        assert search.test(outcome.front) == []
        return search, outcome, display
    finally:
        run.close()


def told(outcome: Outcome) -> list[Any]:
    return [(e.proposal.number, e.candidate.digest, e.accuracy, e.cost, e.unfit, e.doubt) for e in outcome.entries]


def stored(run: Path, entry: Entry) -> Any:
    return json.loads((run / "candidates" / entry.candidate.digest / "evaluation.json").read_text())


def fits(reported: Measurement, problem: Problem) -> bool:
    return not reported.resources.exceeds(problem.spec.budget)


@pytest.mark.parametrize("factor", [1.4, 0.6])
@pytest.mark.parametrize("mode", ["joint", "separate", "nested"])
def test_every_winner_is_measured_and_fits_what_was_reported(tmp_path: Path, factor: float, mode: str) -> None:
    problem, tool = problem_of(mode=mode), Reporter(factor)
    search, outcome, _ = search_in(tmp_path / "run", problem, tool)
    assert outcome.front
    for winner in winners_dict(problem, outcome.front, True, outcome.reason)["winners"]:
        predicted, reported = (Measurement.from_dict(m) for m in winner["measurements"])
        assert (predicted.source, reported.source) == ("predicted", "hls")
        assert fits(reported, problem)
        assert winner["throughput_per_s"] == reported.throughput_per_s
    for entry in outcome.front:
        assert entry.measurement == tool.report(entry)
        assert entry.cost == entry.measurement.resources.lut
    assert search.feedback.correction.factors()["lut"] == pytest.approx(factor, rel=0.12)
    assert tool.most_out > 1, "several at a time"


def test_without_feedback_winners_do_not_fit_what_a_tool_reports(tmp_path: Path) -> None:
    """What the test above guards against happens without a tool: it is not that nothing comes near the limit."""
    problem = problem_of()
    _, outcome, _ = search_in(tmp_path / "run", problem, None)
    assert not all(fits(Reporter(1.4).report(entry), problem) for entry in outcome.front)


def test_a_pessimistic_predictor_is_corrected_to_larger_networks(tmp_path: Path) -> None:
    _, without, _ = search_in(tmp_path / "a", problem_of(), None)
    _, with_tool, _ = search_in(tmp_path / "b", problem_of(), Reporter(0.6))
    assert (with_tool.front[-1].accuracy or 0) > (without.front[-1].accuracy or 0)


def test_what_does_not_fit_is_rejected_recorded_and_never_tested(tmp_path: Path) -> None:
    run, problem, evaluator = tmp_path / "run", problem_of(), FormulaEvaluator()
    _, outcome, display = search_in(run, problem, Reporter(1.4), evaluator=evaluator)
    rejected = [e for e in outcome.entries if e.unfit]
    assert rejected
    for entry in rejected:
        assert entry not in outcome.front
        assert stored(run, entry)["unfit"] == entry.unfit
        assert f" LUT of {problem.spec.budget.lut:,.0f}" in str(entry.unfit)
        assert ("unfit", entry.proposal.number) in display.events
        assert (entry.candidate.digest, "test") not in evaluator.asked
    events = [e for e in read_events(run / "log.jsonl") if e.get("rung") == "hls"]
    assert {e["digest"] for e in events if e["misses"]} == {e.candidate.digest for e in rejected}
    after = [e for e in outcome.entries if e.proposal.number > 12]
    assert not [e for e in after if e.unfit], "once corrected, the predictor lets nothing through that does not fit"


def test_a_candidate_that_misses_another_limit_is_built_otherwise_and_measured_once_more(tmp_path: Path) -> None:
    problem, tool = problem_of(lut=30000.0, trials=10), Reporter(1.6, of=("bram18",))
    tight = replace(problem, spec=replace(problem.spec, budget=replace(problem.spec.budget, bram18=10.0)))
    _, outcome, _ = search_in(tmp_path / "run", tight, tool)
    again = [e for e in outcome.entries if len(e.synthesis) == 2]
    assert again
    for entry in again:
        first, second = entry.synthesis
        assert first.misses
        assert first.implementation != second.implementation == entry.implementation
        assert [m["source"] for m in entry.measured] == ["hls"], "what was measured of the other one is not kept"
    assert any(not e.unfit for e in again)
    assert all(e.verdict and e.verdict.measured for e in outcome.front)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("after", [0, 7])
def test_a_killed_search_resumes_to_the_same_end_and_synthesizes_nothing_twice(tmp_path: Path, after: int) -> None:
    problem = problem_of()
    tool = Reporter(1.4)
    _, whole, _ = search_in(tmp_path / "whole", problem, Reporter(1.4))

    def die(call: int) -> FlowError | None:
        if call > after:
            raise Killed
        return None

    tool.fails = die
    with pytest.raises(Killed):
        search_in(tmp_path / "run", problem, tool)
    done = [
        p.parent.name for p in (tmp_path / "run").glob("candidates/*/evaluation.json") if '"synthesis"' in p.read_text()
    ]
    later = Reporter(1.4)
    _, outcome, _ = search_in(tmp_path / "run", problem, later, resumed=True)
    assert told(outcome) == told(whole)
    assert winners_dict(problem, outcome.front, True, "") == winners_dict(problem, whole.front, True, "")
    assert not set(done) & set(later.asked)
    assert len(done) >= after - SETTINGS.synth_window
    idle = Reporter(1.4)
    assert told(search_in(tmp_path / "run", problem, idle, resumed=True)[1]) == told(whole)
    assert idle.asked == []


def test_damaged_syntheses_on_disk_are_told_with_what_to_do(tmp_path: Path) -> None:
    run, problem = tmp_path / "run", problem_of(trials=8)
    _, outcome, _ = search_in(run, problem, Reporter(1.0))
    entry = outcome.front[0]
    data = stored(run, entry)
    data["synthesis"][0]["measured"]["lut"] = -1
    (run / "candidates" / entry.candidate.digest / "evaluation.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"synthesis\[0\]: measured: lut must be .* delete this folder"):
        search_in(run, problem, Reporter(1.0), resumed=True)


def test_a_failure_is_recorded_keeps_a_candidate_from_winning_and_the_search_goes_on(tmp_path: Path) -> None:
    run, problem = tmp_path / "run", problem_of()
    tool = Reporter(1.0, lambda call: ToolError(f"crash number {call}") if call in (1, 2, 3) else None)
    search, outcome, display = search_in(run, problem, tool)
    failed = [e for e in outcome.entries if e.verdict and e.verdict.error]
    assert [e.verdict.error for e in failed if e.verdict] == ["crash number 1", "crash number 2", "crash number 3"]
    assert not [e for e in failed if e in outcome.front]
    assert all(e.verdict and e.verdict.measured for e in outcome.front)
    assert len(outcome.entries) == SETTINGS.trials
    assert search.feedback.gave_up is None
    for entry in failed:
        assert stored(run, entry)["synthesis"][0]["error"] in {"crash number 1", "crash number 2", "crash number 3"}
        assert ("failed", entry.proposal.number) in display.events
    logged = [e["error"] for e in read_events(run / "log.jsonl") if e["event"] == "failed"]
    assert logged == ["crash number 1", "crash number 2", "crash number 3"]
    idle = Reporter(1.0)
    assert told(search_in(run, problem, idle, resumed=True)[1]) == told(outcome), "failures are not tried again"
    assert idle.asked == []


def test_a_tool_that_fails_for_all_is_given_up_and_the_winners_are_as_predicted(tmp_path: Path) -> None:
    problem, tool = problem_of(), Reporter(1.0, lambda call: ToolError("no licence"))
    search, outcome, _ = search_in(tmp_path / "run", problem, tool)
    _, without, _ = search_in(tmp_path / "without", problem, None)
    assert len(tool.asked) == GIVE_UP
    assert search.feedback.gave_up == "no licence"
    assert [(e.candidate.digest, e.cost) for e in outcome.front] == [
        (e.candidate.digest, e.cost) for e in without.front
    ]
    assert "synthesis given up" in [e["event"] for e in read_events(tmp_path / "run" / "log.jsonl")]


def test_no_synthesis_begins_that_cannot_end_in_time(tmp_path: Path) -> None:
    problem, tool = problem_of(time_s=50.0), Reporter(1.0)  # each is said to take 60 s
    _, outcome, _ = search_in(tmp_path / "run", problem, tool)
    assert len(tool.asked) == 1, "the first is always done"
    assert outcome.reason == "time"
    assert any(e.verdict is None for e in outcome.front)
