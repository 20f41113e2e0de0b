"""Predictions of networks and how they are implemented: resources and cycles, of one by layer, or of many at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.estimate.calibrated import CALIBRATED, CalibratedEstimator
from flow.estimate.structural import Bools, Estimator, Floats, Ints
from flow.estimate.table import LayerTable, table_of
from flow.implement.implementation import Implementation
from flow.network.network import Network
from flow.resources import RESOURCE_NAMES, Measurement, Resources

TOP = "(top level)"
"""Name of the entry for what is there once a network."""
LUT4_FAMILIES = ("ecp5", "ice40")
"""Families that no vendor's HLS builds for, with LUTs of four inputs where the model counts LUTs of six."""
CHUNK = 8192
"""Rows estimated at once by ``predict_batch``."""


@dataclass(frozen=True)
class LayerPrediction:
    """What one layer takes. ``reuse`` and ``strategy`` are None for layers without weights.

    ``interval_cycles``: between two inferences if this layer were alone; ``fill_cycles``: what it adds to the latency.
    """

    name: str
    op: str
    reuse: int | None
    strategy: str | None
    resources: Resources
    interval_cycles: int
    fill_cycles: int

    def to_dict(self) -> dict[str, Any]:
        """JSON form, resources at the top level."""
        return {
            "name": self.name,
            "op": self.op,
            "reuse_factor": self.reuse,
            "strategy": self.strategy,
            **self.resources.to_dict(),
            "interval_cycles": self.interval_cycles,
            "fill_cycles": self.fill_cycles,
        }


@dataclass(frozen=True)
class Prediction:
    """``total`` is the sum of ``layers``; the last of them is the top level."""

    total: Measurement
    layers: tuple[LayerPrediction, ...]


def predict(
    network: Network, implementation: Implementation, part: str, family: str, estimator: Estimator = CALIBRATED
) -> Prediction:
    """What ``network`` takes on a part of device family ``family`` if it is built as ``implementation`` says.

    The interval of a network is that of its slowest layer; its latency the sum of the layers' ``fill_cycles`` and,
    where they stream, that interval. Low and high ends are sums of the layers', since errors of one network go the
    same way. Raises InputError if the network can't be built so.
    """
    if not network.layers:
        raise InputError("the network has no layers")
    refusal = implementation.check(network)
    if refusal is not None:
        raise InputError(f"the implementation is not valid: {refusal.sentence}")
    estimator = estimator.at_clock(1000.0 / implementation.clock_mhz)
    chosen = {layer.name: layer for layer in implementation.layers}
    table = table_of([network])
    own = [chosen.get(layer.name) for layer in network]
    reuse = np.array([0 if c is None else c.reuse for c in own], dtype=np.int64)
    latency = np.array([c is not None and c.strategy == "Latency" for c in own])
    stream = np.full(len(table), implementation.io_type == "io_stream")
    estimate = estimator.rows(table, reuse, stream, latency, family)
    low, high = estimator.bounds(table, reuse, stream, latency, family, estimate)
    silent: tuple[str, ...] = getattr(estimator, "silent", ())  # see ``flow.estimate.models``
    use, top = estimate.resources(), estimator.top()
    interval = float(estimate.interval.max())
    total = Measurement(
        source="predicted",
        tool=estimator.name,
        version=estimator.version,
        part=part,
        clock_mhz=implementation.clock_mhz,
        resources=_resources(use.sum(axis=0) + top, silent),
        latency_cycles=max(_whole(estimate.fill.sum() + (interval if stream[0] else 0.0)), 1),
        interval_cycles=_whole(interval),
        low=_resources(low.sum(axis=0) + top, silent),
        high=_resources(high.sum(axis=0) + top, silent),
        note=estimator.note + _foreign(family),
    )
    layers = [
        LayerPrediction(
            layer.name,
            layer.op,
            None if c is None else c.reuse,
            None if c is None else c.strategy,
            _resources(use[row], silent),
            _whole(estimate.interval[row]),
            _whole(estimate.fill[row]),
        )
        for row, (layer, c) in enumerate(zip(network, own, strict=True))
    ]
    layers.append(LayerPrediction(TOP, "top", None, None, _resources(top, silent), 1, 0))
    return Prediction(total, tuple(layers))


