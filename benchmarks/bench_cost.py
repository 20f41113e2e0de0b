"""What a search costs: hypervolume of the front against CPU seconds, ours beside full training of every candidate.

    .venv/bin/python benchmarks/bench_cost.py                        # minutes, trainings are looked up
    .venv/bin/python benchmarks/bench_cost.py --train --space cnn-small --out build/cost --picture build/cost.svg

Trainings and their CPU seconds are looked up in ``tables/digits.csv`` (see ``table_train.py``), which has every network
of a small space; with ``--train`` every search trains in a real space, in this process and with one thread. CPU
seconds are those of training plus those of proposing, measured in the run. With ``--epochs`` a training costs its
epochs and nothing else does, as where networks and data are large.

``full``: every proposal is trained in full (40 epochs), nothing else. ``ladder``: the loop of ``flow search``, a short
training (10 epochs) first and a full one only for what can still be on the front. All of them propose what keeps the
limits only, so random search is stronger here than one that trains whatever it draws. The hypervolume is of (validation
accuracy above ``--floor``, log10 of predicted LUT below the budget) over fully trained candidates. The second table has
the median cost until a hypervolume is reached, and how many times less that is than random search and NSGA-II take with
full trainings; 100% is what random search reaches in the mean with the whole budget.

``--out FOLDER`` keeps each search's curve there and goes on with what is there: several processes can share the work.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # the seconds of other threads would not be counted

import argparse
import gc
import math
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flow.fileio import read_json, write_atomic, write_json
from flow.report.chart import Chart, Series, Spread, chart_svg
from flow.search.check import checker_for
from flow.search.loop import Search
from flow.search.pareto import hypervolume
from flow.search.propose import Proposal, Proposer
from flow.search.settings import Problem, SearchSettings, resolve
from flow.search.store import RunDirectory
from flow.space.candidate import Candidate
from flow.space.space import all_codes

METHODS = {
    "random, full": ("random", False),
    "nsga2, full": ("nsga2", False),
    "tpe, full": ("tpe", False),
    "ehvi, full": ("ehvi", False),
    "random, ladder": ("random", True),
    "nsga2, ladder": ("nsga2", True),
    "tpe, ladder": ("tpe", True),
    "ehvi, ladder": ("ehvi", True),
}
"""Sampler, and whether the ladder is climbed."""
BASE = "random, full"
BASES = (BASE, "nsga2, full")
SHARED = "shared weights"
"""Not run here: ``bench_supernet.py`` leaves its curves in the folder ``--out``."""
TABLE = Path(__file__).with_name("tables") / "digits.csv"
AT = (0.05, 0.1, 0.25, 1.0)
"""Shares of the budget at which the hypervolume is printed."""
LEVELS = (0.95, 0.98, 0.99, 1.0)
"""Shares of the front of random search that the second table has the cost of."""

Source = Callable[[Candidate, str], tuple[float, float]]
"""(validation accuracy, CPU seconds) of a rung of a candidate."""


class Spent(Exception):
    """The budget is used up."""


@dataclass
class Meter:
    """CPU seconds of a search, and what it found when: (seconds, digest, accuracy) of full trainings.

    ``proposing``: whether that costs, too.
    """

    source: Source
    budget: float
    proposing: bool = True
    training: float = 0.0
    inside: float = 0.0
    started: float = field(default_factory=time.thread_time)
    found: list[tuple[float, str, float]] = field(default_factory=list)

    def train(self, candidate: Candidate, rung: str) -> float:
        """The accuracy. Raises Spent."""
        before = time.thread_time()
        accuracy, seconds = self.source(candidate, rung)
        self.inside += time.thread_time() - before
        self.training += seconds
        spent = self.training + (time.thread_time() - self.started - self.inside if self.proposing else 0.0)
        if spent > self.budget:
            raise Spent
        if rung == "full":
            self.found.append((spent, candidate.digest, accuracy))
        return accuracy


@dataclass(frozen=True)
class MeteredEvaluator:
    """See ``flow.search.loop.Evaluator``."""

    meter: Meter

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """Trained when it is waited for."""
        return lambda: {"ok": True, "val_accuracy": self.meter.train(candidate, rung)}


class Quiet:
    """No display."""

    def rejected(self, counts: dict[str, int]) -> None:
        """Nothing is shown."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """Nothing is shown."""

    def failed(self, number: int, reason: str) -> None:
        """A failure is worth a line."""
        print(f"candidate {number} failed: {reason}", flush=True)

    def unfit(self, number: int, reason: str) -> None:
        """No tool reports anything here."""

    def stage(self, text: str) -> None:
        """Nothing is shown."""


def climb(problem: Problem, meter: Meter) -> dict[str, float]:
    """``flow search``'s own loop until the budget is spent; costs by digest."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder), "run", overwrite=False)
        search = Search(problem, run, MeteredEvaluator(meter), Quiet())
        try:
            search.go()
        except Spent:
            pass
        finally:
            run.close()
        return {entry.candidate.digest: entry.cost for entry in search.entries}


