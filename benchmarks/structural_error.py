"""How far the structural model is from what HLS reported for public hls4ml layers, by kind of layer.

    .venv/bin/python benchmarks/structural_error.py [FOLDER]

FOLDER holds ``wa_hls4ml_dense.csv`` and ``hls4ml_layers.csv`` (default: ../shared/data/synthesis beside the clone).
The ratios are (reported + offset) / (predicted + offset), with the offsets of ``flow.estimate.structural``. The second
table are the 5% and 95% quantiles that module has as ``ERRORS``. Every project counts the same, however many rows it
has: what a user builds is another project.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.estimate.calibration_data import Rows, read_rows
from flow.estimate.structural import CELLS, ERRORS, OFFSET, STRUCTURAL, cells
from flow.estimate.table import OP_CODE, OPS, LayerTable
from flow.resources import RESOURCE_NAMES

FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "synthesis"
FILES = ("wa_hls4ml_dense.csv", "hls4ml_layers.csv")
ONE_LAYER = "one-layer designs"
SHOWN = ("lut", "ff", "bram18", "dsp")
"""No design of the data uses UltraRAM."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Errors:
    """Rows as the solver would build them, ``ratios`` (rows, 5) of reported to predicted, NaN where not reported."""

    table: LayerTable
    project: NDArray[np.str_]
    cell: NDArray[np.int64]
    ratios: Floats
    inside: Bools


def errors(rows: Rows) -> Errors:
    """Compare. Left out: failed runs, layers a Network does not have, strategy Latency with reuse above 1, which the
    solver never chooses, and forks that rewrite hls4ml's streams."""
    serial = np.broadcast_to(rows.details.serial, (len(rows),)).astype(bool)
    use = rows.select(~rows.failed & (rows.table.op < len(OPS)) & ~(rows.latency & (rows.reuse > 1)) & ~serial)
    predicted, low, high = (np.zeros((len(use), len(RESOURCE_NAMES))) for _ in range(3))
    for family, chosen in (("zynq7000", ~use.ultra), ("virtex-ultrascale+", use.ultra)):
        part = use.select(chosen)
        arguments = (part.table, part.reuse, part.stream, part.latency, family)
        estimate = STRUCTURAL.rows(*arguments)
        predicted[chosen] = estimate.resources()
        low[chosen], high[chosen] = STRUCTURAL.bounds(*arguments, estimate)
    reported = np.stack([use.target(n) if n != "uram" else np.zeros(len(use)) for n in RESOURCE_NAMES], axis=1)
    project = np.array([ONE_LAYER if p.startswith("dense ") else p for p in use.project])
    return Errors(
        use.table, project, cells(use.table, use.reuse, use.stream), (reported + OFFSET) / (predicted + OFFSET),
        (low <= reported) & (reported <= high),
    )  # fmt: skip


def quantiles(e: Errors, where: Bools, column: int) -> Floats:
    """5%, 50% and 95% quantile of the ratios of some rows, every project weighing the same."""
    index = np.flatnonzero(where & np.isfinite(e.ratios[:, column]))
    _, which, counts = np.unique(e.project[index], return_inverse=True, return_counts=True)
    order = np.argsort(e.ratios[index, column], kind="stable")
    weight = counts[which.reshape(-1)][order] ** -1.0
    at = np.cumsum(weight) - weight / 2
    found: Floats = np.interp(np.array([0.05, 0.5, 0.95]) * weight.sum(), at, e.ratios[index, column][order])
    return found


def print_table(e: Errors, groups: dict[str, Bools]) -> None:
    """One line a group: rows, projects, and for each resource 5%, 50% and 95% and the share inside the intervals."""
    print(f"{'':24}{'rows':>5} {'projects':>8}" + "".join(f"   {n:>5} {'50%':>5} {'95%':>5} {'in':>4}" for n in SHOWN))
    for name, where in groups.items():
        if not where.any():
            continue
        line = f"{name:24}{where.sum():5d} {len(np.unique(e.project[where])):8d}"
        for resource in SHOWN:
            column = RESOURCE_NAMES.index(resource)
            low, middle, high = quantiles(e, where, column)
            known = where & np.isfinite(e.ratios[:, column])
            line += f"   {low:5.2f} {middle:5.2f} {high:5.2f} {e.inside[known, column].mean():4.0%}"
        print(line)


def main() -> int:
    """Print both tables."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        print(f"skipped: no {' and no '.join(missing)} in {folder}")
        return 0
    e = errors(read_rows([folder / name for name in FILES]))
    print(f"{STRUCTURAL.name} {STRUCTURAL.version}: reported / predicted, and the share inside the intervals\n")
    groups = {}
    for op in OPS:
        for number, cell in enumerate(CELLS):
            mine = (e.table.op == OP_CODE[op]) & (e.cell == number)
            groups[f"{op}, {cell}, one layer"] = mine & (e.project == ONE_LAYER)
            groups[f"{op}, {cell}"] = mine & (e.project != ONE_LAYER)
    print_table(e, groups)
    print("\nall, as in ERRORS")
    print_table(e, {cell: e.cell == number for number, cell in enumerate(CELLS)})
    stale = [
        f"{cell} {name}"
        for number, cell in enumerate(CELLS)
        for column, name in enumerate(RESOURCE_NAMES)
        if not np.allclose(quantiles(e, e.cell == number, column)[[0, 2]], ERRORS[cell][column], rtol=0.02, atol=0.01)
    ]
    print(f"\nERRORS differs from this table: {', '.join(stale)}" if stale else "\nERRORS has the same figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
