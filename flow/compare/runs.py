"""Runs the searches of a comparison. What is done is on disk: a comparison that was stopped goes on where it was.

Searches of one seed share their trainings: a candidate that several of them propose is trained once, with the seed it
would get in each of them, and counts in the training budget of each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from flow.compare.cases import Case
from flow.errors import InputError
from flow.fileio import read_json, write_json
from flow.network.datasets import load_dataset
from flow.search.evaluate import TrainingEvaluator
from flow.search.loop import Evaluator, Outcome, Search
from flow.search.modes import SeparateProposer
from flow.search.pareto import hypervolume
from flow.search.settings import as_yaml, resolve
from flow.search.store import RunDirectory
from flow.space.candidate import Candidate
from flow.versions import versions

SCHEMA = 1


class Shared:
    """An evaluator that asks another one only for what it has not been asked before, in this sitting or earlier."""

    def __init__(self, inner: Evaluator, path: Path) -> None:
        self.inner, self.path = inner, path
        self.known: dict[str, dict[str, Any]] = read_json(path, "shared trainings") if path.is_file() else {}

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """See ``flow.search.loop.Evaluator``. Failures are not kept: they may be tried again."""
        key = f"{candidate.digest} {rung}"
        if key in self.known:
            return lambda: dict(self.known[key])
        wait = self.inner.submit(candidate, rung)

        def finish() -> dict[str, Any]:
            result = wait()
            if result["ok"]:
                self.known[key] = dict(result)
                write_json(self.path, self.known)
            return result

        return finish


@dataclass
class Silent:
    """A display that keeps what failed."""

    failures: list[str] = field(default_factory=list)

    def rejected(self, counts: dict[str, int]) -> None:
        """See ``flow.search.loop.Display``."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """See ``flow.search.loop.Display``."""

    def failed(self, number: int, reason: str) -> None:
        """See ``flow.search.loop.Display``."""
        self.failures.append(f"candidate {number}: {reason}")

    def unfit(self, number: int, reason: str) -> None:
        """See ``flow.search.loop.Display``."""

    def stage(self, text: str) -> None:
        """See ``flow.search.loop.Display``."""


def run_cases(
    cases: Iterable[Case],
    folder: Path,
    tell: Callable[[str], None],
    evaluator_for: Callable[[Case, Path], Any] | None = None,
) -> list[dict[str, Any]]:
    """The results of all cases, in their order; those that are on disk already are read.

    ``tell`` is told of each one. Raises InputError and ToolError; what was finished before stays.
    """
    results = []
    start = evaluator_for or training_evaluator
    for (data, seed), group in groupby(cases, key=lambda c: (c.data, c.seed)):
        batch = list(group)
        missing = [case for case in batch if finished(folder, case) is None]
        if missing:
            shared = folder / "shared" / f"{batch[0].study.dataset}-{seed}"
            shared.mkdir(parents=True, exist_ok=True)
            samples, guess = look_at(data)
            with start(batch[0], shared) as inner:
                evaluator = Shared(inner, shared / "trainings.json")
                for case in missing:
                    result = run_case(case, folder, evaluator, samples, guess)
                    write_json(result_path(folder, case), result)
                    tell(line_of(result))
        results += [found for case in batch if (found := finished(folder, case)) is not None]
    return results


def finished(folder: Path, case: Case) -> dict[str, Any] | None:
    """The result of a case that is on disk. Raises InputError if it is one of other settings, or damaged."""
    path = result_path(folder, case)
    if not path.is_file():
        return None
    found = read_json(path, "result")
    asked = case.settings()
    wanted = {"schema": SCHEMA, "board": asked.board, "sampler": asked.sampler, "epochs_total": asked.epochs_total,
              "space": asked.space, "title": case.study.title}  # fmt: skip
    if not isinstance(found, dict):
        raise InputError(f"{path}: damaged result; delete it to search again")
    for name, value in wanted.items():
        if found.get(name) != value:
            raise InputError(f"{path} is a result with {name} {found.get(name)}, not {value}: choose another --out")
    return found


def training_evaluator(case: Case, path: Path) -> TrainingEvaluator:
    """The evaluator for all searches with the data and the seed of ``case``."""
    short, full = case.study.epochs
    return TrainingEvaluator(path, case.data, epochs_short=short, epochs_full=full, seed=case.seed, jobs=1)


def result_path(folder: Path, case: Case) -> Path:
    """Where the result of a case is."""
    return folder / "results" / f"{case.name}.json"


def look_at(data: str) -> tuple[int, float]:
    """Training samples of a data set, and the accuracy of always guessing its most frequent class."""
    loaded = load_dataset(data)
    return len(loaded.y_train), float(np.bincount(loaded.y_val).max() / len(loaded.y_val))


def run_case(case: Case, folder: Path, evaluator: Evaluator, samples: int, guess: float) -> dict[str, Any]:
    """Search, test the winners, and say what came out; a run that was begun is gone on with."""
    problem = resolve(case.settings())
    name, started = case.name, time.perf_counter()
    begun = (folder / "runs" / name / "run.yaml").is_file()
    run = RunDirectory.resume(folder / "runs", name) if begun else RunDirectory.create(folder / "runs", name, True)
    display = Silent()
    try:
        run.write_settings(as_yaml(problem, name, versions(), None))
        search = Search(problem, run, evaluator, display, floor=guess)
        outcome = search.go()
        problems = search.test(outcome.front)
    finally:
        run.close()
    if problems:
        raise InputError(f"{name}: {problems[0]}")
    return {
        "schema": SCHEMA,
        "dataset": case.study.dataset,
        "title": case.study.title,
        "board": problem.settings.board,
        "space": problem.settings.space,
        "sampler": problem.settings.sampler,
        "lut": case.lut,
        "fps": case.fps,
        "mode": case.mode,
        "seed": case.seed,
        "guess": guess,
        "reason": outcome.reason,
        "failures": display.failures,
        "seconds": round(time.perf_counter() - started, 1),
        "training_s": round(_training_seconds(outcome), 1),
        "epochs": _epochs(outcome),
        "epochs_total": case.study.epochs_total,
        "samples": samples,
        "candidates": len(outcome.entries),
        "passed_over": _passed_over(outcome),
        "hypervolume": area(outcome, guess, case.lut),
        "winner": _winner(outcome),
    }


def area(outcome: Outcome, guess: float, lut: float) -> float:
    """Hypervolume of the winners: accuracy above guessing, log10 of LUT below the limit."""
    points = [(float(e.accuracy or 0.0), math.log10(max(e.cost, 1.0))) for e in outcome.front]
    return round(hypervolume(points, (guess, math.log10(lut))), 6)


def _winner(outcome: Outcome) -> dict[str, Any] | None:
    """The most accurate winner on the validation samples, the last of the front; None without one."""
    if not outcome.front:
        return None
    best = outcome.front[-1]
    return {
        "digest": best.candidate.digest,
        "validation": best.accuracy,
        "test": best.test,
        "lut": best.measurement.resources.lut,
        "lut_high": best.measurement.high.lut,
        "source": best.measurement.source,
        "per_s": best.measurement.throughput_per_s,
    }


def _training_seconds(outcome: Outcome) -> float:
    return sum(float(r.get("seconds") or 0.0) for e in outcome.entries for r in e.rungs.values())


def _epochs(outcome: Outcome) -> int:
    return sum(int(r.get("epochs") or 0) for e in outcome.entries for r in e.rungs.values())


def _passed_over(outcome: Outcome) -> int:
    """Architectures that ``separate`` liked better than the one it took, and that fit with no formats."""
    proposer = outcome.proposer
    return len(proposer.passed_over) if isinstance(proposer, SeparateProposer) else 0


def line_of(result: dict[str, Any]) -> str:
    """One result in one line."""
    winner = result["winner"]
    found = f"test {winner['test']:.4f} with {winner['lut']:,.0f} LUT" if winner else "nothing that fits"
    return (
        f"{result['dataset']}, {result['lut']:,.0f} LUT, {result['mode']}, seed {result['seed']}: {found}; "
        f"{result['candidates']} candidates, {result['epochs']} epochs x {result['samples']:,} samples, "
        f"{result['seconds']:.0f} s"
    )
