"""Proposing candidates: samplers under hard constraints, with every infeasible point refused before it costs anything.

``random`` draws uniformly from the feasible codes. ``tpe`` and ``nsga2`` are Optuna's samplers: what they ask for is
taken if it is feasible and new, else replaced by a feasible new code that differs in few decisions, which the
sampler is told instead. Refused codes never count as trials.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import MissingDependency
from flow.search.check import Checker
from flow.search.journal import distributions, new_study
from flow.space.space import Codes, all_codes

if TYPE_CHECKING:
    import optuna

BATCH = 512
"""Codes checked at once: large enough to amortise the vectorised path, small enough to stay under 20 ms."""
ROUNDS = 60
"""Batches tried for one proposal before the space counts as exhausted (about 30,000 codes)."""
ENUMERATE = 200_000
"""Spaces up to this size are enumerated exactly when nothing new is found."""


@dataclass(frozen=True)
class Proposal:
    """A feasible code not proposed before, with its number, its cost as the checker has it, and its Optuna trial (None
    for random)."""

    number: int
    code: Codes
    cost: float
    trial: Any


class Proposer:
    """Proposes codes one at a time; deterministic in its seed and the results it is told."""

    def __init__(self, checker: Checker, sampler: str, seed: int) -> None:
        self.checker, self.space = checker, checker.space
        self.rng = np.random.default_rng([seed, 0xF10])
        self.rejected: Counter[str] = Counter()
        self.checked = 0
        self.seen: set[bytes] = set()
        self.costs: dict[bytes, float] = {}
        self.number = 0
        self.nearest_miss: tuple[float, Codes] | None = None
        self.study = None if sampler == "random" else _study(sampler, seed)
        self.distributions = None if self.study is None else distributions(self.space)
        self._pool: list[Codes] = []
        self._barren = False

    def propose(self) -> Proposal | None:
        """The next proposal, or None when the space is exhausted (or nothing feasible was found in it)."""
        if self.study is None:
            code, trial = self._draw(), None
        else:
            code, trial = self._ask()
        if code is None:
            return None
        self.seen.add(code.tobytes())
        self.number += 1
        return Proposal(self.number - 1, code, self.costs[code.tobytes()], trial)

    def tell(self, proposal: Proposal, accuracy: float | None, cost: float) -> None:
        """The result of a proposal; ``accuracy`` None if it failed."""
        if self.study is None:
            return
        import optuna

        if accuracy is None:
            self.study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(proposal.trial, [accuracy, float(np.log10(max(cost, 1e-9)))])

    def _ask(self) -> tuple[Codes | None, Any]:
        import optuna

        assert self.study is not None
        trial = self.study.ask(self.distributions)
        wanted = np.array([trial.params.get(d.name, 0) for d in self.space.decisions], dtype=np.int64)
        code = self.space.canonical(wanted[None, :])[0]
        if self._accept(code[None, :])[0].size:
            return code, trial
        repaired = self._repair(code)
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if repaired is None:
            return None, None
        names = [d.name for d in self.space.decisions if len(d.options) > 1]
        values = {d.name: int(v) for d, v in zip(self.space.decisions, repaired, strict=True)}
        self.study.enqueue_trial({n: values[n] for n in names})
        return repaired, self.study.ask(self.distributions)

    def _accept(self, codes: Codes) -> tuple[Codes, NDArray[np.float64]]:
        """Indices of the feasible codes not seen before, and the violations of all.

        Counts the refused ones and keeps the nearest miss.
        """
        checked = self.checker.check(codes)
        self.checked += len(codes)
        self.rejected.update(checked.reasons())
        if not checked.feasible.any():
            best = int(np.argmin(checked.violation))
            if self.nearest_miss is None or checked.violation[best] < self.nearest_miss[0]:
                self.nearest_miss = (float(checked.violation[best]), codes[best])
        new, within = [], set()
        for i in np.flatnonzero(checked.feasible):
            key = codes[i].tobytes()
            if key not in self.seen and key not in within:
                within.add(key)
                new.append(i)
                self.costs[key] = float(checked.cost[i])
        return np.array(new, dtype=np.int64), checked.violation

    def _draw(self) -> Codes | None:
        """A uniform draw from the feasible codes not seen before."""
        while self._pool:
            code = self._pool.pop()
            if code.tobytes() not in self.seen:
                return code
        # Where a whole draw found nothing the next one hardly will: one batch, then a repair, saves seconds each time.
        for _ in range(1 if self._barren else ROUNDS):
            codes = self.space.sample(self.rng, BATCH)
            found, _ = self._accept(codes)
            if found.size:
                self._pool = [codes[i] for i in found[::-1]]
                return self._pool.pop()
        self._barren = True
        return self._repair(codes[0])

    def _repair(self, start: Codes) -> Codes | None:
        """A feasible new code near ``start``: mutants of few decisions first, climbing down the violation if none."""
        base, base_violation = start, np.inf
        free = np.flatnonzero(self.space.sizes > 1)
        for round_number in range(ROUNDS):
            reach = 1 + 2 * (1 + round_number % 12)
            rates = self.rng.integers(1, reach + 1, size=(BATCH, 1)) / max(len(free), 1)
            flip = (self.rng.random((BATCH, len(base))) < rates) & (self.space.sizes > 1)
            fresh = self.rng.integers(0, self.space.sizes, size=(BATCH, len(base)))
            mutants = np.where(flip, fresh, base)
            mutants = self.space.canonical(mutants)
            found, violation = self._accept(mutants)
            if found.size:
                distance = (mutants[found] != start).sum(axis=1)
                nearest: Codes = mutants[found[np.argmin(distance)]]
                return nearest
            best = int(np.argmin(violation))
            if violation[best] < base_violation:
                base, base_violation = mutants[best], violation[best]
            elif round_number % 12 == 11:  # stuck: start again from a random point
                base, base_violation = self.space.sample(self.rng, 1)[0], np.inf
        return self._enumerate()

    def _enumerate(self) -> Codes | None:
        """The first feasible new code of a small space, by trying all of them; None if there is none."""
        if self.space.size > ENUMERATE or np.prod(self.space.sizes.astype(object)) > 64 * ENUMERATE:
            return None
        for codes in all_codes(self.space):
            found, _ = self._accept(codes)
            if found.size:
                first: Codes = codes[found[0]]
                return first
        return None


def _study(sampler: str, seed: int) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency("optuna", "search") from error
    if sampler == "tpe":
        chosen: Any = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, constant_liar=True)
    else:
        chosen = optuna.samplers.NSGAIISampler(seed=seed, population_size=12)
    return new_study(chosen)
