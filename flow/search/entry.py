"""What a search knows of one candidate: its trainings, how it is built, what is predicted, what tools reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flow.errors import InputError
from flow.implement.implementation import Implementation
from flow.resources import Measurement
from flow.space.candidate import Candidate

if TYPE_CHECKING:
    from flow.search.propose import Proposal


@dataclass(frozen=True)
class Synthesis:
    """What a tool made of one candidate, built in one way: a measurement, or why there is none (``error``).

    ``tool``: name and release. ``predicted``: the prediction for just this design, without this run's corrections.
    ``misses``: the limits that the measurement is beyond, in words. ``seconds``: what the tool took.
    """

    implementation: Implementation
    tool: str
    predicted: Measurement
    measured: Measurement | None = None
    misses: tuple[str, ...] = ()
    error: str | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "implementation": self.implementation.to_dict(),
            "tool": self.tool,
            "predicted": self.predicted.to_dict(),
            "measured": None if self.measured is None else self.measured.to_dict(),
            "misses": list(self.misses),
            "error": self.error,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Synthesis:
        """Inverse of :meth:`to_dict`. Raises InputError naming ``where``."""
        if not isinstance(data, dict):
            raise InputError(f"{where}: expected a mapping of fields, found {type(data).__name__}")
        tool, error, misses, seconds = (data.get(name) for name in ("tool", "error", "misses", "seconds"))
        measured = data.get("measured")
        fine = (
            isinstance(tool, str)
            and (error is None or isinstance(error, str))
            and (error is None) != (measured is None)
        )
        fine = fine and isinstance(misses, list) and all(isinstance(m, str) for m in misses)
        if not fine or not (seconds is None or isinstance(seconds, int | float)):
            raise InputError(f"{where}: damaged synthesis")
        return cls(
            Implementation.from_dict(data.get("implementation"), f"{where}: implementation"),
            str(tool),
            Measurement.from_dict(data.get("predicted"), f"{where}: predicted"),
            None if measured is None else Measurement.from_dict(measured, f"{where}: measured"),
            tuple(misses or ()),
            error,
            seconds,
        )


@dataclass
class Entry:
    """One candidate under evaluation and all that is known of it.

    ``cost``: LUTs, measured where they are, else predicted as well as this run can by now. ``doubt``: why the
    predictor, corrected by this run's reports, no longer finds an implementation within the limits; None if it does.
    """

    proposal: Proposal
    candidate: Candidate
    implementation: Implementation
    prediction: Measurement
    cost: float
    rungs: dict[str, dict[str, Any]] = field(default_factory=dict)
    test: float | None = None
    error: str | None = None
    measured: list[dict[str, Any]] = field(default_factory=list)
    """What tools measured of it, as its file has it; none is lost when the file is written again."""
    synthesis: list[Synthesis] = field(default_factory=list)
    """What this search had synthesized of it, the last one built as ``implementation`` says unless ``again``."""
    again: bool = False
    """Whether it did not fit and is to be synthesized once more, built otherwise."""
    doubt: str | None = None
    told: bool = False
    """Whether the sampler knows the result: nothing more is trained."""

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy of the highest rung done."""
        for rung in ("full", "short"):
            if rung in self.rungs:
                return float(self.rungs[rung]["val_accuracy"])
        return None

    @property
    def verdict(self) -> Synthesis | None:
        """The synthesis that says what this candidate is as it is built now."""
        return self.synthesis[-1] if self.synthesis and not self.again else None

    @property
    def measurement(self) -> Measurement:
        """What is known best: what the tool reported, else the prediction."""
        verdict = self.verdict
        return self.prediction if verdict is None or verdict.measured is None else verdict.measured

    @property
    def unfit(self) -> str | None:
        """The limits that a tool says it is beyond, in words; None if none has said so."""
        verdict = self.verdict
        return "; ".join(verdict.misses) if verdict is not None and verdict.misses else None

    def to_dict(self) -> dict[str, Any]:
        """The content of ``evaluation.json``."""
        more: dict[str, Any] = {}
        if self.synthesis:
            more = {"synthesis": [s.to_dict() for s in self.synthesis], "unfit": self.unfit}
        return {
            "schema": 1,
            "digest": self.candidate.digest,
            "number": self.proposal.number,
            "stage": self.proposal.stage,
            "status": "failed" if self.error else "done",
            "error": self.error,
            "candidate": self.candidate.to_dict(),
            "implementation": self.implementation.to_dict(),
            "measurements": [self.prediction.to_dict(), *self.measured],
            "cost": self.cost,
            "rungs": self.rungs,
            "accuracy": {"validation": self.accuracy, "test": self.test},
            **more,
        }
