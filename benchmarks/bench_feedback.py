"""What feedback is worth when a tool reports 40% more or less than is predicted: searches with it and without.

    .venv/bin/python benchmarks/bench_feedback.py --out build/feedback

The tool is the fake vitis_hls of the tests. It says of each design what the uncorrected predictor does, times a factor,
times up to 10% of the design's own; nothing here was synthesized. Every search is the product's own loop with real
training on the digits. ``--out`` keeps trainings and results: a run that was stopped goes on.

A search without feedback has its winners synthesized when it is over. A winner fits if the reported numbers keep the
limits; a user who has to build one takes the most accurate that does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
FAKE = REPOSITORY / "tests" / "fake_tools"
OWN = 0.1
"""Largest share by which a design deviates from the common factor."""


def as_tool(arguments: list[str]) -> None:
    """Be vitis_hls in a project's folder: leave the numbers of its prediction for the fake tool, then run that."""
    if Path("project.json").is_file():
        numbers = json.dumps(prediction(Path.cwd()))
        Path("fake_numbers.json").write_text(numbers, encoding="utf-8")
    program = str(FAKE / "vitis_hls")
    os.execv(program, [program, *arguments])  # noqa: S606 - without a shell on purpose


def prediction(project: Path) -> dict[str, Any]:
    """What the predictor says of the candidate and the implementation of a project, with the design's own deviation."""
    import random

    from flow.board import load_board
    from flow.estimate.predict import predict
    from flow.fileio import read_json
    from flow.implement.implementation import Implementation, LayerImplementation
    from flow.network.network import build_network
    from flow.space.candidate import Candidate

    made = read_json(project / "project.json", "project")
    candidate = Candidate.from_dict(read_json(project.parent.parent / "candidate.json", "candidate"))
    layers = tuple(
        LayerImplementation(layer["name"], layer["reuse_factor"], layer["strategy"])
        for layer in made["layers"]
        if "reuse_factor" in layer
    )
    implementation = Implementation(made["io_type"], made["clock_mhz"], layers)
    board = load_board("pynq-z2")
    found = predict(build_network(candidate), implementation, board.part, board.family).total
    own = random.Random(candidate.digest).uniform(1 - OWN, 1 + OWN)
    amounts = {name: round((value or 0) * own) for name, value in found.resources}
    return {**amounts, "latency_cycles": found.latency_cycles, "interval_cycles": found.interval_cycles}


class Cached:
    """A TrainingEvaluator that keeps what it was asked, so that a candidate two searches try is trained once.

    Models are kept too: what is synthesized of a search is its own copy.
    """

    def __init__(self, inner: Any, folder: Path) -> None:
        self.inner, self.folder = inner, folder
        self.path = folder / "trainings.json"
        self.results: dict[str, dict[str, Any]] = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.run: Path | None = None

    def submit(self, candidate: Any, rung: str) -> Callable[[], dict[str, Any]]:
        """See flow.search.loop.Evaluator."""
        from flow.fileio import write_json

        key = f"{candidate.digest} {rung}"
        if key in self.results:
            return lambda: dict(self.results[key])
        wait = self.inner.submit(candidate, rung)

        def finish() -> dict[str, Any]:
            result: dict[str, Any] = wait()
            if result["ok"]:
                self.results[key] = dict(result)
                write_json(self.path, self.results)
            return result

        return finish

    def write_project(self, entry: Any, target: Mapping[str, Any]) -> Callable[[], Path]:
        """See flow.search.evaluate.TrainingEvaluator."""
        from flow.fileio import write_json

        write_json(self.folder / "candidates" / entry.candidate.digest / "candidate.json", entry.candidate.to_dict())
        result: Callable[[], Path] = self.inner.write_project(entry, target)
        return result


