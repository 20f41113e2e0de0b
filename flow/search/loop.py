"""The search loop: propose, refuse for free, train briefly, train fully what could still win, keep the Pareto front.

Determinism: results are taken in the order of the tickets, and a new ticket is made only when the oldest has been
taken. So every decision depends on the seed and on earlier results, never on how many workers there are or which is
faster. A resumed run replays the same decisions, with the finished evaluations read from disk instead of computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from flow.estimate.predict import predict
from flow.implement.solver import Implementation, solve
from flow.network.network import build_network
from flow.resources import Measurement
from flow.search.check import Checker
from flow.search.pareto import pareto_front
from flow.search.propose import Proposal, Proposer
from flow.search.settings import Problem
from flow.search.store import RunDirectory
from flow.space.candidate import Candidate

FIRST_GAIN = 0.05
"""Accuracy full training is expected to add to short training before any of it has been seen."""


class Evaluator(Protocol):
    """Trains candidates; ``flow.search.evaluate.TrainingEvaluator`` does it in worker processes."""

    def submit(self, candidate: Candidate, rung: str) -> Callable[[], dict[str, Any]]:
        """Start a rung ("short", "full" or "test"); the returned function waits for its result."""


class Display(Protocol):
    """What the loop tells the user while it runs; ``flow.report.progress`` shows it."""

    def rejected(self, counts: dict[str, int]) -> None:
        """Counts of refused candidates by reason, so far."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """One rung of one candidate is done."""

    def failed(self, number: int, reason: str) -> None:
        """One candidate failed."""

    def stage(self, text: str) -> None:
        """What is going on."""


@dataclass
class Entry:
    """One candidate under evaluation and all that is known of it."""

    proposal: Proposal
    candidate: Candidate
    implementation: Implementation
    measurement: Measurement
    cost: float
    rungs: dict[str, dict[str, Any]] = field(default_factory=dict)
    test: float | None = None
    error: str | None = None

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy of the highest rung done."""
        for rung in ("full", "short"):
            if rung in self.rungs:
                return float(self.rungs[rung]["val_accuracy"])
        return None

    def to_dict(self) -> dict[str, Any]:
        """The content of ``evaluation.json``."""
        return {
            "schema": 1,
            "digest": self.candidate.digest,
            "number": self.proposal.number,
            "status": "failed" if self.error else "done",
            "error": self.error,
            "candidate": self.candidate.to_dict(),
            "implementation": self.implementation.to_dict(),
            "measurements": [self.measurement.to_dict()],
            "cost": self.cost,
            "rungs": self.rungs,
            "accuracy": {"validation": self.accuracy, "test": self.test},
        }


@dataclass
class Outcome:
    """How a search ended: ``entries`` in order of proposal, ``front`` those that won, ``reason`` why it stopped."""

    entries: list[Entry]
    front: list[Entry]
    reason: str
    proposer: Proposer


