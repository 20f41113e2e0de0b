"""Proposing candidates: a sampler under hard constraints; what is infeasible is refused before it costs anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from flow.search.feasible import Checks, FeasibleCodes
from flow.search.samplers import make_sampler
from flow.space.space import Codes

if TYPE_CHECKING:
    from flow.spec import Spec


@dataclass(frozen=True)
class Proposal:
    """A feasible code not proposed before, with its number and its cost as the checker has it.

    ``stage``: part of the search it belongs to; only candidates of one stage compete with each other. ``final``:
    whether it can be a winner. ``spec``: the limits it keeps, None for those of the search.
    """

    number: int
    code: Codes
    cost: float
    stage: int = 1
    final: bool = True
    spec: Spec | None = None


class Proposes(Protocol):
    """What the search loop asks for candidates; :mod:`flow.search.modes` has several."""

    @property
    def rejected(self) -> Counter[str]:
        """How many codes were refused, by reason."""

    def waiting(self) -> bool:
        """Whether nothing can be proposed before more results are told."""

    def propose(self, used: float) -> Proposal | None:
        """The next proposal, None if there is no more, or none before more results are told (``waiting``).

        ``used``: share of the trials or of the training budget that is used up, whichever is more.
        """

    def tell(self, proposal: Proposal, accuracy: float | None, cost: float) -> None:
        """The result of a proposal; ``accuracy`` None if it failed, or turned out not to fit."""

    def recheck(self) -> None:
        """The checker judges otherwise from here on."""


class Proposer:
    """Proposes codes one at a time; deterministic in its seed and the results it is told."""

    def __init__(self, checker: Checks, sampler: str, seed: int) -> None:
        self.codes = FeasibleCodes(checker, seed)
        self.sampler = make_sampler(sampler, self.codes, seed)
        self.number = 0

    @property
    def rejected(self) -> Counter[str]:
        """How many codes were refused, by reason."""
        return self.codes.rejected

    @property
    def checked(self) -> int:
        """How many codes were looked at."""
        return self.codes.checked

    @property
    def nearest_miss(self) -> tuple[float, Codes] | None:
        """The least violation seen while nothing was feasible, and its code."""
        return self.codes.nearest_miss

    def waiting(self) -> bool:
        """There is always a next proposal, until the space is exhausted."""
        return False

    def propose(self, used: float = 0.0) -> Proposal | None:
        """The next proposal, or None when the space is exhausted (or nothing feasible was found in it)."""
        code = self.sampler.ask()
        if code is None:
            return None
        cost = self.codes.take(code)
        self.number += 1
        return Proposal(self.number - 1, code, cost)

    def tell(self, proposal: Proposal, accuracy: float | None, cost: float) -> None:
        """The result of a proposal; ``accuracy`` None if it failed."""
        self.sampler.tell(proposal.code, accuracy, cost)

    def recheck(self) -> None:
        """The checker judges otherwise from here on."""
        self.codes.recheck()
