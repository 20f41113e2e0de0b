"""The reference paper's hardware (arXiv:1911.00105) as an estimator: LUTs and cycles only, its defects corrected.

Tn x Tm multipliers work at a time, kernel positions one after the other: a layer takes ceil(N/Tn) * ceil(M/Tm) *
Kh * Kw cycles for each pixel of its padded input. A reuse factor allows so many cycles a pixel, and the tile of fewest
LUTs within them is taken. As in ``flow.paper.model.CORRECTED`` with all layers resident and dense layers counted, but
for the rounding behind the accumulator, billed as wide as it can be: a row of the table does not know what follows.
"""

from __future__ import annotations

import numpy as np

from flow.estimate.structural import Bools, Estimate, Floats, Ints
from flow.estimate.table import OP_CODE, LayerTable
from flow.paper.model import adder_tree
from flow.paper.multipliers import MAX_BITS, SYMMETRIC
from flow.paper.tiles import DIRECT, tiles_of


class PaperEstimator:
    """See the module. ``silent``: what it knows nothing of, and what is 0 here therefore."""

    name = "hardware model of arXiv:1911.00105, corrected, all layers resident"
    version = "1"
    note = "LUTs only: no memory, no control; never synthesized, so no interval is known"
    silent = ("ff", "bram18", "uram", "dsp")

    def at_clock(self, clock_ns: float) -> PaperEstimator:
        """See ``Estimator.at_clock``: the clock makes no difference."""
        return self

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        """See ``Estimator.rows``. Layers without weights are free and take a cycle, as in the paper."""
        count = len(table)
        lut, cycles = np.zeros(count), np.ones(count)
        weight = np.flatnonzero(table.is_weight)
        if len(weight):
            lut[weight], cycles[weight] = tiled(table.select(weight), np.asarray(reuse, dtype=np.int64)[weight])
        none = np.zeros(count)
        return Estimate(lut, none, none, none, none, interval=cycles, fill=cycles)

    def top(self) -> Floats:
        """See ``Estimator.top``: control is free."""
        return np.zeros(5)

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        """See ``Estimator.bounds``: the amounts themselves, as no error is known."""
        amounts = estimate.resources()
        return amounts, amounts


ESTIMATOR = PaperEstimator()


def tiled(layers: LayerTable, reuse: Ints) -> tuple[Floats, Floats]:
    """LUTs and cycles of weight layers, each with the cheapest tile that its reuse factor allows."""
    depthwise = layers.op == OP_CODE["depthwise"]
    image = layers.op != OP_CODE["dense"]
    kernel = np.where(image, layers.kernel_h * layers.kernel_w, 1)
    inputs = np.where(image, np.where(depthwise, 1, layers.in_c), layers.fan_in)
    pixels = np.where(image, padded(layers, "h") * padded(layers, "w"), 1)
    steps = np.maximum(reuse // kernel, 1)
    lut, taken = np.zeros(len(layers)), np.zeros(len(layers))
    for shape in np.unique(np.stack([inputs, layers.out_c]), axis=1).T:
        rows = np.flatnonzero((inputs == shape[0]) & (layers.out_c == shape[1]))
        tiles = tiles_of(int(shape[0]), int(shape[1]))
        extra, levels = adder_tree(tiles.tn)
        kinds, which = np.unique(np.stack([layers.x_width[rows], layers.w_width[rows]]), axis=1, return_inverse=True)
        wide = kinds.sum(axis=0)[:, None]
        accumulator = wide + levels
        rounding = accumulator - 1  # one bit more, less the two that ``lane_luts`` takes off
        lane = (tiles.tn - 1) * wide + extra + accumulator + rounding
        cost = tiles.tm * (tiles.tn * multiplier(*kinds)[:, None] + lane)
        # The first tile of the fewest LUTs so far: more steps never take more LUTs.
        best = np.minimum.accumulate(cost, axis=1)
        new = np.diff(best, axis=1, prepend=best[:, :1] + 1) < 0
        first = np.maximum.accumulate(np.where(new, np.arange(len(tiles.steps)), 0), axis=1)
        last = tiles.last[np.minimum(steps[rows], DIRECT)]
        far = steps[rows] > DIRECT
        last[far] = np.searchsorted(tiles.steps, steps[rows][far], side="right") - 1
        kind = which.reshape(-1)
        chosen = first[kind, last]
        lut[rows] = cost[kind, chosen]
        taken[rows] = tiles.steps[chosen]
    return lut, taken * kernel * pixels


def padded(layers: LayerTable, axis: str) -> Ints:
    """Size of the padded input along one axis, as ``flow.paper.work.same`` has it."""
    size, kernel = getattr(layers, f"in_{axis}"), getattr(layers, f"kernel_{axis}")
    output, stride = getattr(layers, f"out_{axis}"), getattr(layers, f"stride_{axis}")
    result: Ints = size + np.maximum(0, (output - 1) * stride + kernel - size)
    return result


def multiplier(a: Ints, b: Ints) -> Floats:
    """LUTs of a multiplier of a x b bits: the paper's table, beyond its end in proportion to the product."""
    within: Floats = SYMMETRIC[np.minimum(a, MAX_BITS), np.minimum(b, MAX_BITS)].astype(np.float64)
    beyond = np.maximum(a, MAX_BITS) * np.maximum(b, MAX_BITS) / MAX_BITS**2
    return np.ceil(within * beyond)
