"""Samplers over many seeds, on a table of networks that were all trained before: hypervolume against trials.

    .venv/bin/python benchmarks/bench_table.py --seeds 20 --trials 40

``benchmarks/tables/digits.csv`` has the accuracy of every network of ``benchmarks/tables/digits.yaml`` (see
``table_train.py``), so a trial costs nothing here. Four candidates are in flight at a time, as in a search. The
hypervolume is that of (validation accuracy above ``--floor``, log10 of predicted LUT below the budget) over all trained
candidates, as a share of what the whole table reaches. Limits: the LUT budgets that leave the given shares of the
space feasible. Three more are samplers as others use them, where what is drawn is taken: an infeasible code, or one
drawn before, uses up a trial. ``reinforce, paper``: the paper's controller, an infeasible code is rewarded with 0.
``nsga2, constraints`` and ``tpe, constraints``: Optuna's samplers, told by how much a code misses the limits.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # faster for the small matrices of the samplers

import argparse
import math
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flow.fileio import write_json
from flow.search.check import Checker, checker_for
from flow.search.journal import distributions, new_study
from flow.search.pareto import hypervolume
from flow.search.propose import Proposal, Proposer
from flow.search.samplers import SAMPLERS
from flow.search.samplers.reinforce import Learner
from flow.search.settings import SearchSettings, resolve
from flow.space.space import all_codes

FOLDER = Path(__file__).with_name("tables")
WINDOW = 4
PAPER = "reinforce, paper"
CONSTRAINED = {"nsga2, constraints": "nsga2", "tpe, constraints": "tpe"}
AT = (5, 10, 20, 40, 100)
"""Trials at which the hypervolume is printed."""


@dataclass(frozen=True)
class Table:
    """``full``: validation accuracy after full training, by code (bytes)."""

    full: dict[bytes, float]
    short: dict[bytes, float]

    @classmethod
    def read(cls, path: Path) -> Table:
        """A file of ``table_train.py``."""
        full, short = {}, {}
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            name, brief, whole, *_ = line.split(",")
            key = np.array(name.split("."), dtype=np.int64).tobytes()
            short[key], full[key] = float(brief), float(whole)
        return cls(full, short)


@dataclass(frozen=True)
class Setting:
    """One limit: its checker, and the hypervolume that all feasible codes of the table have together."""

    checker: Checker
    budget: float
    share: float
    count: int
    whole: float
    best: float
    floor: float

    def area(self, points: list[tuple[float, float]]) -> float:
        """Hypervolume of (accuracy, LUT) points."""
        return area(points, self.floor, self.budget)


def setting_of(table: Table, lut: float | None, fps: float, floor: float) -> Setting:
    """The table under a LUT budget; None: the board's."""
    problem = resolve(
        SearchSettings("pynq-z2", "digits", str(FOLDER / "digits.yaml"), lut=lut, fps=fps, estimator_only=True)
    )
    checker = checker_for(problem)
    codes = np.concatenate(list(all_codes(problem.space)))
    checked = checker.check(codes)
    budget = problem.spec.budget.lut or math.inf
    points = [
        (table.full[c.tobytes()], float(cost))
        for c, cost, fits in zip(codes, checked.cost, checked.feasible, strict=True)
        if fits
    ]
    whole = area(points, floor, budget)
    share, best = len(points) / len(codes), max(a for a, _ in points)
    return Setting(checker, budget, share, len(points), whole, best, floor)


def area(points: list[tuple[float, float]], floor: float, budget: float) -> float:
    """Hypervolume of (accuracy, LUT) points."""
    return hypervolume([(a, math.log10(c)) for a, c in points], (floor, math.log10(budget)))


def search(table: Table, setting: Setting, sampler: str, seed: int) -> Iterator[tuple[float, float] | None]:
    """(accuracy, LUT) of trial after trial, None for one that came to nothing."""
    if sampler == PAPER:
        yield from as_in_the_paper(table, setting, seed)
        return
    if sampler in CONSTRAINED:
        yield from constrained(table, setting, CONSTRAINED[sampler], seed)
        return
    proposer = Proposer(setting.checker, sampler, seed)
    flying: deque[Proposal] = deque()
    while True:
        while len(flying) < WINDOW and (proposal := proposer.propose()) is not None:
            flying.append(proposal)
        if not flying:
            return
        proposal = flying.popleft()
        accuracy = table.full[proposal.code.tobytes()]
        yield accuracy, proposal.cost
        proposer.tell(proposal, accuracy, proposal.cost)