def train_all(problem: Problem, meter: Meter) -> dict[str, float]:
    """Every proposal in full, with as many in flight as in a search; costs by digest."""
    proposer = Proposer(checker_for(problem), problem.settings.sampler, problem.settings.seed)
    flying: deque[Proposal] = deque()
    costs: dict[str, float] = {}
    try:
        while True:
            while len(flying) < problem.settings.window and (new := proposer.propose()) is not None:
                flying.append(new)
            if not flying:
                return costs
            proposal = flying.popleft()
            candidate = problem.space.candidate(proposal.code, problem.task)
            costs[candidate.digest] = proposal.cost
            proposer.tell(proposal, meter.train(candidate, "full"), proposal.cost)
    except Spent:
        return costs


def curve(settings: SearchSettings, ladder: bool, meter: Meter, floor: float) -> list[list[float]]:
    """(CPU seconds, hypervolume) after each full training."""
    problem = resolve(settings)
    costs = (climb if ladder else train_all)(problem, meter)
    ceiling = math.log10(problem.spec.budget.lut or 1e9)
    points: list[tuple[float, float]] = []
    result = []
    for seconds, digest, accuracy in meter.found:
        points.append((accuracy, math.log10(costs[digest])))
        result.append([round(seconds, 2), round(hypervolume(points, (floor, ceiling)), 6)])
    return result


def looked_up(path: Path, settings: SearchSettings, epochs: bool) -> Source:
    """A table of ``table_train.py`` as the source; ``epochs``: what counts instead of CPU seconds."""
    problem = resolve(settings)
    rows: dict[str, tuple[float, ...]] = {}
    codes = {".".join(map(str, c.tolist())): c for c in np.concatenate(list(all_codes(problem.space)))}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        name, *values = line.split(",")
        rows[problem.space.candidate(codes[name], problem.task).digest] = tuple(map(float, values))

    def source(candidate: Candidate, rung: str) -> tuple[float, float]:
        short, full, short_s, full_s = rows[candidate.digest]
        if epochs:
            short_s, full_s = settings.epochs_short, settings.epochs_full
        return (short, short_s) if rung == "short" else (full, full_s)

    return source


