"""How architecture, bits and hardware are decided: together, or one after the other, at the same cost of training.

``joint``: each candidate is a choice of all of them, and only what keeps the limits is tried. ``separate``: the first
half of the trials looks for the most accurate architecture, in the richest formats the space has and whatever it needs
on hardware; the second half looks for formats with which the winner keeps the limits. An architecture that fits with
no formats is passed over for the next best; the reference paper (arXiv:1911.00105) stopped there. ``nested``: one
architecture after the other, each with several choices of formats.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flow.errors import unknown_name
from flow.resources import Resources
from flow.search.check import Checked, Checker
from flow.search.feasible import BATCH, Checks
from flow.search.propose import Proposal, Proposer, Proposes
from flow.search.subspace import Subspace, architectures, formats_of
from flow.space.space import Codes

if TYPE_CHECKING:
    from flow.search.settings import Problem
    from flow.spec import Spec

MODES = ("joint", "separate", "nested")

FIRST_SHARE = 0.5
"""Share of the trials, or of the training budget, that ``separate`` spends on architectures."""
INNER = 5
"""Choices of formats that ``nested`` tries for an architecture."""
SLOWEST = 1e-3
"""Inferences a second that stand for no required throughput."""


def proposer_for(problem: Problem, checker: Checker) -> Proposes:
    """What proposes candidates in the mode of a search. Raises InputError for an unknown mode."""
    s = problem.settings
    if s.mode == "joint":
        return Proposer(checker, s.sampler, s.seed)
    if s.mode == "separate":
        return SeparateProposer(checker, s.sampler, s.seed)
    if s.mode == "nested":
        return NestedProposer(checker, s.sampler, s.seed)
    raise unknown_name("mode", s.mode, MODES)


class Narrowed:
    """A checker seen from a subspace of its space. ``leanest``: codes are checked with these formats instead."""

    def __init__(self, checker: Checks, space: Subspace) -> None:
        self.checker, self.space = checker, space

    def check(self, codes: Codes) -> Checked:
        """See ``Checker.check``."""
        return self.checker.check(self.space.full(codes))

    def features(self, codes: Codes) -> NDArray[np.float64]:
        """See ``Checker.features``."""
        return self.checker.features(self.space.full(codes))


class Costless(Narrowed):
    """As ``Narrowed``, where the cost is no objective."""

    def check(self, codes: Codes) -> Checked:
        """See ``Checker.check``."""
        found = super().check(codes)
        return replace(found, cost=np.where(found.feasible, 1.0, np.inf))


def without_limits(spec: Spec) -> Spec:
    """``spec`` with its clock, and nothing required."""
    return replace(spec, budget=Resources(), min_throughput_per_s=SLOWEST, max_latency_us=None)


class Part:
    """Proposes in a subspace, in codes of the whole space."""

    def __init__(self, checker: Narrowed, sampler: str, seed: int) -> None:
        self.proposer, self.space = Proposer(checker, sampler, seed), checker.space
        self.rejected = self.proposer.rejected

    def propose(self) -> tuple[Proposal, Codes] | None:
        """A proposal with its code in the whole space, or None if the subspace has no more."""
        found = self.proposer.propose(0.0)
        return None if found is None else (found, self.space.full(found.code[None, :])[0])


class PartsProposer:
    """What ``separate`` and ``nested`` share: proposals come from parts, results go back to them."""

    def __init__(self, checker: Checker, sampler: str, seed: int) -> None:
        self.checker, self.sampler, self.seed = checker, sampler, seed
        self.number = 0
        self.parts: list[Part] = []
        self.out: dict[int, tuple[Part, Proposal]] = {}

    @property
    def rejected(self) -> Counter[str]:
        """How many codes were refused, by reason."""
        return sum((part.rejected for part in self.parts), Counter())

    def recheck(self) -> None:
        """See ``Proposes.recheck``."""
        for part in self.parts:
            part.proposer.recheck()

    def part(self, checker: Narrowed) -> Part:
        """A new part; its seed follows from that of the search and how many came before."""
        added = Part(checker, self.sampler, (self.seed + 7919 * len(self.parts)) % 2**31)
        self.parts.append(added)
        return added

    def numbered(self, part: Part, found: tuple[Proposal, Codes], stage: int, spec: Spec | None = None) -> Proposal:
        """A part's proposal as one of the search; with ``spec``, one that does not have to keep the limits."""
        self.number += 1
        inner, code = found
        self.out[self.number - 1] = part, inner
        return Proposal(self.number - 1, code, inner.cost, stage, final=spec is None, spec=spec)