class Quiet:
    """A display that shows failures only."""

    def rejected(self, counts: dict[str, int]) -> None:
        """See flow.search.loop.Display."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """See flow.search.loop.Display."""

    def failed(self, number: int, reason: str) -> None:
        """See flow.search.loop.Display."""
        print(f"    candidate {number}: {reason}", flush=True)

    def unfit(self, number: int, reason: str) -> None:
        """See flow.search.loop.Display."""
        print(f"    candidate {number} {reason}", flush=True)

    def stage(self, text: str) -> None:
        """See flow.search.loop.Display."""


def search(args: argparse.Namespace, factor: float, seed: int, feedback: bool, tool: Path) -> dict[str, Any]:
    """One search, and what the tool reports of its winners."""
    from flow.hls.tools import Tool
    from flow.network.datasets import load_dataset
    from flow.search.evaluate import TrainingEvaluator
    from flow.search.loop import Search
    from flow.search.settings import SearchSettings, resolve
    from flow.search.store import RunDirectory
    from flow.search.synthesis import HlsSynthesizer

    os.environ["FAKE_TOOL_FACTOR"] = str(factor)
    settings = SearchSettings(
        "pynq-z2", "digits", args.space, lut=args.lut, bound=args.bound, seed=seed, trials=args.trials, time_s=1e6,
        epochs_short=args.epochs[0], epochs_full=args.epochs[1], jobs=args.jobs,
    )  # fmt: skip
    problem = resolve(settings)
    y = load_dataset("digits").y_val
    guess = float((y[:, None] == range(10)).sum(axis=0).max() / len(y))
    shared = args.out / f"shared-{seed}"
    for notes in shared.glob("candidates/*/hls/*/synth.json"):
        notes.unlink()  # reports of another factor
    name = f"{factor:g}-{seed}-{'with' if feedback else 'without'}"
    run = RunDirectory.create(args.out / "runs", name, overwrite=True)
    inner = TrainingEvaluator(
        shared, "digits", epochs_short=settings.epochs_short, epochs_full=settings.epochs_full, seed=seed,
        jobs=problem.jobs,
    )  # fmt: skip
    evaluator = Cached(inner, shared)
    version = Tool("vitis_hls", tool, "2022.2")
    try:
        run.write_settings({"schema": 1})
        with HlsSynthesizer(problem, version, evaluator.write_project) as synthesizer, inner:
            loop = Search(problem, run, evaluator, Quiet(), floor=guess, synthesizer=synthesizer if feedback else None)
            outcome = loop.go()
            loop.test(outcome.front)
            winners = []
            for entry in outcome.front:
                reported = entry.measurement if feedback else synthesizer.submit(entry)()[0]
                assert reported.source == "hls", "a winner was not synthesized"
                misses = loop.feedback.limits.misses(reported)
                winners.append(
                    {"validation": entry.accuracy, "test": entry.test, "predicted": entry.prediction.resources.lut,
                     "reported": reported.resources.lut, "misses": misses}
                )  # fmt: skip
    finally:
        run.close()
    return {
        "factor": factor,
        "seed": seed,
        "feedback": feedback,
        "winners": winners,
        "synthesized": loop.feedback.done if feedback else len(winners),
        "rejected": sum(e.unfit is not None for e in outcome.entries),
        "learned": loop.feedback.correction.factors()["lut"],
        "candidates": len(outcome.entries),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table, one row a factor and way, seeds together."""
    head = ["reported / predicted", "feedback", "winners that fit", "best that fits: validation, by seed",
            "its test accuracy", "syntheses", "rejected", "factor learned"]  # fmt: skip
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for factor in sorted({r["factor"] for r in results}, reverse=True):
        for feedback in (False, True):
            of = [r for r in results if (r["factor"], r["feedback"]) == (factor, feedback)]
            if not of:
                continue
            fits = [[w for w in r["winners"] if not w["misses"]] for r in of]
            best = [max(f, key=lambda w: w["validation"], default=None) for f in fits]
            learned = ", ".join(f"{r['learned']:.2f}" for r in of) if feedback else ""
            rows.append(
                f"| {factor:g} | {'with' if feedback else 'without'} | {sum(map(len, fits))} of "
                f"{sum(len(r['winners']) for r in of)} | {_each(best, 'validation')} | {_each(best, 'test')} | "
                f"{', '.join(str(r['synthesized']) for r in of)} | {', '.join(str(r['rejected']) for r in of)} | "
                f"{learned} |"
            )
    return "\n".join(rows)


def _each(best: list[dict[str, Any] | None], name: str) -> str:
    return ", ".join("none" if b is None else f"{b[name]:.4f}" for b in best)


def main() -> None:
    """Run what is missing, and print the table."""
    if sys.argv[1:2] == ["--as-tool"]:
        as_tool(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/feedback"))
    parser.add_argument("--space", default="mlp-tiny")
    parser.add_argument("--lut", type=float, default=6000.0)
    parser.add_argument("--bound", default="middle")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, nargs=2, default=(5, 20), metavar=("SHORT", "FULL"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--factors", type=float, nargs="+", default=[1.4, 0.6])
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    args.out = args.out.absolute()
    args.out.mkdir(parents=True, exist_ok=True)
    tool = args.out / "vitis_hls"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" --as-tool "$@"\n')
    tool.chmod(0o755)
    from flow.fileio import write_json

    asked = {n: getattr(args, n) for n in ("space", "lut", "bound", "trials", "epochs")}
    results = []
    for seed in args.seeds:
        for factor in args.factors:
            for feedback in (False, True):
                path = args.out / f"{factor:g}-{seed}-{feedback}.json"
                found = json.loads(path.read_text()) if path.is_file() else {}
                if found.get("asked") != json.loads(json.dumps(asked)):
                    print(f"factor {factor:g}, seed {seed}, {'with' if feedback else 'without'} feedback", flush=True)
                    found = {"asked": asked, **search(args, factor, seed, feedback, tool)}
                    write_json(path, found)
                results.append(found)
    print(table(results))


if __name__ == "__main__":
    main()
