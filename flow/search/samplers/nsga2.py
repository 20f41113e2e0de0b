"""NSGA-II: Optuna's genetic algorithm for several objectives (doi:10.1109/4235.996017)."""

from __future__ import annotations

from flow.search.feasible import FeasibleCodes
from flow.search.samplers import Sampler
from flow.search.samplers._optuna import OptunaSampler, import_optuna

TITLE = "Optuna's genetic algorithm for several objectives"


def make(codes: FeasibleCodes, seed: int) -> Sampler:
    """See ``flow.search.samplers``. Raises MissingDependency without Optuna."""
    optuna = import_optuna()
    return OptunaSampler(codes, optuna.samplers.NSGAIISampler(seed=seed, population_size=12))
