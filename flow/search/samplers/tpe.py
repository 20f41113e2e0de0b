"""TPE: Optuna's tree-structured Parzen estimator for several objectives (doi:10.1145/3377930.3389817)."""

from __future__ import annotations

from flow.search.feasible import FeasibleCodes
from flow.search.samplers import Sampler
from flow.search.samplers._optuna import OptunaSampler, import_optuna

TITLE = "Optuna's tree-structured Parzen estimator"


def make(codes: FeasibleCodes, seed: int) -> Sampler:
    """See ``flow.search.samplers``. Raises MissingDependency without Optuna."""
    optuna = import_optuna()
    return OptunaSampler(codes, optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, constant_liar=True))
