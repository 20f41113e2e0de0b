"""Small networks, specs around them, a second hardware model, and implementations found by trying all of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from hypothesis import strategies as st

from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Bools, Estimate, Estimator, Floats, Ints
from flow.estimate.table import COLUMNS, LayerTable, table_of
from flow.implement.options import BLOCK_SHARE
from flow.implement.rules import check_layer, io_type_for, layer_reuse_factors, strategy_of
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate, Network, build_network
from flow.resources import RESOURCE_NAMES, Resources
from flow.space.candidate import Candidate, Kind, LayerChoice
from flow.spec import BOUNDS, Bound, Spec

FAMILY = "zynq7000"
WEIGHTS = [WeightFormat.parse(t) for t in ("binary", "ternary", "fixed<3,1>", "fixed<6,1>", "fixed<12,2>")]
RELUS = [FixedFormat(w, 1, signed=False) for w in (1, 4, 8, 16)]


def spec_of(
    budget: Resources | None = None, fps: float = 1000.0, latency_us: float | None = None, bound: Bound = "upper"
) -> Spec:
    """A spec at 100 MHz; without a budget nothing is limited."""
    return Spec(budget or Resources(), fps, latency_us, 100.0, None, bound)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of at most three weight layers with few reuse factors: vectors, or images of 4 x 4 pixels."""
    weight, relu = st.sampled_from(WEIGHTS), st.sampled_from(RELUS)
    blocks = []
    image = draw(st.booleans())
    if image:
        kinds: list[Kind] = ["conv2d", "depthwise"]
        kind = draw(st.sampled_from(kinds))
        blocks.append(
            LayerChoice(
                kind, 0 if kind == "depthwise" else draw(st.sampled_from([2, 3, 4])), draw(weight), draw(relu),
                kernel=draw(st.sampled_from([(1, 1), (3, 3), (1, 3)])), pool=draw(st.sampled_from([1, 2])),
                stride=draw(st.sampled_from([(1, 1), (2, 2)])), residual=draw(st.booleans()),
            )
        )  # fmt: skip
    blocks += [
        LayerChoice("dense", draw(st.sampled_from([2, 6, 10])), draw(weight), draw(relu))
        for _ in range(draw(st.integers(0, 1 if image else 2)))
    ]
    shape = (4, 4, draw(st.sampled_from([1, 2]))) if image else (draw(st.sampled_from([4, 6, 16])),)
    head: Literal["gap", "flatten"] = "flatten" if len(blocks) < 2 and draw(st.booleans()) else "gap"
    candidate = Candidate(shape, FixedFormat(8, 1, signed=False), 3, tuple(blocks), draw(weight), head)
    try:
        return build_network(candidate)
    except InvalidCandidate:  # a residual whose shapes differ, a pooling larger than the image
        plain = tuple(replace(b, residual=False, pool=1) for b in blocks)
        return build_network(replace(candidate, layers=plain))


