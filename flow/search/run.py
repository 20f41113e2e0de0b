"""One search from the user's settings to winners on disk: ``flow search`` calls :func:`run_search`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from flow.errors import FlowError, InputError, MissingDependency, ToolError
from flow.search.settings import Problem, SearchSettings, as_yaml, check_run_name, from_yaml, resolve
from flow.search.store import RunDirectory
from flow.search.synthesis import find_tool
from flow.search.winners import winners_dict
from flow.versions import versions

if TYPE_CHECKING:
    from flow.hls.tools import Tool
    from flow.search.loop import Outcome, Search

NEEDED = {"optuna": "optuna", "keras": "keras", "qkeras": "qkeras-v3"}
"""Modules a search imports, by the distribution that brings them."""

RESUMABLE = ("trials", "time_s", "jobs", "tool", "synth_jobs", "synth_memory", "synth_timeout")
"""Settings a resumed run may be given anew: they only say how far to go, and what may be taken meanwhile."""


def run_search(
    asked: Mapping[str, Any],
    root: Path,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    as_json: bool = False,
) -> int:
    """Run a search and print its winners to standard output; progress goes to standard error.

    ``asked``: fields of SearchSettings the user gave; ``root``: folder of the runs; ``name``: of the run, the date and
    time if None (with ``resume``: the latest). Returns the exit code: 0, or 1 if nothing feasible was found. Raises
    InputError and ToolError; an interrupt passes through when all that was finished is on disk.
    """
    for module, distribution in NEEDED.items():
        if find_spec(module) is None:
            raise MissingDependency(distribution, "search")
    if resume and overwrite:
        raise InputError("--resume goes on with a run, --overwrite empties it: choose one")
    with _terminated_like_interrupted(), contextlib.ExitStack() as held:
        if resume:
            run, settings = _reopen(asked, root, name)
            held.callback(run.close)
        else:
            settings = _new_settings(asked)
        problem = resolve(settings)
        tool = find_tool(problem, run.settings().get("synthesis") if resume else None, resume)
        fingerprint, guess = _look_at(settings.dataset)
        if not resume:
            run = RunDirectory.create(root, _run_name(name, root), overwrite)
            held.callback(run.close)
        return _search(problem, run, tool, fingerprint, guess, resume, as_json)


def _new_settings(asked: Mapping[str, Any]) -> SearchSettings:
    if "board" not in asked:
        from flow.board import list_boards

        raise InputError(f"which board? give --board (with make: BOARD=), known: {', '.join(list_boards())}")
    return SearchSettings(**asked)


def _run_name(name: str | None, root: Path) -> str:
    if name is not None:
        return check_run_name(name)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = [stamp, *(f"{stamp}-{i}" for i in range(2, 100))]
    return next(n for n in names if not (root / n).exists())


def _reopen(asked: Mapping[str, Any], root: Path, name: str | None) -> tuple[RunDirectory, SearchSettings]:
    """An existing run and its settings, with those of RESUMABLE replaced. Raises InputError for any other change."""
    if name is None:
        latest = root / "latest"
        if not latest.exists():
            raise InputError(f"no run in {root} to resume: name one with --name, or start a new one")
        name = latest.resolve().name
    run = RunDirectory.resume(root, name)
    try:
        settings = from_yaml(run.settings(), str(run.path / "run.yaml"))
        for field, value in asked.items():
            before = getattr(settings, field)
            if field not in RESUMABLE and value != before:
                raise InputError(
                    f"run {name!r} was started with {field} {before}, not {value}: leave it out, or start a new run"
                )
        return run, replace(settings, **{n: v for n, v in asked.items() if n in RESUMABLE})
    except BaseException:
        run.close()
        raise


def _look_at(dataset: str) -> tuple[str, float]:
    """The data set's fingerprint, and the accuracy of always guessing the most frequent class (validation split).

    Loading it here tells its errors before a worker or a run directory exists.
    """
    import numpy as np

    from flow.network.datasets import load_dataset

    data = load_dataset(dataset)
    return data.fingerprint, float(np.bincount(data.y_val).max() / len(data.y_val))


def _search(
    problem: Problem, run: RunDirectory, tool: Tool | None, fingerprint: str, guess: float, resumed: bool, as_json: bool
) -> int:
    if resumed:
        _check_unchanged(run, fingerprint)
    run.write_settings(as_yaml(problem, run.path.name, versions(), fingerprint, None if tool is None else str(tool)))
    run.log("resume" if resumed else "start", pid=os.getpid())
    run.point_latest()
    diagnosis = _nothing_feasible(problem)
    if diagnosis is not None:
        return _end_without(problem, run, diagnosis, as_json)
    from flow.report.progress import Summary, make_progress
    from flow.search.ending import no_winners, warnings
    from flow.search.evaluate import TrainingEvaluator
    from flow.search.loop import Search
    from flow.search.synthesis import HlsSynthesizer

    s = problem.settings
    display = make_progress(sys.stderr)
    search = None
    try:
        display.start(
            Summary(
                _title(problem, tool),
                s.trials,
                s.time_s,
                problem.jobs,
                _limits(problem),
                elapsed_before_s=run.before_s,
            )
        )
        display.stage(f"starting {problem.jobs} worker{'s' if problem.jobs > 1 else ''} (framework import, about 20 s)")
        with contextlib.ExitStack() as held:
            # Entered last, the evaluator ends first: no synthesis is left waiting for a project to be written.
            evaluator: TrainingEvaluator
            synthesizer = None
            if tool is not None:
                synthesizer = HlsSynthesizer(problem, tool, lambda entry, to: evaluator.write_project(entry, to))
                held.enter_context(synthesizer)
            evaluator = held.enter_context(
                TrainingEvaluator(
                    run.path, s.dataset, epochs_short=s.epochs_short, epochs_full=s.epochs_full, seed=s.seed,
                    class_weights=s.class_weights, jobs=problem.jobs,
                )
            )  # fmt: skip
            search = Search(problem, run, evaluator, display, floor=guess, synthesizer=synthesizer)
            outcome = search.go()
            display.stage("measuring the winners on the test split")
            problems = search.test(outcome.front)
    except (KeyboardInterrupt, FlowError) as error:
        display.stop()
        _keep_what_is_done(problem, run, search, "interrupted" if isinstance(error, KeyboardInterrupt) else "error")
        print(
            f"flow: nothing finished is lost; go on with: flow search --resume --name {run.path.name}"
            + ("" if run.path.parent == Path("runs") else f" --runs {run.path.parent}"),
            file=sys.stderr,
        )
        raise
    finally:
        display.stop()  # whatever ended the search, the terminal gets its cursor back
    for line in problems:
        print(f"flow: warning: test accuracy unknown: {line}", file=sys.stderr)
    why = None
    if not outcome.front:
        why = no_winners(outcome, search.feedback, guess)
        print(f"flow: no winners: {why}", file=sys.stderr)
    for line in warnings(outcome, search.feedback):
        print(f"flow: warning: {line}", file=sys.stderr)
    code = _end(problem, run, outcome, why, as_json)
    if search.feedback.gave_up is not None:
        raise ToolError(f"no synthesis succeeded, the winners are as predicted: {search.feedback.gave_up}")
    return code


def _check_unchanged(run: RunDirectory, fingerprint: str) -> None:
    """The data must be the same as before; other versions may give other decisions, which is said."""
    before = run.settings()
    if before.get("dataset", {}).get("fingerprint") != fingerprint:
        raise InputError(f"the data set of run {run.path.name!r} has changed since it was started: start a new run")
    old, new = before.get("versions", {}), versions()
    changed = [
        f"{n} {old.get(n, 'none')} -> {new.get(n, 'none')}" for n in sorted({*old, *new}) if old.get(n) != new.get(n)
    ]
    if changed:
        print(f"flow: warning: versions changed since the run was started, results may differ: {', '.join(changed)}",
              file=sys.stderr)  # fmt: skip


def _nothing_feasible(problem: Problem) -> str | None:
    """Why no candidate of the space can meet the spec, or None if one was found. Trains nothing."""
    from flow.implement.diagnose import diagnose
    from flow.search.check import checker_for
    from flow.search.propose import Proposer

    seed = problem.settings.seed
    if Proposer(checker_for(problem), "random", seed).propose() is not None:
        return None
    return diagnose(problem.space, problem.task, problem.spec, problem.board.family, seed).sentence


def _end_without(problem: Problem, run: RunDirectory, diagnosis: str, as_json: bool) -> int:
    """Record and print that nothing is feasible: exit code 1."""
    data = winners_dict(problem, [], True, "nothing feasible", diagnosis)
    run.write_winners(data)
    run.log("end", elapsed_s=run.elapsed_s, training_s=0.0, reason="nothing feasible")
    if as_json:
        _print_json(data, run)
    print(f"flow: nothing feasible: {diagnosis}", file=sys.stderr)
    return 1


def _end(problem: Problem, run: RunDirectory, outcome: Outcome, diagnosis: str | None, as_json: bool) -> int:
    """Write winners and report, print the table (or JSON)."""
    from flow.report.html import write_report
    from flow.report.run_view import load_run
    from flow.report.show import show_text

    training = sum(float(r.get("seconds") or 0.0) for e in outcome.entries for r in e.rungs.values())
    data = winners_dict(problem, outcome.front, True, outcome.reason, diagnosis)
    run.write_winners(data)
    run.log(
        "end", elapsed_s=round(run.elapsed_s, 3), training_s=round(training, 3), loop_s=round(outcome.loop_s, 3),
        loop_cpu_s=round(outcome.loop_cpu_s, 3),
        reason=outcome.reason,
    )  # fmt: skip
    view = load_run(run.path)
    write_report(view, run.path / "report.html")
    if as_json:
        _print_json(data, run)
    else:
        print(show_text(view))
        print(f"\nreport: {run.path / 'report.html'}\nmodels: {run.path / 'candidates'}/DIGEST/model.keras")
    return 0 if outcome.front else 1


def _print_json(winners: Mapping[str, Any], run: RunDirectory) -> None:
    """What ``--json`` prints: the content of ``winners.json``, and where the run is."""
    print(json.dumps({**winners, "run": str(run.path)}, indent=1, allow_nan=False))


def _keep_what_is_done(problem: Problem, run: RunDirectory, search: Search | None, reason: str) -> None:
    """Write the winners so far; a run directory that can't be written any more is left as it is."""
    with contextlib.suppress(ToolError):
        front = search.front() if search is not None else []
        run.write_winners(winners_dict(problem, front, False, reason))
        run.log(reason)


def _title(problem: Problem, tool: Tool | None) -> str:
    s = problem.settings
    place = f"{problem.data.name} on {problem.board.name}"
    synthesis = "" if tool is None else f", synthesis with {tool}"
    return f"{place}, space {problem.space.name}, sampler {s.sampler}, seed {s.seed}{synthesis}"


def _limits(problem: Problem) -> str:
    from flow.report.show import limits_text

    return limits_text(problem.spec.budget, problem.spec.to_dict())


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP (a closed terminal, a cancelled job) end a search as Ctrl-C does: in order."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # only the main thread may set handlers
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
