"""Dynamic programs side by side: the last step of ``flow.implement.knapsack``, which see.

Partial choices of all problems are flat arrays sorted by problem; each step adds one row of every problem.
"""

from __future__ import annotations

import numpy as np

from flow.estimate.structural import Bools, Floats, Ints

KEEP = 1024
"""Partial choices kept a problem: those with the lowest bounds."""
WINDOW = 6
"""Neighbours in the order of cost that are tried for dominance. More find more, and take longer."""


class Program:
    """Some problems' rows and options, as in ``knapsack.Choices`` but with what is known of them.

    ``amount``: uses and fill, shape (options, k); ``limit``: of each, shape (problems, k), that of fill with the least
    interval there can be taken off; ``factors``: Lagrange multipliers; ``known``: only costs below it are of interest;
    ``grain``: half the least difference of two costs.
    """

    def __init__(
        self, *, problem: Ints, row: Ints, cost: Floats, amount: Floats, interval: Floats, limit: Floats, time: Floats,
        floor: Floats, factors: Floats, known: Floats, grain: float,
    ) -> None:  # fmt: skip
        self.cost, self.amount, self.interval = cost, amount, interval
        self.limit, self.time, self.floor = limit, time, floor
        self.factors, self.known, self.grain = factors, known, grain
        self.constant = (factors * np.where(factors > 0, limit, 0.0)).sum(axis=1)
        self.row_of = row
        self.first = starts(row)
        self.count = np.diff(np.append(self.first, len(row)))
        # Rows with few options come first: the partial choices stay few for longest.
        order = np.lexsort((self.count, problem))
        self.rows = len(problem)
        step = np.arange(self.rows) - starts(problem)[problem]
        self.steps = int(step.max()) + 1
        self.row = np.full((len(time), self.steps), -1, dtype=np.int64)
        self.row[problem, step] = order
        self.suffixes(problem)

    def suffixes(self, problem: Ints) -> None:
        """What the rows after each step need at least, and what their cheapest options use."""
        factors = self.factors[problem][self.row_of]
        row_bound = np.minimum.reduceat(self.cost + (factors * self.amount).sum(axis=1), self.first)
        row_use = np.minimum.reduceat(self.amount, self.first, axis=0)
        row_interval = np.minimum.reduceat(self.interval, self.first)
        hits = np.flatnonzero(self.cost == np.minimum.reduceat(self.cost, self.first)[self.row_of])
        cheapest = hits[np.diff(self.row_of[hits], prepend=-1) > 0]
        highest = np.maximum.reduceat(self.amount, self.first, axis=0)
        shape, k = (len(self.time), self.steps + 1), self.amount.shape[1]
        self.after_bound, self.after_cost = np.zeros(shape), np.zeros(shape)
        self.after_interval, self.cheapest_interval = np.zeros(shape), np.zeros(shape)
        self.after_use, self.cheapest_use = np.zeros((*shape, k)), np.zeros((*shape, k))
        total = np.zeros((len(self.time), k))
        for step in range(self.steps - 1, -1, -1):
            row = self.row[:, step]
            there, option = row >= 0, cheapest[row]
            for sums, values in (
                (self.after_bound, row_bound[row]),
                (self.after_cost, self.cost[option]),
                (self.after_use, row_use[row]),
                (self.cheapest_use, self.amount[option]),
            ):
                add = there if values.ndim == 1 else there[:, None]
                sums[:, step] = sums[:, step + 1] + np.where(add, values, 0.0)
            for most, values in (
                (self.after_interval, row_interval[row]),
                (self.cheapest_interval, self.interval[option]),
            ):
                most[:, step] = np.maximum(most[:, step + 1], np.where(there, values, 0.0))
            total += np.where(there[:, None], highest[row], 0.0)
        self.relevant = total > self.limit
        slowest = np.maximum(self.floor, np.maximum.reduceat(self.interval, self.first[starts(problem)]))
        self.relevant[:, -1] = total[:, -1] + slowest > self.time
        self.single = (self.relevant.sum(axis=1) == 1) & ~(self.relevant[:, -1] & (slowest > self.floor))

    def run(self) -> tuple[Ints, Floats]:
        """The option of each row, -1 where nothing is better than ``known``; and by problem a cost that all partial
        choices that had to be let go reach, or else the cost of the best choice (inf if there is none)."""
        problem = np.arange(len(self.time))
        cost, largest = np.zeros(len(problem)), self.floor.copy()
        used = np.zeros((len(problem), self.amount.shape[1]))
        reach, lost = self.known.copy(), np.full(len(problem), np.inf)
        trail: list[tuple[Ints, Ints]] = []
        for step in range(self.steps):
            row = self.row[problem, step]
            options = np.where(row >= 0, self.count[row], 1)
            parent = np.repeat(np.arange(len(problem)), options)
            offset = np.arange(len(parent)) - np.repeat(np.cumsum(options) - options, options)
            row, problem = row[parent], problem[parent]
            there = row >= 0
            option = np.where(there, self.first[row] + offset, -1)
            cost = cost[parent] + np.where(there, self.cost[option], 0.0)
            used = used[parent] + np.where(there[:, None], self.amount[option], 0.0)
            largest = np.maximum(largest[parent], np.where(there, self.interval[option], 0.0))
            fits = self.fits(problem, used + self.after_use[problem, step + 1],
                             np.maximum(largest, self.after_interval[problem, step + 1]))  # fmt: skip
            whole = fits & self.fits(problem, used + self.cheapest_use[problem, step + 1],
                                     np.maximum(largest, self.cheapest_interval[problem, step + 1]))  # fmt: skip
            np.minimum.at(reach, problem[whole], (cost + self.after_cost[problem, step + 1])[whole])
            lower = self.lower(step + 1, problem, cost, used)
            fits &= (lower < self.known[problem]) & (lower <= (reach + self.grain)[problem])
            keep = np.flatnonzero(fits)
            keep = keep[self.undominated(problem[keep], cost[keep], used[keep], largest[keep])]
            keep = self.best_bounds(keep, problem, lower, lost)
            problem, cost, used, largest = problem[keep], cost[keep], used[keep], largest[keep]
            trail.append((parent[keep], option[keep]))
        order = np.lexsort((cost, problem))
        at = order[np.diff(problem[order], prepend=-1) > 0]
        lost[problem[at]] = np.minimum(lost[problem[at]], cost[at])
        chosen = np.full(self.rows, -1, dtype=np.int64)
        for parent, option in reversed(trail):
            picked = option[at][option[at] >= 0]
            chosen[self.row_of[picked]] = picked
            at = parent[at]
        return chosen, lost

    def fits(self, problem: Ints, used: Floats, largest: Floats) -> Bools:
        """Whether uses and the largest interval meet all limits."""
        late = used[:, -1] + largest > self.time[problem]
        over: Bools = np.any(used[:, :-1] > self.limit[problem, :-1], axis=1)
        return ~(late | over)

    def lower(self, step: int, problem: Ints, cost: Floats, used: Floats) -> Floats:
        """A lower bound on the cost of every completion."""
        relaxed = (self.factors[problem] * used).sum(axis=1) + self.after_bound[problem, step]
        bound: Floats = cost + np.maximum(relaxed - self.constant[problem], self.after_cost[problem, step])
        return bound

    def undominated(self, problem: Ints, cost: Floats, used: Floats, largest: Floats) -> Ints:
        """Partial choices of which no neighbour is no worse in cost and in every limit that counts."""
        relevant = self.relevant[problem]
        sizes = np.where(relevant, used, 0.0)
        longest = np.where(relevant[:, -1], largest, 0.0)
        total = sizes.sum(axis=1)
        order = np.lexsort((longest, total, cost, problem))
        problem, sizes, longest, total = problem[order], sizes[order], longest[order], total[order]
        # Where one limit counts, the least use so far in the order of cost settles it. The shift separates problems.
        single = self.single[problem]
        least = np.minimum.accumulate(np.where(single, total, 0.0) - problem * (total.max(initial=0.0) + 1.0))
        worse = np.zeros(len(order), dtype=bool)
        worse[1:] = single[1:] & (problem[1:] == problem[:-1]) & (least[1:] == least[:-1])
        for shift in range(1, WINDOW + 1):
            worse[shift:] |= (
                (problem[shift:] == problem[:-shift])
                & np.all(sizes[shift:] >= sizes[:-shift], axis=1)
                & (longest[shift:] >= longest[:-shift])
            )
        return order[~worse]

    def best_bounds(self, keep: Ints, problem: Ints, lower: Floats, lost: Floats) -> Ints:
        """At most ``KEEP`` a problem, sorted; the bounds of the others go to ``lost``."""
        if not (np.bincount(problem[keep]) > KEEP).any():
            return np.sort(keep)
        order = keep[np.lexsort((keep, lower[keep], problem[keep]))]
        first = np.diff(problem[order], prepend=-1) > 0
        rank = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        gone = order[rank >= KEEP]
        np.minimum.at(lost, problem[gone], lower[gone])
        return np.sort(order[rank < KEEP])


def starts(group: Ints) -> Ints:
    """Where each group begins in a sorted column."""
    return np.flatnonzero(np.diff(group, prepend=-1))
