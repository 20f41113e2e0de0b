"""Hardware models by name: a module of this package is one. Contract: ``flow.estimate.structural.Estimator``.

A module ``NAME.py`` here defines ``ESTIMATOR``; nothing else has to be changed for ``load_estimator(NAME)``. One test
holds all of them to the contract. A model that knows nothing of some resources names them in ``silent``, and gives 0
for them to the solver; they are unknown in what it predicts.
"""

from __future__ import annotations

import importlib
import pkgutil

from flow.errors import unknown_name
from flow.estimate.structural import Estimator


def names() -> tuple[str, ...]:
    """The names there are."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def load_estimator(name: str) -> Estimator:
    """An estimator by name. Raises InputError for an unknown name."""
    if name not in names():
        raise unknown_name("hardware model", name, names())
    estimator: Estimator = importlib.import_module(f"{__name__}.{name}").ESTIMATOR
    return estimator