@dataclass(frozen=True, eq=False)
class BatchPrediction:
    """What many networks take: resources and the ends of their 90% intervals, shape (networks, 5) in the order of
    ``RESOURCE_NAMES``, and cycles, shape (networks,). Networks without rows take the top level."""

    resources: Floats
    low: Floats
    high: Floats
    interval: Floats
    latency: Floats


def predict_batch(
    table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimator: Estimator = CALIBRATED
) -> BatchPrediction:
    """The predictions that ``predict`` makes for one network, for all of a table at once, at the estimator's clock.

    ``reuse``, ``latency``: by row, see ``Estimator.rows``; ``stream``: io_stream, by network.
    """
    sums, interval = np.zeros((3, len(RESOURCE_NAMES), table.networks)), np.zeros(table.networks)
    fill = np.zeros(table.networks)
    for start in range(0, len(table), CHUNK):  # a core's cache holds the intermediate columns of so many rows
        part = slice(start, min(start + CHUNK, len(table)))
        rows = table.select(np.arange(part.start, part.stop))
        first = int(rows.network[0])
        mine = slice(first, int(rows.network[-1]) + 1)
        group, streams = rows.network - first, stream[rows.network]
        estimate = estimator.rows(rows, reuse[part], streams, latency[part], family)
        ends = estimator.bounds(rows, reuse[part], streams, latency[part], family, estimate)
        for side, amounts in enumerate((estimate.resources(), *ends)):
            for number, column in enumerate(amounts.T):
                sums[side, number, mine] += np.bincount(group, weights=column)
        fill[mine] += np.bincount(group, weights=estimate.fill)
        edges = np.flatnonzero(np.diff(group, prepend=-1))
        place = rows.network[edges]
        interval[place] = np.maximum(interval[place], np.maximum.reduceat(estimate.interval, edges))
    total = np.ceil(sums.transpose(0, 2, 1) + estimator.top() - 1e-9)
    cycles = np.maximum(np.ceil(fill + np.where(stream, interval, 0.0) - 1e-9), 1.0)
    return BatchPrediction(total[0], total[1], total[2], np.ceil(interval - 1e-9), cycles)


def after_synthesis(prediction: Measurement, estimator: CalibratedEstimator = CALIBRATED) -> Measurement:
    """What logic synthesis makes of a design of which ``prediction`` says what HLS reports; cycles are the same.

    The errors of the two stages are taken as independent: the logarithms of their intervals add up as squares. There
    are few pairs of reports, so the interval is wide. Raises InputError for what is no prediction.
    """
    if prediction.source != "predicted":
        raise InputError(f"a stage after it is predicted from a prediction, not from one of source {prediction.source}")
    sides: list[dict[str, float | None]] = [{}, {}, {}]
    for name, value in prediction.resources:
        first, middle, last = estimator.fitted.synthesis.get(name, (0.0, 0.0, 0.0))
        ends = getattr(prediction.low, name), getattr(prediction.high, name)
        if value is None or value == 0:
            for side in sides:
                side[name] = value
            continue
        most, after = math.log((ends[1] or value) / value), math.exp(middle)
        below = math.log(max(ends[0] or 0.0, 1.0) / value) if value > 1 else 0.0
        sides[0][name] = round(value * after)
        sides[1][name] = math.floor(value * after * math.exp(-math.hypot(below, first - middle)))
        sides[2][name] = math.ceil(value * after * math.exp(math.hypot(most, last - middle)))
    used, low, high = (Resources(**side) for side in sides)
    note = f"predicts logic synthesis, from few pairs of reports; {prediction.note}"
    return replace(prediction, resources=used, low=low, high=high, note=note)


def _foreign(family: str) -> str:
    """What has to be said of a prediction for a family that hls4ml does not target, with a separator before it."""
    if family.lower() not in LUT4_FAMILIES:
        return ""
    return f"; hls4ml builds nothing for {family}: LUTs of six inputs as on an AMD part, {family} has LUTs of four"


def _resources(amounts: Floats, silent: tuple[str, ...]) -> Resources:
    """Whole amounts as Python numbers."""
    return Resources(**{n: None if n in silent else _whole(v) for n, v in zip(RESOURCE_NAMES, amounts, strict=True)})


def _whole(value: float) -> int:
    return math.ceil(float(value) - 1e-9)