@dataclass(frozen=True)
class RandomHardware:
    """Another hardware's model: amounts are random in layer and reuse factor, cycles grow with it, as they must.

    Nothing is smooth or monotonic in it, so that a solver that counts on the shape of one model is found out.
    """

    seed: int
    name: str = "random"
    version: str = "1"
    note: str = "made up"

    def at_clock(self, clock_ns: float) -> RandomHardware:
        return self

    def draw(self, table: LayerTable, salt: int, below: int, *more: Ints) -> Floats:
        key = np.full(len(table), self.seed * 1000 + salt, dtype=np.uint64)
        for column in (*(getattr(table, n) for n in COLUMNS[1:]), *more):
            key = (key ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        return (key % np.uint64(below)).astype(np.float64)

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        weight = table.is_weight
        reused = np.where(weight, reuse, 0)
        lut, ff, bram18, uram, dsp = (
            self.draw(table, salt, below, reused) for salt, below in enumerate((400, 300, 6, 3, 9))
        )
        factor = np.where(weight, reuse, 1).astype(np.float64)
        interval = np.ceil(factor * (1 + self.draw(table, 10, 3)) / 2) + self.draw(table, 11, 2)
        fill = np.ceil(factor * (1 + self.draw(table, 12, 4)) / 3) + self.draw(table, 13, 5)
        return Estimate(lut, ff, bram18, uram, dsp, interval, fill)

    def top(self) -> Floats:
        return np.array([7.0, 5.0, 1.0, 0.0, 2.0])

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        # An option that is small in the middle may be large at its upper end, and the other way round.
        values, reused = estimate.resources(), np.where(table.is_weight, reuse, 0)
        more = np.stack([self.draw(table, 20 + i, b, reused) for i, b in enumerate((500, 300, 5, 2, 6))], axis=1)
        return np.floor(values / 2), values + more


@dataclass(frozen=True)
class Choice:
    """One way to build a network: its amounts, the upper ends of them, and cycles."""

    reuse: tuple[int, ...]
    use: Floats
    high: Floats
    interval: float
    latency: float

    @property
    def cost(self) -> float:
        return float(self.use[0] + BLOCK_SHARE * self.use[2:].sum())

    def checked(self, spec: Spec) -> Floats:
        """What is compared with the budget."""
        return self.high if spec.bound == "upper" else self.use

    def meets(self, spec: Spec) -> bool:
        limits = [np.inf if v is None else v for _, v in spec.budget]
        checked = self.checked(spec)
        most = spec.max_latency_cycles
        return bool(
            (checked <= limits).all()
            and self.interval <= spec.max_interval_cycles
            and (most is None or self.latency <= most)
        )


def every_choice(network: Network, estimator: Estimator = CALIBRATED) -> list[Choice]:
    """All valid ways to build ``network``, by the rules and the estimator alone."""
    stream = io_type_for(network) == "io_stream"
    table = table_of([network])
    estimator = estimator.at_clock(10.0)
    options: list[list[tuple[int, Floats, Floats, float, float]]] = []
    for row, layer in enumerate(network):
        factors = [0]
        if layer.weight is not None:
            factors = [
                r for r in layer_reuse_factors(layer)
                if check_layer(layer, strategy_of(layer, r), r) is None
            ]  # fmt: skip
        one = table.select(np.full(len(factors), row))
        latency = np.array([r > 0 and strategy_of(layer, r) == "Latency" for r in factors])
        arguments = one, np.array(factors), np.full(len(factors), stream), latency, FAMILY
        estimate = estimator.rows(*arguments)
        high = estimator.bounds(*arguments, estimate)[1]
        cycles = estimate.interval.tolist(), estimate.fill.tolist()
        options.append(list(zip(factors, estimate.resources(), high, *cycles, strict=True)))
    choices = []
    for picked in itertools.product(*options):
        interval = max(p[3] for p in picked)
        choices.append(
            Choice(
                tuple(p[0] for p in picked if p[0]),
                sum((p[1] for p in picked), estimator.top()),
                sum((p[2] for p in picked), estimator.top()),
                interval,
                max(sum(p[4] for p in picked) + (interval if stream else 0.0), 1.0),
            )
        )
    return choices


def best(choices: list[Choice], spec: Spec) -> Choice | None:
    """The cheapest choice that meets the spec."""
    return min((c for c in choices if c.meets(spec)), key=lambda c: c.cost, default=None)


@st.composite
def specs_around(draw: st.DrawFn, choices: list[Choice]) -> Spec:
    """A spec near what is possible: limits between the least and the most that any choice takes, or none."""

    def between(values: list[float]) -> float | None:
        low, high = min(values), max(values)
        share = draw(st.none() | st.floats(-0.05, 1.0))
        return None if share is None else float(max(np.floor(low + share * (high - low)), 0.0))

    bound = draw(st.sampled_from(BOUNDS))
    any_spec = spec_of(bound=bound)
    budget = Resources(
        **{n: between([float(c.checked(any_spec)[i]) for c in choices]) for i, n in enumerate(RESOURCE_NAMES)}
    )
    interval = between([c.interval for c in choices]) or 1e9
    latency = between([c.latency for c in choices])
    return spec_of(budget, 1e8 / interval, None if not latency else latency / 100.0, bound)
