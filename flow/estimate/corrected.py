"""An estimator corrected by what a tool reported for designs of this run.

A tool and a space deviate from a model in their own way, and much the same way for all designs of a run: one factor a
resource, and one each for interval and fill, takes out what the designs have in common. It is the median of reported
over predicted, drawn towards 1 as long as few designs are known, by the rule for a normal mean with a normal prior
(Gelman et al., "Bayesian Data Analysis", ch. 2): trust grows with the number of reports and falls with their spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from flow.estimate.structural import OFFSET, Bools, Estimate, Estimator, Floats, Ints
from flow.estimate.table import LayerTable
from flow.resources import RESOURCE_NAMES, Measurement

COLUMNS = (*RESOURCE_NAMES, "interval", "fill")
"""What has a factor: resources, the cycles between two inferences, and the latency without them."""

AMONG = np.array([0.30, 0.26, 0.18, 0.18, 2.1, 0.30, 0.30])
"""Standard deviation of log(reported / predicted) among designs of one project, before a run has shown its own."""

BETWEEN = np.array([0.35, 0.42, 1.8, 1.8, 0.63, 0.35, 0.35])
"""Standard deviation of that logarithm's middle between projects. Both are robust figures of the calibrated model on 54
designs of 11 public projects (``hls4ml_layers.csv``, summed by design); UltraRAM is taken as BRAM, cycles as LUTs."""

PRIOR_REPORTS = 2.0
"""How many reports the figure in AMONG counts for in the spread of a run."""

MOST = math.log(10.0)
"""Largest logarithm of a factor: a tool that is further off does not report on what was predicted."""

NORMAL_95 = 1.645
"""Standard deviations from the middle of a normal distribution to its 5% and 95% quantiles."""

GRAIN = 16.0
"""Memory and DSP blocks of a layer are corrected to sixteenths of a block: 0.6 of one block would round to one, and the
factor be lost in the sum. Sums of sixteenths are exact."""

_OFFSETS = np.concatenate([OFFSET, [0.0, 0.0]])
NOTE = "corrected by this run's reports"


@dataclass(frozen=True)
class Correction:
    """Logarithms of reported over predicted, one row a design in any order, columns as ``COLUMNS``; NaN: unknown."""

    ratios: tuple[tuple[float, ...], ...] = ()

    def with_report(self, predicted: Measurement, reported: Measurement, stream: bool) -> Correction:
        """The correction with one design more.

        ``predicted`` is the uncorrected prediction for exactly the design that was reported; ``stream``: io_stream.
        """
        pairs = zip(_amounts(predicted, stream), _amounts(reported, stream), _OFFSETS, strict=True)
        row = tuple(math.nan if p is None or r is None else math.log((r + o) / (p + o)) for p, r, o in pairs)
        return Correction((*self.ratios, row))

    @property
    def reports(self) -> int:
        """How many designs it has learned from."""
        return len(self.ratios)

    @cached_property
    def fit(self) -> tuple[Floats, Floats, Floats]:
        """By column: logarithm of the factor, trust from 0 to 1, and the standard deviation of a new design's error."""
        table = np.array(self.ratios, dtype=np.float64).reshape(-1, len(COLUMNS))
        factor, trust, error = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS)), np.hypot(AMONG, BETWEEN)
        for i in range(len(COLUMNS)):
            known = np.sort(table[np.isfinite(table[:, i]), i])
            if not len(known):
                continue
            middle = float(np.median(known))
            own = 1.4826 * float(np.median(np.abs(known - middle)))
            further = len(known) - 1
            variance = (PRIOR_REPORTS * AMONG[i] ** 2 + further * own**2) / (PRIOR_REPORTS + further)
            trust[i] = len(known) / (len(known) + variance / BETWEEN[i] ** 2)
            factor[i] = np.clip(trust[i] * middle, -MOST, MOST)
            error[i] = math.sqrt(variance + BETWEEN[i] ** 2 * (1 - trust[i]))
        return factor, trust, error

    def factors(self) -> dict[str, float]:
        """What predictions are multiplied by, by column."""
        return dict(zip(COLUMNS, np.exp(self.fit[0]).tolist(), strict=True))


def _amounts(m: Measurement, stream: bool) -> list[float | None]:
    """The columns of a measurement. ``fill`` is the latency, without the interval where layers stream."""
    fill: float | None = None
    if m.latency_cycles is not None and not stream:
        fill = m.latency_cycles
    elif m.latency_cycles is not None and m.interval_cycles is not None:
        fill = max(m.latency_cycles - m.interval_cycles, 1)
    return [*(value for _, value in m.resources), m.interval_cycles, fill]


@dataclass(frozen=True)
class CorrectedEstimator:
    """``base`` times the factors of ``correction``; without reports it gives exactly what ``base`` does."""

    base: Estimator
    correction: Correction

    @property
    def name(self) -> str:
        """See ``Estimator.name``."""
        return self.base.name

    @property
    def version(self) -> str:
        """See ``Estimator.version``."""
        return self.base.version

    @property
    def note(self) -> str:
        """See ``Estimator.note``."""
        return f"{self.base.note}, {NOTE}" if self.correction.reports else self.base.note

    def at_clock(self, clock_ns: float) -> CorrectedEstimator:
        """See ``Estimator.at_clock``."""
        return replace(self, base=self.base.at_clock(clock_ns))

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        """See ``Estimator.rows``."""
        estimate = self.base.rows(table, reuse, stream, latency, family)
        return self._corrected(estimate) if self.correction.reports else estimate

    def top(self) -> Floats:
        """See ``Estimator.top``. What the offsets of the ratios add to a network is added here, once."""
        top = self.base.top()
        if not self.correction.reports:
            return top
        factor = np.exp(self.correction.fit[0][: len(RESOURCE_NAMES)])
        corrected: Floats = np.rint(np.maximum(top * factor + (factor - 1) * OFFSET, 0.0))
        return corrected

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        """See ``Estimator.bounds``: from those of ``base`` towards those this run's reports show, as trust grows."""
        if not self.correction.reports:
            return self.base.bounds(table, reuse, stream, latency, family, estimate)
        before = self.base.rows(table, reuse, stream, latency, family)
        low, high = self.base.bounds(table, reuse, stream, latency, family, before)
        middle, now = before.resources() + OFFSET, estimate.resources()
        _, trust, error = (column[: len(RESOURCE_NAMES)] for column in self.correction.fit)
        own = trust * NORMAL_95 * error
        ends = []
        for end, side in ((low, -1.0), (high, 1.0)):
            ratio = np.exp((1 - trust) * np.log((end + OFFSET) / middle) + side * own)
            ends.append((now + OFFSET) * ratio - OFFSET)
        # Layers that take none of a resource take none: the offsets are for whole designs.
        none = (now == 0) & (high == 0)
        low = np.where(none, 0.0, np.floor(np.clip(ends[0], 0.0, now) * GRAIN) / GRAIN)
        high = np.where(none, 0.0, np.ceil(np.maximum(ends[1], now) * GRAIN) / GRAIN)
        return low, high

    def _corrected(self, estimate: Estimate) -> Estimate:
        factor = self.correction.factors()
        changed = {}
        for name in COLUMNS:
            value = getattr(estimate, name) * factor[name]
            if name in ("lut", "ff"):
                changed[name] = np.rint(value)
            elif name in RESOURCE_NAMES:
                changed[name] = np.rint(value * GRAIN) / GRAIN
            else:
                changed[name] = np.ceil(value - 1e-9)
        return replace(estimate, **changed)
