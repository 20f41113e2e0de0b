"""Random search: uniform draws from the feasible codes. What every other sampler has to beat."""

from __future__ import annotations

from flow.search.feasible import FeasibleCodes
from flow.search.samplers import Sampler
from flow.space.space import Codes

TITLE = "uniform draws from the feasible codes"


def make(codes: FeasibleCodes, seed: int) -> Sampler:
    """See ``flow.search.samplers``; ``codes`` has the seed already."""
    return RandomSampler(codes)


class RandomSampler:
    """See the module."""

    def __init__(self, codes: FeasibleCodes) -> None:
        self.codes = codes

    def ask(self) -> Codes | None:
        """See ``Sampler.ask``."""
        return self.codes.draw()

    def tell(self, code: Codes, accuracy: float | None, cost: float) -> None:
        """Results change nothing."""
