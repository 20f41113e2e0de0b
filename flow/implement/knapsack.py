"""Exact multiple-choice knapsacks, many at once: one option a row, least total cost, while every limit holds.

A problem's limits are on sums of uses, and on its time: the sum of ``fill`` plus the largest ``interval``. Rows are
layers, options reuse factors; but nothing here knows that. Three steps, all problems side by side in flat arrays:

1. Lagrangian bounds. Multipliers along one direction, found by bisection, give a lower bound and good solutions.
2. An option that the lower bound shows cannot be in a better solution than the best one known is dropped.
3. Dynamic programming over the rows: partial choices that cannot fit, cannot become better, or are dominated are
   dropped. What is left at the end is the optimum.

Step 3 keeps at most ``program.KEEP`` partial choices a problem, those with the best bounds. A problem that has more is
solved again, once for each value of its largest interval, which leaves only sums to limit. In 22,000 networks of
all spaces under random limits that was always the optimum (an integer program and trying all choices agree); where
anything is cut short even so, ``bound`` says how far from the optimum the solution can be. What a problem's solution is
depends on that problem alone. Method: Kellerer, Pferschy, Pisinger, "Knapsack Problems", ch. 11 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.estimate.structural import Bools, Floats, Ints
from flow.estimate.table import group_sums
from flow.implement.options import BLOCK_SHARE
from flow.implement.program import Program, starts

BISECTIONS = 14
"""Steps for the multiplier, on a scale of 2**-14 to 2**14 of the problem's cost: it is right to 0.3%."""
GRAIN = BLOCK_SHARE / 2
"""Half the least difference of two costs."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Problems, their rows, the rows' options: each sorted by what it belongs to; every row has an option.

    ``problem``: of each row; ``row``: of each option; ``use``: shape (options, k); ``limit``: shape (problems, k) and
    ``time``: what is left of each limit, inf for none; ``floor``: the least the largest interval can be, whatever is
    chosen. Within a row ``fill`` and ``interval`` never fall.
    """

    problem: Ints
    row: Ints
    cost: Floats
    use: Floats
    fill: Floats
    interval: Floats
    limit: Floats
    time: Floats
    floor: Floats


@dataclass(frozen=True, eq=False)
class Chosen:
    """``option`` of each row, -1 where the problem has no solution; ``bound``: no solution costs less, by problem."""

    option: Ints
    bound: Floats


def choose(choices: Choices) -> Chosen:
    """The cheapest choice for each problem; see the module."""
    chosen = _choose(choices)
    best = np.full(len(choices.time), np.inf)
    solved = chosen.option[starts(choices.problem)] >= 0
    costs = group_sums(choices.cost[np.maximum(chosen.option, 0)], choices.problem, len(best))
    best[solved] = costs[solved]
    for problem in np.flatnonzero(chosen.bound < best - GRAIN):
        _by_threshold(choices, int(problem), float(best[problem]), chosen)
    return chosen


def _choose(choices: Choices) -> Chosen:
    state = _Solver(choices)
    state.thresholds()
    state.multipliers()
    state.improve()
    return state.search()


def _by_threshold(choices: Choices, problem: int, best: float, chosen: Chosen) -> None:
    """Solve a problem that was cut short once for each value its largest interval may have: then only sums are limited.

    ``chosen`` is updated.
    """
    c = choices
    rows = np.flatnonzero(c.problem == problem)
    options = np.flatnonzero(c.problem[c.row] == problem)
    row = c.row[options] - rows[0]
    start = starts(row)
    cost, fill, interval = c.cost[options], c.fill[options], c.interval[options]
    room = c.time[problem] - np.minimum.reduceat(fill, start).sum()
    values = np.unique(np.append(interval, c.floor[problem]))
    floor = max(c.floor[problem], np.minimum.reduceat(interval, start).max())
    parts: list[Ints] = []
    limits: list[float] = []
    for value in values[(values >= floor) & (values <= room)]:
        allowed = np.flatnonzero(interval <= value)
        if np.minimum.reduceat(cost[allowed], starts(row[allowed])).sum() < best - GRAIN:
            parts.append(allowed)
            limits.append(c.time[problem] - value)
    if len(values) < 2 or not parts:
        return
    count = len(parts)
    zeros = np.zeros(sum(map(len, parts)))
    index = np.concatenate(parts)
    found = _choose(
        Choices(
            problem=np.repeat(np.arange(count), len(rows)),
            row=np.concatenate([row[part] + number * len(rows) for number, part in enumerate(parts)]),
            cost=cost[index], use=c.use[options][index], fill=fill[index], interval=zeros,
            limit=np.repeat(c.limit[problem][None], count, axis=0), time=np.array(limits), floor=np.zeros(count),
        )
    )  # fmt: skip
    option = found.option.reshape(count, len(rows))
    costs = np.where(option[:, 0] >= 0, cost[index[np.maximum(option, 0)]].sum(axis=1), np.inf)
    least = int(np.argmin(costs))
    if costs[least] < best - GRAIN:
        chosen.option[rows] = options[index[option[least]]]
    chosen.bound[problem] = max(chosen.bound[problem], min(found.bound.min(), best, costs[least]))


