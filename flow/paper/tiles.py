"""Tiles worth looking at for a layer, and the fewest LUTs a layer needs by the steps it may take.

Of all Tn with the same ceil(N/Tn) the smallest is the cheapest, and likewise for Tm: a 64 x 64 layer has 225 tiles
that matter, not 4,096. LUTs never fall with Tn or Tm (a test holds the model to it), so nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from flow.paper.model import adder_tree, lane_luts
from flow.paper.work import Ints, Work

DIRECT = 4096
"""Steps up to which the last tile is looked up, not searched: all of a layer of 64 x 64 channels."""

UNREACHABLE = np.int64(1) << 50
"""LUTs of no tile at all."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """The tiles of an N x M layer that matter, by steps, then Tn: the order in which the paper's choice is unique.

    ``lane`` is the index of a tile's Tn in ``lane_tn``. ``last[s]`` is the index of the last tile of at most s steps.
    """

    tn: Ints
    tm: Ints
    steps: Ints
    lane: Ints
    lane_tn: Ints
    last: Ints


def breakpoints(channels: int) -> Ints:
    """The smallest tile for each number of steps ceil(channels / tile), ascending."""
    every = np.arange(1, channels + 1, dtype=np.int64)
    return np.unique(-(-channels // -(-channels // every)))


@cache
def tiles_of(inputs: int, outputs: int) -> Tiles:
    """The tiles of a layer of ``inputs`` x ``outputs`` channels."""
    lane_tn, lane_tm = breakpoints(inputs), breakpoints(outputs)
    steps = -(-inputs // lane_tn)[:, None] * -(-outputs // lane_tm)[None, :]
    lane, column = (index.ravel() for index in np.indices(steps.shape))
    order = np.lexsort((lane, steps.ravel()))
    lane, column, steps = lane[order], column[order], steps.ravel()[order]
    last = np.searchsorted(steps, np.arange(DIRECT + 1), side="right") - 1
    return Tiles(lane_tn[lane], lane_tm[column], steps, lane, lane_tn, last)


@dataclass(frozen=True, eq=False)
class _Stack:
    """The tiles of several shapes of layers, padded to one length; row by row."""

    tiles: tuple[Tiles, ...]
    tn: Ints
    tm: Ints
    steps: Ints
    lane: Ints
    lane_tn: Ints
    extra: Ints
    levels: Ints
    real: NDArray[np.bool_]
    last: Ints


@cache
def _stack(shapes: tuple[tuple[int, int], ...]) -> _Stack:
    tiles = tuple(tiles_of(*shape) for shape in shapes)

    def padded(name: str) -> Ints:
        columns = [getattr(t, name) for t in tiles]
        length = max(map(len, columns))
        return np.stack([np.pad(c, (0, length - len(c)), mode="edge") for c in columns])

    lane_tn = padded("lane_tn")
    extra, levels = adder_tree(lane_tn)
    lengths = np.array([len(t.tn) for t in tiles])
    tn = padded("tn")
    real = np.arange(tn.shape[1]) < lengths[:, None]
    return _Stack(
        tiles, tn, padded("tm"), padded("steps"), padded("lane"), lane_tn, extra, levels, real, padded("last")
    )


@dataclass(frozen=True, eq=False)
class LayerFront:
    """One layer of many networks: ``best[n, t]`` is the fewest LUTs of network n with any of its tiles 0 to t."""

    best: Ints
    cycles: Ints
    row: Ints
    stack: _Stack

    def last(self, cycles: Ints) -> Ints:
        """Index of the last tile that takes at most ``cycles`` (networks, ...), -1 for none."""
        shape = (-1,) + (1,) * (cycles.ndim - 1)
        steps, row = cycles // self.cycles.reshape(shape), self.row.reshape(shape)
        index: Ints = self.stack.last[row, np.minimum(steps, DIRECT)]
        if np.any(far := steps > DIRECT):
            rows = np.broadcast_to(row, steps.shape)
            for number in np.unique(rows[far]):
                chosen = far & (rows == number)
                index[chosen] = np.searchsorted(self.stack.tiles[number].steps, steps[chosen], side="right") - 1
        return index

    def luts(self, cycles: Ints) -> Ints:
        """Fewest LUTs within ``cycles`` (networks, ...), ``UNREACHABLE`` where no tile is that fast."""
        index = self.last(cycles)
        networks = np.arange(len(self.best)).reshape((-1,) + (1,) * (cycles.ndim - 1))
        return np.where(index < 0, UNREACHABLE, self.best[networks, index])

    def tiles(self, cycles: Ints) -> tuple[Ints, Ints]:
        """(Tn, Tm) of the fewest LUTs within ``cycles`` (networks,), which must be possible."""
        networks = np.arange(len(self.best))
        wanted = self.best[networks, self.last(cycles)]
        index = np.argmax(self.best <= wanted[:, None], axis=1)
        return self.stack.tn[self.row, index], self.stack.tm[self.row, index]

    @property
    def slowest(self) -> Ints:
        """Cycles beyond which no tile is cheaper (networks,)."""
        result: Ints = self.cycles * self.stack.steps[self.row].max(axis=1)
        return result


def layer_fronts(work: Work) -> list[LayerFront]:
    """The fronts of each layer of ``work``."""
    return [_front(work, layer) for layer in range(work.depth)]


def _front(work: Work, layer: int) -> LayerFront:
    keys, row = np.unique(work.inputs[:, layer] << 32 | work.outputs[:, layer], return_inverse=True)
    stack = _stack(tuple((int(k) >> 32, int(k) & 0xFFFFFFFF) for k in keys))
    formats = (column[:, layer, None] for column in (work.product_int, work.product_frac, work.out_int, work.out_frac))
    # LUTs of a lane depend on Tn only: computed once for each Tn, then spread over the tiles.
    lanes = lane_luts(stack.lane_tn[row], stack.extra[row], stack.levels[row], *formats)
    luts = np.take_along_axis(lanes, stack.lane[row], axis=1)
    luts += stack.tn[row] * work.multiplier[:, layer, None]
    luts *= stack.tm[row]
    luts[~stack.real[row]] = UNREACHABLE
    return LayerFront(np.minimum.accumulate(luts, axis=1), work.cycles[:, layer], row.astype(np.int64), stack)
