"""How much of the paper's space keeps its limits: uniform samples, each with the best tiles and groups there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.paper.candidates import choices_from_codes
from flow.paper.exact import solve_exact
from flow.paper.model import CORRECTED, PAPER, HardwareModel, Limits
from flow.paper.solve import BATCH
from flow.paper.tiles import layer_fronts
from flow.report.text import table
from flow.space.space import load_space

PAPER_LIMITS = (Limits(30_000, 1000), Limits(100_000, 1000), Limits(300_000, 1000))
"""The limits of the designs D, E and F."""

TIGHT_LIMITS = (Limits(10_000, 1000), Limits(3_000, 1000), Limits(30_000, 3000), Limits(10_000, 3000))
"""Limits under which fewer and fewer networks are feasible."""

ALL_LIMITS = (*PAPER_LIMITS, *TIGHT_LIMITS)

Z_95 = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""


@dataclass(frozen=True)
class FeasibleShare:
    """Samples that keep the limits under a model: counts, share, and the ends of its 95% interval (Wilson).

    ``no_bits`` counts samples with a layer of 0 bits of weights or activations, which computes nothing. The paper's
    space has them: they are feasible if the model says so, and ``feasible_real`` counts the feasible others.
    """

    model: HardwareModel
    limits: Limits
    samples: int
    no_bits: int
    feasible: int
    feasible_real: int
    share: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95% interval of a binomial share. Raises InputError for no trials.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209; it holds for shares near 0 and 1, where the normal one fails.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise InputError(f"{successes} of {trials} is no share")
    share, square = successes / trials, Z_95**2 / trials
    middle = share + square / 2
    half = Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    # The ends at 0 and 1 are exact; rounding would move them.
    low = 0.0 if successes == 0 else (middle - half) / (1 + square)
    high = 1.0 if successes == trials else (middle + half) / (1 + square)
    return low, high


def share_of_feasible(
    samples: int = 10_000,
    seed: int = 0,
    models: Sequence[HardwareModel] = (PAPER, CORRECTED),
    limits: Sequence[Limits] = PAPER_LIMITS,
    space: str = "paper-iccad19",
) -> list[FeasibleShare]:
    """Shares by model, then limits, all on the same ``samples`` uniform samples of ``space``.

    A sample is feasible if any tiles and groups keep the limits (exact solver); one that concatenates images of
    different sizes is not. Raises InputError for a space of another kind than the paper's.
    """
    rng = np.random.default_rng(seed)
    loaded = load_space(space)
    no_bits = 0
    counts = np.zeros((len(models), len(limits), 2), dtype=np.int64)
    for start in range(0, samples, BATCH):
        codes = loaded.sample(rng, min(BATCH, samples - start))
        choices = choices_from_codes(loaded, codes)
        no_bits += int(choices.no_bits.sum())
        for m, model in enumerate(models):
            work = model.work_of(choices)
            fronts = layer_fronts(work)
            for n, limit in enumerate(limits):
                fits = solve_exact(fronts, limit, model.resident).feasible & ~work.mismatch
                counts[m, n] += int(fits.sum()), int((fits & ~choices.no_bits).sum())
    return [
        FeasibleShare(model, limit, samples, no_bits, feasible, real, feasible / samples, *wilson(feasible, samples))
        for model, row in zip(models, counts.tolist(), strict=True)
        for limit, (feasible, real) in zip(limits, row, strict=True)
    ]


def shares_text(shares: Sequence[FeasibleShare]) -> str:
    """The shares as a table."""
    rows = [
        [
            s.model.label,
            f"{s.limits.lut:,}",
            f"{s.limits.throughput_per_s:g}",
            f"{100 * s.share:.2f}%",
            f"{100 * s.low:.2f}% to {100 * s.high:.2f}%",
            f"{100 * s.feasible_real / max(1, s.samples - s.no_bits):.2f}%",
        ]
        for s in shares
    ]
    head = ["model", "LUT limit", "images/s", "feasible", "95% interval", "of those with bits everywhere"]
    return table(head, rows, right=(1, 2, 3, 4, 5))
