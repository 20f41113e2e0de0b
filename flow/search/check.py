"""The free rungs of the ladder: validity rules, implementation and prediction of many codes at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Estimator
from flow.implement.solver import REASONS, BatchSolution, solve_batch
from flow.search.features import network_features
from flow.space.batch import RULES, batch_table
from flow.space.space import Codes, SearchSpace, Task
from flow.spec import Spec

if TYPE_CHECKING:
    from flow.search.settings import Problem

INVALID = 1e9
"""Violation of a code that breaks one rule: more than any valid network misses its limits by."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What the free rungs say of each code. ``violation`` is 0 where feasible, else by what share of the limits it
    misses them at least, summed over the limits. Invalid codes are beyond all valid ones, by how many rules they break.

    ``cost`` is the objective to be minimised: predicted LUTs, in the middle of their interval, without the factor that
    reports have taught this run: so costs from before and after a correction can be compared.
    """

    feasible: NDArray[np.bool_]
    violation: NDArray[np.float64]
    cost: NDArray[np.float64]
    broken: NDArray[np.int64]
    solution: BatchSolution

    def reason(self, index: int) -> str:
        """Why one code was refused, in a word or two; empty if it was not."""
        rule = RULES[self.broken[index]]
        if rule or self.feasible[index]:
            return rule
        return REASONS[self.solution.reason[index]]

    def reasons(self) -> Counter[str]:
        """How many codes each reason refused."""
        refused = np.flatnonzero(~self.feasible)
        return Counter(self.reason(int(i)) for i in refused)


class Checker:
    """Applies validity rules, solver and predictor to codes of one space under one spec."""

    def __init__(
        self,
        space: SearchSpace,
        task: Task,
        spec: Spec,
        family: str,
        estimator: Estimator = CALIBRATED,
    ) -> None:
        self.space, self.task, self.spec, self.family = space, task, spec, family
        self.estimator = estimator
        self.scale = 1.0
        """What the estimator's LUTs were multiplied by to correct them."""

    def check(self, codes: Codes) -> Checked:
        """The verdict on ``codes``, shape (n, decisions)."""
        batch = batch_table(self.space, codes, self.task)
        solution = solve_batch(batch.table, self.spec, self.family, self.estimator)
        valid = batch.broken == 0
        feasible = valid & solution.feasible
        violation = np.where(valid, solution.violation, INVALID * batch.faults)
        return Checked(feasible, violation, solution.lut / self.scale, batch.broken, solution)

    def features(self, codes: Codes) -> NDArray[np.float64]:
        """What samplers may compare networks by: shape (n, features), 0 for what breaks a rule."""
        return network_features(batch_table(self.space, codes, self.task).table)


def checker_for(problem: Problem, estimator: Estimator = CALIBRATED) -> Checker:
    """The checker of a resolved search."""
    return Checker(problem.space, problem.task, problem.spec, problem.board.family, estimator)
