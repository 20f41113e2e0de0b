"""The program a worker process runs: ``python -m flow.search.worker FD``; :mod:`flow.search.pool` starts it.

It pays the import of the framework and the loading of the data once, then trains one candidate after the other.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.errors import FlowError, MissingDependency

if TYPE_CHECKING:
    from flow.network.datasets import Dataset
    from flow.space.candidate import Candidate

Job = Mapping[str, Any]
Handler = Callable[[Job], dict[str, Any]]

MODEL_FILE = "model.keras"

NICENESS = 5
"""Trainings yield to the loop, which hands them their work, and to whoever else uses the machine."""


def serve(setup: Callable[[Job], Handler], answer_fd: int) -> None:
    """Answer jobs until standard input closes: the first line is for ``setup``, whose result handles the others.

    An error of ``setup`` is answered as ``{"fatal": ...}``, one of a job as ``{"ok": False, "error": ...}``, each in
    one line; tracebacks go to standard error. The process ends as soon as standard input closes, in the middle of a
    job too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(json.loads(line))
        os._exit(0)  # the parent is gone or wants no more; the main thread may be deep inside a framework

    threading.Thread(target=read, daemon=True).start()
    with os.fdopen(answer_fd, "wb", buffering=0) as pipe:

        def answer(message: dict[str, Any]) -> None:
            pipe.write(json.dumps({**message, "rss_bytes": resident_bytes()}).encode() + b"\n")

        try:
            handler = setup(lines.get())
        except Exception as error:
            answer({"fatal": one_line(error)})
            raise
        answer({"ready": True})
        while True:
            job = lines.get()
            try:
                result = handler(job)
            except Exception as error:  # noqa: BLE001 - whatever a candidate does wrong is its own failure
                traceback.print_exc()
                result = {"ok": False, "error": one_line(error)}
            answer(result)


def one_line(error: BaseException) -> str:
    """An error as one line: our own as they are, others with their class."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FlowError) else f"{type(error).__name__}: {text}"[:400]


def resident_bytes() -> int:
    """Memory this process holds; 0 where there is no /proc."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def training_setup(settings: Job) -> Handler:
    """Import the framework, load the data, and give the handler of jobs ``{"candidate", "rung"}``; those of the rung
    "project" have ``implementation`` and ``target`` too.

    ``settings``: run_path, dataset, epochs (by rung), seed, class_weights, threads. Raises FlowError.
    """
    from flow.network.datasets import load_dataset
    from flow.network.training import configure

    try:
        configure(int(settings["threads"]))
    except ImportError as error:
        raise MissingDependency("tensorflow", "search") from error
    dataset = load_dataset(str(settings["dataset"]))

    def handle(job: Job) -> dict[str, Any]:
        import keras

        try:
            return run_job(settings, dataset, job)
        finally:
            keras.backend.clear_session()
            gc.collect()

    return handle


def run_job(settings: Job, dataset: Dataset, job: Job) -> dict[str, Any]:
    """The result of one rung of one candidate, as ``flow.search.evaluate.TrainingEvaluator`` says. Raises FlowError."""
    from flow.network.network import build_network
    from flow.network.qkeras_model import build_model, save_model
    from flow.network.training import evaluate, train
    from flow.space.candidate import Candidate

    started = time.perf_counter()
    candidate, rung = Candidate.from_dict(job["candidate"]), str(job["rung"])
    model_path = Path(settings["run_path"]) / "candidates" / candidate.digest / MODEL_FILE
    print(f"{candidate.digest} {rung}", file=sys.stderr, flush=True)
    if rung == "test":
        accuracy = evaluate(model_path, dataset, "test")
        return {"ok": True, "test_accuracy": accuracy, "seconds": time.perf_counter() - started}
    if rung == "project":
        return {"ok": True, "folder": write_hls(candidate, model_path, dataset, job)}
    result = train(
        candidate,
        dataset,
        epochs=int(settings["epochs"][rung]),
        seed=candidate_seed(int(settings["seed"]), candidate.digest),
        class_weights=bool(settings["class_weights"]),
    )
    if rung == "full":
        save_model(build_model(build_network(candidate), result.codes), model_path)
    return {
        "ok": True,
        "val_accuracy": result.val_accuracy,
        "epochs": result.epochs,
        "loss": result.loss,
        "seconds": time.perf_counter() - started,
    }


def write_hls(candidate: Candidate, model_path: Path, dataset: Dataset, job: Job) -> str:
    """Write the HLS project of a fully trained candidate beside its model; returns its folder. Raises FlowError.

    It is the one that ``flow synth`` writes for a winner, which finds it there.
    """
    from flow.hls.model import ModelFile
    from flow.hls.project import TEST_IMAGES, HlsTarget, write_project
    from flow.hls.samples import dataset_samples
    from flow.implement.implementation import Implementation

    file = ModelFile(model_path, candidate.input_format)
    samples = dataset_samples(dataset, file.network, TEST_IMAGES)
    project = write_project(
        file.model,
        file.network,
        Implementation.from_dict(job["implementation"]),
        HlsTarget(**job["target"]),
        model_path.parent / "hls",
        test_inputs=samples.codes,
        test_text=samples.text,
    )
    return str(project.folder)


def candidate_seed(seed: int, digest: str) -> int:
    """The seed of a candidate's training: the same whatever was trained before it, and in which worker."""
    return int.from_bytes(hashlib.sha256(f"{seed} {digest}".encode()).digest()[:8])


if __name__ == "__main__":
    os.nice(NICENESS)
    serve(training_setup, int(sys.argv[1]))
