"""A stand-in for training in tests of the loop: accuracy follows from the candidate by a formula, at once.

It keeps the Evaluator's contract. What is tested with it is the loop, the sampler and the storage; training itself is
tested with real data elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flow.network.network import build_network
from flow.space.candidate import Candidate

GAIN = {"short": 0.0, "full": 0.03}


def accuracy_of(candidate: Candidate, rung: str) -> float:
    """More weights and bits are better, with diminishing returns."""
    network = build_network(candidate)
    return round(min(0.99, 0.2 + 0.07 * math.log(network.weight_bits) + GAIN[rung]), 6)


class FormulaEvaluator:
    """Counts what it was asked; ``fails`` says which candidates fail, and with what message."""

    def __init__(self, fails: Callable[[Candidate, str], str | None] = lambda candidate, rung: None) -> None:
        self.fails = fails
        self.asked: list[tuple[str, str]] = []

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """See flow.search.loop.Evaluator."""
        self.asked.append((candidate.digest, rung))
        error = self.fails(candidate, rung)

        def wait() -> dict[str, Any]:
            if error is not None:
                return {"ok": False, "error": error}
            if rung == "test":
                return {"ok": True, "test_accuracy": accuracy_of(candidate, "full") - 0.01}
            return {"ok": True, "val_accuracy": accuracy_of(candidate, rung), "epochs": 1, "seconds": 0.5}

        return wait


class SilentDisplay:
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[tuple[str, int]] = []

    def rejected(self, counts: dict[str, int]) -> None:
        """See flow.search.loop.Display."""
        self.counts = counts

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """See flow.search.loop.Display."""
        self.events.append((rung, number))

    def failed(self, number: int, reason: str) -> None:
        """See flow.search.loop.Display."""
        self.events.append(("failed", number))

    def unfit(self, number: int, reason: str) -> None:
        """See flow.search.loop.Display."""
        self.events.append(("unfit", number))

    def stage(self, text: str) -> None:
        """See flow.search.loop.Display."""
