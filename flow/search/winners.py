"""``winners.json``: the Pareto front of a run, in the form DESIGN gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow.search.entry import Entry
    from flow.search.settings import Problem

SCHEMA = 1


def winners_dict(
    problem: Problem, front: list[Entry], complete: bool, reason: str, diagnosis: str | None = None
) -> dict[str, Any]:
    """The content of ``winners.json``: ``front`` from the cheapest to the most accurate, ids ``w1``, ``w2``, ...

    ``complete`` is false while the search could still change it; ``diagnosis`` says why nothing is feasible.
    """
    return {
        "schema": SCHEMA,
        "board": problem.board.name,
        "part": problem.board.part,
        "dataset": problem.data.name,
        "spec": problem.spec.to_dict(),
        "seed": problem.settings.seed,
        "complete": complete,
        "end_reason": reason,
        "diagnosis": diagnosis,
        "winners": [_winner(f"w{i + 1}", entry) for i, entry in enumerate(front)],
    }


def _winner(name: str, entry: Entry) -> dict[str, Any]:
    measurement = entry.measurement
    return {
        "id": name,
        "digest": entry.candidate.digest,
        "candidate": entry.candidate.to_dict(),
        "implementation": entry.implementation.to_dict(),
        "accuracy": {"validation": entry.accuracy, "test": entry.test},
        "throughput_per_s": measurement.throughput_per_s,
        "latency_us": measurement.latency_us,
        "clock_mhz": measurement.clock_mhz,
        "measurements": [entry.prediction.to_dict(), *entry.measured],
    }
