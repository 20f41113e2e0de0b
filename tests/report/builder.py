"""Builds run directories as a search writes them, for the tests of the reports."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flow.network.fixed import FixedFormat, WeightFormat
from flow.resources import Measurement, Resources
from flow.space.candidate import Candidate, LayerChoice

PART = "xc7z020clg400-1"


def candidate(rng: random.Random) -> Candidate:
    """A small convolutional network for 8 x 8 images; different for each state of ``rng``."""
    weights = [WeightFormat.parse(t) for t in ("binary", "ternary", "fixed<4,1>", "fixed<6,1>", "fixed<8,2>")]
    relus = [FixedFormat(w, 1, signed=False) for w in (2, 3, 4, 6)]
    convs = [
        LayerChoice(
            "conv2d",
            rng.choice((2, 4, 8, 16)),
            rng.choice(weights),
            rng.choice(relus),
            (3, 3),
            pool=rng.choice((1, 2)),
        )
        for _ in range(rng.randint(1, 2))
    ]
    dense = LayerChoice("dense", rng.randrange(8, 65), rng.choice(weights), rng.choice(relus))
    return Candidate((8, 8, 1), FixedFormat(4, 0, signed=False), 10, (*convs, dense), rng.choice(weights))


def measurement(rng: random.Random, lut: float) -> Measurement:
    """A prediction of ``lut`` LUTs; UltraRAM is unknown."""
    return Measurement(
        source="predicted",
        tool="flow-structural",
        version="0.1.0",
        part=PART,
        clock_mhz=100.0,
        resources=Resources(lut, round(lut * 1.3), rng.randint(0, 12), None, rng.choice((0, 2, 18, 60))),
        latency_cycles=rng.randint(200, 4000),
        interval_cycles=rng.randint(64, 1500),
        low=Resources(lut=round(lut * 0.72)),
        high=Resources(lut=round(lut * 1.41)),
        note="uncalibrated",
    )


def build_run(
    path: Path,
    trials: int = 40,
    winners: int = 6,
    seed: int = 1,
    ended: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run directory with ``trials`` candidates, two of them failed, and return its path."""
    rng = random.Random(seed)
    path.mkdir(parents=True)
    head: dict[str, Any] = {
        "schema": 1,
        "name": path.name,
        "created": "2026-01-31T12:00:00+00:00",
        "board": "pynq-z2",
        "part": PART,
        "dataset": {"name": "digits", "fingerprint": "8d1c7e0f42b6aa90"},
        "space": "cnn-small",
        "seed": 0,
        "sampler": "tpe",
        "minimize": "lut",
        "trials": trials,
        "time_s": 540.0,
        "jobs": 2,
        "spec": {
            "budget": {"lut": 33180.0, "ff": 52140.0, "bram18": 218.0, "uram": 0.0, "dsp": 176.0},
            "min_throughput_per_s": 1000.0,
            "max_latency_us": None,
            "clock_mhz": 100.0,
            "requested_clock_mhz": 100.0,
        },
        "versions": {"python": "3.11.2", "tensorflow": "2.21.0", "keras": "3.15.0", "qkeras-v3": "1.2.1"},
    }
    head.update(settings or {})
    (path / "run.yaml").write_text(yaml.safe_dump(head, sort_keys=False), encoding="utf-8")
    events: list[dict[str, Any]] = [{"t": 0.0, "event": "start"}]
    full: list[dict[str, Any]] = []
    t = 20.0
    for number in range(trials):
        c = candidate(rng)
        lut = round(math.exp(rng.uniform(math.log(900), math.log(28000))))
        t += rng.uniform(2, 12)
        evaluation: dict[str, Any] = {
            "schema": 1,
            "digest": c.digest,
            "number": number,
            "status": "done",
            "candidate": c.to_dict(),
            "implementation": {"io": "parallel", "reuse": [1, 2, 4]},
            "measurements": [measurement(rng, lut).to_dict()],
            "rungs": {},
            "accuracy": {"validation": None, "test": None},
        }
        if number in (7, 23):
            error = "the worker was killed (out of memory)" if number == 7 else "training gave NaN after 2 epochs"
            evaluation |= {"status": "failed", "error": error}
            events.append(
                {
                    "t": t,
                    "event": "failed",
                    "number": number,
                    "digest": c.digest,
                    "rung": "short",
                    "error": error,
                }
            )
        else:
            reach = 0.985 - 0.35 * (900 / lut) ** 0.8
            accuracy = round(max(0.1, min(0.994, rng.gauss(reach - 0.06, 0.05))), 4)
            if number % 13 == 5:
                accuracy = 0.18
            evaluation["rungs"]["short"] = {"val_accuracy": accuracy, "epochs": 10, "seconds": 4.2}
            if number % 2 == 0:
                accuracy = round(min(0.9972, accuracy + abs(rng.gauss(0.03, 0.02))), 4)
                evaluation["rungs"]["full"] = {"val_accuracy": accuracy, "epochs": 40, "seconds": 15.5}
                full.append(evaluation)
            evaluation["accuracy"]["validation"] = accuracy
            events.append({"t": t, "event": "done", "number": number, "digest": c.digest, "rung": "short",
                           "val_accuracy": accuracy, "lut": lut, "seconds": 4.2})  # fmt: skip
        folder = path / "candidates" / c.digest
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_text(json.dumps(evaluation), encoding="utf-8")
    events.append(
        {
            "t": t,
            "event": "rejected",
            "counts": {"over the LUT budget": 1841, "throughput": 312, "pool too large": 57},
        }
    )
    if ended:
        events.append({"t": t + 9, "event": "end", "elapsed_s": t + 9, "training_s": 401.5, "reason": "trials"})
    (path / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
    front = pareto(full)[:winners]
    entries = []
    for i, e in enumerate(front):
        m = Measurement.from_dict(e["measurements"][0])
        test = round(e["accuracy"]["validation"] - 0.011, 4) if i else None
        entries.append(
            {
                "id": f"w{i + 1}",
                "digest": e["digest"],
                "candidate": e["candidate"],
                "implementation": e["implementation"],
                "accuracy": {"validation": e["accuracy"]["validation"], "test": test},
                "throughput_per_s": m.throughput_per_s,
                "latency_us": m.latency_us,
                "clock_mhz": 100.0,
                "measurements": e["measurements"],
            }
        )
    data = {"schema": 1, "board": "pynq-z2", "part": PART, "dataset": "digits", "spec": head["spec"], "seed": 0,
            "complete": ended, "winners": entries}  # fmt: skip
    (path / "winners.json").write_text(json.dumps(data), encoding="utf-8")
    return path


def pareto(evaluations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The evaluations no other one beats in accuracy and LUTs, by brute force, cheapest first."""

    def point(e: dict[str, Any]) -> tuple[float, float]:
        return e["accuracy"]["validation"], -e["measurements"][0]["lut"]

    front = [
        e
        for e in evaluations
        if not any(
            all(b >= a for a, b in zip(point(e), point(o), strict=True)) and point(o) != point(e) for o in evaluations
        )
    ]
    return sorted(front, key=lambda e: e["measurements"][0]["lut"])