def trained(settings: SearchSettings) -> Source:
    """Real trainings, each with its own seed whichever search asks; what was trained before is not trained again."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["OMP_NUM_THREADS"] = "1"
    from flow.network.datasets import load_dataset
    from flow.network.training import configure

    configure(1)
    import keras

    from flow.network.training import train
    from flow.search.worker import candidate_seed

    data = load_dataset(settings.dataset)
    epochs = {"short": settings.epochs_short, "full": settings.epochs_full}
    known: dict[tuple[str, str], tuple[float, float]] = {}

    def source(candidate: Candidate, rung: str) -> tuple[float, float]:
        key = candidate.digest, rung
        if key not in known:
            started = time.process_time()
            result = train(candidate, data, epochs=epochs[rung], seed=candidate_seed(0, candidate.digest))
            keras.backend.clear_session()
            gc.collect()
            known[key] = result.val_accuracy, time.process_time() - started
        return known[key]

    return source


def at(points: list[list[float]], seconds: float) -> float:
    """The hypervolume after so many CPU seconds."""
    return max((area for when, area in points if when <= seconds), default=0.0)


def until(points: list[list[float]], area: float) -> float | None:
    """CPU seconds until a hypervolume is reached, None if it is not."""
    return next((when for when, found in points if found >= area), None)


def print_table(curves: dict[str, list[list[list[float]]]], budget: float, unit: str) -> None:
    """Markdown: hypervolume at shares of the budget, and the cost of shares of the front of random search."""
    target = statistics.mean(at(points, budget) for points in curves[BASE])
    print(f"| hypervolume after | {' | '.join(f'{share * budget:,.0f} {unit}' for share in AT)} |")
    print("|---" * (len(AT) + 1) + "|")
    for name, runs in curves.items():
        cells = []
        for share in AT:
            values = [at(points, share * budget) for points in runs]
            cells.append(f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}")
        print(f"| {name} | {' | '.join(cells)} |")

    def typical(name: str, level: float) -> float:
        return statistics.median(until(points, level * target) or math.inf for points in curves[name])

    print(f"\n| {unit} to | {' | '.join(f'{level:.0%}' for level in LEVELS)} |")
    print("|---" * (len(LEVELS) + 1) + "|")
    bases = [name for name in BASES if name in curves]
    for name in curves:
        cells = []
        for level in LEVELS:
            cost = typical(name, level)
            ratios = " and ".join(f"{typical(base, level) / cost:.1f}" for base in bases)
            cells.append(f"{cost:,.0f} ({ratios})" if cost < math.inf else "not reached")
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"\nmedians; in brackets how many times less than {' and '.join(bases)}; 100% is a hypervolume of {target:.4f}"
    )


def picture(curves: dict[str, list[list[list[float]]]], budget: float, title: str, axis: str) -> str:
    """The curves as SVG, mean and one standard deviation."""
    grid = tuple(float(f"{s:.4g}") for s in np.geomspace(budget / 50, budget, 60))
    best = max(at(points, budget) for runs in curves.values() for points in runs)
    series = tuple(
        Series(name, tuple(Spread.of([at(p, s) for p in runs]) for s in grid)) for name, runs in curves.items()
    )
    runs = len(next(iter(curves.values())))
    return chart_svg(
        Chart(title, axis, "hypervolume", grid, series, x_log=True, y_range=(0.6 * best, 1.02 * best),
              notes=(f"{runs} seeds: mean and one standard deviation",))
    )  # fmt: skip


def main() -> None:
    """Run what is missing, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="where trainings are looked up")
    parser.add_argument("--train", action="store_true", help="train")
    parser.add_argument("--board", default="pynq-z2")
    parser.add_argument("--space", help="with --train (default: that of the digits)")
    parser.add_argument("--lut", type=float)
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds (or epochs) of a search")
    parser.add_argument("--epochs", action="store_true", help="count epochs, of a table, instead of CPU seconds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3], metavar="N", help="how many; or first and last")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=[*METHODS, SHARED])
    parser.add_argument("--floor", type=float, default=0.5, help="accuracies above this count")
    parser.add_argument("--out", type=Path, help="keep curves in this folder")
    parser.add_argument("--picture", type=Path, help="write the curves as SVG")
    args = parser.parse_args()
    first, last = (0, args.seeds[0] - 1) if len(args.seeds) == 1 else args.seeds[:2]
    space = args.space if args.train else str(args.table.with_suffix(".yaml"))
    base = SearchSettings(args.board, "digits", space, lut=args.lut, trials=100_000, time_s=1e9, estimator_only=True)
    source: Source | None = None
    curves: dict[str, list[list[list[float]]]] = {}
    for seed in range(first, last + 1):
        for name in args.methods:
            kept = args.out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}.json" if args.out else None
            if kept is not None and kept.is_file():
                points = read_json(kept, "curve")["curve"]
            else:
                if name == SHARED:
                    raise SystemExit(
                        f"{SHARED}: run bench_supernet.py with --out first, its curve of seed {seed} is missing"
                    )
                sampler, ladder = METHODS[name]
                if source is None:
                    source = trained(base) if args.train else looked_up(args.table, base, args.epochs)
                settings = SearchSettings(**{**base.__dict__, "sampler": sampler, "seed": seed})
                points = curve(settings, ladder, Meter(source, args.seconds, not args.epochs), args.floor)
                if kept is not None:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write_json(kept, {"curve": points})
                print(
                    f"{name}, seed {seed}: {len(points)} full trainings, {points[-1] if points else 'none'}", flush=True
                )
            curves.setdefault(name, []).append(points)
    print()
    if BASE in curves:
        print_table(curves, args.seconds, "epochs" if args.epochs else "s")
    if args.picture:
        budget = resolve(base).spec.budget.lut
        title = f"digits on {args.board}, at most {budget:,.0f} LUTs: the front against its cost"
        axis = "epochs of training" if args.epochs else "CPU seconds, training and proposing"
        write_atomic(args.picture, picture(curves, args.seconds, title, axis).encode())


if __name__ == "__main__":
    main()