class Search:
    """One run of the loop; see the module."""

    def __init__(self, problem: Problem, run: RunDirectory, evaluator: Evaluator, display: Display) -> None:
        self.problem, self.run, self.evaluator, self.display = problem, run, evaluator, display
        s = problem.settings
        checker = Checker(problem.space, problem.task, problem.spec, problem.board.family, s.minimize)
        self.checker = checker
        self.proposer = Proposer(checker, s.sampler, s.seed)
        self.entries: list[Entry] = []
        self.promotions: deque[Entry] = deque()
        self.gains: list[float] = []
        self.exhausted = False

    def go(self) -> Outcome:
        """Search until the trials, the time or the space are used up. Interrupts pass through; all done is on disk."""
        tickets: deque[tuple[Entry, str, Callable[[], dict[str, Any]]]] = deque()
        reason = "trials"
        while True:
            while len(tickets) < self.problem.settings.window:
                ticket = self.next_ticket()
                if ticket is None:
                    break
                tickets.append(ticket)
            if not tickets:
                break
            entry, rung, wait = tickets.popleft()
            self.take(entry, rung, wait())
        if self.exhausted:
            reason = "space exhausted"
        elif self.out_of_time():
            reason = "time"
        return Outcome(self.entries, self.front(), reason, self.proposer)

    def next_ticket(self) -> tuple[Entry, str, Callable[[], dict[str, Any]]] | None:
        """The next job: a promotion to full training first, else a new candidate."""
        settings = self.problem.settings
        if self.promotions:
            entry = self.promotions.popleft()
            return entry, "full", self.start(entry, "full")
        if len(self.entries) >= settings.trials or self.exhausted or self.out_of_time():
            return None
        proposal = self.proposer.propose()
        self.display.rejected(dict(self.proposer.rejected))
        if proposal is None:
            self.exhausted = True
            return None
        entry = self.entry_for(proposal)
        self.entries.append(entry)
        return entry, "short", self.start(entry, "short")

    def out_of_time(self) -> bool:
        """Whether so much time is gone that no new candidate should start: the front's full trainings still must run."""
        return self.run.elapsed_s >= self.problem.settings.time_s * 0.85

    def entry_for(self, proposal: Proposal) -> Entry:
        """The candidate of a proposal with its implementation and prediction."""
        problem = self.problem
        candidate = problem.space.candidate(proposal.code, problem.task)
        network = build_network(candidate)
        implementation = solve(network, problem.spec, problem.board.family)
        prediction = predict(network, implementation, problem.board.part, problem.board.family)
        checked = self.checker.check(proposal.code[None, :])
        return Entry(proposal, candidate, implementation, prediction.total, float(checked.cost[0]))

    def start(self, entry: Entry, rung: str) -> Callable[[], dict[str, Any]]:
        """Start a rung, or take it from disk if an earlier sitting has done it."""
        known = self.run.evaluation(entry.candidate.digest)
        if known is not None:
            if rung in known["rungs"]:
                result = {"ok": True, **known["rungs"][rung], "cached": True}
                return lambda: result
            if known.get("error") and rung == known.get("failed_rung", rung):
                failed = {"ok": False, "error": known["error"], "cached": True}
                return lambda: failed
        return self.evaluator.submit(entry.candidate, rung)

    def take(self, entry: Entry, rung: str, result: dict[str, Any]) -> None:
        """Record one result, decide on promotion, tell the sampler."""
        number = entry.proposal.number
        cached = bool(result.pop("cached", False))
        if not result.pop("ok"):
            entry.error = str(result["error"]) if rung == "short" else entry.error
            self.run.log("failed", number=number, digest=entry.candidate.digest, rung=rung, error=result["error"])
            self.display.failed(number, str(result["error"]))
            self.proposer.tell(entry.proposal, entry.accuracy, entry.cost)
            self.run.write_evaluation(entry.to_dict())
            return
        entry.rungs[rung] = result
        accuracy = entry.accuracy
        assert accuracy is not None
        if not cached:
            self.run.write_evaluation(entry.to_dict())
            self.run.log("done", number=number, digest=entry.candidate.digest, rung=rung, val_accuracy=accuracy,
                         lut=entry.measurement.resources.lut, seconds=result.get("seconds"))
        if rung == "full":
            self.gains.append(accuracy - float(entry.rungs["short"]["val_accuracy"]))
        best = entry in self.front(final=False)
        self.display.finished(number, rung, accuracy, entry.measurement.resources.lut, best)
        if rung == "short" and self.could_win(entry):
            self.promotions.append(entry)
        else:
            self.proposer.tell(entry.proposal, accuracy, entry.cost)

    def could_win(self, entry: Entry) -> bool:
        """Whether full training could put a candidate on the front, given what it gained others so far."""
        accuracy = entry.accuracy
        assert accuracy is not None
        gains = sorted([FIRST_GAIN, *self.gains])
        hope = accuracy + gains[(3 * len(gains)) // 4]
        return not any(
            "full" in other.rungs and other.cost <= entry.cost and other.rungs["full"]["val_accuracy"] >= hope
            for other in self.entries
        )

    def front(self, final: bool = True) -> list[Entry]:
        """The Pareto-optimal entries, cheapest first: of fully trained ones if ``final``, else of all with a result."""
        done = [e for e in self.entries if e.accuracy is not None and (not final or "full" in e.rungs)]
        points = [(float(e.accuracy or 0.0), e.cost) for e in done]
        return [done[i] for i in pareto_front(points)]