class _Solver:
    """What is known of all problems: bounds, the best choices, and the options that are still in play."""

    def __init__(self, c: Choices) -> None:
        self.c = c
        self.problems = len(c.time)
        self.row_start, self.problem_start = starts(c.row), starts(c.problem)
        self.of_option = c.problem[c.row]
        # All limits side by side; time is the last. Its interval part is bounded by the least possible one.
        amount = np.column_stack([c.use, c.fill])
        tightest = np.maximum(c.floor, self.largest(np.minimum.reduceat(c.interval, self.row_start)))
        limit = np.column_stack([c.limit, c.time - tightest])
        # A limit that no choice can break is left out; time never is.
        most = self.column_sums(np.maximum.reduceat(amount, self.row_start, axis=0))
        kept = np.append((most > limit)[:, :-1].any(axis=0), True)
        self.amount, self.limit = np.ascontiguousarray(amount[:, kept]), limit[:, kept]
        self.best = np.full(self.problems, np.inf)
        self.best_option = np.full(len(c.problem), -1, dtype=np.int64)
        # An interval above what the fastest other layers leave of the time cannot be chosen.
        fastest = self.sums(np.minimum.reduceat(c.fill, self.row_start))
        self.alive = c.interval <= (c.time - fastest)[self.of_option]
        # A problem without hope keeps its options: no choice will fit, and every bound stays finite.
        some = np.minimum.reduceat(np.maximum.reduceat(self.alive, self.row_start), self.problem_start)
        self.alive |= ~some[self.of_option]
        self.bound = self.sums(self.minimum(c.cost))
        self.reduced = c.cost - self.minimum(c.cost)[c.row]
        self.weight = np.zeros((self.problems, self.limit.shape[1]))

    def sums(self, values: Floats) -> Floats:
        """Sum by problem of one value a row."""
        return group_sums(values, self.c.problem, self.problems)

    def column_sums(self, values: Floats) -> Floats:
        """Sums by problem of values of shape (rows, k)."""
        return np.stack([self.sums(column) for column in values.T], axis=1)

    def largest(self, values: Floats) -> Floats:
        """Largest of one value a row by problem."""
        most: Floats = np.maximum.reduceat(values, self.problem_start)
        return most

    def minimum(self, values: Floats, alive: Bools | None = None) -> Floats:
        """Least value of each row's options that are still in play."""
        least: Floats = np.minimum.reduceat(
            np.where(self.alive if alive is None else alive, values, np.inf), self.row_start
        )
        return least

    def pick(self, values: Floats, alive: Bools | None = None) -> Ints:
        """Each row's option of the least value, the first of equal ones."""
        values = np.where(self.alive if alive is None else alive, values, np.inf)
        hits = np.flatnonzero(values == np.minimum.reduceat(values, self.row_start)[self.c.row])
        return hits[np.diff(self.c.row[hits], prepend=-1) > 0]

    def offer(self, option: Ints) -> tuple[Floats, Bools]:
        """Take a choice (one option a row) for each problem it is feasible and better for.

        Returns its uses, and whether it takes too much time.
        """
        c = self.c
        used, cost = self.column_sums(self.amount[option]), self.sums(c.cost[option])
        late = used[:, -1] + np.maximum(c.floor, self.largest(c.interval[option])) > c.time
        better = ~late & np.all(used[:, :-1] <= self.limit[:, :-1], axis=1) & (cost < self.best)
        self.best = np.where(better, cost, self.best)
        rows = better[c.problem]
        self.best_option[rows] = option[rows]
        return used, late

    # --- bounds ---------------------------------------------------------------------------------------------------

    def thresholds(self) -> None:
        """The cheapest choice under the largest common limit on intervals that meets the time, by bisection.

        Both parts of the time rise with that limit, because ``fill`` and ``interval`` never fall within a row.
        """
        c = self.c
        if not c.interval.any():
            return
        low, high = np.zeros(self.problems), np.where(np.isfinite(c.time), c.time, 0.0)
        for _ in range(int(np.log2(max(high.max(), 1.0))) + 2):
            middle = np.floor((low + high) / 2)
            allowed = self.alive & (c.interval <= middle[self.of_option])
            every = np.minimum.reduceat(np.maximum.reduceat(allowed, self.row_start), self.problem_start)
            _, late = self.offer(self.pick(c.cost, allowed))
            low, high = np.where(every & late, low, middle), np.where(every & late, middle, high)

    def multipliers(self) -> None:
        """Lower bounds by Lagrangian relaxation of the limits that the cheapest choice breaks."""
        c = self.c
        used, _ = self.offer(self.pick(c.cost))
        broken = used > self.limit
        self.weight = np.where(broken, 1.0 / np.maximum(self.limit, 1.0), 0.0)
        bounded = np.where(broken, self.limit, 0.0)
        weighted = (self.weight[self.of_option] * self.amount).sum(axis=1)
        scale = self.sums(self.minimum(c.cost)) + 1.0
        low, high = np.full(self.problems, -14.0), np.full(self.problems, 14.0)
        chosen = np.zeros(self.problems)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            factor = scale * 2.0**middle
            values = c.cost + factor[self.of_option] * weighted
            option = self.pick(values)
            used, _ = self.offer(option)
            bound = self.sums(values[option]) - factor * (self.weight * bounded).sum(axis=1)
            better = bound > self.bound
            self.bound = np.where(better, bound, self.bound)
            chosen = np.where(better, factor, chosen)
            over = (self.weight * (used - bounded)).sum(axis=1) > 0
            low, high = np.where(over, middle, low), np.where(over, high, middle)
        self.weight *= chosen[:, None]
        values = c.cost + chosen[self.of_option] * weighted
        self.reduced = values - self.minimum(values)[c.row]

    def improve(self) -> None:
        """Better solutions: the best exchange of one option at a time, from the best choice known."""
        c = self.c
        for _ in range(4):
            known = (self.best_option >= 0)[c.row]
            current = np.where(self.best_option >= 0, self.best_option, self.row_start)
            used = self.column_sums(self.amount[current])
            gain = c.cost[current][c.row] - c.cost
            after = used[self.of_option] + self.amount - self.amount[current][c.row]
            largest = np.maximum(c.floor, self.largest(c.interval[current]))
            fits = np.all(after[:, :-1] <= self.limit[self.of_option, :-1], axis=1)
            fits &= after[:, -1] + np.maximum(largest[self.of_option], c.interval) <= c.time[self.of_option]
            gain = np.where(known & self.alive & fits, gain, 0.0)
            most = self.largest(np.maximum.reduceat(gain, self.row_start))
            if not most.any():
                return
            hits = np.flatnonzero((gain > 0) & (gain == most[self.of_option]))
            hits = hits[np.diff(self.of_option[hits], prepend=-1) > 0]
            current[c.row[hits]] = hits
            self.offer(current)

    # --- search ---------------------------------------------------------------------------------------------------

    def search(self) -> Chosen:
        """Dynamic programming over what is left, for the problems in which something better is left."""
        c = self.c
        cheapest_use = np.minimum.reduceat(self.amount, self.row_start, axis=0)
        room = (self.limit - self.column_sums(cheapest_use))[self.of_option] - (self.amount - cheapest_use[c.row])
        self.alive &= np.all(room >= 0, axis=1)
        self.alive &= self.bound[self.of_option] + self.reduced < (self.best - GRAIN)[self.of_option]
        left = np.add.reduceat(self.alive, self.row_start, dtype=np.int64)
        unsettled = np.minimum.reduceat(left, self.problem_start) > 0
        bound = np.where(unsettled, self.bound, self.best)
        if unsettled.any():
            problems = np.flatnonzero(unsettled)
            option = np.flatnonzero(self.alive & unsettled[self.of_option])
            row, row_of = np.unique(c.row[option], return_inverse=True)
            problem = np.cumsum(unsettled)[c.problem[row]] - 1
            program = Program(
                problem=problem, row=row_of.reshape(-1), cost=c.cost[option], amount=self.amount[option],
                interval=c.interval[option], limit=self.limit[problems], time=c.time[problems],
                floor=c.floor[problems], factors=self.weight[problems], known=self.best[problems] - GRAIN, grain=GRAIN,
            )  # fmt: skip
            chosen, lost = program.run()
            better = np.flatnonzero(chosen >= 0)
            self.best_option[row[better]] = option[chosen[better]]
            self.best = self.sums(c.cost[np.maximum(self.best_option, 0)])
            self.best[self.sums((self.best_option < 0).astype(np.float64)) > 0] = np.inf
            bound[problems] = np.maximum(bound[problems], lost)
        return Chosen(self.best_option, np.minimum(bound, self.best))