def as_in_the_paper(table: Table, setting: Setting, seed: int) -> Iterator[tuple[float, float] | None]:
    """See the module."""
    space = setting.checker.space
    learner = Learner(space.sizes, np.random.default_rng([seed, 0xC0]))
    while True:
        actions = learner.sample(1)
        code = space.canonical(actions)
        checked = setting.checker.check(code)
        if checked.feasible[0]:
            accuracy = table.full[code[0].tobytes()]
            yield accuracy, float(checked.cost[0])
            learner.reward(actions[0], accuracy)
        else:
            yield None
            learner.reward(actions[0], 0.0)


def constrained(table: Table, setting: Setting, sampler: str, seed: int) -> Iterator[tuple[float, float] | None]:
    """See the module."""
    import optuna

    space = setting.checker.space
    chosen = (
        optuna.samplers.NSGAIISampler(seed=seed, population_size=12)
        if sampler == "nsga2"
        else optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
    )
    study, choices = new_study(chosen), distributions(space)
    while True:
        trial = study.ask(choices)
        drawn = np.array([[trial.params.get(d.name, 0) for d in space.decisions]], dtype=np.int64)
        code = space.canonical(drawn)
        checked = setting.checker.check(code)
        cost, fits = float(checked.cost[0]), bool(checked.feasible[0])
        accuracy = table.full[code[0].tobytes()] if fits else 0.0
        trial.set_constraint("limits", float(checked.violation[0]))
        yield (accuracy, cost) if fits else None
        study.tell(trial, [accuracy, math.log10(cost)])


def curve(table: Table, setting: Setting, sampler: str, seed: int, trials: int) -> tuple[list[float], list[float]]:
    """Share of the whole hypervolume, and the best accuracy, after each trial."""
    points: list[tuple[float, float]] = []
    shares, bests = [], []
    found = search(table, setting, sampler, seed)
    for _ in range(trials):
        point = next(found, None)
        if point is not None:
            points.append(point)
        shares.append(setting.area(points) / setting.whole)
        bests.append(max((a for a, _ in points), default=0.0))
    return shares, bests


def main() -> None:
    """Print a table a limit; keep the curves for a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=FOLDER / "digits.csv")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--fps", type=float, default=1000.0)
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.2, 0.05])
    parser.add_argument("--floor", type=float, default=0.5, help="accuracies above this count")
    parser.add_argument("--samplers", nargs="+", default=[*SAMPLERS, PAPER, *CONSTRAINED])
    parser.add_argument("--out", type=Path, help="write all curves as JSON")
    args = parser.parse_args()
    table = Table.read(args.table)
    curves = []
    for share in args.shares:
        lut = None if share >= 1 else budget_for(share, args.fps)
        setting = setting_of(table, lut, args.fps, args.floor)
        print(
            f"\nat most {setting.budget:,.0f} LUT, {args.fps:g}/s: {setting.count} of {len(table.full)} networks "
            f"({100 * setting.share:.1f}%) fit, best accuracy {setting.best:.4f}; {args.seeds} seeds\n"
        )
        at = [t for t in AT if t <= args.trials]
        print(f"| sampler | {' | '.join(f'{t} trials' for t in at)} | best accuracy | seeds better than random |")
        print("|---" * (len(at) + 3) + "|")
        base: list[float] = []
        for sampler in sorted(args.samplers, key=lambda s: s != "random"):
            runs = [curve(table, setting, sampler, seed, args.trials) for seed in range(args.seeds)]
            ends = [shares[-1] for shares, _ in runs]
            base = ends if sampler == "random" else base
            better = sum(a > b for a, b in zip(ends, base, strict=True)) if base else None
            cells = [mean_and_spread([shares[t - 1] for shares, _ in runs]) for t in at]
            cells.append(mean_and_spread([bests[-1] for _, bests in runs]))
            cells.append("" if better is None else f"{better} of {args.seeds}")
            print(f"| {sampler} | {' | '.join(cells)} |", flush=True)
            curves.append({"budget": setting.budget, "sampler": sampler, "curves": [shares for shares, _ in runs]})
    if args.out:
        write_json(args.out, {"fps": args.fps, "seeds": args.seeds, "curves": curves})


def budget_for(share: float, fps: float) -> float:
    """The LUT budget that about ``share`` of the space keeps, to two digits: by bisection."""
    problem = resolve(SearchSettings("pynq-z2", "digits", str(FOLDER / "digits.yaml"), fps=fps, estimator_only=True))
    codes = np.concatenate(list(all_codes(problem.space)))

    def kept(lut: float) -> float:
        changed = resolve(SearchSettings("pynq-z2", "digits", str(FOLDER / "digits.yaml"), lut=lut, fps=fps))
        return float(checker_for(changed).check(codes).feasible.mean())

    low, high = 100.0, float(problem.spec.budget.lut or 1e6)
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if kept(middle) >= share else (middle, high)
    return round(high, -2)


def mean_and_spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


if __name__ == "__main__":
    main()
