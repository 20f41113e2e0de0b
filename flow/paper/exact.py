"""The exact solver for tiles and groups: many networks of one depth at once, without a Python object a network.

A run of layers i..j as one group needs at least C(i, j) cycles: the fewest for which the sum of the fewest LUTs of
its layers within those cycles keeps the LUT limit; as that sum only falls with the cycles, C is found by bisection.
The fewest cycles of layers 0..j are then the minimum over i of those of 0..i-1 plus C(i, j), by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.paper.model import Limits
from flow.paper.tiles import UNREACHABLE, LayerFront
from flow.paper.work import Ints

NEVER = np.int64(1) << 50
"""Cycles of what is not possible."""


@dataclass(frozen=True, eq=False)
class Solutions:
    """The best design of each network under the limits: fewest cycles, then fewest LUTs in its largest group.

    ``cycles``, ``lut``: shape (networks,), meaningless where not ``feasible``. ``group_cycles``, ``groups``, (networks,
    layers): the cycles of the group that a layer is in, and its number.
    """

    feasible: NDArray[np.bool_]
    cycles: Ints
    lut: Ints
    group_cycles: Ints
    groups: Ints

    def tiles(self, fronts: Sequence[LayerFront]) -> tuple[Ints, Ints]:
        """(Tn, Tm) by network and layer: the fewest LUTs within the group's cycles; 0 where not feasible."""
        fast = np.where(self.feasible[:, None], self.group_cycles, NEVER >> 1)
        both = [front.tiles(fast[:, layer]) for layer, front in enumerate(fronts)]
        tn, tm = (np.stack(column, axis=1) for column in zip(*both, strict=True))
        return np.where(self.feasible[:, None], tn, 0), np.where(self.feasible[:, None], tm, 0)


def solve_exact(fronts: Sequence[LayerFront], limits: Limits, resident: bool = False) -> Solutions:
    """Fewest cycles under ``limits``, for each network. ``resident``: all layers in one group."""
    depth = len(fronts)
    runs = [(0, depth - 1)] if resident else [(i, j) for i in range(depth) for j in range(i, depth)]
    most = np.max(np.stack([front.slowest for front in fronts]), axis=0)
    if limits.max_cycles is not None:
        most = np.minimum(most, limits.max_cycles)
    cycles, luts = _fewest_cycles(fronts, runs, most, limits.lut)
    count = len(most)
    best_cycles = [np.zeros(count, dtype=np.int64)]
    best_lut = [np.zeros(count, dtype=np.int64)]
    chosen = []
    for j in range(depth):
        # Fewest cycles first: a design of fewest cycles consists of parts of fewest cycles, each with its fewest LUTs.
        new_cycles, new_lut, new_run = np.full(count, NEVER), np.full(count, UNREACHABLE), np.full(count, -1)
        for number, (i, last) in enumerate(runs):
            if last != j:
                continue
            total = best_cycles[i] + cycles[number]
            lut = np.maximum(best_lut[i], luts[number])
            better = (total < new_cycles) | ((total == new_cycles) & (lut < new_lut))
            new_cycles = np.where(better, total, new_cycles)
            new_lut = np.where(better, lut, new_lut)
            new_run = np.where(better, number, new_run)
        best_cycles.append(np.minimum(new_cycles, NEVER))
        best_lut.append(new_lut)
        chosen.append(new_run)
    feasible = best_cycles[-1] <= (limits.max_cycles or NEVER - 1)
    group_cycles, groups = _backtrack(runs, cycles, chosen)
    return Solutions(feasible, best_cycles[-1], best_lut[-1], group_cycles, groups)


def _fewest_cycles(
    fronts: Sequence[LayerFront], runs: list[tuple[int, int]], most: Ints, lut: int
) -> tuple[Ints, Ints]:
    """C of each run, ``NEVER`` if beyond ``most``, and its LUTs then; both of shape (runs, networks)."""

    def needed(cycles: Ints) -> Ints:
        """LUTs of each run within its ``cycles``."""
        total = np.zeros_like(cycles)
        for layer, front in enumerate(fronts):
            members = [number for number, (i, j) in enumerate(runs) if i <= layer <= j]
            total[:, members] += front.luts(cycles[:, members])
        return total

    base = np.stack([front.cycles for front in fronts], axis=1)
    low = np.stack([base[:, i : j + 1].max(axis=1) for i, j in runs], axis=1)
    high = np.maximum(low, most[:, None])
    possible = (low <= most[:, None]) & (needed(high) <= lut)
    while np.any(low < high):
        middle = (low + high) // 2
        fits = needed(middle) <= lut
        high = np.where(fits, middle, high)
        low = np.where(fits, low, np.minimum(middle + 1, high))
    luts = np.where(possible, needed(high), UNREACHABLE)
    return np.where(possible, high, NEVER).T, luts.T


def _backtrack(runs: list[tuple[int, int]], cycles: Ints, chosen: list[Ints]) -> tuple[Ints, Ints]:
    """Cycles of each layer's group, and its number counted from the first layer; shape (networks, layers)."""
    depth, networks = len(chosen), np.arange(len(chosen[0]))
    first = np.array([i for i, _ in runs])
    group_cycles = np.zeros((len(networks), depth), dtype=np.int64)
    opens = np.zeros((len(networks), depth), dtype=np.int64)
    end = np.full(len(networks), depth - 1)
    run = chosen[-1]
    for layer in range(depth - 1, -1, -1):
        run = np.where(end == layer, np.stack(chosen)[layer, networks], run)
        group_cycles[:, layer] = cycles[run, networks]
        starts = first[run] == layer
        opens[:, layer] = starts
        end = np.where(starts, layer - 1, end)
    return group_cycles, np.cumsum(opens, axis=1) - 1
