"""Why nothing in a space meets a spec, and the smallest change of the spec that helps, found on a sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Bools, Estimator, Floats
from flow.estimate.table import LayerTable
from flow.implement.batch import REASONS, BatchSolution, solve_batch
from flow.implement.solver import refusal_text
from flow.resources import RESOURCE_NAMES
from flow.space.batch import RULES, Batch, batch_table
from flow.space.space import Codes, SearchSpace, Task
from flow.spec import MAX_CYCLES, Spec

SAMPLES = 2048
"""Codes drawn at random."""
ROUNDS, PARENTS, CHILDREN = 6, 64, 512
"""Then this often: of the nearest misses so many get so many mutants, which replace nothing."""
CLOCKS = (1.5, 2.0, 3.0, 4.0)
"""Clocks tried, in times of the present one; more than the last is no advice."""
CLOCK_STEPS = 10
"""Bisections between two of them: to 0.1%."""

Knob = Literal["LUT", "FPS", "LATENCY", "CLOCK"]


@dataclass(frozen=True)
class Change:
    """One limit of the spec and the value of it at which a sampled candidate fits, all others as they were.

    Units: LUTs, inferences/s, microseconds, MHz. ``times``: how much looser than now, above 1.
    """

    knob: Knob
    value: float
    times: float

    def __str__(self) -> str:
        return f"{self.knob}={self.value:.10g} ({self.times:.3g} times {'less' if self.knob == 'FPS' else 'more'})"


@dataclass(frozen=True)
class Diagnosis:
    """``reasons``: how many of the ``sampled`` candidates each refused, ``binding`` that of the nearest miss ("" if no
    sampled candidate is a valid network, or one fits). ``changes``: the smallest first, each enough on its own; exact
    for the sample, but of clocks to 0.1%. ``sentence``: all that in one line."""

    sampled: int
    reasons: Mapping[str, int]
    binding: str
    changes: tuple[Change, ...]
    sentence: str


def diagnose(
    space: SearchSpace, task: Task, spec: Spec, family: str, seed: int, estimator: Estimator = CALIBRATED
) -> Diagnosis:
    """What keeps the candidates of ``space`` from ``spec``. Takes seconds; the same seed gives the same answer."""
    codes = _sample(space, task, spec, family, seed, estimator)
    batch = batch_table(space, codes, task)
    now = solve_batch(batch.table, spec, family, estimator)
    valid = batch.broken == 0
    reasons = Counter(RULES[b] or REASONS[r] for b, r in zip(batch.broken, now.reason, strict=True) if b or r)
    count = f"{len(codes):,} sampled candidate{'s' if len(codes) > 1 else ''}"
    if not valid.any():
        why = ", ".join(f"{name} ({number:,})" for name, number in reasons.most_common(3))
        return Diagnosis(len(codes), reasons, "", (), f"none of {count} is a valid network on this data set: {why}")
    if now.feasible.any():
        return Diagnosis(len(codes), reasons, "", (), f"{now.feasible.sum():,} of {count} fit")
    nearest = int(np.argmin(np.where(valid, now.violation, np.inf)))
    changes = _Changes(batch.table, spec, family, estimator, now).all()
    sentence = f"of {count} none fits; of the nearest: {refusal_text(now, nearest, spec)}"
    if changes:
        sentence += f"; smallest change that helps: {changes[0]}"
        if changes[1:]:
            sentence += f", or {', or '.join(map(str, changes[1:]))}"
    else:
        sentence += "; no change of LUT, FPS, LATENCY or CLOCK alone helps: loosen several, or take a larger board"
    return Diagnosis(len(codes), reasons, REASONS[now.reason[nearest]], changes, sentence)


def changes_for(table: LayerTable, spec: Spec, family: str, estimator: Estimator = CALIBRATED) -> tuple[Change, ...]:
    """The least change of each limit with which a network of ``table`` fits, the smallest first; empty if one fits."""
    now = solve_batch(table, spec, family, estimator)
    return () if now.feasible.any() else _Changes(table, spec, family, estimator, now).all()


def _sample(space: SearchSpace, task: Task, spec: Spec, family: str, seed: int, estimator: Estimator) -> Codes:
    """Different codes: random ones, and mutants of those that miss the spec by the least."""
    rng = np.random.default_rng([seed, 0xD1A6])
    codes = np.unique(space.sample(rng, SAMPLES), axis=0)
    violation = _violation(batch_table(space, codes, task), spec, family, estimator)
    for _ in range(ROUNDS):
        parents = codes[np.argsort(violation, kind="stable")[:PARENTS]][rng.integers(0, PARENTS, CHILDREN) % len(codes)]
        flip = rng.random(parents.shape) < 2.0 / max(int((space.sizes > 1).sum()), 1)
        fresh = rng.integers(0, space.sizes, size=parents.shape)
        children = np.unique(space.canonical(np.where(flip, fresh, parents)), axis=0)
        known = {code.tobytes() for code in codes}
        children = children[[code.tobytes() not in known for code in children]]
        if len(children):
            more = _violation(batch_table(space, children, task), spec, family, estimator)
            codes, violation = np.concatenate([codes, children]), np.concatenate([violation, more])
    return codes


def _violation(batch: Batch, spec: Spec, family: str, estimator: Estimator) -> Floats:
    """By what share networks miss the limits; invalid ones come after all others, by how many rules they break."""
    missed = solve_batch(batch.table, spec, family, estimator).violation
    return np.where(batch.faults > 0, 1e9 * batch.faults, missed)


@dataclass(frozen=True)
class _Changes:
    """Looks for the least change of one limit at a time."""

    table: LayerTable
    spec: Spec
    family: str
    estimator: Estimator
    now: BatchSolution

    @property
    def valid(self) -> Bools:
        """Networks that are candidates at all."""
        return np.isfinite(self.now.violation)

    def all(self) -> tuple[Change, ...]:
        found = [self.lut(), self.fps(), self.latency(), self.clock()]
        return tuple(sorted((c for c in found if c is not None), key=lambda c: c.times))

    def solve(self, spec: Spec, networks: Bools) -> BatchSolution:
        """The solution of some of the networks; the others count as invalid."""
        return solve_batch(self.table.select(networks[self.table.network]), spec, self.family, self.estimator)

    def lut(self) -> Change | None:
        """The least budget with which one fits.

        Networks refused for something else miss that other limit whatever LUTs they are given.
        """
        budget = self.spec.budget.lut
        if budget is None:
            return None
        value = self.least(
            math.floor(budget),
            lambda most: replace(self.spec, budget=replace(self.spec.budget, lut=most)),
            lambda solution: solution.checked[:, RESOURCE_NAMES.index("lut")],
            self.now.reason == REASONS.index("LUT"),
        )
        return None if value is None else Change("LUT", value, value / budget if budget > 0 else math.inf)

    def fps(self) -> Change | None:
        """The highest throughput at which one fits."""
        clock = self.spec.clock_mhz * 1e6
        cycles = self.least(
            self.spec.max_interval_cycles,
            lambda most: replace(self.spec, min_throughput_per_s=clock / most),
            lambda solution: solution.interval,
            self.valid,
        )
        if cycles is None:
            return None
        value = _rounded(clock / cycles, math.floor)
        return Change("FPS", value, self.spec.min_throughput_per_s / value)

    def latency(self) -> Change | None:
        """The lowest latency at which one fits."""
        limit = self.spec.max_latency_us
        if limit is None:
            return None
        cycles = self.least(
            self.spec.max_latency_cycles or 1,
            lambda most: replace(self.spec, max_latency_us=most / self.spec.clock_mhz),
            lambda solution: solution.latency,
            self.valid,
        )
        if cycles is None:
            return None
        value = _rounded(cycles / self.spec.clock_mhz, math.ceil)
        return Change("LATENCY", value, value / limit)

    def clock(self) -> Change | None:
        """A clock at which one fits, and none at a slightly lower one.

        More clock loosens throughput and latency, but takes registers and cycles: so the range is tried in steps.
        """
        now, slow = self.spec.clock_mhz, 1.0
        for times in CLOCKS:
            alive = self.fits_at(now * times, self.valid)
            if alive.any():
                break
            slow = times
        else:
            return None
        low, high = now * slow, now * times
        for _ in range(CLOCK_STEPS):
            middle = (low + high) / 2
            fits = self.fits_at(middle, alive)
            low, high, alive = (low, middle, fits) if fits.any() else (middle, high, alive)
        value = _rounded(high, math.ceil)
        value = value if value <= now * times and self.fits_at(value, alive).any() else high
        return Change("CLOCK", value, value / now)

    def fits_at(self, clock_mhz: float, networks: Bools) -> Bools:
        """Which networks fit at a clock."""
        return self.solve(replace(self.spec, clock_mhz=clock_mhz), networks).feasible

    def least(
        self, now: int, spec_of: Callable[[float], Spec], value_of: Callable[[BatchSolution], Floats], networks: Bools
    ) -> int | None:
        """The least limit above ``now`` with which one of the networks fits; None if none fits without a limit."""
        solution = self.solve(spec_of(MAX_CYCLES), networks)
        alive = solution.feasible
        if not alive.any():
            return None
        low, high = now, math.ceil(float(value_of(solution)[alive].min()))
        while high - low > 1:
            middle = (low + high) // 2
            solution = self.solve(spec_of(middle), alive)
            if solution.feasible.any():
                alive = solution.feasible
                high = math.ceil(float(value_of(solution)[alive].min()))
            else:
                low = middle
        return high


def _rounded(value: float, how: Callable[[float], int]) -> float:
    """Four significant digits, rounded with ``how``."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return float(f"{how(value / unit) * unit:.4g}")
