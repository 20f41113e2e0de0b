"""TrainingEvaluator: trains and tests candidates in worker processes, for the search loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import flow
from flow.errors import InputError, ToolError
from flow.network.datasets import load_dataset
from flow.search.entry import Entry
from flow.search.pool import PoolSettings, WorkerPool
from flow.space.candidate import Candidate

RUNGS = ("short", "full", "test")
LOG_FILE = "workers.log"
MOST_JOBS = 4
"""Workers are counted as if there could be so many when cores are shared out, whatever ``jobs`` is: the number of
threads decides the order of sums, and so the result of a seed, which must not depend on ``jobs``."""


class TrainingEvaluator:
    """An Evaluator (:mod:`flow.search.loop`) with ``jobs`` worker processes; use it as a context manager.

    Results of rungs "short" and "full": ``{"ok": True, "val_accuracy", "epochs", "loss", "seconds"}``; "full" also
    writes ``candidates/DIGEST/model.keras``, and trains anew: starting from the short training's weights would make it
    depend on a file, and gives less than the learning rate's one long descent. Rung "test" measures that file on the
    test split: ``{"ok": True, "test_accuracy", "seconds"}``. What went wrong is ``{"ok": False, "error"}``, one line.

    A candidate's seed depends on ``seed`` and its digest alone. Everything workers print is in ``workers.log``.
    Training is done on the CPU unless CUDA_VISIBLE_DEVICES is set, with the backend KERAS_BACKEND names.
    """

    def __init__(
        self,
        run_path: Path,
        dataset: str,
        *,
        epochs_short: int,
        epochs_full: int,
        seed: int,
        class_weights: bool = False,
        jobs: int = 1,
        timeout_s: float = 1800.0,
    ) -> None:
        """Start the workers and load the data meanwhile, to tell what is wrong with it before any training.

        ``timeout_s``: longest time for one rung of one candidate. Raises InputError or ToolError about the data set,
        ToolError if ``run_path`` is not writable.
        """
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, not {jobs}")
        setup = {
            "run_path": str(run_path.absolute()),
            "dataset": dataset,
            "epochs": {"short": epochs_short, "full": epochs_full},
            "seed": seed,
            "class_weights": class_weights,
            "threads": threads_per_worker(),
        }
        # -P: the folder a search is started in must not add modules; the variable: flow need not be installed.
        command = (sys.executable, "-P", "-m", "flow.search.worker")
        self._pool = WorkerPool(PoolSettings(command, setup, run_path / LOG_FILE, jobs, _environment(), timeout_s))
        try:
            load_dataset(dataset)
        except BaseException:
            self._pool.close()
            raise

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """Queue a rung ("short", "full" or "test"); the returned function waits for its result.

        Waiting raises ToolError if no worker can be started.
        """
        if rung not in RUNGS:
            raise InputError(f"unknown rung {rung!r}, known: {', '.join(RUNGS)}")
        return self._pool.submit({"candidate": candidate.to_dict(), "rung": rung})

    def write_project(self, entry: Entry, target: Mapping[str, Any]) -> Callable[[], Path]:
        """Queue the writing of a fully trained candidate's HLS project, built as its implementation says.

        The returned function waits for its folder, and raises ToolError if it could not be written.
        """
        job = {"candidate": entry.candidate.to_dict(), "rung": "project", "target": dict(target)}
        wait = self._pool.submit({**job, "implementation": entry.implementation.to_dict()})

        def folder() -> Path:
            result = wait()
            if not result["ok"]:
                raise ToolError(f"its HLS project can't be written: {result['error']}")
            return Path(result["folder"])

        return folder

    def close(self) -> None:
        """End the workers at once; what they were computing is lost, files stay whole."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def threads_per_worker() -> int:
    """Threads of a worker's framework: MOST_JOBS workers, or one a core if there are fewer, fill the machine."""
    cores = os.cpu_count() or 1
    return max(1, cores // min(cores, MOST_JOBS))


def _environment() -> dict[str, str]:
    """What workers get besides this process' environment."""
    package_root = str(Path(flow.__file__).resolve().parent.parent)
    threads = str(threads_per_worker())
    chosen = {
        "PYTHONPATH": os.pathsep.join(p for p in (package_root, os.environ.get("PYTHONPATH")) if p),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": threads,
        "MALLOC_ARENA_MAX": "2",  # glibc's arena a thread keeps what a network's tensors took
    }
    for name, value in (("CUDA_VISIBLE_DEVICES", "-1"), ("TF_CPP_MIN_LOG_LEVEL", "2")):
        chosen[name] = os.environ.get(name, value)
    return chosen
