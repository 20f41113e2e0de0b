"""FeasibleCodes: the codes of a space that keep the limits and were not proposed before; samplers choose among them.

Every code a sampler looks at is checked for free, by rules, solver and predictor, and what is refused is counted here
by reason. So no sampler needs to know of limits, and refused codes never count as trials.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flow.search.check import Checked
from flow.space.space import Codes, SearchSpace, all_codes

BATCH = 512
"""Codes checked at once: large enough to amortise the vectorised path, small enough to stay under 20 ms."""
ROUNDS = 60
"""Batches tried for one proposal before the space counts as exhausted (about 30,000 codes)."""
ENUMERATE = 200_000
"""Spaces up to this size are enumerated exactly when nothing new is found."""


class Checks(Protocol):
    """What says which codes are feasible and what they cost; ``flow.search.check.Checker`` does."""

    @property
    def space(self) -> SearchSpace: ...

    def check(self, codes: Codes) -> Checked:
        """The verdict on ``codes``, shape (n, decisions)."""

    def features(self, codes: Codes) -> NDArray[np.float64]:
        """What is known of the networks for free, shape (n, features); see ``flow.search.features``."""


class FeasibleCodes:
    """See the module. Deterministic in ``seed`` and the calls; ``taken`` are the keys (bytes) of proposed codes."""

    def __init__(self, checker: Checks, seed: int) -> None:
        self.checker, self.space = checker, checker.space
        self.rng = np.random.default_rng([seed, 0xF10])
        self.rejected: Counter[str] = Counter()
        self.checked = 0
        self.taken: set[bytes] = set()
        self.costs: dict[bytes, float] = {}
        self.nearest_miss: tuple[float, Codes] | None = None
        self._pool: list[Codes] = []
        self._barren = False

    def take(self, code: Codes) -> float:
        """Mark a feasible code as proposed; returns its cost, as the checker has it."""
        key = code.tobytes()
        self.taken.add(key)
        return self.costs[key]

    def recheck(self) -> None:
        """Forget what was found feasible and not proposed yet: the checker judges otherwise now."""
        self._pool, self._barren = [], False

    def cost(self, code: Codes) -> float:
        """The cost of a code that was found feasible. Raises KeyError for any other."""
        return self.costs[code.tobytes()]

    def new(self, codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Indices of the feasible codes that were not proposed, each once, and the violations of all codes.

        ``codes``: canonical, shape (n, decisions). Counts the refused ones and keeps the nearest miss.
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
            if key not in self.taken and key not in within:
                within.add(key)
                new.append(i)
                self.costs[key] = float(checked.cost[i])
        return np.array(new, dtype=np.int64), checked.violation

    def draw(self) -> Codes | None:
        """A uniform draw from the feasible new codes; None if none was found."""
        while self._pool:
            code = self._pool.pop()
            if code.tobytes() not in self.taken:
                return code
        # Where a whole draw found nothing the next one hardly will: one batch, then a repair, saves seconds each time.
        for _ in range(1 if self._barren else ROUNDS):
            codes = self.space.sample(self.rng, BATCH)
            found, _ = self.new(codes)
            if found.size:
                self._pool = [codes[i] for i in found[::-1]]
                return self._pool.pop()
        self._barren = True
        return self.near(codes[0])

    def near(self, start: Codes) -> Codes | None:
        """A feasible new code near ``start``: mutants of few decisions first, climbing down the violation if none."""
        base, base_violation = start, np.inf
        for round_number in range(ROUNDS):
            mutants = self.mutants(base[None, :], BATCH, 1 + 2 * (1 + round_number % 12))
            found, violation = self.new(mutants)
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

    def mutants(self, parents: Codes, count: int, reach: int) -> Codes:
        """``count`` codes, each a parent (in turn) with 1 to ``reach`` of its decisions drawn anew, on average."""
        base = parents[np.arange(count) % len(parents)]
        free = int((self.space.sizes > 1).sum())
        rates = self.rng.integers(1, reach + 1, size=(count, 1)) / max(free, 1)
        flip = (self.rng.random(base.shape) < rates) & (self.space.sizes > 1)
        fresh = self.rng.integers(0, self.space.sizes, size=base.shape)
        return self.space.canonical(np.where(flip, fresh, base))

    def _enumerate(self) -> Codes | None:
        """The first feasible new code of a small space, by trying all of them; None if there is none."""
        if self.space.size > ENUMERATE or np.prod(self.space.sizes.astype(object)) > 64 * ENUMERATE:
            return None
        for codes in all_codes(self.space):
            found, _ = self.new(codes)
            if found.size:
                first: Codes = codes[found[0]]
                return first
        return None
