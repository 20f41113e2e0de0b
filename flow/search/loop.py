"""The search loop: propose, refuse for free, train briefly, train fully what could still win, keep the Pareto front.

Determinism: results are taken in the order of the tickets, and a new ticket is made only when the oldest has been
taken. So every decision depends on the seed and on earlier results, never on how many workers there are or which is
faster. A resumed run replays the same decisions, with the finished evaluations read from disk instead of computed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from flow.errors import ToolError
from flow.estimate.predict import predict
from flow.implement.solver import Implementation, solve
from flow.network.network import build_network
from flow.resources import Measurement
from flow.search.check import checker_for
from flow.search.journal import StudyJournal
from flow.search.measured import measured_in
from flow.search.modes import proposer_for
from flow.search.pareto import pareto_front
from flow.search.propose import Proposal, Proposes
from flow.search.settings import Problem
from flow.search.store import RunDirectory
from flow.space.candidate import Candidate

FIRST_GAIN = 0.05
"""Accuracy full training is expected to add to short training before any of it has been seen."""

NEW_UNTIL = 0.85
"""Share of the time after which no new candidate starts: the rest is for full trainings of the front and the test."""

HOPELESS = 6
"""Failures from the start without one success after which a search gives up: it is not the candidates then."""

LOG_REJECTED_EVERY = 10
"""Proposals between two log entries that count the refused candidates."""


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
    measured: list[dict[str, Any]] = field(default_factory=list)
    """What tools measured of it, as its file has it; none is lost when the file is written again."""

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
            "stage": self.proposal.stage,
            "status": "failed" if self.error else "done",
            "error": self.error,
            "candidate": self.candidate.to_dict(),
            "implementation": self.implementation.to_dict(),
            "measurements": [self.measurement.to_dict(), *self.measured],
            "cost": self.cost,
            "rungs": self.rungs,
            "accuracy": {"validation": self.accuracy, "test": self.test},
        }


Ticket = tuple[Entry, str, Callable[[], dict[str, Any]]]
"""A candidate, the rung it is on, and the function that waits for the result."""


@dataclass
class Outcome:
    """How a search ended: ``entries`` in order of proposal, ``front`` those that won, ``reason`` why it stopped.

    ``loop_s`` are the seconds in which the loop itself worked instead of waiting for trainings, ``loop_cpu_s`` the CPU
    seconds of that: less where trainings had the processor meanwhile.
    """

    entries: list[Entry]
    front: list[Entry]
    reason: str
    proposer: Proposes
    loop_s: float
    loop_cpu_s: float


class Search:
    """One run of the loop; see the module. ``floor``: validation accuracy a winner must be above."""

    def __init__(
        self, problem: Problem, run: RunDirectory, evaluator: Evaluator, display: Display, floor: float = 0.0
    ) -> None:
        self.problem, self.run, self.evaluator, self.display = problem, run, evaluator, display
        self.floor = floor
        self.proposer = proposer_for(problem, checker_for(problem))
        self.journal = StudyJournal(run.path / "study.journal", problem.space)
        self.replay = run.evaluated()
        self.entries: list[Entry] = []
        self.promotions: deque[Entry] = deque()
        self.gains: list[float] = []
        self.epochs = 0
        """Epochs of all trainings started, those that an earlier sitting has on disk included."""
        self.exhausted = self.timed_out = False

    def go(self) -> Outcome:
        """Search until the trials, the time or the space are used up. Interrupts pass through; all done is on disk.

        Raises ToolError if the first candidates fail one and all, or the run directory can't be written.
        """
        tickets: deque[Ticket] = deque()
        started, cpu, waited = time.monotonic(), time.thread_time(), 0.0
        while True:
            while len(tickets) < self.problem.settings.window:
                ticket = self.next_ticket()
                if ticket is None:
                    break
                tickets.append(ticket)
            if not tickets:
                break
            entry, rung, wait = tickets.popleft()
            before = time.monotonic()
            result = wait()
            waited += time.monotonic() - before
            self.take(entry, rung, result)
        self.log_rejected()
        spent = len(self.entries) < self.problem.settings.trials
        reason = "training budget" if spent else "trials"
        reason = "space exhausted" if self.exhausted else "time" if self.timed_out else reason
        worked, cpu = time.monotonic() - started - waited, time.thread_time() - cpu
        return Outcome(self.entries, self.front(), reason, self.proposer, worked, cpu)

    def next_ticket(self) -> Ticket | None:
        """The next job: a promotion to full training first, else a new candidate."""
        while self.promotions:
            entry = self.promotions.popleft()
            if self.time_for_full(entry) and self.affords("full"):
                return entry, "full", self.start(entry, "full")
            self.timed_out = self.timed_out or self.affords("full")
            self.tell(entry)
        if self.proposer.waiting():
            return None
        if self.exhausted or not self.affords("short", "full") or len(self.entries) >= self.problem.settings.trials:
            return None
        # What earlier sittings have evaluated is taken from disk whatever the time.
        if self.run.elapsed_s >= self.problem.settings.time_s * NEW_UNTIL and len(self.entries) >= self.replay:
            self.timed_out = True
            return None
        proposal = self.proposer.propose(self.used())
        self.display.rejected(dict(self.proposer.rejected))
        if proposal is None:
            self.exhausted = not self.proposer.waiting()
            return None
        if proposal.number % LOG_REJECTED_EVERY == 0:
            self.log_rejected()
        entry = self.entry_for(proposal)
        self.entries.append(entry)
        return entry, "short", self.start(entry, "short")

    def affords(self, *rungs: str) -> bool:
        """Whether the training budget has room for the given rungs."""
        total, s = self.problem.settings.epochs_total, self.problem.settings
        wanted = sum(s.epochs_short if rung == "short" else s.epochs_full for rung in rungs)
        return total is None or self.epochs + wanted <= total

    def used(self) -> float:
        """Share of the trials or of the training budget that is used up."""
        s = self.problem.settings
        return max(len(self.entries) / s.trials, 0.0 if s.epochs_total is None else self.epochs / s.epochs_total)

    def time_for_full(self, entry: Entry) -> bool:
        """Whether a full training can end before the time limit; the first one is always done."""
        trained = [e for e in self.entries if "full" in e.rungs]
        if not trained or self.known(entry, "full"):
            return True
        expected = max(float(e.rungs["full"].get("seconds") or 0.0) for e in trained)
        return self.run.elapsed_s + expected <= self.problem.settings.time_s

    def log_rejected(self) -> None:
        """Log how many candidates were refused so far, by reason."""
        self.run.log("rejected", counts=dict(self.proposer.rejected))

    def entry_for(self, proposal: Proposal) -> Entry:
        """The candidate of a proposal with its implementation and prediction."""
        problem = self.problem
        candidate = problem.space.candidate(proposal.code, problem.task)
        network = build_network(candidate)
        implementation = solve(network, proposal.spec or problem.spec, problem.board.family)
        prediction = predict(network, implementation, problem.board.part, problem.board.family)
        entry = Entry(proposal, candidate, implementation, prediction.total, proposal.cost)
        # Nobody else writes to a run while a search has it, so reading once is enough.
        entry.measured = measured_in(self.run.evaluation(candidate.digest))
        return entry

    def known(self, entry: Entry, rung: str) -> dict[str, Any] | None:
        """The result of a rung that an earlier sitting has on disk; None if there is none."""
        stored = self.run.evaluation(entry.candidate.digest)
        if stored is None:
            return None
        if rung in stored["rungs"]:
            return {"ok": True, **stored["rungs"][rung], "cached": True}
        if stored.get("error") and rung == "short":
            return {"ok": False, "error": stored["error"], "cached": True}
        return None

    def start(self, entry: Entry, rung: str) -> Callable[[], dict[str, Any]]:
        """Start a rung, or take it from disk if an earlier sitting has done it."""
        self.epochs += {"short": self.problem.settings.epochs_short, "full": self.problem.settings.epochs_full}[rung]
        known = self.known(entry, rung)
        if known is not None:
            return lambda: known
        return self.evaluator.submit(entry.candidate, rung)

    def take(self, entry: Entry, rung: str, result: dict[str, Any]) -> None:
        """Record one result, decide on promotion, tell the sampler."""
        number, digest = entry.proposal.number, entry.candidate.digest
        cached = bool(result.pop("cached", False))
        if not result.pop("ok"):
            error = str(result["error"])
            entry.error = error if rung == "short" else None
            if not cached:
                self.run.write_evaluation(entry.to_dict())
                self.run.log("failed", number=number, digest=digest, rung=rung, error=error)
            self.display.failed(number, error)
            self.tell(entry)
            self.give_up_if_hopeless(error)
            return
        entry.rungs[rung] = result
        accuracy = entry.accuracy
        assert accuracy is not None
        if not cached:
            self.run.write_evaluation(entry.to_dict())
            self.run.log(
                "done",
                number=number,
                digest=digest,
                rung=rung,
                val_accuracy=accuracy,
                lut=entry.measurement.resources.lut,
                seconds=result.get("seconds"),
            )
        if rung == "full":
            self.gains.append(accuracy - float(entry.rungs["short"]["val_accuracy"]))
        best = entry in self.front(final=False)
        self.display.finished(number, rung, accuracy, entry.measurement.resources.lut, best)
        if rung == "short" and self.could_win(entry):
            self.promotions.append(entry)
        else:
            self.tell(entry)

    def tell(self, entry: Entry) -> None:
        """Tell sampler and journal what became of an entry: once, when no further rung follows."""
        self.proposer.tell(entry.proposal, entry.accuracy, entry.cost)
        self.journal.tell(
            entry.proposal.number,
            entry.proposal.code,
            entry.accuracy,
            entry.cost,
            {"digest": entry.candidate.digest, "rungs": list(entry.rungs)},
        )

    def give_up_if_hopeless(self, error: str) -> None:
        """Raise ToolError if nothing but failures came so far."""
        if all(e.error for e in self.entries[:HOPELESS]) and len(self.entries) >= HOPELESS:
            raise ToolError(f"the first {HOPELESS} candidates all failed, the last one with: {error}")

    def could_win(self, entry: Entry) -> bool:
        """Whether full training could put a candidate on the front, given what it gained others so far."""
        accuracy = entry.accuracy
        assert accuracy is not None
        gains = sorted([FIRST_GAIN, *self.gains])
        hope = accuracy + gains[(3 * len(gains)) // 4]
        return not any(
            "full" in other.rungs and other.cost <= entry.cost and other.rungs["full"]["val_accuracy"] >= hope
            for other in self.entries
            if other.proposal.stage == entry.proposal.stage
        )

    def front(self, final: bool = True) -> list[Entry]:
        """The Pareto-optimal entries, cheapest first: of fully trained ones if ``final``, else of all with a result."""
        done = [e for e in self.entries if e.accuracy is not None and (not final or "full" in e.rungs)]
        done = [e for e in done if e.proposal.final]
        done = [e for e in done if (e.accuracy or 0.0) > self.floor]
        points = [(float(e.accuracy or 0.0), e.cost) for e in done]
        return [done[i] for i in pareto_front(points)]

    def test(self, front: list[Entry]) -> list[str]:
        """Measure the winners on the test split, each once in the life of a run; returns what went wrong."""
        waits, problems = [], []
        for entry in front:
            stored = self.run.evaluation(entry.candidate.digest)
            entry.test = stored["accuracy"]["test"] if stored else None
            if entry.test is None:
                waits.append((entry, self.evaluator.submit(entry.candidate, "test")))
        for entry, wait in waits:
            result = wait()
            if result["ok"]:
                entry.test = float(result["test_accuracy"])
                self.run.write_evaluation(entry.to_dict())
            else:
                problems.append(f"candidate {entry.proposal.number}: {result['error']}")
        return problems
