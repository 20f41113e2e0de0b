"""Expected hypervolume improvement over feasible codes, with a Gaussian process for the accuracy.

The cost of a code and whether it is feasible are known before anything is trained; only its accuracy is not. So each
proposal looks at some hundred feasible codes (uniform draws, and mutants of the front), predicts their accuracies, and
takes the code that is expected to enlarge the area under the front of (accuracy, logarithm of the cost) most. In one
dimension that is a plain mean over quantiles. Results still out count as if they came out as predicted.

Hypervolume improvement: doi:10.1109/TEVC.2005.851275; Gaussian processes: Rasmussen and Williams, 2006.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.search.feasible import FeasibleCodes
from flow.search.process import Process, fit
from flow.search.samplers import Sampler
from flow.space.space import Codes

TITLE = "expected hypervolume improvement with a Gaussian process, over feasible codes"

FIRST = 8
"""Codes at the start, spread over the costs there are, before the first model."""
DRAWS, MUTANTS = 128, 384
"""Codes looked at for one proposal: uniform draws, and mutants of the front."""
REACH = 3
"""Most decisions that a mutant changes, on average."""
QUANTILES = np.array([-1.88, -1.18, -0.76, -0.43, -0.14, 0.14, 0.43, 0.76, 1.18, 1.88])
"""Ten equally likely values of a standard normal variable (medians of its tenths, tails rounded)."""
NEARLY_ALL = 0.02
"""Errors are compared as ratios, but those under 2% as differences: targets are log(1 - accuracy + 0.02)."""

Floats = NDArray[np.float64]


def make(codes: FeasibleCodes, seed: int) -> Sampler:
    """See ``flow.search.samplers``; ``codes`` has the seed already."""
    return EhviSampler(codes)


class EhviSampler:
    """See the module."""

    def __init__(self, codes: FeasibleCodes) -> None:
        self.codes = codes
        self.tried: list[Codes] = []
        self.results: dict[bytes, tuple[float, float]] = {}  # accuracy and cost

    def ask(self) -> Codes | None:
        """See ``Sampler.ask``."""
        code = self._first() if len(self.tried) < FIRST or len(self.results) < 3 else self._best()
        if code is not None:
            self.tried.append(code)
        return code

    def tell(self, code: Codes, accuracy: float | None, cost: float) -> None:
        """See ``Sampler.tell``; a failure counts as an accuracy of 0."""
        self.results[code.tobytes()] = (accuracy or 0.0, cost)

    def _first(self) -> Codes | None:
        """A code whose cost is farthest from those tried, of some dozens of draws."""
        drawn = self._drawn(DRAWS // 4)
        if not len(drawn):
            return self.codes.draw()
        if not self.tried:
            first: Codes = drawn[0]
            return first
        costs = np.array([log_cost(self.codes.cost(c)) for c in drawn])
        known = np.array([log_cost(self.codes.cost(c)) for c in self.tried])
        distance = np.abs(costs[:, None] - known[None, :]).min(axis=1)
        chosen: Codes = drawn[int(np.argmax(distance))]
        return chosen

    def _best(self) -> Codes | None:
        done = np.array([c for c in self.tried if c.tobytes() in self.results])
        accuracy, cost = np.array([self.results[c.tobytes()] for c in done]).T
        front = staircase(accuracy, cost)
        pool = self._pool(done[front])
        if not len(pool):
            return self.codes.draw()
        out = np.array([c for c in self.tried if c.tobytes() not in self.results])
        space = self.codes.space
        inputs = Process.inputs(space, [done, pool, *([out] if len(out) else [])], self.codes.checker.features)
        model = fit(inputs[0], warped(accuracy))
        costs = np.log10(np.maximum(cost, 1e-9))
        if len(out):
            believed = unwarped(model.predict(inputs[2])[0])
            accuracy = np.concatenate([accuracy, believed])
            costs = np.concatenate([costs, [log_cost(self.codes.cost(c)) for c in out]])
            model = model.with_points(inputs[2], warped(believed))
        mean, deviation = model.predict(inputs[1])
        pool_costs = np.array([log_cost(self.codes.cost(c)) for c in pool])
        gain = expected_gain(mean, deviation, pool_costs, accuracy, costs)
        chosen: Codes = pool[int(np.argmax(gain))]
        return chosen

    def _drawn(self, count: int) -> Codes:
        """Up to ``count`` uniform feasible new codes, perhaps none."""
        drawn = self.codes.space.sample(self.codes.rng, count)
        return drawn[self.codes.new(drawn)[0]]

    def _pool(self, front: Codes) -> Codes:
        mutants = self.codes.mutants(front, MUTANTS, REACH)
        mutants = mutants[self.codes.new(mutants)[0]]
        drawn = self._drawn(DRAWS)
        return np.unique(np.concatenate([mutants, drawn]), axis=0)


def log_cost(cost: float) -> float:
    """Costs are compared by ratios."""
    return float(np.log10(max(cost, 1e-9)))


def warped(accuracy: Floats) -> Floats:
    """Accuracies as the model sees them."""
    result: Floats = -np.log(1 - accuracy + NEARLY_ALL)
    return result


def unwarped(value: Floats) -> Floats:
    """Inverse of :func:`warped`, within 0 and 1."""
    return np.clip(1 + NEARLY_ALL - np.exp(-value), 0.0, 1.0)


def staircase(accuracy: Floats, cost: Floats) -> NDArray[np.int64]:
    """Indices of the points that no other dominates, cheapest first."""
    order = np.lexsort((-accuracy, cost))
    best = np.maximum.accumulate(accuracy[order])
    keep = np.concatenate([[True], accuracy[order][1:] > best[:-1]])
    kept: NDArray[np.int64] = order[keep]
    return kept


def expected_gain(mean: Floats, deviation: Floats, costs: Floats, accuracy: Floats, known_costs: Floats) -> Floats:
    """Expected gain in area of each of (``mean``, ``costs``), beyond the front of the known points.

    The area is of accuracies above half of the best, and logarithms of costs below the largest of all.
    """
    front = staircase(accuracy, known_costs)
    floor, ceiling = accuracy.max() / 2, max(costs.max(), known_costs.max()) + 1e-3
    edges = np.concatenate([[-np.inf], known_costs[front], [ceiling]])
    levels = np.concatenate([[floor], np.maximum(accuracy[front], floor)])
    widths = np.clip(edges[1:] - np.maximum(edges[:-1], costs[:, None]), 0.0, None)
    values = unwarped(mean[:, None] + deviation[:, None] * QUANTILES)
    gain = np.clip(values[:, None, :] - levels[None, :, None], 0.0, None).mean(axis=2)
    total: Floats = (gain * widths).sum(axis=1)
    return total
