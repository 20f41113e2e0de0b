"""What a layer can be built as: every valid reuse factor with its strategy, resources and cycles, for many layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flow.estimate.structural import Bools, Estimate, Estimator, Floats, Ints
from flow.estimate.table import OP_CODE, LayerTable
from flow.implement.rules import (
    LATENCY_BITS,
    UNROLL_LIMIT,
    depthwise_reuse_factors,
    multipliers,
    valid_reuse_factors,
)
from flow.resources import RESOURCE_NAMES

if TYPE_CHECKING:
    from flow.spec import Bound

BLOCK_SHARE = 2.0**-20
"""What a DSP, BRAM18 or UltraRAM block weighs against a LUT: it only decides between options of equal LUTs. A power of
two, so that sums of whole numbers stay exact."""

CHUNK = 8192
"""Options estimated at once: the intermediate columns stay in a core's cache."""

IMAGE_OPS = tuple(OP_CODE[name] for name in ("conv2d", "depthwise", "maxpool", "global_avgpool", "flatten"))


@dataclass(frozen=True, eq=False)
class Options:
    """The options of some layers, one entry an option: sorted by layer, then by reuse factor.

    ``layer``: row of the table it belongs to, each row has at least one; ``start``: where each layer's begin;
    ``latency``: strategy Latency, else Resource; ``use``: resources, shape (5, options) in the order of
    ``RESOURCE_NAMES``; ``checked``: those that are compared with a budget, see ``spec.Bound``; ``cost``: see
    ``cost_of``.
    """

    layer: Ints
    start: Ints
    reuse: Ints
    latency: Bools
    use: Floats
    checked: Floats
    cost: Floats
    interval: Floats
    fill: Floats

    def minimum(self, values: Floats) -> Floats:
        """The least of ``values`` (one an option) for each layer."""
        least: Floats = np.minimum.reduceat(values, self.start) if len(self.start) else np.zeros(0)
        return least

    def first_minimum(self, values: Floats) -> Ints:
        """For each layer the option with the least of ``values``, of equal ones that with the smallest reuse factor."""
        hits = np.flatnonzero(values == self.minimum(values)[self.layer])
        first = np.flatnonzero(np.diff(self.layer[hits], prepend=-1))
        return hits[first]


def streams(table: LayerTable) -> Bools:
    """Which networks are built with io_stream: those with images, as ``rules.io_type_for`` says."""
    image = np.isin(table.op, IMAGE_OPS) | (table.in_h * table.in_w > 1) | (table.positions > 1)
    return np.bincount(table.network[image], minlength=table.networks) > 0


def options_of(table: LayerTable, stream: Bools, family: str, estimator: Estimator, bound: Bound) -> Options:
    """All options of the rows of ``table``, weight layers only, that ``rules.check_layer`` accepts.

    ``stream``: io_stream by row; ``family``: device family; ``bound``: see ``Spec``.
    """
    depthwise = table.op == OP_CODE["depthwise"]
    lists = [
        _reuse_factors(d, n, o)
        for d, n, o in zip(depthwise.tolist(), table.fan_in.tolist(), table.out_c.tolist(), strict=True)
    ]
    counts = np.array([len(one) for one in lists], dtype=np.int64)
    layer = np.repeat(np.arange(len(table)), counts)
    reuse = np.concatenate(lists) if lists else np.zeros(0, dtype=np.int64)
    weights = table.fan_in * table.out_c
    synthesizes = (weights < UNROLL_LIMIT) & (weights * table.w_width <= LATENCY_BITS)  # as rules.strategy_for
    latency = (reuse == 1) & synthesizes[layer]
    out, checked = np.zeros((7, len(layer))), np.zeros((5, len(layer)))
    for first in range(0, len(layer), CHUNK):
        part = slice(first, first + CHUNK)
        own = layer[part]
        estimate, ends = amounts(table.select(own), reuse[part], stream[own], latency[part], family, estimator, bound)
        for row, name in zip(out, (*RESOURCE_NAMES, "interval", "fill"), strict=True):
            row[part] = getattr(estimate, name)
        checked[:, part] = ends
    return Options(
        layer=layer,
        start=np.cumsum(counts) - counts,
        reuse=reuse,
        latency=latency,
        use=out[:5],
        checked=checked,
        cost=cost_of(out[:5]),
        interval=out[5],
        fill=out[6],
    )


def cost_of(use: Floats) -> Floats:
    """What is minimised: LUTs, and of equal LUTs the fewest blocks. ``use`` has shape (5, n)."""
    cost: Floats = use[0] + BLOCK_SHARE * (use[2] + use[3] + use[4])
    return cost


@lru_cache(maxsize=65536)
def _reuse_factors(depthwise: bool, fan_in: int, units: int) -> Ints:
    """The reuse factors hls4ml accepts that HLS can unroll, ascending."""
    factors = depthwise_reuse_factors(fan_in, units) if depthwise else valid_reuse_factors(fan_in, units)
    fine = np.array([r for r in factors if multipliers(fan_in * units, r) < UNROLL_LIMIT], dtype=np.int64)
    fine.setflags(write=False)
    return fine


def plain_rows(
    table: LayerTable, stream: Bools, family: str, estimator: Estimator, bound: Bound
) -> tuple[Estimate, Floats]:
    """``amounts`` of rows without weights."""
    zeros = np.zeros(len(table), dtype=np.int64)
    return amounts(table, zeros, stream, zeros.astype(np.bool_), family, estimator, bound)


def amounts(
    table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimator: Estimator, bound: Bound
) -> tuple[Estimate, Floats]:
    """The estimate of rows, and of their resources what is compared with a budget: shape (5, rows)."""
    estimate = estimator.rows(table, reuse, stream, latency, family)
    if bound == "middle":
        return estimate, estimate.resources().T
    return estimate, estimator.bounds(table, reuse, stream, latency, family, estimate)[1].T
