"""Searches of a comparison share their trainings and one budget, and a comparison that was stopped goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.cli import main
from flow.compare.cases import MODES, Case, Study, cases_of
from flow.compare.runs import Shared, finished, line_of, run_cases
from flow.errors import InputError
from flow.search.settings import resolve
from flow.space.candidate import Candidate
from tests.search.formula import FormulaEvaluator, accuracy_of

STUDY = Study("digits", "cnn-small", ((6_000, 1000),), (2, 8), 60)


class Trainer:
    """Starts evaluators that count together what was trained; ``most`` trainings, then the machine is switched off."""

    def __init__(self, most: int = 10**9) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.starts, self.most = 0, most

    @contextmanager
    def __call__(self, case: Case, path: Path) -> Iterator[Any]:
        self.starts += 1
        yield self

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """See ``flow.search.loop.Evaluator``."""
        self.asked[candidate.digest, rung] += 1
        if self.asked.total() > self.most:
            raise KeyboardInterrupt
        epochs = {"short": 2, "full": 8, "test": 0}[rung]
        wait = FormulaEvaluator().submit(candidate, rung)
        return lambda: {**wait(), "epochs": epochs}


def cases(seeds: int = 2, **changes: Any) -> list[Case]:
    return cases_of(replace(STUDY, **changes), "digits", "pynq-z2", "tpe", range(seeds))


def said(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results less the clock."""
    return [{k: v for k, v in r.items() if k != "seconds"} for r in results]


def test_every_mode_searches_within_the_same_training_budget(tmp_path: Path) -> None:
    told: list[str] = []
    results = run_cases(cases(), tmp_path, told.append, Trainer())
    assert [(r["mode"], r["seed"]) for r in results] == [(m, s) for s in range(2) for m in MODES]
    assert len(told) == len(results) == 8
    for r in results:
        assert 0 < r["epochs"] <= r["epochs_total"] == 60
        assert r["samples"] == 1078
        assert 0.1 < r["guess"] < 0.12
        if r["winner"] is not None:
            assert r["winner"]["lut_high"] <= 6_000
            assert r["winner"]["source"] == "predicted"
            assert r["winner"]["per_s"] >= 1000
            assert r["winner"]["test"] == pytest.approx(r["winner"]["validation"] - 0.01)
            assert r["hypervolume"] > 0
    by_mode = {r["mode"]: r for r in results}
    assert by_mode["joint"]["winner"] is not None
    assert by_mode["joint"]["epochs"] + 10 > 60, "the budget is used up"
    assert "test 0." in line_of(by_mode["joint"])


def test_a_candidate_of_several_searches_of_a_seed_is_trained_once(tmp_path: Path) -> None:
    trainer = Trainer()
    run_cases(cases(1), tmp_path, lambda line: None, trainer)
    assert trainer.starts == 1
    assert max(trainer.asked.values()) == 1
    known = json.loads((tmp_path / "shared" / "digits-0" / "trainings.json").read_text())
    assert set(known) == {f"{digest} {rung}" for digest, rung in trainer.asked}


def test_a_comparison_that_was_stopped_goes_on_and_says_the_same(tmp_path: Path) -> None:
    asked = cases(modes=("joint", "nested"))
    whole = run_cases(asked, tmp_path / "whole", lambda line: None, Trainer())
    with pytest.raises(KeyboardInterrupt):
        run_cases(asked, tmp_path / "stopped", lambda line: None, Trainer(most=25))
    before = [case.name for case in asked if finished(tmp_path / "stopped", case)]
    assert 0 < len(before) < 4
    told: list[str] = []
    again = run_cases(asked, tmp_path / "stopped", told.append, Trainer())
    assert said(again) == said(whole)
    assert len(told) == 4 - len(before)
    trainer = Trainer()
    assert run_cases(asked, tmp_path / "stopped", told.append, trainer) == again
    assert trainer.starts == 0, "what is finished is not trained again"


def test_results_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    run_cases(cases(1, modes=("joint",)), tmp_path, lambda line: None, Trainer())
    with pytest.raises(InputError, match=r"epochs_total 60, not 90: choose another --out"):
        run_cases(cases(1, modes=("joint",), epochs_total=90), tmp_path, lambda line: None, Trainer())
    (path,) = (tmp_path / "results").iterdir()
    path.write_text("[]")
    with pytest.raises(InputError, match="damaged result"):
        finished(tmp_path, cases(1, modes=("joint",))[0])


def test_a_failed_training_is_not_remembered(tmp_path: Path) -> None:
    problem = resolve(cases(1)[0].settings())
    candidate = problem.space.candidate(np.zeros(len(problem.space.sizes), dtype=np.int64), problem.task)
    failing = Shared(FormulaEvaluator(lambda c, r: "no memory"), tmp_path / "t.json")
    assert failing.submit(candidate, "short")() == {"ok": False, "error": "no memory"}
    shared = Shared(FormulaEvaluator(), tmp_path / "t.json")
    assert shared.submit(candidate, "short")()["val_accuracy"] == accuracy_of(candidate, "short")
    nobody = FormulaEvaluator(lambda c, r: "asked again")
    assert Shared(nobody, tmp_path / "t.json").submit(candidate, "short")()["ok"], "kept over sittings"
    assert nobody.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "seeds must be at least 2"),
        (["--modes", "joint,apart"], "unknown mode 'apart'"),
        (["--modes", "separate"], "joint is missing"),
        (["--datasets", "digit"], "did you mean"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_flow_compare_trains_really_and_writes_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--datasets", "digits", "--modes", "joint,separate", "--seeds", "2", "--epochs-total", "50"]
    command = ["compare", *arguments, "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "docs" / "compare.md")
    text = (tmp_path / "docs" / "compare.md").read_text()
    assert "flow compare --datasets digits --modes joint,separate --seeds 2 --epochs-total 50" in text
    assert (tmp_path / "docs" / "images" / "compare-digits.svg").is_file()
    assert main([*command, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results) == 16
    assert all(0 <= r["winner"]["test"] <= 1 for r in results if r["winner"])
