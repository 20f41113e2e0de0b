"""A run with winners whose models are real, made without training: weights at random, predictions and reuse factors
by the program's own solver and predictor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow import cli
from flow.board import load_board
from flow.estimate.predict import predict
from flow.implement.solver import solve
from flow.network.datasets import load_dataset
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import build_network
from flow.network.qkeras_model import build_model, save_model
from flow.space.candidate import Candidate, LayerChoice
from flow.spec import make_spec
from tests.network.random_candidates import random_codes


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line that says what went wrong."""
        return next(line for line in self.err.splitlines() if line.startswith("flow: error: "))


class Flow:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> Done:
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self.capsys.readouterr()
        return Done(code, captured.out, captured.err)

    def json(self, *arguments: str | Path) -> Any:
        """What a command prints with ``--json``."""
        done = self(*arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)


def small(units: int) -> Candidate:
    """A dense network for the digits."""
    layer = LayerChoice("dense", units, WeightFormat("fixed", 3, 1), FixedFormat(3, 1, False))
    return Candidate((8, 8, 1), FixedFormat(5, 1, False), 10, (layer,), WeightFormat("fixed", 4, 1))


def make_run(path: Path, candidates: Sequence[Candidate], board: str = "pynq-z2", fps: float = 1000.0) -> Path:
    """A finished run whose winners are ``candidates``, w1 the first."""
    where = load_board(board)
    spec = make_spec(where, fps=fps)
    data = load_dataset("digits")
    entries = []
    for number, candidate in enumerate(candidates):
        network = build_network(candidate)
        implementation = solve(network, spec, where.family)
        measured = predict(network, implementation, where.part, where.family).total
        folder = path / "candidates" / candidate.digest
        folder.mkdir(parents=True)
        save_model(build_model(network, random_codes(network, number)), folder / "model.keras")
        accuracy = {"validation": 0.9 + number / 100, "test": 0.9}
        shared = {
            "digest": candidate.digest, "candidate": candidate.to_dict(), "implementation": implementation.to_dict(),
            "accuracy": accuracy, "measurements": [measured.to_dict()],
        }  # fmt: skip
        rungs = {
            rung: {"val_accuracy": accuracy["validation"], "epochs": 1, "seconds": 1.0} for rung in ("short", "full")
        }
        evaluation = {**shared, "schema": 1, "number": number, "status": "done", "error": None, "rungs": rungs}
        (folder / "evaluation.json").write_text(json.dumps(evaluation), encoding="utf-8")
        entries.append(
            {
                "id": f"w{number + 1}",
                **shared,
                "throughput_per_s": measured.throughput_per_s,
                "latency_us": measured.latency_us,
                "clock_mhz": measured.clock_mhz,
            }
        )
    settings = {
        "schema": 1, "name": path.name, "board": where.name, "part": where.part,
        "dataset": {"name": "digits", "fingerprint": data.fingerprint}, "space": "mlp-tiny", "seed": 0,
        "spec": spec.to_dict(), "asked": {"board": board}, "versions": {},
    }  # fmt: skip
    (path / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (path / "log.jsonl").write_text('{"t": 0.0, "event": "start"}\n', encoding="utf-8")
    winners = {"schema": 1, "board": where.name, "part": where.part, "dataset": "digits", "spec": spec.to_dict(),
               "seed": 0, "complete": True, "winners": entries}  # fmt: skip
    (path / "winners.json").write_text(json.dumps(winners), encoding="utf-8")
    return path
