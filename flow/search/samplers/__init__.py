"""Samplers: what decides which feasible code is tried next. A module of this package is a sampler, by its own name.

A module ``NAME.py`` here defines ``TITLE``, one line for people, and ``make(codes, seed)``, which gives a ``Sampler``;
nothing else has to be changed for ``--sampler NAME``. ``tests/search/test_samplers.py`` holds each one to the contract.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol

from flow.errors import unknown_name
from flow.search.feasible import FeasibleCodes
from flow.space.space import Codes


def names() -> tuple[str, ...]:
    """The modules of this package that are samplers."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


SAMPLERS = names()
"""The names there are."""


class Sampler(Protocol):
    """Contract of a sampler.

    - ``ask`` gives a code of ``codes.space`` that is feasible and was not proposed before (``codes.draw`` and
      ``codes.near`` give such, ``codes.new`` tells which are), or None if none can be found. The caller marks it as
      taken. Several codes may be out before the first result comes.
    - ``tell`` is called once for each code asked for, with its validation accuracy, None if it failed, and its cost,
      at last: a measured cost may differ from the predicted one.
    - All randomness comes from ``seed`` and ``codes``: the same calls give the same codes. There is no other state; a
      resumed search makes the same calls again.
    """

    def ask(self) -> Codes | None:
        """The next code to try, shape (decisions,)."""

    def tell(self, code: Codes, accuracy: float | None, cost: float) -> None:
        """What became of a code."""


def make_sampler(name: str, codes: FeasibleCodes, seed: int) -> Sampler:
    """A sampler by name. Raises InputError for an unknown name, MissingDependency for what it needs."""
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    sampler: Sampler = importlib.import_module(f"{__name__}.{name}").make(codes, seed)
    return sampler


def titles() -> dict[str, str]:
    """What each sampler does, in one line, by name."""
    return {name: importlib.import_module(f"{__name__}.{name}").TITLE for name in SAMPLERS}