class SeparateProposer(PartsProposer):
    """Proposes as the mode ``separate`` does; see the module.

    ``passed_over`` are the architectures (codes) that were more accurate than the one in use and fit with no formats.
    """

    def __init__(self, checker: Checker, sampler: str, seed: int) -> None:
        super().__init__(checker, sampler, seed)
        self.free = without_limits(checker.spec)
        unlimited = Checker(checker.space, checker.task, self.free, checker.family, checker.estimator)
        self.first = self.part(Costless(unlimited, architectures(checker.space, richest=True)))
        self.second: Part | None = None
        self.first_done = False
        self.results: list[tuple[float, int, Codes]] = []
        self.passed_over: list[Codes] = []

    def waiting(self) -> bool:
        """Which architecture is the best is known when all results of the first half are in."""
        return self.first_done and self.second is None and bool(self.out)

    def propose(self, used: float) -> Proposal | None:
        """See ``Proposes.propose``."""
        if not self.first_done and used < FIRST_SHARE:
            found = self.first.propose()
            if found is not None:
                return self.numbered(self.first, found, 1, self.free)
        if not self.first_done:
            self.first_done = True
            if self.out:
                return None
        self.results.sort(key=lambda r: (r[0], -r[1]))  # the best last
        while True:
            if self.second is not None:
                found = self.second.propose()
                if found is not None:
                    return self.numbered(self.second, found, 2)
            if not self.results:
                return None
            architecture = self.results.pop()[2]
            narrowed = Narrowed(self.checker, formats_of(self.checker.space, architecture))
            if not self.fits(narrowed):
                self.passed_over.append(architecture)
                continue
            self.second = self.part(narrowed)

    def fits(self, narrowed: Narrowed) -> bool:
        """Whether the leanest formats of an architecture, or some of a few hundred others, keep the limits."""
        codes = narrowed.space.sample(np.random.default_rng([self.seed, 0x5E]), BATCH)
        leanest = architectures(self.checker.space, richest=False).taken
        code = np.zeros((1, codes.shape[1]), dtype=np.int64)
        code[0, list(leanest)] = list(leanest.values())
        return bool(narrowed.check(np.concatenate([narrowed.space.canonical(code), codes])).feasible.any())

    def tell(self, proposal: Proposal, accuracy: float | None, cost: float) -> None:
        """See ``Proposes.tell``."""
        part, inner = self.out.pop(proposal.number)
        part.proposer.tell(inner, accuracy, 1.0 if part is self.first else cost)
        if part is self.first and accuracy is not None:
            self.results.append((accuracy, proposal.number, proposal.code))


class NestedProposer(PartsProposer):
    """Proposes as the mode ``nested`` does; see the module.

    An architecture is tried if it fits in the leanest formats. Its result is that of its most accurate candidate.
    """

    def __init__(self, checker: Checker, sampler: str, seed: int) -> None:
        super().__init__(checker, sampler, seed)
        self.outer = self.part(Narrowed(checker, architectures(checker.space, richest=False)))
        self.architecture: Proposal | None = None
        self.inner: Part | None = None
        self.tried = 0
        self.best: tuple[float, float] | None = None

    def waiting(self) -> bool:
        """The next architecture follows from the results of the one before."""
        return self.tried >= INNER and bool(self.out)

    def propose(self, used: float) -> Proposal | None:
        """See ``Proposes.propose``."""
        while True:
            if self.inner is not None and self.tried < INNER:
                found = self.inner.propose()
                if found is not None:
                    self.tried += 1
                    return self.numbered(self.inner, found, 1)
                self.tried = INNER  # no more formats fit
            if self.out:
                return None
            if self.architecture is not None:
                accuracy, cost = self.best or (None, self.architecture.cost)
                self.outer.proposer.tell(self.architecture, accuracy, cost)
            chosen = self.outer.propose()
            if chosen is None:
                return None
            self.architecture, code = chosen
            self.inner = self.part(Narrowed(self.checker, formats_of(self.checker.space, code)))
            self.tried, self.best = 0, None

    def tell(self, proposal: Proposal, accuracy: float | None, cost: float) -> None:
        """See ``Proposes.tell``."""
        part, inner = self.out.pop(proposal.number)
        part.proposer.tell(inner, accuracy, cost)
        if accuracy is not None and (self.best is None or accuracy > self.best[0]):
            self.best = accuracy, cost
