"""The search loop: propose, refuse for free, train briefly, train fully and synthesize what could still win, keep the
Pareto front.

Determinism: results are taken in the order of the tickets, and a new ticket is made only when the oldest has been
taken. So every decision depends on the seed and on earlier results, never on how many workers there are or which is
faster. A resumed run replays the same decisions, with the finished evaluations read from disk instead of computed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flow.errors import ToolError
from flow.network.network import build_network
from flow.search.check import checker_for
from flow.search.entry import Entry
from flow.search.feedback import Feedback, Synthesizer
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

RUNG = "hls"
"""What logs and displays call the synthesis of a candidate."""

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

    def unfit(self, number: int, reason: str) -> None:
        """One candidate does not fit as a tool reports it."""

    def stage(self, text: str) -> None:
        """What is going on."""


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
        self,
        problem: Problem,
        run: RunDirectory,
        evaluator: Evaluator,
        display: Display,
        floor: float = 0.0,
        synthesizer: Synthesizer | None = None,
    ) -> None:
        self.problem, self.run, self.evaluator, self.display = problem, run, evaluator, display
        self.floor = floor
        self.feedback = Feedback(problem, run, synthesizer)
        self.checker = checker_for(problem)
        self.proposer = proposer_for(problem, self.checker)
        self.journal = StudyJournal(run.path / "study.journal", problem.space)
        self.replay = run.evaluated()
        self.entries: list[Entry] = []
        self.promotions: deque[Entry] = deque()
        self.untold: list[Entry] = []
        """Fully trained entries that the sampler hears of when their synthesis is done, or not worth it any more."""
        self.changed: list[Entry] = []
        """Entries that are predicted otherwise than their files say."""
        self.gains: list[float] = []
        self.epochs = 0
        """Epochs of all trainings started, those that an earlier sitting has on disk included."""
        self.exhausted = self.timed_out = False
        self.waited = 0.0

    def go(self) -> Outcome:
        """Search until the trials, the time or the space are used up. Interrupts pass through; all done is on disk.

        Raises ToolError if the first candidates fail one and all, or the run directory can't be written.
        """
        tickets: deque[Ticket] = deque()
        started, cpu = time.monotonic(), time.thread_time()
        while True:
            while len(tickets) < self.problem.settings.window:
                ticket = self.next_ticket()
                if ticket is None:
                    break
                tickets.append(ticket)
            self.synthesize()
            if tickets:
                entry, rung, wait = tickets.popleft()
                before = time.monotonic()
                result = wait()
                self.waited += time.monotonic() - before
                self.take(entry, rung, result)
            elif self.feedback.out:
                self.take_synthesis()
            else:
                break
        for entry in self.changed:
            if entry.rungs or entry.error:
                self.run.write_evaluation(entry.to_dict())
        self.log_rejected()
        spent = len(self.entries) < self.problem.settings.trials
        reason = "training budget" if spent else "trials"
        reason = "space exhausted" if self.exhausted else "time" if self.timed_out else reason
        worked, cpu = time.monotonic() - started - self.waited, time.thread_time() - cpu
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
        built = self.feedback.build(build_network(candidate), proposal.spec or problem.spec)
        implementation, prediction, doubt = built
        cost = proposal.cost * (self.feedback.scale if proposal.final else 1.0)
        # Nobody else writes to a run while a search has it, so reading once is enough.
        stored = self.run.evaluation(candidate.digest)
        return Entry(
            proposal, candidate, implementation, prediction, cost, doubt=doubt, measured=measured_in(stored),
            test=stored["accuracy"]["test"] if stored else None,
        )  # fmt: skip

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
        elif rung == "full" and entry in self.wanted():
            self.untold.append(entry)
        else:
            self.tell(entry)

    def synthesize(self) -> None:
        """Have synthesized what is on the front and not measured yet; wait for results where too many are out."""
        while ready := [e for e in self.wanted() if self.time_for_synthesis(e)]:
            if self.feedback.room:
                self.feedback.start(ready[0])
            else:
                self.take_synthesis()
        wanted = self.wanted()
        self.timed_out = self.timed_out or bool(wanted)
        for entry in [e for e in self.untold if not self.feedback.is_out(e)]:
            self.untold.remove(entry)
            self.tell(entry)

    def wanted(self) -> list[Entry]:
        """The entries that are likely to win, but not measured, in the order of their proposal."""
        if self.feedback.synthesizer is None:
            return []
        front = self.front(likely=True)
        return sorted((e for e in front if self.feedback.wants(e)), key=lambda e: e.proposal.number)

    def time_for_synthesis(self, entry: Entry) -> bool:
        """Whether a synthesis can end before the time limit; the first one is always done."""
        feedback = self.feedback
        if not feedback.done or feedback.known(entry) is not None:
            return True
        return self.run.elapsed_s + feedback.slowest_s <= self.problem.settings.time_s

    def take_synthesis(self) -> None:
        """Record what a tool says of one entry, and go by the corrected predictor from here on."""
        feedback, before = self.feedback, time.monotonic()
        if not feedback.out[0][2]:
            self.display.stage(f"synthesis of candidate {feedback.out[0][0].proposal.number}")
        entry, synthesis, cached = feedback.take()
        self.waited += time.monotonic() - before
        number, accuracy, measured = entry.proposal.number, entry.accuracy, synthesis.measured
        about = {"number": number, "digest": entry.candidate.digest, "rung": RUNG, "tool": synthesis.tool}
        if not cached:
            self.run.write_evaluation(entry.to_dict())
        if measured is None:
            if not cached:
                self.run.log("failed", **about, error=synthesis.error)
            self.display.failed(number, str(synthesis.error))
            if feedback.gave_up:
                self.run.log("synthesis given up", tool=synthesis.tool, error=feedback.gave_up)
            return
        lut = measured.resources.lut
        if not cached:
            more = {"lut": lut, "misses": list(synthesis.misses), "seconds": synthesis.seconds}
            self.run.log("done", **about, val_accuracy=accuracy, **more)
        self.checker.estimator, self.checker.scale = feedback.estimator, feedback.scale
        self.proposer.recheck()
        self.exhausted = False
        self.changed += [e for e in self.entries if feedback.rebuild(e) and e not in self.changed]
        assert accuracy is not None
        if synthesis.misses:
            self.display.unfit(number, f"does not fit as {synthesis.tool} reports it: {'; '.join(synthesis.misses)}")
        else:
            self.display.finished(number, RUNG, accuracy, lut, entry in self.front(final=False))

    def tell(self, entry: Entry) -> None:
        """Tell sampler and journal what became of an entry: once, when no further rung follows.

        Costs are told as the uncorrected predictor would have them: what was told before a correction stays comparable.
        """
        entry.told = True
        cost = entry.cost / (self.feedback.scale if entry.proposal.final else 1.0)
        accuracy = None if entry.unfit else entry.accuracy
        self.proposer.tell(entry.proposal, accuracy, cost)
        self.journal.tell(
            entry.proposal.number,
            entry.proposal.code,
            accuracy,
            cost,
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
            if other.proposal.stage == entry.proposal.stage and self.feedback.stands(other)
        )

    def front(self, final: bool = True, likely: bool = False) -> list[Entry]:
        """The Pareto-optimal entries, cheapest first: of fully trained ones if ``final``, else of all with a result.

        ``likely``: see ``Feedback.stands``.
        """
        done = [e for e in self.entries if e.accuracy is not None and (not final or "full" in e.rungs)]
        done = [e for e in done if e.proposal.final and self.feedback.stands(e, likely)]
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
