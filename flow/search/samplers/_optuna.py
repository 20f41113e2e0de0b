"""Optuna's samplers under our contract: what they ask for is taken if it is feasible and new, else replaced by a
feasible new code that differs in few decisions, which Optuna is told instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flow.errors import MissingDependency
from flow.search.feasible import FeasibleCodes
from flow.search.journal import distributions, new_study
from flow.space.space import Codes

if TYPE_CHECKING:
    import optuna


def import_optuna() -> Any:
    """The module. Raises MissingDependency."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency("optuna", "search") from error
    return optuna


class OptunaSampler:
    """A study of two objectives: accuracy up, the logarithm of the cost down."""

    def __init__(self, codes: FeasibleCodes, sampler: optuna.samplers.BaseSampler) -> None:
        self.codes = codes
        self.study = new_study(sampler)
        self.distributions = distributions(codes.space)
        self.trials: dict[bytes, optuna.Trial] = {}

    def ask(self) -> Codes | None:
        """See ``Sampler.ask``."""
        import optuna

        trial = self.study.ask(self.distributions)
        decisions = self.codes.space.decisions
        wanted = np.array([trial.params.get(d.name, 0) for d in decisions], dtype=np.int64)
        code: Codes = self.codes.space.canonical(wanted[None, :])[0]
        if not self.codes.new(code[None, :])[0].size:
            near = self.codes.near(code)
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if near is None:
                return None
            code = near
            values = zip(decisions, code.tolist(), strict=True)
            self.study.enqueue_trial({d.name: v for d, v in values if len(d.options) > 1})
            trial = self.study.ask(self.distributions)
        self.trials[code.tobytes()] = trial
        return code

    def tell(self, code: Codes, accuracy: float | None, cost: float) -> None:
        """See ``Sampler.tell``."""
        import optuna

        trial = self.trials.pop(code.tobytes())
        if accuracy is None:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, [accuracy, float(np.log10(max(cost, 1e-9)))])
