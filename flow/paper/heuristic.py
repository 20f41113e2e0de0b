"""The solver of the reference paper: layer by layer, a few partial solutions on Pareto fronts. Not always exact.

Each partial solution either opens a new group with the next layer or adds it to the last group, with the tile of
least LUTs or of least cycles that keeps the limits. What is missing for exactness is, for one, the tile of least LUTs
that does not slow the group down. Source: arXiv:1911.00105 and the published code of its authors; among tiles of
equal cycles the smallest Tn comes first, which is how the published designs came out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flow.paper.design import Tile
from flow.paper.model import Limits
from flow.paper.tiles import LayerFront

State = tuple[int, int, int]
"""(LUTs of the last group, all cycles, cycles before the last group)."""

_FRONTS = ((0, 1), (1, 2), (0, 2))
"""The pairs of a state whose Pareto fronts are kept."""


@dataclass(frozen=True)
class Path:
    """Tiles and groups of a partial solution, newest layer first: a linked list, as most of them are dropped."""

    tile: int
    opens: bool
    before: Path | None


@dataclass(frozen=True)
class Found:
    """The result for one network."""

    tiles: tuple[Tile, ...]
    groups: tuple[int, ...]
    cycles: int


class _Layer:
    """The front of one layer of one network as lists, which are quicker than arrays for single look-ups."""

    def __init__(self, front: LayerFront, network: int) -> None:
        self.table = front.stack.tiles[int(front.row[network])]
        count = len(self.table.tn)
        self.cycles: list[int] = (self.table.steps * front.cycles[network]).tolist()
        # Ascending, for bisect: the fewest LUTs of the first tiles only fall.
        self.negative: list[int] = (-front.best[network, :count]).tolist()

    def both(self, lut: int, cycles: int) -> tuple[int, int]:
        """The tiles of least LUTs and of least cycles."""
        return self.least_luts(lut, cycles), self.least_cycles(lut, cycles)

    def least_luts(self, lut: int, cycles: int) -> int:
        """Index of the cheapest tile within both limits, -1 for none."""
        last = bisect_left(self.cycles, cycles + 1) - 1
        if last < 0 or -self.negative[last] > lut:
            return -1
        return bisect_left(self.negative, self.negative[last])

    def least_cycles(self, lut: int, cycles: int) -> int:
        """Index of the fastest tile within both limits, of equals that of the smallest Tn; -1 for none."""
        index = bisect_left(self.negative, -lut)
        return index if index < len(self.cycles) and self.cycles[index] <= cycles else -1


def solve_as_paper(fronts: Sequence[LayerFront], network: int, limits: Limits, resident: bool = False) -> Found | None:
    """Tiles and groups of one network of ``fronts``, or None if the method finds none that keeps ``limits``.

    ``resident``: all layers in one group.
    """
    most = limits.max_cycles
    if most is None:
        most = sum(int(front.slowest[network]) for front in fronts)
    layers = [_Layer(front, network) for front in fronts]
    states: dict[State, Path | None] = {(0, 0, 0): None}
    for number, layer in enumerate(layers):
        grown: dict[State, Path | None] = {}
        for (lut, total, before), path in states.items():
            if number == 0 or not resident:
                for tile in layer.both(limits.lut, most - total):
                    if tile >= 0:
                        state = (-layer.negative[tile], total + layer.cycles[tile], total)
                        grown.setdefault(state, Path(tile, True, path))
            if number:
                for tile in layer.both(limits.lut - lut, most - before):
                    if tile >= 0:
                        group = max(total - before, layer.cycles[tile])
                        state = (lut - layer.negative[tile], before + group, before)
                        grown.setdefault(state, Path(tile, False, path))
        if not grown:
            return None
        kept = _kept(grown)
        states = {state: path for state, path in grown.items() if state in kept}
    best = min(states, key=lambda state: (state[1], state[0], state[2]))
    return _read(states[best], layers, best[1])


def _kept(states: Iterable[State]) -> set[State]:
    """The states on at least one of the three fronts; of equals there, the one that is least in the third number."""
    kept = set()
    for first, second in _FRONTS:
        least = -1
        for state in sorted(states, key=lambda s: (s[first], s[second], s)):
            if least < 0 or state[second] < least:
                kept.add(state)
                least = state[second]
    return kept


def _read(path: Path | None, layers: Sequence[_Layer], cycles: int) -> Found:
    tiles: list[Tile] = []
    opens: list[bool] = []
    for layer in reversed(layers):
        assert path is not None, "a path has a step for each layer"
        tiles.append((int(layer.table.tn[path.tile]), int(layer.table.tm[path.tile])))
        opens.append(path.opens)
        path = path.before
    groups, number = [], -1
    for opened in reversed(opens):
        number += opened
        groups.append(number)
    return Found(tuple(reversed(tiles)), tuple(groups), cycles)
