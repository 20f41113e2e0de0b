"""What a synthesis tool reports flows back into a search: measurements, a corrected predictor, a second try.

The candidates that could win are synthesized while others are trained. What comes back replaces the prediction, decides
whether the candidate fits, and corrects the predictor (``flow.estimate.corrected``) for all that follows. Results are
taken in the order in which they were asked for, so a search does not depend on which synthesis is faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from flow.errors import FlowError, InputError
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.corrected import CorrectedEstimator, Correction
from flow.estimate.predict import predict
from flow.implement.implementation import Implementation
from flow.implement.solver import attempt
from flow.network.network import Network, build_network
from flow.report.limits import Limits
from flow.resources import Measurement, Resources
from flow.search.entry import Entry, Synthesis
from flow.search.measured import merge
from flow.search.store import RunDirectory
from flow.spec import Spec

if TYPE_CHECKING:
    from flow.search.settings import Problem

TRIES = 2
"""Times a candidate is synthesized at most: once more, built otherwise, if it does not fit."""

GIVE_UP = 3
"""Failures without one success after which nothing more is synthesized: it is not the designs then."""


class Synthesizer(Protocol):
    """Measures how a candidate is built; ``flow.search.synthesis.HlsSynthesizer`` does it with a vendor tool."""

    @property
    def name(self) -> str:
        """The tool and its release, such as ``vitis_hls 2022.2``."""

    def submit(self, entry: Entry) -> Callable[[], tuple[Measurement, float]]:
        """Start to synthesize a fully trained candidate, built as its implementation says.

        The returned function waits for the measurement and the seconds it took, or raises FlowError.
        """


class Feedback:
    """The syntheses of one search, and what they have taught. Without ``synthesizer`` there are none."""

    def __init__(self, problem: Problem, run: RunDirectory, synthesizer: Synthesizer | None) -> None:
        self.problem, self.run, self.synthesizer = problem, run, synthesizer
        spec = problem.spec
        self.limits = Limits(spec.budget, spec.min_throughput_per_s, spec.max_latency_us, spec.clock_mhz)
        self.correction = Correction()
        self.out: deque[tuple[Entry, Callable[[], Synthesis], bool]] = deque()
        self.done = self.failures = 0
        self.slowest_s = 0.0
        self.gave_up: str | None = None
        """The error after which nothing more is synthesized."""

    @property
    def estimator(self) -> CorrectedEstimator:
        """The predictor as this run has corrected it."""
        return CorrectedEstimator(CALIBRATED, self.correction)

    @property
    def scale(self) -> float:
        """What the predictor's LUTs are multiplied by."""
        return self.correction.factors()["lut"]

    @property
    def room(self) -> bool:
        """Whether one more may be in the works: one at first, since it teaches most, one more for each report."""
        return len(self.out) < min(self.problem.settings.synth_window, self.correction.reports + 1)

    def build(self, network: Network, spec: Spec) -> tuple[Implementation, Measurement, str | None]:
        """The cheapest implementation, its prediction, and why it is not within the limits (None if it is)."""
        board, estimator = self.problem.board, self.estimator
        found = attempt(network, spec, board.family, estimator)
        prediction = predict(network, found.implementation, board.part, board.family, estimator)
        return found.implementation, prediction.total, found.sentence or None

    def rebuild(self, entry: Entry) -> bool:
        """Build a candidate that nobody has measured as the corrected predictor says; returns whether that changed it.

        What is in the works stays as it is until its result comes, what was only trained briefly for good.
        """
        done = entry.told and "full" not in entry.rungs
        if done or not entry.proposal.final or entry.synthesis or self.is_out(entry):
            return False
        before = entry.implementation, entry.prediction
        built = self.build(build_network(entry.candidate), self.problem.spec)
        entry.implementation, entry.prediction, entry.doubt = built
        entry.cost = float(entry.prediction.resources.lut or 0.0)
        return before != built[:2]

    def stands(self, entry: Entry, likely: bool = False) -> bool:
        """Whether a candidate may win, as far as is known: it fits as measured, else as predicted by now.

        ``likely``: it is enough that it fits in the middle of its interval, for those that a tool is to decide on. One
        whose synthesis failed may not win, unless no synthesis has succeeded: then the tool is to blame.
        """
        verdict = entry.verdict
        if verdict is None:
            return entry.doubt is None or (likely and not self.limits.misses(entry.prediction))
        return not verdict.misses and (verdict.error is None or not self.correction.reports)

    def wants(self, entry: Entry) -> bool:
        """Whether a candidate that could win is still to be synthesized."""
        wanted = self.synthesizer is not None and self.gave_up is None
        return wanted and entry.verdict is None and not self.is_out(entry)

    def is_out(self, entry: Entry) -> bool:
        """Whether a candidate's synthesis is in the works."""
        return any(other is entry for other, _, _ in self.out)

    def known(self, entry: Entry) -> Synthesis | None:
        """The next synthesis of a candidate as an earlier sitting has it on disk. Raises InputError if damaged."""
        stored = (self.run.evaluation(entry.candidate.digest) or {}).get("synthesis") or []
        where = f"{self.run.candidate_dir(entry.candidate.digest) / 'evaluation.json'}: synthesis"
        number = len(entry.synthesis)
        try:
            if not isinstance(stored, list):
                raise InputError(f"{where} must be a list")
            found = Synthesis.from_dict(stored[number], f"{where}[{number}]") if number < len(stored) else None
        except InputError as error:
            raise InputError(f"{error}; delete this folder to evaluate the candidate again") from error
        return found if found is not None and found.implementation == entry.implementation else None

    def start(self, entry: Entry) -> None:
        """Have a candidate synthesized, or take it from disk if an earlier sitting has done it."""
        known = self.known(entry)
        if known is not None:
            self.out.append((entry, lambda: known, True))
            return
        assert self.synthesizer is not None
        board, name = self.problem.board, self.synthesizer.name
        implementation = entry.implementation
        network = build_network(entry.candidate)
        predicted = predict(network, implementation, board.part, board.family).total
        wait = self.synthesizer.submit(entry)

        def finish() -> Synthesis:
            try:
                measured, seconds = wait()
            except FlowError as error:
                return Synthesis(implementation, name, predicted, error=" ".join(str(error).split()))
            misses = tuple(self.limits.misses(measured))
            return Synthesis(implementation, name, predicted, measured, misses, seconds=round(seconds, 3))

        self.out.append((entry, finish, False))

    def take(self) -> tuple[Entry, Synthesis, bool]:
        """Wait for the synthesis that was started first, and learn from it; the last value: it came from disk."""
        entry, wait, cached = self.out[0]
        synthesis = wait()
        self.out.popleft()
        entry.synthesis.append(synthesis)
        entry.again = False
        entry.doubt = None
        self.done += 1
        if synthesis.measured is None:
            self.failures += 1
            if self.failures >= GIVE_UP and not self.correction.reports:
                self.gave_up = synthesis.error
            return entry, synthesis, cached
        self.slowest_s = max(self.slowest_s, synthesis.seconds or 0.0)
        stream = synthesis.implementation.io_type == "io_stream"
        self.correction = self.correction.with_report(synthesis.predicted, synthesis.measured, stream)
        entry.measured = merge(entry.measured, [synthesis.measured])
        entry.cost = float(synthesis.measured.resources.lut or entry.cost)
        if synthesis.misses and len(entry.synthesis) < TRIES:
            self._try_otherwise(entry, synthesis)
        return entry, synthesis, cached

    def _try_otherwise(self, entry: Entry, synthesis: Synthesis) -> None:
        """Build a candidate so that it fits if it deviates from the prediction as it just did, where that can be."""
        problem, measured, predicted = self.problem, synthesis.measured, synthesis.predicted
        assert measured is not None
        if measured.clock_mhz < problem.spec.clock_mhz and measured.note:
            return  # no reuse factor makes the clock faster
        budget = Resources(
            *(
                limit if limit is None else limit / _excess(amount, expected)
                for (_, limit), (_, amount), (_, expected) in zip(
                    problem.spec.budget, measured.resources, predicted.resources, strict=True
                )
            )
        )
        latency = problem.spec.max_latency_us
        spec = replace(
            problem.spec,
            budget=budget,
            min_throughput_per_s=problem.spec.min_throughput_per_s
            * _excess(measured.interval_cycles, predicted.interval_cycles),
            max_latency_us=None
            if latency is None
            else latency / _excess(measured.latency_cycles, predicted.latency_cycles),
            bound="middle",
        )
        network = build_network(entry.candidate)
        found = attempt(network, spec, problem.board.family)
        if found.reason or found.implementation == entry.implementation:
            return
        part, family = problem.board.part, problem.board.family
        entry.implementation, entry.again = found.implementation, True
        entry.prediction = predict(network, found.implementation, part, family, self.estimator).total
        entry.cost = float(entry.prediction.resources.lut or 0.0)
        entry.measured = [m for m in entry.measured if m != measured.to_dict()]


def _excess(amount: float | None, expected: float | None) -> float:
    """By what factor an amount is above what was expected; 1 if it is not, or one is unknown."""
    return 1.0 if amount is None or expected is None else max((amount + 1) / (expected + 1), 1.0)
