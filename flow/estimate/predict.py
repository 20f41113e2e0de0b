"""The prediction for one network and how it is implemented: resources and cycles, in all and by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Estimator, Floats
from flow.estimate.table import table_of
from flow.implement.implementation import Implementation
from flow.network.network import Network
from flow.resources import RESOURCE_NAMES, Measurement, Resources

TOP = "(top level)"
"""Name of the entry for what is there once a network."""


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
        note=estimator.note,
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


def _resources(amounts: Floats, silent: tuple[str, ...]) -> Resources:
    """Whole amounts as Python numbers."""
    return Resources(**{n: None if n in silent else _whole(v) for n, v in zip(RESOURCE_NAMES, amounts, strict=True)})


def _whole(value: float) -> int:
    return math.ceil(float(value) - 1e-9)
