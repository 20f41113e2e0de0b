"""Samplers side by side on the digits: hypervolume of the front at equal trials, random beside the others.

    .venv/bin/python benchmarks/bench_samplers.py --trials 40 --seeds 0 1 2 --cache build/samplers.json

Every search is the product's own loop with real training. The training of a candidate has one seed for all searches,
so that a candidate two searches propose is trained once (``--cache`` keeps it). The hypervolume is of
(validation accuracy above 0.5, log10 of predicted LUT below the board's budget) over all fully trained candidates.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flow.fileio import write_json
from flow.search.evaluate import TrainingEvaluator
from flow.search.loop import Search
from flow.search.pareto import hypervolume
from flow.search.settings import SAMPLERS, SearchSettings, resolve
from flow.search.store import RunDirectory
from flow.space.candidate import Candidate
from flow.versions import versions

FLOOR = 0.5


class Cached:
    """An evaluator that asks another one only for what it has not seen."""

    def __init__(self, inner: TrainingEvaluator, path: Path) -> None:
        self.inner, self.path = inner, path
        self.results: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """See flow.search.loop.Evaluator."""
        key = f"{candidate.digest} {rung}"
        if key in self.results:
            return lambda: dict(self.results[key])
        wait = self.inner.submit(candidate, rung)

        def finish() -> dict[str, Any]:
            result = wait()
            self.results[key] = dict(result)
            write_json(self.path, self.results)
            return result

        return finish


class Quiet:
    """No display."""

    def rejected(self, counts: dict[str, int]) -> None:
        """Nothing is shown."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """Nothing is shown."""

    def failed(self, number: int, reason: str) -> None:
        """A failure is worth a line."""
        print(f"candidate {number} failed: {reason}", flush=True)

    def stage(self, text: str) -> None:
        """Nothing is shown."""


def main() -> None:
    """Run all searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="pynq-z2")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--space", default=None)
    parser.add_argument("--lut", type=float, default=None)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("build/samplers.json"))
    args = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = SearchSettings(args.board, args.dataset, args.space, lut=args.lut, trials=args.trials, time_s=1e9)
        inner = TrainingEvaluator(
            Path(folder), args.dataset, epochs_short=base.epochs_short, epochs_full=base.epochs_full, seed=0,
            class_weights=False, jobs=args.jobs,
        )  # fmt: skip
        with inner:
            evaluator = Cached(inner, args.cache)
            for seed in args.seeds:
                for sampler in args.samplers:
                    row = one(args, sampler, seed, evaluator, Path(folder))
                    rows.setdefault(sampler, []).append(row)
                    print(f"{sampler:8} seed {seed}: {row}", flush=True)
    print_table(args, rows)


def one(args: argparse.Namespace, sampler: str, seed: int, evaluator: Cached, folder: Path) -> dict[str, float]:
    """One search: its hypervolume, best accuracy, and best accuracy under 5,000 LUT."""
    settings = SearchSettings(
        args.board, args.dataset, args.space, lut=args.lut, trials=args.trials, time_s=1e9, seed=seed, sampler=sampler
    )
    problem = resolve(settings)
    run = RunDirectory.create(folder, f"{sampler}-{seed}", overwrite=False)
    try:
        outcome = Search(problem, run, evaluator, Quiet()).go()
    finally:
        run.close()
    full = [(float(e.rungs["full"]["val_accuracy"]), e.cost) for e in outcome.entries if "full" in e.rungs]
    budget = math.log10(problem.spec.budget.lut or 1.0)
    return {
        "hypervolume": round(hypervolume([(a, math.log10(c)) for a, c in full], (FLOOR, budget)), 4),
        "best": max(a for a, _ in full),
        "best_under_5000": max((a for a, c in full if c <= 5000), default=0.0),
        "front": len(outcome.front),
        "full": len(full),
    }


def print_table(args: argparse.Namespace, rows: dict[str, list[dict[str, float]]]) -> None:
    """A Markdown table of means and ranges."""
    used = {n: v for n, v in versions().items() if n not in ("hls4ml", "da4ml", "numpy")}
    print(
        f"\n{args.dataset} on {args.board}, {args.trials} trials, seeds {args.seeds}, validation split, LUT predicted"
    )
    print(", ".join(f"{n} {v}" for n, v in used.items()) + "\n")
    print("| sampler | hypervolume, mean (min to max) | ratio to random | best accuracy | best under 5,000 LUT |")
    print("|---|---|---|---|---|")
    base = statistics.mean(r["hypervolume"] for r in rows["random"]) if "random" in rows else math.nan
    for sampler, found in rows.items():
        h = [r["hypervolume"] for r in found]
        cells = [f"{statistics.mean(h):.4f} ({min(h):.4f} to {max(h):.4f})", f"{statistics.mean(h) / base:.4f}"]
        for name in ("best", "best_under_5000"):
            values = [r[name] for r in found]
            cells.append(f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
        print(f"| {sampler} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
