"""Tiles and groups for networks of the reference paper: of all ways to run a network, the one of fewest cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flow.errors import InputError
from flow.paper.design import PaperDesign, PaperNetwork
from flow.paper.exact import solve_exact
from flow.paper.heuristic import solve_as_paper
from flow.paper.model import PAPER, HardwareModel, Limits, evaluate
from flow.paper.tiles import LayerFront, layer_fronts

Method = Literal["paper", "exact"]
METHODS: tuple[Method, ...] = ("paper", "exact")
"""``paper``: the paper's own, which misses some designs. ``exact``: fewest cycles, then fewest LUTs."""

BATCH = 256
"""Networks solved together: their arrays stay within a processor's cache."""


def solve(
    network: PaperNetwork, limits: Limits, model: HardwareModel = PAPER, method: Method = "exact"
) -> PaperDesign | None:
    """The design of fewest cycles an image that keeps ``limits``, or None if there is none.

    Raises InputError as ``HardwareModel.work`` and for an unknown method.
    """
    return solve_many([network], limits, model, method)[0]


def solve_many(
    networks: Sequence[PaperNetwork], limits: Limits, model: HardwareModel = PAPER, method: Method = "exact"
) -> list[PaperDesign | None]:
    """As :func:`solve`, for many networks of one depth, thousands a second."""
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}, known: {', '.join(METHODS)}")
    designs: list[PaperDesign | None] = []
    for start in range(0, len(networks), BATCH):
        part = networks[start : start + BATCH]
        fronts = layer_fronts(model.work(part))
        designs += (_exact if method == "exact" else _as_paper)(part, fronts, limits, model.resident)
    return designs


def _exact(
    networks: Sequence[PaperNetwork], fronts: Sequence[LayerFront], limits: Limits, resident: bool
) -> list[PaperDesign | None]:
    found = solve_exact(fronts, limits, resident)
    tn, tm = (column.tolist() for column in found.tiles(fronts))
    groups = found.groups.tolist()
    return [
        PaperDesign(network, tuple(zip(tn[n], tm[n], strict=True)), tuple(groups[n])) if found.feasible[n] else None
        for n, network in enumerate(networks)
    ]


def _as_paper(
    networks: Sequence[PaperNetwork], fronts: Sequence[LayerFront], limits: Limits, resident: bool
) -> list[PaperDesign | None]:
    designs = []
    for number, network in enumerate(networks):
        found = solve_as_paper(fronts, number, limits, resident)
        designs.append(PaperDesign(network, found.tiles, found.groups) if found else None)
    return designs


def least_luts(network: PaperNetwork, throughput_per_s: float, model: HardwareModel = PAPER) -> int | None:
    """The fewest LUTs with which a network exceeds ``throughput_per_s`` images a second, None if it never does.

    Exact, by bisection over the LUT limit. Raises InputError as ``HardwareModel.work``.
    """
    fronts = layer_fronts(model.work([network]))

    def feasible(lut: int) -> bool:
        return bool(solve_exact(fronts, Limits(lut, throughput_per_s), model.resident).feasible[0])

    # With every tile as large as its layer nothing is faster, and all layers in one group need no more than the sum.
    low, high = 1, max(1, sum(int(front.best[0, 0]) for front in fronts))
    if not feasible(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if feasible(middle) else (middle + 1, high)
    return low


def add_dense(design: PaperDesign, model: HardwareModel) -> PaperDesign:
    """``design`` with its dense layers in its last group, on the fewest LUTs that do not slow the group down.

    Where even the fastest tiles do, the fastest. A design whose dense layers have tiles comes back as it is.
    """
    network = design.network
    few = len(network.layers)
    if len(design.tiles) > few:
        return design
    of_convolutions = evaluate(design, model.with_options(dense=False))
    fronts = layer_fronts(model.with_options(dense=True).work([network]))[few:]
    tiles = list(design.tiles)
    for front in fronts:
        cycles = front.cycles.copy()
        cycles[:] = max(of_convolutions.group_cycles[-1], int(cycles[0]))
        tn, tm = front.tiles(cycles)
        tiles.append((int(tn[0]), int(tm[0])))
    return PaperDesign(network, tuple(tiles), design.groups + (design.groups[-1],) * len(fronts))
